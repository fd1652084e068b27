"""HCAL on pictures of digits, whose labels form a small hierarchy: three ways to decide, and how often each contradicts it."""

import torch

from polytag.data import Table, load_digits_scenes
from polytag.metrics import evaluate
from polytag.models import HCAL, SmallCNN
from polytag.selectors import Random
from polytag.thresholds import GlobalF1
from polytag.training import Trainer, predict

DATA = load_digits_scenes(1200, seed=0, as_image=True)
TRAIN, TEST = Table(DATA.take(range(900))), Table(DATA.take(range(900, 1200)))
ENCODER = {"widths": (16, 32), "grid": 2}
SHOWN = ["accuracy_level_1", "accuracy_level_2", "micro_f1_level_1", "micro_f1_level_2", "h_f1", "hvr"]


def train(model, **settings):
    batch_size = settings.pop("batch_size")
    Trainer(**{**settings, "epochs": 10}).fit(model, TRAIN, Random(TRAIN.labels, batch_size, seed=0))
    return model.eval()


def report(name: str, labels) -> None:
    found = evaluate(TEST.dataset.Y, labels=labels, hierarchy=DATA.hierarchy, metrics=SHOWN)
    print(f"{name:32}" + "  ".join(f"{found[metric]:{len(metric)}.3f}" for metric in SHOWN))


def main() -> None:
    torch.set_num_threads(1)
    print(f"{'':32}{'  '.join(SHOWN)}")
    for title, params in (("HCAL", {}), ("HCAL by yes or no", {"loss": "bce", "aggregate": "none"})):
        model = HCAL.from_data(TRAIN, encoder_params=ENCODER, **params)
        train(model, **HCAL.training_defaults())
        model.fit_threshold(TRAIN)  # scenes have several labels a level: one threshold a level
        for decode in ("independent", "top_down", "bottom_up"):
            report(f"{title}, {decode}", model.decide(TEST[torch.arange(TEST.n)].x, decode=decode).numpy())
    plain = train(SmallCNN.from_data(TRAIN, **ENCODER), lr=3e-3, batch_size=32)
    cut = GlobalF1().fit(predict(plain, TRAIN).sigmoid(), TRAIN.dataset.Y)
    report("the encoder alone", cut.predict(predict(plain, TEST).sigmoid()))


if __name__ == "__main__":
    main()
