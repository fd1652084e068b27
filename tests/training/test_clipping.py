"""Adaptive clipping: the sequence of bounds by hand, the published code's, and a run that was cut in two."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from polytag import Table, Trainer
from polytag.errors import ParameterError
from polytag.models import MLP, Linear
from polytag.selectors import Random
from polytag.training import AdaptiveClip, Callback, checkpoint

INF = float("inf")
BY_HAND = [  # norm of the gradient, bound that holds, what is remembered of it
    (8.0, INF, 1.0),  # min(8, 2 inf, 1)
    (0.25, INF, 0.25),
    (0.5, INF, 0.5),
    (0.125, INF, 0.125),
    (0.125, INF, 0.125),  # the last step with infinity among the last five
    (8.0, 5.0, 1.0),  # 5 max(1, .25, .5, .125, .125)
    (0.0625, 5.0, 0.0625),  # 5 max(.25, .5, .125, .125, 1)
    (0.0625, 5.0, 0.0625),
    (0.0625, 5.0, 0.0625),
    (0.0625, 5.0, 0.0625),
    (0.0625, 5.0, 0.0625),  # the 1 of step 6 is still the oldest of five
    (8.0, 0.3125, 0.125),  # 5 max(.0625, ...); remembered: twice the largest
    (8.0, 0.625, 0.25),
    (8.0, 1.25, 0.5),
    (8.0, 2.5, 1.0),
    (8.0, 5.0, 1.0),  # never more than 1
]


def weights_with(norm: float) -> list[torch.nn.Parameter]:
    """Return two parameters whose gradients have this norm together, and one without a gradient."""
    weights = [torch.nn.Parameter(torch.zeros(size, dtype=torch.float64)) for size in (1, 2, 3)]
    weights[0].grad = torch.tensor([0.6 * norm], dtype=torch.float64)
    weights[1].grad = torch.tensor([0.0, -0.8 * norm], dtype=torch.float64)
    return weights


def norm_of(weights: list[torch.nn.Parameter]) -> float:
    return float(torch.cat([weight.grad.flatten() for weight in weights if weight.grad is not None]).norm())


def test_bounds_follow_the_last_five_norms() -> None:
    clip = AdaptiveClip()
    for norm, bound, remembered in BY_HAND:
        weights = weights_with(norm)
        assert float(clip(weights)) == pytest.approx(bound, rel=1e-12)
        assert clip.history is not None
        assert float(clip.history[-1]) == pytest.approx(remembered, rel=1e-12)
        assert norm_of(weights) == pytest.approx(min(norm, bound), rel=1e-5)
        assert weights[2].grad is None


@pytest.mark.data
@pytest.mark.parametrize("case", ["steps", "steps_clipped"])
def test_bounds_equal_those_of_the_published_code(golden: Path, case: str) -> None:
    with np.load(golden / "flem.npz") as file:
        norms, bounds = file[f"{case}/total_norm"], file[f"{case}/clip_bound"]
    clip = AdaptiveClip()
    np.testing.assert_allclose([float(clip(weights_with(norm))) for norm in norms], bounds, rtol=1e-10)


@pytest.mark.parametrize("odd", [0.0, INF, float("nan")])
def test_odd_norms_are_not_remembered(odd: float) -> None:
    clip = AdaptiveClip()
    for _ in range(7):
        clip(weights_with(0.5))
    assert clip.history is not None
    before = clip.history.clone()
    for _ in range(6):
        clip(weights_with(odd))
    assert torch.equal(clip.history, before)
    assert float(clip(weights_with(0.5))) == pytest.approx(2.5)


class Bounds(AdaptiveClip):
    """Notes each bound and the gradient's norm after clipping."""

    seen: list[tuple[float, float]] = []  # noqa: RUF012

    def __call__(self, parameters):
        parameters = list(parameters)
        bound = super().__call__(parameters)
        self.seen.append((float(bound), norm_of(parameters)))
        return bound


class Steep(Linear):
    def objective(self, batch):
        own = super().objective(batch)
        return own._replace(loss=200 * own.loss)


def test_the_trainer_clips_by_it(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("polytag.training.trainer.AdaptiveClip", Bounds)
    monkeypatch.setattr(Bounds, "seen", [])
    model = Steep.from_data(table)
    trainer = Trainer(epochs=6, lr=1e-3, optimizer=torch.optim.SGD, clip_norm="adaptive")
    trainer.fit(model, table, Random(table.labels, 90))
    assert [bound for bound, _ in Bounds.seen] == [INF] * 5 + [5.0]
    assert all(norm > 5.5 for _, norm in Bounds.seen[:5]), "the loss must be steep enough to be clipped"
    assert Bounds.seen[5][1] == pytest.approx(5, rel=1e-5)


class Cut(Callback):
    """Ends a run in the middle of its fifth epoch."""

    def step(self, epoch, rows, objective) -> None:
        self.left = getattr(self, "left", 4 * 6 + 3) - 1
        if self.left == 0:
            raise KeyboardInterrupt


def test_a_run_that_was_cut_off_ends_with_the_same_bits(table: Table, valid: Table, tmp_path: Path) -> None:
    trainer = Trainer(epochs=7, lr=0.01, clip_norm="adaptive")
    whole, cut, fresh = (MLP.from_data(table, seed=seed) for seed in (0, 0, 99))
    trainer.fit(whole, table, Random(table.labels, 16), valid, resume=tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        replace(trainer, callbacks=(Cut(),)).fit(cut, table, Random(table.labels, 16), valid, resume=tmp_path / "run")
    run = trainer.fit(fresh, table, Random(table.labels, 16), valid, resume=tmp_path / "run")
    assert len(run.history) == 7
    assert all(torch.equal(a, b) for a, b in zip(whole.state_dict().values(), fresh.state_dict().values(), strict=True))
    ours, theirs = (checkpoint.load(tmp_path / name)["clip"]["history"] for name in ("run", "whole"))
    assert torch.equal(ours, theirs)
    assert len(set(ours.tolist())) > 1, "choose another model: a history of ones could be forgotten without anybody noticing"


def test_what_is_remembered_matters_after_a_resume(table: Table, tmp_path: Path) -> None:
    trainer = Trainer(epochs=3, lr=0.5, optimizer=torch.optim.SGD, clip_norm="adaptive")
    results = []
    for lost in (False, True):
        path = tmp_path / f"run{lost}"
        first = Linear.from_data(table)
        replace(trainer, epochs=2).fit(first, table, Random(table.labels, 16), resume=path)
        state = checkpoint.load(path)
        state["clip"] = {"history": None if lost else torch.full((5,), 1e-4)}
        checkpoint.save(path, state)
        model = Linear.from_data(table)
        trainer.fit(model, table, Random(table.labels, 16), resume=path)
        results.append(float(sum((a - b).abs().sum() for a, b in zip(model.parameters(), first.parameters())).detach()))
    assert results[0] < results[1] / 2


def test_other_words_are_refused() -> None:
    with pytest.raises(ParameterError, match=r"clip_norm='adaptiv' \(expected a number > 0, 'adaptive' or None\)"):
        Trainer(clip_norm="adaptiv")  # type: ignore[arg-type]
    with pytest.raises(ParameterError, match="clip_norm=0"):
        Trainer(clip_norm=0)
