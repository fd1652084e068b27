"""A plain PyTorch loop that every selector fits into: also those that weight the loss, or look at candidates before they choose."""

import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from polytag.data import Table, load_digits_scenes
from polytag.metrics import macro_auc
from polytag.selectors import Adaptive, Random
from polytag.selectors.base import BatchSelector

data = load_digits_scenes(1600, seed=0)
TRAIN, TEST = Table(data.take(range(1200))), Table(data.take(range(1200, 1600)))


def train(selector: BatchSelector, epochs: int = 10) -> torch.nn.Module:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(TRAIN.d, 64), torch.nn.ReLU(), torch.nn.Linear(64, TRAIN.q))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.003)
    for _ in range(epochs):
        for rows in selector:  # one epoch of row numbers
            while selector.screening:  # some selectors look at candidates first; Random and Adaptive do not
                model.eval()
                with torch.no_grad():
                    rows = selector.screen(rows, model(TRAIN[rows].x))
                model.train()
            batch = TRAIN[rows]
            weight = selector.weights(rows)  # None for most; otherwise one number for each row or cell
            logits = model(batch.x)
            terms = binary_cross_entropy_with_logits(logits, batch.y, reduction="none")
            loss = terms.mean() if weight is None else (weight.reshape(len(rows), -1) * terms).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            selector.update(rows, logits.detach())  # the only arrow that points back
    return model


def score(model: torch.nn.Module) -> float:
    model.eval()
    with torch.no_grad():
        return float(macro_auc(TEST.dataset.Y, model(TEST[torch.arange(TEST.n)].x).numpy()))


def main() -> float:
    random = score(train(Random(TRAIN.labels, 64, seed=0)))
    adaptive = score(train(Adaptive(TRAIN.labels, 64, x=TRAIN.dataset.X, seed=0)))
    corrected = score(train(Adaptive(TRAIN.labels, 64, x=TRAIN.dataset.X, seed=0, correction=1.0)))
    print(f"Macro-AUC: Random {random:.3f}, Adaptive {adaptive:.3f}, Adaptive with importance weights {corrected:.3f}")
    return adaptive


if __name__ == "__main__":
    main()
