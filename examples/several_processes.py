"""Several processes train one model as one process would: the same rows, the same weights.

Run it as it is, and it starts two processes itself; or let torchrun start them:

    python examples/several_processes.py
    torchrun --standalone --nproc-per-node 2 examples/several_processes.py

Run it again after killing it, and it goes on from its checkpoint.
"""

import os
from pathlib import Path

import torch

from polytag.data import Table, load_digits_scenes
from polytag.models import MLP
from polytag.selectors import Adaptive
from polytag.training import Trainer, joined, launch, score, shared

EPOCHS = 10
CHECKPOINT = Path("several.safetensors")


def train(checkpoint: Path | None = None) -> tuple[dict[str, torch.Tensor], list[int]]:
    """Train; every process does the same, and only the wrapped model knows of the others."""
    data = load_digits_scenes(800, seed=0)
    table, valid = Table(data.take(range(600))), Table(data.take(range(600, 800)))
    model = MLP.from_data(table, hidden=[64], dropout=0.0, seed=0)
    selector = Adaptive(table.labels, 64, x=table.dataset.X, seed=0)
    trainer = Trainer(epochs=EPOCHS, lr=0.1, optimizer=torch.optim.SGD, optimizer_params={"momentum": 0.9})
    trainer.fit(shared(model), table, selector, valid, resume=checkpoint)  # shared(): itself, where there is only one process
    print(f"macro-AUC {score(model, valid, 'macro_auc'):.4f}", flush=True)
    return model.state_dict(), next(iter(selector)).tolist()


def compare(weights: dict[str, torch.Tensor], rows: list[int]) -> None:
    """Train once more in one process and compare."""
    alone, expected = train()
    difference = max(float((weights[name] - alone[name]).abs().max()) for name in alone)
    print(f"2 processes against one: next batch equal: {rows == expected}; largest difference of a weight: {difference:.1e}")


def main() -> None:
    if "TORCHELASTIC_RUN_ID" in os.environ:  # torchrun has started this process
        with joined() as place:
            found = train(CHECKPOINT)
        first = place.rank == 0
    else:
        found, first = launch(train, 2, CHECKPOINT)[0], True
    if first:
        CHECKPOINT.unlink()
        compare(*found)


if __name__ == "__main__":
    main()
