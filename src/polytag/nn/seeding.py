"""Random numbers of one's own for a while."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def seeded(seed: int, device: torch.device | str = "cpu") -> Iterator[None]:
    """Let torch draw from a fresh random state within the block; afterwards the global one is as it was.

    Args:
        seed: Of the fresh state.
        device: Where numbers are drawn besides the CPU; other GPUs are neither seeded nor restored.

    Example:
        >>> before = torch.get_rng_state()
        >>> with seeded(0):
        ...     one = torch.rand(2)
        >>> with seeded(0):
        ...     again = torch.rand(2)
        >>> torch.equal(one, again), torch.equal(before, torch.get_rng_state())
        (True, True)
    """
    where = torch.device(device)
    with torch.random.fork_rng(devices=[where] if where.type == "cuda" else []):
        torch.default_generator.manual_seed(seed)  # not torch.manual_seed, which would reseed all GPUs
        if where.type == "cuda":
            with torch.cuda.device(where):
                torch.cuda.manual_seed(seed)
        yield
