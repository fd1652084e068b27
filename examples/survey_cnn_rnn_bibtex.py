"""The survey's first experiment: do networks that read a bag of words as a sequence beat a perceptron? On bibtex, published test rows.

A tenth of the published training rows, the same for all seeds, chooses each network's epoch; the logistic regressions, which choose
nothing, are fitted on those as well. Seeds decide initial weights, batches and dropout. Hours on one core; for a quick look:

    python examples/survey_cnn_rnn_bibtex.py --rows 100 --epochs 1 --seeds 1
"""

import numpy as np
from survey_runs import Report, arguments, experiment, some_rows

from polytag import load_dataset
from polytag.data import Dataset, Preparation
from polytag.data.splits import with_valid

METHODS = {
    "MLP": ("mlp", {}),
    "CNN": ("cnn", {}),
    "XML-CNN": ("xmlcnn", {"form": "active"}),
    "BiGRU-LWAN": ("rnn", {"form": "active", "states": 256}),
    "logistic regressions": ("br", {}),
}


def main() -> None:
    parser = arguments(__doc__, 5, "survey-bibtex")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    options = parser.parse_args()
    train, test = load_dataset("bibtex", "train"), load_dataset("bibtex", "test")
    data = Dataset.join([train, test])
    split = with_valid(data, np.arange(train.n), np.arange(train.n, data.n), seed=0)
    parts = some_rows(Preparation(scale="none").prepare(data, split), options.rows)
    report = Report(options.out, "bibtex", f"bibtex, published split, {options.seeds} seeds")
    experiment(parts, {title: METHODS[title] for title in options.methods}, options, report)


if __name__ == "__main__":
    main()
