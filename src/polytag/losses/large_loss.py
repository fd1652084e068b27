"""Large losses of unknown labels are not believed: the model learns the right ones first."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from polytag.errors import ParameterError
from polytag.losses.base import Loss, known_labels, negative_log
from polytag.registry import register

MODES = ("reject", "correct")


@register("loss", "large_loss")
class LargeLoss(Loss):
    """Binary cross-entropy that takes unknown labels (NaN) for negatives, but for those of a batch that cost most: more of them each epoch.

    In epoch t, counted from 1, the ``(t - 1) rate`` of the unknown cells of a batch whose losses are the largest have no part in the loss
    (LL-R), or are positives (LL-Ct): models learn clean labels first, so that a label missing by mistake has a large loss for long. The
    count is rounded up; of equal losses at the cut none is taken. Whoever writes the loop says which epoch it is with ``begin_epoch``; the
    trainer does so.

    Args:
        rate: Share of the unknown cells by which those disbelieved grow in each epoch; 0.002 in the paper.
        mode: ``"reject"`` leaves them out, ``"correct"`` takes them for positives.
        limit: Largest share of the unknown cells, however long the training.
        trust_negatives: ``False`` treats zeros as unknown, for data in which nobody has noted which labels are absent.
        reduction: As of ``Loss``.

    Raises:
        ParameterError: A parameter makes no sense.

    Cost: O(b q log(b q)).

    Reference: Kim, Kim, Akata and Lee, "Large loss matters in weakly supervised multi-label classification", CVPR 2022.

    Differs: the share is of the unknown cells, as in the paper; the authors' code takes it of all b q cells, and takes all cells of equal
        losses at the cut. Cells left out count in the mean, as there. The paper trains 10 epochs or less; ``limit`` keeps longer ones sane.

    Example:
        >>> loss, y = LargeLoss(rate=0.5), torch.full((1, 3), float("nan"))
        >>> loss.terms(torch.tensor([[2.0, 0.0, 1.0]]), y)
        tensor([[2.1269, 0.6931, 1.3133]])
        >>> loss.begin_epoch(1)
        >>> loss.terms(torch.tensor([[2.0, 0.0, 1.0]]), y)
        tensor([[0.0000, 0.6931, 0.0000]])
    """

    assumes = True
    share: Tensor

    def __init__(
        self, rate: float = 0.002, *, mode: str = "reject", limit: float = 0.5, trust_negatives: bool = True, reduction: str = "mean"
    ) -> None:
        super().__init__(reduction)
        if not 0 <= rate <= 1 or not 0 <= limit <= 1:
            raise ParameterError(f"expected rate and limit in [0, 1], but got {rate=}, {limit=}")
        if mode not in MODES:
            raise ParameterError(f"expected a mode among {', '.join(MODES)}, but got {mode!r}")
        self.rate, self.mode, self.limit, self.trust_negatives = rate, mode, limit, trust_negatives
        self.register_buffer("share", torch.zeros((), dtype=torch.float64), persistent=False)

    def begin_epoch(self, epoch: int) -> None:
        """Let the share of cells that are not believed grow with the epoch, counted from 0."""
        self.share.fill_(min(self.rate * epoch, self.limit))

    def terms(self, logits: Float[Tensor, "b q"], y: Float[Tensor, "b q"]) -> Float[Tensor, "b q"]:
        """Return the loss of each cell."""
        logits, y, unknown = known_labels(logits, y)
        unsure = unknown if self.trust_negatives else y != 1
        doubted = self._doubted(logits.detach(), unsure)
        if self.mode == "correct":
            y = y.masked_fill(doubted, 1.0)
        terms = y * negative_log(logits) + (1 - y) * negative_log(-logits)
        return terms if self.mode == "correct" else terms.masked_fill(doubted, 0.0)

    def _doubted(self, logits: Tensor, unsure: Tensor) -> Tensor:
        """Return the unsure cells of the largest logits, which are those of the largest losses; no step waits for the device."""
        count = (self.share * unsure.sum()).ceil().long()
        falling = logits.masked_fill(~unsure, -torch.inf).flatten().sort(descending=True).values
        return unsure & (logits > functional.pad(falling, (0, 1), value=-torch.inf)[count])
