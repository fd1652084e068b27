"""Hugging Face Trainer on short texts: a tiny transformer with random weights, nothing downloaded, batches chosen by the selector."""

import tempfile
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, TensorDataset
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

from polytag.metrics import macro_auc
from polytag.selectors import Adaptive

TOPICS = ("tea coffee cup kettle", "train ticket platform", "rain storm umbrella", "violin choir", "goal referee", "comet orbit")
FILLER = ["the", "a", "we", "they", "saw", "had", "with", "near"]
VOCABULARY = {word: number for number, word in enumerate(["[PAD]", *FILLER, *" ".join(TOPICS).split()])}


class Texts(TensorDataset):  # sentences of eight words about some of the topics, the later ones less often
    def __init__(self, n: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        Y = rng.random((n, len(TOPICS))) < [0.3, 0.2, 0.15, 0.1, 0.06, 0.04]
        topical = [[rng.choice(topic.split()) for topic, about in zip(TOPICS, row) if about] for row in Y]
        tokens = [[VOCABULARY[word] for word in (*words, *rng.choice(FILLER, 8 - len(words)))] for words in topical]
        super().__init__(torch.tensor(tokens), torch.from_numpy(Y).float())

    def __getitems__(self, rows: Any) -> dict[str, torch.Tensor]:  # a whole batch at once; it tells its rows
        return {"input_ids": self.tensors[0][rows], "labels": self.tensors[1][rows], "rows": rows}


class SelectingTrainer(Trainer):
    def get_train_dataloader(self) -> DataLoader:  # not prepared by accelerate, which would fetch one batch ahead
        return DataLoader(self.train_dataset, batch_sampler=self.selector, collate_fn=lambda batch: batch)

    def compute_loss(self, model: Any, inputs: dict[str, torch.Tensor], return_outputs: bool = False, **others: Any) -> Any:
        rows = inputs.pop("rows")
        loss, outputs = super().compute_loss(model, inputs, return_outputs=True, **others)
        if model.training:  # not while evaluating, where rows are those of another set
            self.selector.update(rows, outputs.logits.detach())
        return (loss, outputs) if return_outputs else loss


def main() -> float:
    train, test = Texts(1000, seed=0), Texts(500, seed=1)
    torch.manual_seed(0)
    size = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64, "initializer_range": 0.2}
    task = {"vocab_size": len(VOCABULARY), "num_labels": len(TOPICS), "problem_type": "multi_label_classification"}
    model = BertForSequenceClassification(BertConfig(**size, **task))
    quiet = {"report_to": [], "save_strategy": "no", "logging_strategy": "no", "disable_tqdm": True}
    settings = TrainingArguments(tempfile.gettempdir(), num_train_epochs=6, learning_rate=5e-3, use_cpu=True, **quiet)
    trainer = SelectingTrainer(model, settings, train_dataset=train)
    trainer.selector = Adaptive(train.tensors[1], 32, seed=0, imbalance_weight=False)  # no features to look for neighbours in
    trainer.train()
    auc = float(macro_auc(test.tensors[1].numpy(), model.eval()(test.tensors[0]).logits.detach().numpy()))
    print(f"Macro-AUC {auc:.3f}; lag {trainer.selector.lag_seen}")
    return auc


if __name__ == "__main__":
    main()
