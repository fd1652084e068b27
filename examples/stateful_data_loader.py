"""Killed in the middle of an epoch, and resumed with the same rows: torchdata's StatefulDataLoader keeps the selector's state."""

import tempfile
from pathlib import Path

import torch
from torch.nn.functional import binary_cross_entropy_with_logits
from torchdata.stateful_dataloader import StatefulDataLoader

from polytag.data import Table, make_multilabel
from polytag.metrics import macro_auc
from polytag.selectors import Adaptive

TABLE = Table(make_multilabel(1500, d=20, q=12, imbalance=6, seed=0)[0])
EPOCHS = 5


def run(checkpoint: Path, stop_after: int | None = None) -> tuple[list[torch.Tensor], float]:
    """Train, from the checkpoint if there is one; return the rows of each batch of this run and the Macro-AUC."""
    torch.manual_seed(0)
    model = torch.nn.Linear(TABLE.d, TABLE.q)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    selector = Adaptive(TABLE.labels, 64, x=TABLE.dataset.X, seed=0, warmup=1)
    loader = StatefulDataLoader(TABLE, sampler=selector, batch_size=None, num_workers=0)  # state_dict() includes the selector's
    parts = {"model": model, "optimizer": optimizer, "loader": loader}
    if checkpoint.exists():
        for name, state in torch.load(checkpoint).items():
            parts[name].load_state_dict(state)
    seen: list[torch.Tensor] = []
    while selector.epoch < EPOCHS:  # the selector's state knows the epoch, too
        for batch in loader:
            logits = model(batch.x)
            optimizer.zero_grad()
            binary_cross_entropy_with_logits(logits, batch.y).backward()
            optimizer.step()
            selector.update(batch.rows, logits.detach())
            seen.append(batch.rows)
            if len(seen) == stop_after:  # after update, so that the state knows this batch
                torch.save({name: part.state_dict() for name, part in parts.items()}, checkpoint)
                return seen, float("nan")
    with torch.no_grad():
        return seen, float(macro_auc(TABLE.dataset.Y, model(TABLE[torch.arange(TABLE.n)].x).numpy()))


def main() -> float:
    with tempfile.TemporaryDirectory() as folder:
        whole, expected = run(Path(folder, "none.pt"))
        before, _ = run(Path(folder, "state.pt"), stop_after=61)  # within the third epoch
        after, auc = run(Path(folder, "state.pt"))
    same = len(whole) == len(before + after) and all(map(torch.equal, whole, before + after))
    print(f"killed after {len(before)} of {len(whole)} batches; same rows: {same}; Macro-AUC {auc:.6f}, uninterrupted {expected:.6f}")
    return auc


if __name__ == "__main__":
    main()
