"""How far a selector's knowledge is behind its draws."""

import warnings


class Lag:
    """Counts the batches that were drawn but not yet told about.

    Args:
        expected: Lag up to which nothing is said.

    Attributes:
        seen: The largest number of such batches when one more was drawn.
    """

    def __init__(self, expected: int) -> None:
        self.expected, self.seen, self._untold = expected, 0, 0

    def restart(self) -> None:
        """Begin an epoch: what was drawn before it and never used does not count."""
        self._untold = 0

    def drawn(self) -> None:
        """Count a batch."""
        self._untold += 1

    def told(self) -> None:
        """Count an update."""
        self._untold = max(self._untold - 1, 0)

    def measure(self, who: str, *, harmless: bool, learns: bool = True) -> None:
        """Take note before a draw; warn when the lag is larger than expected and larger than ever before.

        Args:
            who: Name of the selector.
            harmless: No warning, because the distribution does not change within an epoch.
            learns: ``False``: it takes nothing from ``update``, so that there is no lag.
        """
        if not learns or self._untold <= self.seen:
            return
        self.seen = self._untold
        if self.seen > self.expected and not harmless:
            warnings.warn(
                f"{who} draws a batch without having been told about the last {self.seen}: call selector.update(rows, logits) after each "
                "step; with a loader that fetches ahead, pass lag=... to accept it, or fix the distribution for each epoch "
                '(refresh="epoch", where there is such a parameter)',
                UserWarning,
                stacklevel=5,
            )
