"""A DataLoader with worker processes fetches ahead: the selector draws batches before it hears of earlier ones. How many is its lag."""

import torch
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.utils.data import DataLoader

from polytag.data import Table, make_multilabel
from polytag.metrics import macro_auc
from polytag.selectors import Adaptive

TABLE = Table(make_multilabel(1500, d=20, q=12, imbalance=6, seed=0)[0])
PREFETCH = 2  # batches in hand for each worker, as in PyTorch


def selector_for(workers: int, refresh: str) -> Adaptive:
    """Tell the selector the lag that is known to come; it warns once, with a UserWarning, when it sees a larger one."""
    return Adaptive(TABLE.labels, 64, x=TABLE.dataset.X, seed=0, warmup=1, refresh=refresh, lag=PREFETCH * workers)


def train(selector: Adaptive, workers: int, epochs: int = 4) -> tuple[torch.Tensor, float]:
    """Return all rows in the order in which they were trained on, and the Macro-AUC at the end."""
    torch.manual_seed(0)
    model = torch.nn.Linear(TABLE.d, TABLE.q)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    ahead = PREFETCH if workers else None
    loader = DataLoader(TABLE, sampler=selector, batch_size=None, num_workers=workers, prefetch_factor=ahead)
    seen = []
    for _ in range(epochs):
        for batch in loader:
            logits = model(batch.x)
            optimizer.zero_grad()
            binary_cross_entropy_with_logits(logits, batch.y).backward()
            optimizer.step()
            selector.update(batch.rows, logits.detach())  # the rows travel with the batch
            seen.append(batch.rows.clone())
    with torch.no_grad():
        scores = model(TABLE[torch.arange(TABLE.n)].x).numpy()
    return torch.cat(seen), float(macro_auc(TABLE.dataset.Y, scores))


def main() -> float:
    auc = 0.0
    for refresh in ("step", "epoch"):
        rows = {}
        for workers in (0, 2):
            selector = selector_for(workers, refresh)
            rows[workers], auc = train(selector, workers)
            print(f'refresh="{refresh}", {workers} workers: lag {selector.lag_seen}, Macro-AUC {auc:.3f}')
        print(f'refresh="{refresh}": same rows with 0 and 2 workers: {torch.equal(rows[0], rows[2])}')
    return auc


if __name__ == "__main__":
    main()
