"""With which parameters, and at which pace, the contract trains models and enhancers; those not named here take their defaults."""

from typing import Any, NamedTuple

from torch import nn

from polytag.testing.models import Pace


class Setting(NamedTuple):
    params: dict[str, Any] = {}  # noqa: RUF012  (never written to)
    pace: Pace = Pace()


SETTINGS: dict[str, Setting] = {
    "bpmll": Setting({"hidden": 32}, Pace(capacity=0.9)),  # rows without labels, or with all, teach it nothing
    "c2ae": Setting({"hidden": 128}, Pace(lr=3e-3, steps=200, capacity=0.8, calibrated=False)),
    "chmcnn": Setting({"hidden": 64, "dropout": 0.0}, Pace(lr=3e-3)),
    "hcal": Setting({"loss": "bce", "aggregate": "none", "encoder_params": {"dropout": 0.0}}),
    "hmcn": Setting({"width": 64, "dropout": 0.0}),
    "local": Setting({"hidden": 64, "dropout": 0.0}),
    "hotvae": Setting({"width": 32, "latents": 2, "rounds": 1}, Pace(lr=3e-3)),
    "mpvae": Setting({"samples": 20, "nll_weight": 1.0, "rank_weight": 1.0}, Pace(lr=3e-3)),
    "paca": Setting({"latent": 4}, Pace(lr=3e-3)),
    "tabm": Setting({"k": 4, "hidden": (64, 64)}),
    "ctran": Setting({"width": 32, "patch": 4, "layers": 2, "dropout": 0.0}, Pace(lr=5e-3, steps=200, rows=64)),
    "lamp": Setting({"width": 32, "patch": 4, "encoder_layers": 1, "dropout": 0.0}, Pace(lr=5e-3, steps=200, rows=64)),
    "ml_decoder": Setting({"width": 32, "patch": 4, "dropout": 0.0}, Pace(lr=3e-3, steps=300, rows=64)),
    "query2label": Setting({"width": 32, "patch": 4, "dropout": 0.0}, Pace(lr=3e-3, steps=300, rows=64)),
    "hybrid": Setting({"patch": 2, "width": 32, "feed_forward": 32}, Pace(lr=3e-3)),
    "role": Setting({"network_params": {"hidden": [64]}}),
    "rnn": Setting({"patch": 2, "width": 32, "states": 32, "dropout": 0.0}, Pace(capacity_lr=1e-2)),
    "image_encoder": Setting(
        {"encoder": nn.Sequential(nn.Conv2d(3, 16, 4, stride=4), nn.ReLU(), nn.AdaptiveAvgPool2d((1, 48)), nn.Flatten()), "dropout": 0.0}
    ),
    "small_cnn": Setting({"widths": (16, 32), "grid": 12, "dropout": 0.0}),
    "text_encoder": Setting(
        {
            "encoder": {"model_type": "bert", "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32,
                        "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0},
            "dropout": 0.0, "pooling": "mean",
        },
        Pace(steps=200, rows=64),
    ),
}  # fmt: skip

ENHANCERS: dict[str, dict[str, Any]] = {
    "flem": {"hidden": 16, "epochs": 20, "lr": 5e-3},
    "glle": {"equivariant": True},
    "lemll": {"equivariant": True},
    "levi": {"hidden": 32, "latent": 8, "epochs": 40, "lr": 1e-2},
    "valen": {"hidden": 16, "warm_up": 5, "epochs": 40},
}
