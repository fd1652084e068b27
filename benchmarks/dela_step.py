"""Times DELA on data as wide as bibtex: one training step and prediction, against the textbook form with its (b, q, d + latent) tensor.

Both forms use the same weights and, in a step, the same random numbers; the ratios come from interleaved repeats of one run.
"""

import argparse
import runpy
import time
from collections.abc import Callable
from pathlib import Path

import torch

from polytag.models import DELA
from polytag.types import Batch

TextbookDELA = runpy.run_path(str(Path(__file__).parents[1] / "tests" / "reference" / "dela.py"))["TextbookDELA"]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--d", type=int, default=1836, help="features (bibtex: 1836)")
    parser.add_argument("--q", type=int, default=159, help="labels (bibtex: 159)")
    parser.add_argument("--b", type=int, default=128, help="batch size")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    generator = torch.Generator().manual_seed(0)
    x = (torch.rand(options.b, options.d, generator=generator) < 0.04).float()
    y = (torch.rand(options.b, options.q, generator=generator) < 0.02).float()
    batch, model = Batch(torch.arange(options.b), x, y), DELA(options.d, options.q)
    textbook = TextbookDELA(model)
    uniform, noise = model._draw_noise(x)

    def step(objective: Callable[[], torch.Tensor], half: bool) -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            loss = objective()
        model.zero_grad()
        loss.backward()

    def fast() -> torch.Tensor:
        return model.objective(batch).loss

    def slow() -> torch.Tensor:
        return textbook.objective(batch, uniform, noise).loss

    print(f"DELA, d={options.d}, q={options.q}, b={options.b}, {torch.get_num_threads()} thread(s), fastest of {options.repeats}")
    times = fastest(
        {
            "step, textbook, float32": lambda: step(slow, False),
            "step, textbook, bfloat16": lambda: step(slow, True),
            "step, polytag, float32": lambda: step(fast, False),
            "step, polytag, bfloat16": lambda: step(fast, True),
        },
        options.repeats,
    )
    report(times, "step, textbook, float32")
    model.eval()
    with torch.inference_mode():
        report(
            fastest(
                {"prediction, textbook": lambda: textbook.predict(x), "prediction, polytag": lambda: model(x)},
                options.repeats,
            ),
            "prediction, textbook",
        )


def fastest(runs: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Return the shortest time of each run, with the repeats interleaved."""
    times = dict.fromkeys(runs, float("inf"))
    for repeat in range(repeats + 1):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            if repeat:
                times[name] = min(times[name], time.perf_counter() - start)
    return times


def report(times: dict[str, float], rival: str) -> None:
    """Print a time and its ratio to the rival's."""
    for name, seconds in times.items():
        print(f"{name:<28}{1000 * seconds:>10.1f} ms{times[rival] / seconds:>8.2f} x")


if __name__ == "__main__":
    main()
