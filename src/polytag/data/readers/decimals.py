"""Many short decimal numbers at once, from text to float64, exactly as ``float`` reads them.

A number of at most eight characters besides its sign fits into one 64-bit word. Three multiplications turn eight digits into an integer
below 1e8; dividing it by a power of ten up to 1e7 is one correctly rounded operation, hence the result is the nearest double. What is
longer or has an exponent goes through ``float``, one at a time.
"""

import re

import numpy as np

from polytag.types import Array

PAD = b" " * 8
"""Must stand before the text, so that eight bytes can be read before every token's end."""

_NUMBER = re.compile(rb"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_U8 = np.uint64(8)
_KEEP = np.array([0] + [(2**64 - 1) ^ (2 ** (64 - 8 * size) - 1) for size in range(1, 9)], dtype=np.uint64)
_POWER = 10.0 ** np.arange(7, -1, -1)
_PLACE = np.uint64(sum(k << (61 - 8 * k) for k in range(8)))
_ONES, _HIGH = np.uint64(0x0101010101010101), np.uint64(0x8080808080808080)
_DOTS, _ZEROS = np.uint64(0x2E2E2E2E2E2E2E2E), np.uint64(0x3030303030303030)
_SIX, _TENS = np.uint64(0x0606060606060606), np.uint64(0xF0F0F0F0F0F0F0F0)


class IrregularError(Exception):
    """The quick way does not understand a block; the exact way must read it (and say what is wrong, if anything is)."""


def as_words(text: bytes) -> Array:
    """Return all overlapping 64-bit words of a text: word i holds the bytes i to i + 7, the last one on top."""
    return np.ndarray((max(len(text) - 7, 0),), dtype="<u8", buffer=text, strides=(1,))


def integers(words: Array, ends: Array, sizes: Array) -> Array:
    """Return the values of tokens of digits, int32.

    Raises:
        IrregularError: A token is empty, longer than eight characters or has something else than digits.
    """
    if not len(ends):
        return np.zeros(0, np.int32)
    if sizes.min() < 1 or sizes.max() > 8:
        raise IrregularError
    keep = _KEEP[sizes]
    digits = (words[ends - 8] ^ _ZEROS) & keep
    if (((digits + _SIX) | digits) & _TENS).any():
        raise IrregularError
    return _value(digits).astype(np.int32)


def decimals(text: bytes, words: Array, starts: Array, ends: Array) -> Array:
    """Return the values of tokens of a text, float64; ``?`` is NaN.

    Args:
        text: The text behind its padding.
        words: ``as_words(text)``.
        starts: Where each token starts.
        ends: Where each token ends (exclusive).

    Raises:
        IrregularError: A token is not a finite decimal number.
    """
    first: Array = np.frombuffer(text, np.uint8)[starts]
    sizes = ends - starts
    if not len(sizes) or (sizes.max() == 1 and first.max() <= 57 and first.min() >= 48):
        small: Array = np.subtract(first, 48.0, dtype=np.float64)
        return small
    signed = (first == 43) | (first == 45)
    sizes -= signed
    keep = _KEEP[np.clip(sizes, 0, 8)]
    word = words[ends - 8] & keep
    odd = word ^ _DOTS
    dots = (odd - _ONES) & ~odd & _HIGH
    place = dots >> np.uint64(7)
    has_dot = dots != 0
    sizes_digits = sizes - has_dot
    without = ((word & (place - np.uint64(1))) << _U8) | (word & (~(place << _U8) + np.uint64(1)))
    keep = keep << (has_dot * _U8)
    digits = np.where(has_dot, without, word) ^ (_ZEROS & keep)
    bad = (((digits + _SIX) | digits) & _TENS) != 0
    bad |= (sizes > 8) | (sizes_digits < 1) | ((dots & (dots - np.uint64(1))) != 0)
    values = _value(digits).astype(np.float64)
    values /= np.where(has_dot, _POWER[(place * _PLACE) >> np.uint64(61)], 1.0)
    np.negative(values, out=values, where=first == 45)
    if bad.any():
        values[bad] = [_single(text[start:end]) for start, end in zip(starts[bad].tolist(), ends[bad].tolist())]
        if np.isinf(values).any():
            raise IrregularError
    return values


def _value(digits: Array) -> Array:
    """Return the number that eight digits (one a byte, the last on top) spell."""
    pairs = ((digits * np.uint64(2561)) >> _U8) & np.uint64(0x00FF00FF00FF00FF)
    fours = ((pairs * np.uint64(6553601)) >> np.uint64(16)) & np.uint64(0x0000FFFF0000FFFF)
    return (fours * np.uint64(42949672960001)) >> np.uint64(32)


def _single(token: bytes) -> float:
    if token == b"?":
        return float("nan")
    if not _NUMBER.fullmatch(token):
        raise IrregularError
    return float(token)
