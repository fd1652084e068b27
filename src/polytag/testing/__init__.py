"""The contract that every method keeps, as checks that methods of other packages can run too.

``check_selector(MySelector)`` raises ``AssertionError`` with the rule that is broken; ``tests/contracts`` runs the same checks over
everything that is registered.
"""

from polytag.testing.enhancers import check_enhancer
from polytag.testing.losses import check_loss
from polytag.testing.metrics import check_metric
from polytag.testing.models import check_model
from polytag.testing.selectors import check_selector

__all__ = ["check_enhancer", "check_loss", "check_metric", "check_model", "check_selector"]
