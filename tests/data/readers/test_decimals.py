"""Numbers from text are those of ``float``, to the last bit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polytag.data.readers.decimals import PAD, IrregularError, as_words, decimals, integers


def parse(tokens, read=decimals):
    text = PAD + ",".join(tokens).encode() + b","
    cells = np.frombuffer(text, np.uint8)
    ends = np.flatnonzero(cells == 44)
    starts = np.concatenate([[len(PAD)], ends[:-1] + 1])
    if read is integers:
        return integers(as_words(text), ends, ends - starts)
    return decimals(text, as_words(text), starts, ends)


TOKENS = st.one_of(
    st.from_regex(r"[+-]?([0-9]{1,9}\.?[0-9]{0,9}|\.[0-9]{1,9})([eE][+-]?[0-9]{1,2})?", fullmatch=True),
    st.from_regex(r"-?[0-9]{1,4}\.[0-9]{1,4}", fullmatch=True),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.just("?"),
)


@settings(max_examples=50)
@given(st.lists(TOKENS, min_size=1, max_size=20))
def test_equal_to_float(tokens):
    expected = np.array([float("nan") if token == "?" else float(token) for token in tokens])
    assert parse(tokens).tobytes() == expected.tobytes()


@settings(max_examples=200)
@given(st.text(st.sampled_from("0123456789+-.eE?/:,x_ ").filter(lambda c: c != ","), max_size=12))
def test_everything_else_is_refused(token):
    try:
        expected = float("nan") if token == "?" else float(token) if set(token) <= set("0123456789+-.eE") else None
    except ValueError:
        expected = None
    if expected is None or np.isinf(expected):
        with pytest.raises(IrregularError):
            parse(["1", token, "0.5"])
    else:
        assert parse(["1", token, "0.5"])[1:2].tobytes() == np.array([expected]).tobytes()


@given(st.lists(st.integers(0, 99_999_999), min_size=1))
def test_integers(values):
    assert parse(map(str, values), integers).tolist() == values


@pytest.mark.parametrize("token", ["", "1.0", "-1", "+1", "123456789", "1a", "/", ":", " "])
def test_integers_refuse(token):
    with pytest.raises(IrregularError):
        parse(["7", token, "7"], integers)


def test_nothing_at_all():
    text = PAD
    none = np.zeros(0, np.int64)
    assert decimals(text, as_words(text), none, none).shape == (0,)
    assert integers(as_words(text), none, none).shape == (0,)
