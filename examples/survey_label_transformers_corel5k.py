"""The survey's second experiment: do labels that look at each other help? Transformers over labels on Corel5k, published test rows.

Each picture is a bag of about eight key words (``form="active"``). The ablation takes the labels' view of each other from the networks that
have one: Query2Label without label self-attention, LaMP with "inveye"; ML-Decoder never has it. A tenth of the published training rows, the
same for all seeds, chooses each network's epoch. Days on one core; for a quick look:

    python examples/survey_label_transformers_corel5k.py --rows 64 --epochs 1 --seeds 1 --width 32
"""

import numpy as np
from survey_runs import Report, arguments, experiment, some_rows

from polytag import load_dataset
from polytag.data import Dataset, Preparation
from polytag.data.splits import with_valid

WORDS = {"form": "active"}
METHODS = {
    "MLP": ("mlp", {}),
    "C-Tran": ("ctran", WORDS),
    "C-Tran, no labels shown": ("ctran", {**WORDS, "known": 0.0}),
    "Query2Label": ("query2label", WORDS),
    "Query2Label, no label self-attention": ("query2label", {**WORDS, "label_self_attention": False}),
    "LaMP, all hear all": ("lamp", {**WORDS, "graph": "none"}),
    "LaMP, none hears any": ("lamp", {**WORDS, "graph": "inveye"}),
    "LaMP, label graph": ("lamp", {**WORDS, "graph": "prior"}),
    "ML-Decoder": ("ml_decoder", WORDS),
}


def main() -> None:
    parser = arguments(__doc__, 3, "survey-corel5k")
    parser.add_argument("--width", type=int, help="of the transformers; by default 256")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    options = parser.parse_args()
    train, test = load_dataset("corel5k", "train"), load_dataset("corel5k", "test")
    data = Dataset.join([train, test])
    split = with_valid(data, np.arange(train.n), np.arange(train.n, data.n), seed=0)
    parts = some_rows(Preparation(scale="none").prepare(data, split), options.rows)
    smaller = {} if options.width is None else {"width": options.width}
    methods = {title: (name, params and {**params, **smaller}) for title, (name, params) in METHODS.items() if title in options.methods}
    report = Report(options.out, "corel5k", f"Corel5k, published split, {options.seeds} seeds")
    experiment(parts, methods, options, report)


if __name__ == "__main__":
    main()
