"""Every registered loss keeps the promises of the contract, and the contract notices losses that break them."""

import pytest
import torch
from torch.nn import functional

from polytag import registry
from polytag.losses import BCE, Loss
from polytag.testing import losses as contract


@pytest.mark.parametrize("check", contract.CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", registry.names("loss"))
def test_contract(name, check):
    check(contract.builder(registry.get("loss", name)))


@pytest.mark.parametrize("name", registry.names("loss"))
def test_docstring_names_cost_and_example(name):
    doc = registry.get("loss", name).__doc__
    for section in ("Args:", "Cost:", "Example:"):
        assert section in doc


class PerInstance(Loss):
    """A correct loss of instances: the mean over the known labels."""

    def terms(self, logits, y):
        logits = logits.float() if logits.dtype == torch.bfloat16 else logits
        unknown = y.isnan()
        cells = functional.binary_cross_entropy_with_logits(logits, y.to(logits).masked_fill(unknown, 0), reduction="none")
        return cells.masked_fill(unknown, 0).sum(dim=1) / (~unknown).sum(dim=1).clamp(min=1)


def test_a_loss_of_instances_passes():
    contract.check_loss(PerInstance)


class Detached(BCE):
    def terms(self, logits, y):
        return super().terms(logits, y) + (logits.detach() - logits)


class Overflowing(BCE):
    def terms(self, logits, y):
        p = logits.exp() / (1 + logits.exp())
        return -(y * p.log() + (1 - y) * (1 - p).log())


class WeightedByCount(BCE):
    """Divides by the number of positives of each label, which may be none."""

    def __init__(self, counts):
        super().__init__()
        self.register_buffer("counts", torch.as_tensor(counts))

    @classmethod
    def context(cls, train):
        return {"counts": train.labels.counts}

    def terms(self, logits, y):
        return super().terms(logits, y) / self.counts


class Contrary(BCE):
    def terms(self, logits, y):
        return super().terms(-logits, y)


class Ordered(BCE):
    def terms(self, logits, y):
        return super().terms(logits, y) * torch.arange(1, 1 + y.shape[1])


class InPlace(BCE):
    def terms(self, logits, y):
        with torch.no_grad():
            logits.data += 1
        return super().terms(logits, y)


class Assuming(BCE):
    def forward(self, logits, y, weight=None):
        return super().forward(logits, y.nan_to_num(), weight)


class Rough(BCE):
    def terms(self, logits, y):
        return functional.softplus(logits) - logits * y.to(logits.dtype)


class Summed(BCE):
    def forward(self, logits, y, weight=None):
        return self.terms(logits, y).sum()


class Deaf(BCE):
    def forward(self, logits, y, weight=None):
        return super().forward(logits, y)


class Fixed(BCE):
    """Takes a reduction and forgets it."""

    def __init__(self, reduction="mean"):
        super().__init__()


BROKEN = {
    "check_shape": Summed,
    "check_gradient": Detached,
    "check_extreme_logits": Overflowing,
    "check_degenerate_training_labels": WeightedByCount,
    "check_better_scores_cost_less": Contrary,
    "check_permutation": Ordered,
    "check_inputs_stay": InPlace,
    "check_unknown_labels": Assuming,
    "check_weight": Deaf,
    "check_reductions": Fixed,
    "check_half_precision": Rough,
}


@pytest.mark.parametrize("check", contract.CHECKS, ids=lambda check: check.__name__)
def test_the_contract_notices(check):
    with pytest.raises((AssertionError, RuntimeError)):
        check(contract.builder(BROKEN[check.__name__]))


class SortedWeights(BCE):
    """Weighs labels by how common they are, in an order of its own."""

    def __init__(self, counts):
        super().__init__(pos_weight=sorted(1.0 + counts))

    @classmethod
    def context(cls, train):
        return {"counts": train.labels.counts}


class Counting(BCE):
    calls = 0

    def terms(self, logits, y):
        self.calls += 1
        return super().terms(logits, y) * self.calls


class FlipsGradientMode(BCE):
    def terms(self, logits, y):
        torch.set_grad_enabled(True)
        return super().terms(logits, y)


class ShowsUncounted(BCE):
    """Returns terms by themselves as they are, weighted or not."""

    def forward(self, logits, y, weight=None):
        return self.terms(logits, y) if self.reduction == "none" else super().forward(logits, y, weight)


class ForgetsPartlyKnown(PerInstance):
    def terms(self, logits, y):
        return super().terms(logits, y) * ~y.isnan().any(dim=1)


class PeeksAtUnknown(BCE):
    def terms(self, logits, y):
        return super().terms(logits, y) + 0.1 * logits.square().mean(dim=1, keepdim=True).detach()


@pytest.mark.parametrize(
    ("check", "broken"),
    [
        (contract.check_permutation, SortedWeights),
        (contract.check_inputs_stay, Counting),
        (contract.check_inputs_stay, FlipsGradientMode),
        (contract.check_reductions, ShowsUncounted),
        (contract.check_unknown_labels, ForgetsPartlyKnown),
        (contract.check_unknown_labels, PeeksAtUnknown),
    ],
)
def test_the_contract_notices_subtler_faults(check, broken):
    with pytest.raises(AssertionError):
        check(contract.builder(broken))
