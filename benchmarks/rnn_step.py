"""Times a training step of the GRU with label attention on bags of words as long as bibtex's, against PyTorch's packed sequences.

Lengths are drawn so that mean and spread are those of bibtex (68 words a row, none above 271). All forms use the same
weights and batches; processor time, median over batches, the forms in turn.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from polytag.models import RNN


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--b", type=int, default=64, help="batch size")
    parser.add_argument("--states", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=7, help="batches")
    options = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    batches = []
    for _ in range(options.repeats):
        x = torch.zeros(options.b, 1836)
        for row, length in zip(x, rng.gamma(4.0, 17.0, options.b).clip(1, 271).astype(int), strict=True):
            row[rng.choice(1836, length, replace=False)] = 1
        batches.append((x, (torch.rand(options.b, 159) < 0.02).float()))
    model = RNN(1836, 159, form="active", states=options.states)
    both = nn.GRU(128, options.states // 2, batch_first=True, bidirectional=True)
    both.load_state_dict({**model.onwards.state_dict(), **{f"{k}_reverse": v for k, v in model.backwards.state_dict().items()}})

    def packed(x: Tensor) -> Tensor:
        words, real = model.tokens(x)
        states, _ = both(pack_padded_sequence(words, real.sum(dim=1), batch_first=True, enforce_sorted=False))
        return model._attend(model.dropout(pad_packed_sequence(states, batch_first=True)[0]), real)

    forms: dict[str, Callable[[Tensor], Tensor]] = {
        "packed sequences": packed,
        "all rows padded": lambda x: model._logits(*model.tokens(x)),
        "polytag": model,
    }
    longest = [int(x.sum(dim=1).max()) for x, _ in batches]
    print(f"GRU with label attention, b={options.b}, {options.states} states, one thread, longest rows {longest}")
    times: dict[str, list[float]] = {name: [] for name in forms}
    for x, y in batches:
        for name, form in forms.items():
            start = time.process_time()
            model.loss(form(x), y).backward()
            times[name].append(time.process_time() - start)
    for name, seconds in times.items():
        ratio = np.median(times["packed sequences"]) / np.median(seconds)
        print(f"{name:<20}{1000 * np.median(seconds):>8.0f} ms{ratio:>8.2f} x")


if __name__ == "__main__":
    main()
