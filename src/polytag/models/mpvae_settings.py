"""The settings that the authors of MPVAE chose for each data set, as presets named after the data set."""

from collections.abc import Mapping

from polytag.models.base import Preset
from polytag.models.schedules import staircase


def authors(
    lr: float,
    epochs: int,
    nll_weight: float,
    rank_weight: float,
    decay: tuple[float, int],
    *,
    dropout: float = 0.5,
    l2: float = 1e-5,
    samples: tuple[int, int] = (100, 10_000),
) -> Preset:
    """Return a preset of the TensorFlow code: the L2 term is part of the loss, the optimiser has no weight decay."""
    params = {
        "nll_weight": nll_weight,
        "rank_weight": rank_weight,
        "dropout": dropout,
        "l2": l2,
        "samples": samples[0],
        "test_samples": samples[1],
        "smoothing": 1e-6,
    }
    return Preset(params, {"lr": lr, "epochs": epochs, "weight_decay": 0.0, "schedule_over": staircase(*decay)})


MPVAE_BY_DATA: Mapping[str, Preset] = {
    "authors": authors(1e-3, 200, 0.1, 200, (0.5, 3)),
    "mirflickr": authors(7.5e-4, 300, 0.1, 200, (0.5, 4)),
    "mirflickr_port": Preset(
        {"nll_weight": 0.5, "rank_weight": 10.0, "shared_noise": False, "smoothing": 1e-6},
        {"lr": 7.5e-4, "epochs": 300, "schedule_over": staircase(0.5, 4)},
    ),
    "bibtex": authors(2.5e-4, 200, 10, 0.1, (0.8, 4)),
    "delicious": authors(5e-4, 200, 10, 0.1, (0.8, 4), samples=(5, 5)),
    "nuswide": authors(5e-4, 50, 0.1, 20, (0.8, 4)),
    "scene": authors(2e-3, 400, 0.1, 40, (0.8, 4)),
    "yeast": authors(6e-4, 800, 0.1, 20, (0.8, 4)),
    "sider": authors(5e-4, 400, 0.1, 20, (0.8, 4), dropout=0.1),
    "fish": authors(2.5e-4, 250, 10, 0.1, (0.9, 8), dropout=0.3, l2=1e-7),
    "ebird": authors(1.5e-3, 200, 0.1, 200, (0.5, 3), dropout=0.0),
}
"""Learning rate, epochs, weights of likelihood and ranking, decay of the rate, dropout, L2 term and number of samples."""
