"""Trains many small runs, folds x seeds of one model, as one batched model (vmap), against the same runs one after the other.

Every run has its own fold, weights and Random selector, as in ``polytag compare``; only full batches are taken. First the batched runs are
checked: without dropout, losses, weights and logits must equal those of the sequential runs after some steps. Then a step of all k runs is
timed in four ways, taking turns: one process of two threads, or two processes of one thread each (as ``polytag compare --jobs 2``), with
the runs one after the other or batched. Ratios are against ``--jobs 2``, one after the other. The verdict goes by processor time: half of
it is the least that two cores need, whatever else they do meanwhile. Batching pays where it is 1.5 times faster.
"""

import argparse
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from polytag import registry
from polytag.bench.cell import derived_seeds
from polytag.bench.spec import Protocol
from polytag.data import Table
from polytag.data.catalogue import load_dataset
from polytag.data.prepare import Preparation
from polytag.data.splits import kfold
from polytag.models import MultiLabelModel
from polytag.selectors import Random
from polytag.types import Batch

ENOUGH = 1.5
WAYS = {"one by one, 2 threads": (2, False), "one by one, 2 processes": (1, False), "batched, 2 threads": (2, True),
        "batched, 2 processes": (1, True)}  # fmt: skip


def main() -> None:
    """Check and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="yeast")
    parser.add_argument("--models", default="mlp,clif")
    parser.add_argument("--runs", default="1,4,20", help="numbers of runs; folds first, then seeds")
    parser.add_argument("--b", type=int, default=128, help="batch size")
    parser.add_argument("--check", type=int, default=10, help="steps after which the results are compared")
    parser.add_argument("--steps", type=int, default=4, help="steps of each way in a round")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(1)
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"  # for the workers: with other programs about, threads that spin wait for each other in vain
    for name in options.models.split(","):
        for line in check(options, name):
            print(line, flush=True)
    workers = Workers(options)
    print(f"\n{options.data}, b={options.b}, torch {torch.__version__}, medians of {options.rounds} rounds of {options.steps} steps")
    print(f"{'model':<6}{'runs':>5}  {'':<24}{'wall ms':>14}{'':>10}{'processor ms':>14}")
    for name in options.models.split(","):
        for k in map(int, options.runs.split(",")):
            report(name, k, workers.measure(name, k))


def check(options: argparse.Namespace, name: str) -> Iterator[str]:
    """Train four runs both ways without dropout, and say by how much they differ."""
    for dtype, bound in ((torch.float64, 1e-8), (torch.float32, 1e-2)):
        alone, together = (Runs(options, name, range(4), dtype, dropout=False) for _ in range(2))
        batched = Batched(together)
        differences = []
        for _ in range(options.check):
            expected = torch.stack([alone.step(run) for run in range(4)])
            differences.append(float((batched.step() / expected - 1).abs().max()))
        batched.unstack()
        for one, other in zip(alone.models, together.models):
            states = zip(one.eval().state_dict().values(), other.eval().state_dict().values(), strict=True)
            assert dtype == torch.float32 or all(torch.allclose(a, b, rtol=1e-6, atol=1e-8) for a, b in states)
        logits = [torch.stack([m(t[torch.arange(64)].x.to(dtype)) for m, t in zip(r.models, r.tables)]).detach() for r in (alone, together)]
        apart = float((logits[0] - logits[1]).abs().max() / logits[0].abs().max())
        assert max(*differences, apart) < bound, f"{name}: the batched runs are not the sequential ones ({differences}, {apart})"
        kind = str(dtype).removeprefix("torch.")
        yield f"{name}, {kind}, after {options.check} steps: losses differ by {max(differences):.0e}, logits by {apart:.0e}"


class Runs:
    """Several runs with everything of their own: fold, weights, selector, optimiser.

    Args:
        options: The command line.
        name: The model.
        which: Numbers of the runs; run r has fold r mod 5 and seed r div 5.
        dtype: Of weights and features.
        dropout: Whether to leave the model's dropout on.
    """

    def __init__(
        self, options: argparse.Namespace, name: str, which: range, dtype: torch.dtype = torch.float32, dropout: bool = True
    ) -> None:
        data, protocol, kind = load_dataset(options.data), Protocol(), registry.get("model", name)
        preparation, self.b, self.dtype = Preparation(**protocol.preparation), options.b, dtype
        self.training = kind.training_defaults()
        self.tables, self.models, self.batches = [], [], []
        for run in which:
            seed, fold = divmod(run, 5)
            split = kfold(data, 5, **{"seed": seed, **protocol.split})[fold]
            table, seeds = Table(preparation.prepare(data, split).train), derived_seeds(seed, fold)
            self.tables.append(table)
            self.models.append(kind.from_data(table, seed=seeds.weights).to(dtype).train())
            self.batches.append(self._endless(Random(table.targets, options.b, seed=seeds.batches)))
        for module in (module for model in self.models for module in model.modules()):
            if isinstance(module, nn.Dropout) and not dropout:
                module.p = 0.0
        self.optimizers = [self.optimizer(list(model.parameters())) for model in self.models]

    def _endless(self, selector: Random) -> Iterator[Tensor]:
        """Return full batches, one epoch after another."""
        while True:
            yield from (rows for rows in selector if len(rows) == self.b)

    def optimizer(self, parameters: list[Tensor]) -> torch.optim.Optimizer:
        """Return the optimiser that the model's authors chose."""
        return torch.optim.Adam(parameters, lr=self.training["lr"], weight_decay=self.training["weight_decay"])

    def batch(self, run: int) -> Batch:
        """Return the next batch of a run."""
        batch = self.tables[run][next(self.batches[run])]
        return batch._replace(x=batch.x.to(self.dtype), y=batch.y.to(self.dtype))

    def step(self, run: int) -> Tensor:
        """Train one run for a step and return its loss."""
        loss = self.models[run].objective(self.batch(run)).loss
        self.optimizers[run].zero_grad()
        loss.backward()
        if self.training.get("clip_norm"):
            nn.utils.clip_grad_norm_(self.models[run].parameters(), self.training["clip_norm"])
        self.optimizers[run].step()
        return loss.detach()


class Batched:
    """The same runs as one model whose weights have one more dimension: theirs."""

    def __init__(self, runs: Runs) -> None:
        self.runs, self.step_of = runs, _StepOf(deepcopy(runs.models[0]))
        self.params, self.buffers = stack_module_state([_StepOf(model) for model in runs.models])  # type: ignore[arg-type]
        self.optimizer = runs.optimizer(list(self.params.values()))
        self.losses: Callable[..., Tensor] = vmap(
            lambda params, buffers, x, y: functional_call(self.step_of, (params, buffers), (x, y)), randomness="different"
        )

    def step(self) -> Tensor:
        """Train all runs for a step and return their losses."""
        batches = [self.runs.batch(run) for run in range(len(self.runs.models))]
        x, y = torch.stack([batch.x for batch in batches]), torch.stack([batch.y for batch in batches])
        losses = self.losses(self.params, self.buffers, x, y)
        self.optimizer.zero_grad()
        losses.sum().backward()
        if self.runs.training.get("clip_norm"):
            self._clip(self.runs.training["clip_norm"])
        self.optimizer.step()
        return losses.detach()

    def _clip(self, bound: float) -> None:
        """Bound the norm of each run's gradient, as ``clip_grad_norm_`` does for one."""
        grads = [p.grad for p in self.params.values() if p.grad is not None]
        norms = torch.stack([grad.flatten(1).square().sum(dim=1) for grad in grads]).sum(dim=0).sqrt()
        factors = (bound / (norms + 1e-6)).clamp(max=1.0)
        for grad in grads:
            grad.mul_(factors.view(-1, *[1] * (grad.ndim - 1)))

    def unstack(self) -> None:
        """Give the weights back to the models."""
        stacked = {name.removeprefix("model."): value.detach() for name, value in {**self.params, **self.buffers}.items()}
        for run, model in enumerate(self.runs.models):
            model.load_state_dict({name: value[run] for name, value in stacked.items()})


class _StepOf(nn.Module):
    """The objective of a model as a forward pass, for ``functional_call``."""

    def __init__(self, model: MultiLabelModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.model.objective(Batch(torch.empty(0), x, y)).loss


class Workers:
    """Three processes: one of two threads, and two of one thread, each of which has every other run."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options, self.pipes, context = options, [], multiprocessing.get_context("spawn")
        for threads, part in ((2, slice(None)), (1, slice(0, None, 2)), (1, slice(1, None, 2))):
            mine, theirs = context.Pipe()
            context.Process(target=serve, args=(theirs, options, threads, part), daemon=True).start()
            self.pipes.append((threads, mine))

    def measure(self, name: str, k: int) -> dict[str, tuple[float, float]]:
        """Return wall and processor seconds of a step of all k runs, in each way."""
        found: dict[str, list[tuple[float, float]]] = {way: [] for way in WAYS}
        for turn in range(self.options.rounds + 1):
            for way, times in found.items():
                threads, batched = WAYS[way]
                asked = [pipe for count, pipe in self.pipes if count == threads][: 1 if k == 1 else 2]
                for pipe in asked:
                    pipe.send((name, k, batched))
                answers = [pipe.recv() for pipe in asked]
                if turn:  # the first turn builds the runs and warms up
                    times.append((max(wall for wall, _ in answers), sum(processor for _, processor in answers)))
        return {way: tuple(map(statistics.median, zip(*times))) for way, times in found.items()}  # type: ignore[misc]


def serve(pipe: Any, options: argparse.Namespace, threads: int, part: slice) -> None:
    """Answer, in a process of its own, with the seconds that a step of its runs takes."""
    torch.set_num_threads(threads)
    built, turn = None, 0
    while True:
        name, k, together = pipe.recv()
        if built != (name, k):
            built, which = (name, k), range(k)[part]
            runs, batched = Runs(options, name, which), Batched(Runs(options, name, which))
        start, share = (time.perf_counter(), time.process_time()), float(options.steps)
        if together:
            for _ in range(options.steps):
                batched.step()
        else:  # a run stays in the caches for its steps, as it does when runs follow each other; two of them stand for all
            chosen = {turn % len(which), (turn + 1) % len(which)}
            for run in chosen:
                for _ in range(options.steps):
                    runs.step(run)
            share, turn = share * len(chosen) / len(which), turn + 1
        pipe.send(((time.perf_counter() - start[0]) / share, (time.process_time() - start[1]) / share))


def report(name: str, k: int, times: dict[str, tuple[float, float]]) -> None:
    """Print the times of all ways, how they compare to two processes with their runs one by one, and whether batching pays."""
    rival = times["one by one, 2 processes"]
    for way, found in times.items():
        cells = "".join(f"{1000 * mine:>14.1f}{theirs / mine:>8.2f} x" for mine, theirs in zip(found, rival))
        print(f"{name:<6}{k:>5}  {way:<24}{cells}")
    gain = max(rival[1] / times[way][1] for way in WAYS if WAYS[way][1])
    verdict = "they pay" if gain >= ENOUGH else "they do not pay"
    print(f"{name:<6}{k:>5}  batched, the runs take {1 / gain:.2f} times the processor time: {verdict}", flush=True)


if __name__ == "__main__":
    main()
