"""A selector notices when it draws without having been told."""

import warnings

import numpy as np
import pytest
import torch

from polytag.selectors import Adaptive, Hard, Random

Y = np.eye(12)


def ahead(selector, batches):
    """Draw so many batches before telling about the first, as a loader that fetches ahead does."""
    waiting = []
    for rows in selector:
        waiting.append(rows)
        if len(waiting) > batches:
            told = waiting.pop(0)
            selector.update(told, torch.zeros(len(told), 12))
    for rows in waiting:
        selector.update(rows, torch.zeros(len(rows), 12))


def adaptive(**params):
    return Adaptive(Y, 2, imbalance_weight=False, warmup=0, **params)


def test_told_after_each_step_there_is_no_lag():
    selector = adaptive()
    ahead(selector, 0)
    ahead(selector, 0)
    assert selector.lag_seen == 0


def test_a_lag_is_measured_and_warned_about_when_it_grows():
    selector = adaptive()
    with pytest.warns(UserWarning, match="without having been told about the last") as seen:
        ahead(selector, 3)
    assert selector.lag_seen == 3
    assert [str(w.message).split("last ")[1][0] for w in seen] == ["1", "2", "3"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ahead(selector, 3)


@pytest.mark.parametrize("params", [{"lag": 3}, {"refresh": "epoch"}])
def test_no_warning_when_it_is_expected_or_harmless(params):
    selector = adaptive(**params)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ahead(selector, 3)
    assert selector.lag_seen == 3


def test_plain_passes_and_selectors_that_learn_nothing_have_no_lag():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for selector in (Random(Y, 2), Hard(Y, 2, warmup=5)):
            ahead(selector, 3)
            assert selector.lag_seen == 0


def test_what_was_left_by_break_does_not_count():
    selector = adaptive()
    next(iter(selector))
    ahead(selector, 0)
    assert selector.lag_seen == 0
