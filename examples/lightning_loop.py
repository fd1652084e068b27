"""Lightning: the loader's sampler is the selector, and the training step tells it about each batch."""

import logging
from typing import Any

import lightning
import torch
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.utils.data import DataLoader

from polytag.data import Table, make_multilabel
from polytag.metrics import macro_auc
from polytag.selectors import Adaptive
from polytag.types import Batch

TABLE = Table(make_multilabel(1500, d=20, q=12, imbalance=6, seed=0)[0])


class Tagger(lightning.LightningModule):
    def __init__(self, selector: Adaptive) -> None:
        super().__init__()
        self.selector, self.net = selector, torch.nn.Linear(TABLE.d, TABLE.q)

    def training_step(self, batch: Batch) -> torch.Tensor:
        logits = self.net(batch.x)
        self.selector.update(batch.rows, logits.detach())  # here, so that a checkpoint taken after this step knows of it
        return binary_cross_entropy_with_logits(logits, batch.y)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=0.01)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["selector"] = self.selector.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.selector.load_state_dict(checkpoint["selector"])

    def score(self) -> float:
        with torch.no_grad():
            return float(macro_auc(TABLE.dataset.Y, self.net(TABLE[torch.arange(TABLE.n)].x).numpy()))


def main() -> float:
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
    torch.manual_seed(0)
    model = Tagger(Adaptive(TABLE.labels, 64, x=TABLE.dataset.X, seed=0))
    before = model.score()
    loader = DataLoader(TABLE, sampler=model.selector, batch_size=None)
    # use_distributed_sampler=False: on several devices Lightning would put a sampler of its own in the selector's place
    lightning.Trainer(max_epochs=8, accelerator="cpu", use_distributed_sampler=False, **quiet).fit(model, loader)
    after = model.score()
    print(f"Macro-AUC before {before:.3f}, after {after:.3f}; lag {model.selector.lag_seen}")
    return after


if __name__ == "__main__":
    main()
