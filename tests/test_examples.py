"""The examples run as a reader would run them, learn something, and keep what their first lines promise."""

import importlib.util
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from polytag.selectors import Random
from polytag.selectors.base import BatchSelector

FOLDER = Path(__file__).parents[1] / "examples"
NEEDS = {
    "plain_pytorch": (),
    "data_loader_workers": (),
    "stateful_data_loader": ("torchdata",),
    "lightning_loop": ("lightning",),
    "accelerate_loop": ("accelerate",),
    "hf_trainer_text": ("transformers", "accelerate"),
    "skorch_loop": ("skorch",),
}
# Deprecations that the frameworks run into themselves. What a reader's own lines would cause stays an error.
THIRD_PARTY = {
    "data_loader_workers": ["ignore:This process:DeprecationWarning"],  # Python 3.12 and later: PyTorch forks while threads run
    "stateful_data_loader": ["ignore:'set_vital' is deprecated:UserWarning"],
    "lightning_loop": ["ignore:`isinstance(treespec, LeafSpec)` is deprecated:FutureWarning"],
}


def need(name: str) -> None:
    absent = [library for library in NEEDS[name] if importlib.util.find_spec(library) is None]
    if absent:
        pytest.skip(f'examples/{name}.py needs {" and ".join(absent)}: pip install "polytag[loops]"')


def run(name: str) -> str:
    need(name)
    ignored = [part for warning in THIRD_PARTY.get(name, []) for part in ("-W", warning)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-W", "error", *ignored, str(FOLDER / f"{name}.py")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def load(name: str) -> ModuleType:
    need(name)
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def watch(selector: BatchSelector) -> list[list[int]]:
    """Return a list that grows by the rows of each batch the selector is told about."""
    seen, observe = [], selector.observe

    def note(rows, logits):
        seen.append(rows.tolist())
        observe(rows, logits)

    selector.observe = note  # type: ignore[method-assign]
    return seen


def numbers(text: str, pattern: str) -> list[float]:
    return [float(value) for value in re.findall(pattern, text)]


def test_every_example_is_listed_and_short() -> None:
    assert {path.stem for path in FOLDER.glob("*.py")} >= set(NEEDS)
    for name in NEEDS:
        assert len((FOLDER / f"{name}.py").read_text(encoding="utf-8").splitlines()) <= 60, name
        for page in (FOLDER / "README.md", FOLDER.parent / "docs" / "loops.md"):
            assert f"{name}.py" in page.read_text(encoding="utf-8"), f"{page.name} does not name {name}.py"


def test_plain_pytorch() -> None:
    aucs = numbers(run("plain_pytorch"), r"(0\.\d+)")
    assert len(aucs) == 3
    assert min(aucs) > 0.7


def test_workers_lag_behind_and_frozen_weights_do_not_care() -> None:
    printed = run("data_loader_workers")
    assert numbers(printed, r"lag (\d+)") == [0, 4, 0, 4]
    assert 'refresh="step": same rows with 0 and 2 workers: False' in printed
    assert 'refresh="epoch": same rows with 0 and 2 workers: True' in printed
    assert min(numbers(printed, r"AUC ([\d.]+)")) > 0.9


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_lag_that_nobody_expected_is_warned_about() -> None:
    example = load("data_loader_workers")
    table = example.TABLE
    with pytest.warns(UserWarning, match="without having been told about the last"):
        example.train(example.Adaptive(table.labels, 300, x=table.dataset.X, warmup=0), workers=2, epochs=1)
    frozen = example.Adaptive(table.labels, 300, x=table.dataset.X, warmup=0, refresh="epoch")
    example.train(frozen, workers=2, epochs=1)  # harmless, so it says nothing
    assert frozen.lag_seen == 4


def test_a_killed_run_goes_on_with_the_same_rows() -> None:
    printed = run("stateful_data_loader")
    assert "killed after 61 of 120 batches; same rows: True" in printed
    resumed, uninterrupted = numbers(printed, r"(0\.\d{6})")
    assert resumed == uninterrupted > 0.9


@pytest.mark.filterwarnings("ignore:'set_vital' is deprecated:UserWarning")
@pytest.mark.parametrize("stop_after", [24, 25, 119], ids=["end of an epoch", "start of an epoch", "last batch"])
def test_a_run_may_be_killed_anywhere(stop_after: int, tmp_path: Path) -> None:
    example = load("stateful_data_loader")
    whole, expected = example.run(tmp_path / "none.pt")
    before, _ = example.run(tmp_path / "state.pt", stop_after)
    after, auc = example.run(tmp_path / "state.pt")
    assert len(before) == stop_after
    assert [rows.tolist() for rows in before + after] == [rows.tolist() for rows in whole]
    assert auc == expected


@pytest.mark.parametrize("name", ["lightning_loop", "skorch_loop"])
def test_frameworks_learn_without_lag(name: str) -> None:
    printed = run(name)
    before, after = numbers(printed, r"(?:before|after) ([\d.]+)[,;]")
    assert after > 0.9 > 0.7 > before
    assert "; lag 0" in printed


@pytest.mark.filterwarnings("ignore:`isinstance.treespec, LeafSpec.` is deprecated:FutureWarning")
@pytest.mark.filterwarnings(
    "ignore:The dirpath has changed:UserWarning", "ignore:You're resuming from a checkpoint that ended before:UserWarning"
)
@pytest.mark.parametrize(
    ("saving", "stop_after"), [({"every_n_epochs": 2}, 48), ({"every_n_train_steps": 60}, 60)], ids=["end of an epoch", "within an epoch"]
)
def test_lightning_resumes_from_its_checkpoints(saving: dict[str, int], stop_after: int, tmp_path: Path) -> None:
    example = load("lightning_loop")
    from lightning import Trainer
    from lightning.pytorch.callbacks import ModelCheckpoint

    def fit(folder: str, checkpoint: Path | None = None) -> tuple[list[list[int]], torch.Tensor]:
        torch.manual_seed(0)
        model = example.Tagger(example.Adaptive(example.TABLE.labels, 64, x=example.TABLE.dataset.X, warmup=1))
        seen = watch(model.selector)
        save = ModelCheckpoint(tmp_path / folder, filename="{step}", save_top_k=-1, **saving)
        quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
        loader = example.DataLoader(example.TABLE, sampler=model.selector, batch_size=None)
        Trainer(max_epochs=4, callbacks=[save], use_distributed_sampler=False, **quiet).fit(model, loader, ckpt_path=checkpoint)
        return seen, model.net.weight

    whole, expected = fit("whole")
    after, weight = fit("resumed", tmp_path / "whole" / f"step={stop_after}.ckpt")
    assert len(whole) == 96
    assert after == whole[stop_after:]
    assert torch.equal(weight, expected)


@pytest.mark.parametrize("stop_after", [64, 80], ids=["end of an epoch", "within an epoch"])
def test_trainer_resumes_as_the_page_says(stop_after: int, tmp_path: Path) -> None:
    example = load("hf_trainer_text")
    page = (FOLDER.parent / "docs" / "loops.md").read_text(encoding="utf-8")
    recipe: dict[str, Any] = {}
    exec(next(block for block in re.findall(r"^```python\n(.*?)^```", page, re.M | re.S) if "TrainerCallback" in block), recipe)

    def fit(folder: str, checkpoint: Path | None = None) -> tuple[list[list[int]], torch.Tensor]:
        torch.manual_seed(0)
        size = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8, "num_labels": 6}
        still = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "problem_type": "multi_label_classification"}
        model = example.BertForSequenceClassification(example.BertConfig(**size, **still, vocab_size=len(example.VOCABULARY)))
        quiet = {"report_to": [], "logging_strategy": "no", "disable_tqdm": True, "use_cpu": True, "ignore_data_skip": True}
        saving = {"save_strategy": "steps", "save_steps": stop_after, "num_train_epochs": 3}
        settings = example.TrainingArguments(str(tmp_path / folder), **quiet, **saving)
        trainer = example.SelectingTrainer(model, settings, train_dataset=example.Texts(1000, seed=0))
        selector = trainer.selector = example.Adaptive(trainer.train_dataset.tensors[1], 32, imbalance_weight=False, warmup=1)
        seen = watch(selector)
        trainer.add_callback(recipe["KeepSelector"](selector))
        trainer.train() if checkpoint is None else recipe["resume"](trainer, selector, str(checkpoint))
        return seen, model.classifier.weight

    whole, expected = fit("whole")
    after, weight = fit("resumed", tmp_path / "whole" / f"checkpoint-{stop_after}")
    assert after == whole[stop_after:]
    assert torch.equal(weight, expected)


def test_accelerate_fetches_one_batch_ahead() -> None:
    printed = run("accelerate_loop")
    assert numbers(printed, r"lag (\d+)") == [0, 1]
    assert min(numbers(printed, r"AUC ([\d.]+)")) > 0.9


def test_trainer_on_text() -> None:
    printed = run("hf_trainer_text")
    assert numbers(printed, r"AUC ([\d.]+)")[0] > 0.9
    assert "; lag 0" in printed


def test_the_plain_loop_serves_selectors_that_screen_and_weigh() -> None:
    """The while loop and the weight of the plain example do what they say, with a selector that uses both."""

    class Picky(BatchSelector):
        seen: list[tuple[str, list[int]]] = []  # noqa: RUF012  (one selector only)

        def draw(self, k):
            self.screening = True
            return torch.from_numpy(self.generator.permutation(self.n)[: 2 * k])

        def sift(self, rows, logits):
            assert not logits.requires_grad
            self.seen.append(("candidates", rows.tolist()))
            return torch.from_numpy(rows[: len(rows) // 2])

        def row_weights(self, rows):
            return torch.zeros(len(rows))

        def observe(self, rows, logits):
            self.seen.append(("trained", rows.tolist()))

    example = load("plain_pytorch")
    model = example.train(Picky(example.TRAIN.labels, 300), epochs=1)
    untrained = example.train(Random(example.TRAIN.labels, 300), epochs=0)
    kinds = [kind for kind, _ in Picky.seen]
    assert kinds == ["candidates", "trained"] * 4
    assert all(trained == candidates[:300] for (_, candidates), (_, trained) in zip(Picky.seen[::2], Picky.seen[1::2]))
    for moved, initial in zip(model.parameters(), untrained.parameters()):  # weights of zero leave nothing to learn from
        assert torch.equal(moved, initial)


def test_hcal_decides_in_three_ways(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(FOLDER / "hcal_digits.py"), run_name="__main__")
    printed = capsys.readouterr().out
    heads, *lines = printed.splitlines()
    rows = {line[:32].strip(): dict(zip(heads.split(), map(float, line[32:].split()))) for line in lines}
    assert len(rows) == 7
    for name, row in rows.items():
        assert row["h_f1"] > 0.6, name
        assert row["hvr"] == 0 or name.endswith("independent") or name == "the encoder alone"
    assert rows["HCAL, independent"]["hvr"] > 0


def test_paths_come_back_and_stop_at_a_parent_when_unsure(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    pytest.importorskip("pandas")
    picture = tmp_path / "labels.png"
    monkeypatch.setattr(sys, "argv", ["hierarchy_of_labels.py", "--plot", str(picture)])
    runpy.run_path(str(FOLDER / "hierarchy_of_labels.py"), run_name="__main__")
    assert len((FOLDER / "hierarchy_of_labels.py").read_text(encoding="utf-8").splitlines()) <= 60
    printed = capsys.readouterr().out
    precisions, recalls, stopped = (numbers(printed, rf"{name} ([\d.]+)") for name in ("h_precision", "h_recall", "at a parent"))
    assert precisions[1] > precisions[0] > 0.85
    assert 0.6 < recalls[1] < recalls[0]
    assert stopped[0] < 0.45 < 0.6 < stopped[1]
    assert "predicted animal/dog\n" in printed
    assert picture.read_bytes()[:4] == b"\x89PNG"
