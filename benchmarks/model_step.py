"""Times every model on the shapes of yeast, bibtex and Corel5k: a training step, prediction, and the memory of a step.

Models that need a hierarchy get one in which every label has two children. Models with a textbook form in tests/reference are measured
against it: same weights, same random numbers (dropout off), repeats interleaved in one process; the losses are compared before. Memory is
that of the first step in a process of its own: what it takes beyond model and batch, gradients and the optimiser's moments included.
"""

import argparse
import json
import os
import resource
import runpy
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from polytag import registry
from polytag.data import Dataset, Table
from polytag.data.catalogue import load_dataset
from polytag.errors import PolytagError
from polytag.models import MultiLabelModel
from polytag.testing.models import in_pairs
from polytag.types import Batch

SHAPES = {"yeast": (103, 14), "bibtex": (1836, 159), "corel5k": (499, 374)}
REFERENCE = Path(__file__).parents[1] / "tests" / "reference"
COLUMNS = ("set", "model", "step ms", "textbook", "faster", "predict 1000 rows, ms", "textbook", "faster",
           "memory of a step MB", "textbook", "less", "losses differ by")  # fmt: skip


def main() -> None:
    """Print the table, or measure one case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", default=",".join(SHAPES))
    parser.add_argument("--models", default="", help="registry names; by default all that read tables, those with a textbook form first")
    parser.add_argument("--b", type=int, default=128, help="batch size")
    parser.add_argument("--rows", type=int, default=1000, help="rows to predict; times are given for 1000")
    parser.add_argument("--repeats", type=int, default=4)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--compile", action="store_true", help="also measure torch.compile of each model")
    parser.add_argument("--limit", type=float, default=16.0, help="memory in GB that a process may take (CPU)")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case:
        print(json.dumps(measure(options, *options.case.split(":"))))
        return
    threads = torch.get_num_threads()
    print(f"b={options.b}, {options.device}, torch {torch.__version__}, {threads} thread(s), fastest of {options.repeats}\n")
    print("\n".join("| " + " | ".join(cells) + " |" for cells in (COLUMNS, ["---"] * len(COLUMNS))))
    for name in options.sets.split(","):
        for model in options.models.split(",") if options.models else all_models():
            print(line(options, name, model), flush=True)


def all_models() -> list[str]:
    """Return the names of the models that read tables, those with a textbook form first."""
    names = [name for name in registry.names("model") if "table" in registry.get("model", name).INPUTS]
    return sorted(names, key=lambda name: textbook_class(name) is None)


def textbook_class(name: str) -> Any:
    """Return the textbook form of a model that takes training steps, or None."""
    path = REFERENCE / f"{name}.py"
    if not path.exists():
        return None
    found = runpy.run_path(str(path)).get(f"Textbook{registry.get('model', name).__name__}")
    return found if hasattr(found, "objective") else None


def line(options: argparse.Namespace, name: str, model: str) -> str:
    """Measure a model on a set, each part in a process of its own, and return the row of the table."""
    forms = ["polytag"] + ["textbook"] * (textbook_class(model) is not None)
    memory = {form: case(options, name, model, f"memory-{form}") for form in forms}
    fitting = "+".join(form for form in forms if memory[form] is not None) + "+compiled" * options.compile
    times = case(options, name, model, fitting)
    if times is None or memory["polytag"] is None:
        return f"| {name} | {model} | more than {options.limit:g} GB |" + " |" * 9
    cells = [times["data"], model]
    for kind in ("step", "predict"):
        cells += compared(times[kind], times.get(f"{kind}-textbook"), "more memory than allowed" if len(forms) == 2 else "")
    theirs = memory.get("textbook") or {}
    cells += compared(memory["polytag"]["mb"], theirs.get("mb"), f"> {1000 * options.limit:.0f}" if len(forms) == 2 else "")
    cells.append(f"{times['difference']:.0e}" if "difference" in times else "")
    rows = [cells]
    if options.compile:
        compiled = [*compared(times["step-compiled"], times["step"], ""), *compared(times["predict-compiled"], times["predict"], "")]
        rows.append([times["data"], f"{model}, compiled against not", *compiled, "", "", "", f"{times['difference-compiled']:.0e}"])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def compared(ours: float, theirs: float | None, missing: str) -> list[str]:
    """Return both numbers and their ratio as cells."""
    return [f"{ours:.1f}", missing if theirs is None else f"{theirs:.1f}", "" if theirs is None else f"{theirs / ours:.1f}"]


def case(options: argparse.Namespace, name: str, model: str, part: str) -> dict[str, Any] | None:
    """Measure in a new process; None if its memory did not suffice."""
    command = [sys.executable, __file__, "--case", f"{name}:{model}:{part}", "--b", str(options.b), "--rows", str(options.rows)]
    command += ["--repeats", str(options.repeats), "--device", options.device, "--limit", str(options.limit)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode == 0:
        return json.loads(done.stdout.splitlines()[-1])
    if done.returncode in (-9, 137) or "allocate" in done.stderr or "out of memory" in done.stderr or "MemoryError" in done.stderr:
        return None
    raise SystemExit(done.stderr)


def measure(options: argparse.Namespace, name: str, model_name: str, part: str) -> dict[str, Any]:
    """Return the memory of a step of one form, or the times of several."""
    if options.device == "cpu":
        resource.setrlimit(resource.RLIMIT_DATA, (int(options.limit * 1e9),) * 2)
    data, where = load(name, options.rows)
    kind = registry.get("model", model_name)
    table = Table(in_pairs(data) if kind.NEEDS_HIERARCHY else data, options.device)
    torch.manual_seed(0)
    model = kind.from_data(table)
    x = table[torch.arange(table.n)].x
    batch = table[torch.arange(options.b) % table.n]
    if part.startswith("memory-"):
        form = Form(model, batch, part.removeprefix("memory-"))
        return {"mb": memory_of(form.step, options.device) / 1e6}
    forms = {form: Form(model, batch, form) for form in part.split("+")}
    runs = {f"step-{form}": found.step for form, found in forms.items()}
    found: dict[str, Any] = {"data": f"{name}{where} ({table.d}, {table.q})"}
    expected = forms["polytag"].loss(True).item()
    for form in forms.keys() - {"polytag"}:
        found["difference" if form == "textbook" else f"difference-{form}"] = abs(forms[form].loss(True).item() / expected - 1)
    found |= fastest(runs, options)
    model.eval()
    with torch.inference_mode():
        blocks = x.split(options.b)
        timed = fastest({f"predict-{form}": lambda form=form: [forms[form].predict(block) for block in blocks] for form in forms}, options)
    found |= {kind: ms * 1000 / len(x) for kind, ms in timed.items()}
    return {kind.removesuffix("-polytag"): value for kind, value in found.items()}


class Form:
    """A way to compute a model: ``polytag``, ``textbook`` or ``compiled``, with the same weights and the same random numbers."""

    def __init__(self, model: MultiLabelModel, batch: Batch, form: str) -> None:
        self.model, self.batch = model.train(), batch
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        self.optimizer = torch.optim.Adam(model.param_groups(1e-4))
        self.objective: Callable[..., Any] = model.objective
        self.predict: Callable[..., Any] = model
        if form == "textbook":
            found = textbook_class(registry_name(model))(model)
            torch.manual_seed(0)
            noise = model._draw_noise(batch.x) if hasattr(model, "_draw_noise") else ()
            self.objective, self.predict = (lambda batch: found.objective(batch, *noise)), found.predict
        elif form == "compiled":
            self.objective, self.predict = torch.compile(model.objective), torch.compile(model)

    def loss(self, fixed: bool = False) -> torch.Tensor:
        """Return the loss, with the same random numbers each time if they are to be fixed."""
        if fixed:
            torch.manual_seed(0)
        return self.objective(self.batch).loss

    def step(self) -> None:
        """Forward, backward, optimiser."""
        loss = self.loss()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()


def registry_name(model: MultiLabelModel) -> str:
    """Return the name under which a model is registered."""
    return next(name for name in registry.names("model") if registry.get("model", name) is type(model))


def load(name: str, rows: int) -> tuple[Dataset, str]:
    """Return the first rows of a set, or random rows of its shape where it is not at hand."""
    try:
        data = load_dataset(name, offline=True)
    except PolytagError:
        rng, (d, q) = np.random.default_rng(0), SHAPES[name]
        x = rng.random((rows, d)) if name == "yeast" else (rng.random((rows, d)) < 0.04).astype(np.float32)
        return Dataset(x.astype(np.float32), (rng.random((rows, q)) < 0.02).astype(np.uint8)), ", random"
    return data.take(np.arange(min(rows, data.n))), ""


def memory_of(run: Callable[[], None], device: str) -> float:
    """Return the bytes that a call takes at its peak beyond those that were taken before it."""
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run()
        return torch.cuda.max_memory_allocated() - before
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    run()
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(peak.split()[1]) * 1024 - before


def fastest(runs: dict[str, Callable[[], object]], options: argparse.Namespace) -> dict[str, float]:
    """Return the shortest time of each run in milliseconds, with the repeats interleaved."""
    times = dict.fromkeys(runs, float("inf"))
    for repeat in range(options.repeats + 1):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            if options.device != "cpu":
                torch.cuda.synchronize()
            if repeat:
                times[name] = min(times[name], 1000 * (time.perf_counter() - start))
    return times


if __name__ == "__main__":
    main()
