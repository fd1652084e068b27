"""Times whole trainings with Adam in the form that ``Trainer`` takes against PyTorch's plain one, taking turns.

How far the logits of the two are apart in the end stands beside. A bias before batch norm, whose gradient is nothing but rounding, may go
either way, and running statistics follow it with a delay; so models with batch norm (mlp) differ more than the others.
"""

import argparse
import statistics
import time

import torch

from polytag import Trainer, registry
from polytag.data import Table
from polytag.data.catalogue import load_dataset
from polytag.data.prepare import Preparation
from polytag.data.splits import kfold
from polytag.enhance import FLEM
from polytag.models import MultiLabelModel
from polytag.models.enhanced import Enhanced
from polytag.selectors import Random

FORMS = {"plain": {"fused": False, "foreach": False}, "taken": {}}


def main() -> None:
    """Print a line a model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="yeast")
    parser.add_argument("--models", default="linear,linear+flem,mlp,clif,dela,tabm,c2ae,mpvae")
    parser.add_argument("--b", type=int, default=64, help="batch size")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    data = load_dataset(options.data)
    table = Table(Preparation().prepare(data, kfold(data, 2)[0]).train)
    print(f"{options.data}, b={options.b}, torch {torch.__version__}, one thread, one epoch, medians of {options.rounds} rounds")
    print(f"{'model':<14}{'weights':>10}{'plain s':>10}{'taken s':>10}{'ratio':>8}{'apart':>12}")
    for name in options.models.split(","):
        seconds: dict[str, list[float]] = {form: [] for form in FORMS}
        for _ in range(options.rounds):
            trained = {}
            for form, how in FORMS.items():
                trained[form], taken = run(name, table, how, options.b)
                seconds[form].append(taken)
        plain, ours = (statistics.median(seconds[form]) for form in FORMS)
        with torch.inference_mode():
            x = table[torch.arange(table.n)].x
            apart = float((trained["plain"].eval()(x) - trained["taken"].eval()(x)).abs().max())
        size = sum(p.numel() for p in trained["taken"].parameters())
        print(f"{name:<14}{size:>10}{plain:>10.2f}{ours:>10.2f}{plain / ours:>8.2f}{apart:>12.1e}", flush=True)


def run(name: str, table: Table, how: dict[str, bool], b: int) -> tuple[MultiLabelModel, float]:
    """Return a model after one epoch, and the seconds of that epoch."""
    torch.manual_seed(0)
    kind, _, enhance = name.partition("+")
    model = registry.get("model", kind).from_data(table)
    if enhance:
        model = Enhanced(model, FLEM().companion(table, table.d), beta=0.01)
    trainer = Trainer(epochs=1, lr=1e-3, optimizer_params=how)
    start = time.perf_counter()
    trainer.fit(model, table, Random(table.labels, b, seed=0))
    return model, time.perf_counter() - start


if __name__ == "__main__":
    main()
