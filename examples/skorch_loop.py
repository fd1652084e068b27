"""skorch: the train iterator's sampler is the selector, the rows travel beside x, and a callback tells the selector about each batch."""

from typing import Any

import torch
from skorch import NeuralNet
from skorch.callbacks import Callback
from torch.utils.data import Dataset

from polytag.data import Table, make_multilabel
from polytag.metrics import macro_auc
from polytag.selectors import Adaptive

TABLE = Table(make_multilabel(1500, d=20, q=12, imbalance=6, seed=0)[0])


class WithRows(Dataset[Any]):
    """The table as skorch wants it: inputs, the rows among them, and targets."""

    def __len__(self) -> int:
        return TABLE.n

    def __getitem__(self, rows: Any) -> Any:
        batch = TABLE[rows]
        return {"x": batch.x, "rows": batch.rows}, batch.y


class Tagger(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = torch.nn.Linear(TABLE.d, TABLE.q)

    def forward(self, x: torch.Tensor, rows: torch.Tensor | None = None) -> torch.Tensor:
        return self.net(x)


class TellSelector(Callback):
    def on_batch_end(self, net: NeuralNet, batch: Any = None, training: bool = False, y_pred: Any = None, **_: Any) -> None:
        if training:
            net.iterator_train__sampler.update(batch[0]["rows"], y_pred.detach())


def main() -> float:
    torch.manual_seed(0)
    selector = Adaptive(TABLE.labels, 64, x=TABLE.dataset.X, seed=0)
    settings = {"criterion": torch.nn.BCEWithLogitsLoss, "optimizer": torch.optim.Adam, "lr": 0.01, "max_epochs": 8, "verbose": 0}
    # train_split=None: a split inside skorch would number the rows anew; split before, and give the selector the training part
    given = {"train_split": None, "iterator_train__sampler": selector, "iterator_train__batch_size": None}
    net = NeuralNet(Tagger, **settings, **given, predict_nonlinearity=torch.sigmoid, callbacks=[TellSelector]).initialize()
    x = TABLE[torch.arange(TABLE.n)].x
    before = float(macro_auc(TABLE.dataset.Y, net.predict_proba(x)))
    after = float(macro_auc(TABLE.dataset.Y, net.fit(WithRows(), y=None).predict_proba(x)))
    print(f"Macro-AUC before {before:.3f}, after {after:.3f}; lag {selector.lag_seen}")
    return after


if __name__ == "__main__":
    main()
