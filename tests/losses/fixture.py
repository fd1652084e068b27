"""The specification's small example, and random labels with unknown cells."""

import numpy as np
import torch
from hypothesis import strategies as st
from torch import Tensor

LOGITS = torch.tensor([[2, -1, 0.5, -3], [-0.5, 1.5, -2, 0], [1, 0.3, -0.7, -1.2]], dtype=torch.float64)
LABELS = torch.tensor([[1, 0, 1, 0], [0, 1, 0, 0], [1, 1, 0, 1]]).double()
COUNTS, N = [50, 20, 10, 5], 100
SINGLE = torch.tensor([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]]).double()
"""One known positive a row; the zeros stand for unknown."""
NAN = float("nan")
POSITIVES_ONLY = SINGLE.masked_fill(SINGLE == 0, NAN)


@st.composite
def batches(draw: st.DrawFn, unknown: bool = True) -> tuple[Tensor, Tensor, list[int]]:
    """Draw logits (b, q), labels with unknown cells, and class counts (q,), 0 among them."""
    b, q, seed = draw(st.integers(1, 4)), draw(st.integers(1, 5)), draw(st.integers(0, 2**31))
    rng = np.random.default_rng(seed)
    logits = np.round(rng.normal(scale=draw(st.sampled_from([0.5, 2.0, 6.0])), size=(b, q)), draw(st.sampled_from([0, 3])))
    choices, shares = ([0.0, 1.0, NAN], [0.5, 0.3, 0.2]) if unknown else ([0.0, 1.0], [0.6, 0.4])
    y = rng.choice(choices, p=shares, size=(b, q))
    return torch.as_tensor(logits), torch.as_tensor(y), rng.integers(0, 60, q).tolist()
