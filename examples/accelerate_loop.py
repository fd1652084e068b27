"""accelerate: the loop stays yours, so take the rows from the selector; a prepared loader works too, one batch behind."""

from typing import Any

import torch
from accelerate import Accelerator
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.utils.data import DataLoader, Dataset

from polytag.data import Table, make_multilabel
from polytag.metrics import macro_auc
from polytag.selectors import Adaptive
from polytag.types import Batch

TABLE = Table(make_multilabel(1536, d=20, q=12, imbalance=6, seed=0)[0])


class Whole(Dataset[Batch]):
    """The table for ``batch_sampler=``: ``__getitems__`` gets all rows of a batch at once."""

    def __getitems__(self, rows: Any) -> Batch:
        return TABLE[rows]


def own_slices(selector: Adaptive, accelerator: Accelerator) -> Any:
    """Each process walks through the same rows and takes its share of each batch."""
    for rows in selector:
        yield TABLE[rows[accelerator.process_index :: accelerator.num_processes]]


def train(selector: Adaptive, prepared: bool, epochs: int = 6) -> float:
    torch.manual_seed(0)
    accelerator = Accelerator(cpu=True)
    model = torch.nn.Linear(TABLE.d, TABLE.q)
    model, optimizer = accelerator.prepare(model, torch.optim.Adam(model.parameters(), lr=0.01))
    # batch_sampler=, not sampler= with batch_size=None: prepare() would drop that one, and walk through the rows one by one
    loader = accelerator.prepare(DataLoader(Whole(), batch_sampler=selector, collate_fn=lambda batch: batch)) if prepared else None
    for _ in range(epochs):
        for batch in loader or own_slices(selector, accelerator):
            logits = model(batch.x)
            optimizer.zero_grad()
            accelerator.backward(binary_cross_entropy_with_logits(logits, batch.y))
            optimizer.step()
            selector.update(*accelerator.gather((batch.rows, logits.detach())))  # every process learns the same
    with torch.no_grad():
        return float(macro_auc(TABLE.dataset.Y, model(TABLE[torch.arange(TABLE.n)].x).numpy()))


def main() -> float:
    aucs = []
    for prepared in (False, True):
        selector = Adaptive(TABLE.labels, 64, x=TABLE.dataset.X, seed=0, lag=int(prepared))
        aucs.append(train(selector, prepared))
        print(f"{'prepared loader' if prepared else 'rows from the selector'}: lag {selector.lag_seen}, Macro-AUC {aucs[-1]:.3f}")
    return aucs[0]


if __name__ == "__main__":
    main()
