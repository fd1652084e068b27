"""Why does a strategy pick what it picks? Train one small network with each of them on rows of four known kinds, and count.

``easy`` rows lie far from every boundary, ``boundary`` rows close to all of them; ``noisy`` rows look easy, but a label of theirs is wrong;
``rare`` rows carry a label that few rows have. A strategy that chases losses ends up with the noisy rows; one that looks for doubt prefers
the boundary; one that weighs labels, the rare ones.

Prints how often each kind is picked, early and late, in units of its share of the rows (1 = as often as at random), and draws it::

    python why_each_strategy_picks.py --plot picks.png
"""

import argparse
import inspect
import sys
from pathlib import Path

import numpy as np
import torch

from polytag import Dataset, Table, Trainer
from polytag.models import MLP
from polytag.registry import get, names
from polytag.training import predict
from polytag.training.selection_log import SelectionLog

KINDS = {"easy": 0.55, "boundary": 0.25, "noisy": 0.14, "rare": 0.06}
COLOURS = {"easy": "#56B4E9", "boundary": "#E69F00", "noisy": "#000000", "rare": "#D55E00"}
BATCH, WARMUP = 32, 4


def toy(n: int, seed: int = 0) -> tuple[Dataset, dict[str, np.ndarray]]:
    """Make rows of four kinds: three common labels, each the sign of one feature, and a rare one that two features announce."""
    rng = np.random.default_rng(seed)
    kind = rng.choice(list(KINDS), p=list(KINDS.values()), size=n)
    sign = rng.choice([-1.0, 1.0], size=(n, 3))
    near = (kind == "boundary")[:, None]
    x = np.hstack([sign * np.where(near, rng.uniform(0.0, 0.25, (n, 3)), rng.uniform(1.0, 2.0, (n, 3))), rng.normal(0, 1, (n, 5))])
    x[kind == "rare", 3:5] += 1.7
    y = np.column_stack([sign > 0, kind == "rare"])
    wrong = rng.integers(3, size=n)
    noisy = np.flatnonzero(kind == "noisy")
    y[noisy, wrong[noisy]] ^= True
    data = Dataset(x, y.astype(np.uint8), label_names=["first", "second", "third", "seldom"], name="four kinds of rows")
    return data, {name: kind == name for name in KINDS}


def trained(name: str, table: Table, epochs: int, log: SelectionLog) -> MLP:
    """Train the network with one strategy, watched by a log."""
    kind = get("selector", name)
    params = {} if name == "random" else {"warmup": WARMUP}
    if "epochs" in inspect.signature(kind).parameters:  # a strategy that winds down towards a known end
        params["epochs"] = epochs
    model = MLP.from_data(table, seed=0, hidden=[64], dropout=0.0)
    selector = kind(table.labels, BATCH, x=table.dataset.X, seed=0, **params)
    Trainer(epochs=epochs, lr=3e-3, callbacks=(log,)).fit(model, table, selector)
    return model


def what_they_see(table: Table, groups: dict[str, np.ndarray], epochs: int) -> None:
    """Print the loss and the doubt of each kind of rows, early and late in a plain training."""
    print(f"{'':20}" + "".join(f"{name:>16}" for name in groups))
    lines: dict[str, list[list[float]]] = {"loss": [], "doubt (1 - 2|p - 1/2|)": []}
    for until in (WARMUP, epochs):
        proba = predict(trained("random", table, until, SelectionLog(table.labels)), table).sigmoid().numpy()
        loss = -np.log(np.clip(np.where(table.dataset.Y == 1, proba, 1 - proba), 1e-7, 1)).mean(axis=1)
        lines["loss"].append([float(loss[mask].mean()) for mask in groups.values()])
        lines["doubt (1 - 2|p - 1/2|)"].append([float((1 - 2 * abs(proba[mask] - 0.5)).mean()) for mask in groups.values()])
    for what, (early, late) in lines.items():
        print(f"{what:20}" + "".join(f"{a:8.2f} → {b:.2f} " for a, b in zip(early, late)))


def ratios(log: SelectionLog) -> dict[str, np.ndarray]:
    """Return for each kind how often it was picked in each epoch, in units of its share of the rows."""
    return {name: np.array([picks.groups[name] for picks in log.epochs]) / log.expected[name] for name in KINDS}


def draw(logs: dict[str, SelectionLog], path: Path) -> None:
    """Draw one small panel a strategy: how often each kind is picked, epoch by epoch, lightly smoothed; less than 1/8 is drawn as 1/8."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

    columns = min(4, len(logs))
    lines = -(-len(logs) // columns)
    figure = Figure(figsize=(3.3 * columns, 2.3 * lines + 0.9), layout="constrained")
    panels = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False).ravel()
    for axes, (name, log) in zip(panels, logs.items()):
        axes.axhline(1, color="0.75", linewidth=1)
        axes.axvspan(0.5, WARMUP + 0.5, color="0.94", linewidth=0)
        for kind, values in ratios(log).items():
            smooth = [values[max(0, e - 1) : e + 2].mean() for e in range(len(values))]
            smooth[:WARMUP] = values[:WARMUP]
            axes.plot(np.arange(1, len(values) + 1), np.maximum(smooth, 0.125), color=COLOURS[kind], label=kind, linewidth=1.9)
        axes.set_yscale("log", base=2)
        axes.set_ylim(0.115, 9)
        axes.yaxis.set_major_locator(FixedLocator([0.125, 0.25, 0.5, 1, 2, 4, 8]))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.set_title(name, fontsize=11)
        axes.spines[["top", "right"]].set_visible(False)
    for axes in panels[len(logs) :]:
        axes.set_visible(False)
    figure.supxlabel("epoch (grey: warm-up, plain passes)", fontsize=11)
    figure.supylabel("picks, 1 = as at random", fontsize=11)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=4, frameon=False, fontsize=11)
    figure.savefig(path, dpi=130)


def main() -> None:
    """Train with every strategy, print the table, draw the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1500)
    parser.add_argument("--epochs", type=int, default=24)
    parser.add_argument("--strategies", default=",".join(names("selector")))
    parser.add_argument("--plot", type=Path, help="picture to write")
    args = parser.parse_args()
    torch.set_num_threads(1)
    data, groups = toy(args.rows)
    table = Table(data)
    print(f"{args.rows} rows; what a strategy can see of them after {WARMUP} epochs of plain training → after {args.epochs}:\n")
    what_they_see(table, groups, args.epochs)
    print("\nHow often each kind is picked, 1 = as often as at random; the first third of the epochs of selection → the last third:\n")
    print(f"{'':20}" + "".join(f"{name:>16}" for name in groups))
    logs = {name: SelectionLog(table.labels, groups) for name in args.strategies.split(",")}
    for name, log in logs.items():
        trained(name, table, args.epochs, log)
        third = max(1, (args.epochs - WARMUP) // 3)
        cells = [f"{values[WARMUP : WARMUP + third].mean():8.2f} → {values[-third:].mean():.2f} " for values in ratios(log).values()]
        print(f"{name:20}" + "".join(cells) + "  " + str(sys.modules[get("selector", name).__module__].__doc__).splitlines()[0], flush=True)
    if args.plot is not None:
        draw(logs, args.plot)
        print(f"\n{args.plot}")


if __name__ == "__main__":
    main()
