"""The survey's third experiment: what do convolution and attention each bring? On Corel16k, or on the pictures of MSRC.

The hybrid against itself without attention, without convolution, and (on tables) against a perceptron; stratified holdout, a tenth of the
training rows chooses the epoch. Hours on one core; for a quick look:

    python examples/survey_hybrid_corel16k.py --rows 100 --epochs 1 --seeds 1
"""

from survey_runs import Report, arguments, experiment, some_rows

from polytag import load_dataset
from polytag.data import Preparation, holdout

METHODS = {
    "MLP": ("mlp", {}),
    "conv only": ("hybrid", {"attention": False}),
    "attention only": ("hybrid", {"convolution": False}),
    "hybrid": ("hybrid", {}),
}


def main() -> None:
    parser = arguments(__doc__, 3, "survey-hybrid")
    parser.add_argument("--data", default="mat-corel16k1", help='a name of the catalogue; "msrc-v2" for pictures')
    parser.add_argument("--width", type=int, help="of the hybrids; by default their own")
    options = parser.parse_args()
    data = load_dataset(options.data)
    parts = some_rows(Preparation(scale="none").prepare(data, holdout(data, seed=0), inputs=(data.kind,)), options.rows)
    methods = {title: method for title, method in METHODS.items() if title != "MLP" or data.kind == "table"}
    if options.width is not None:
        methods |= {title: (name, {**params, "width": options.width}) for title, (name, params) in methods.items() if name == "hybrid"}
    experiment(parts, methods, options, Report(options.out, options.data, f"{options.data}, {options.seeds} seeds"))


if __name__ == "__main__":
    main()
