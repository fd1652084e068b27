"""Damaged files: parsed or ReadError, never another exception; and the quick way never sees a file otherwise than the exact way."""

import gzip

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import sparse

from polytag.data.readers import read_arff
from polytag.data.readers.arff_blocks import BlockParser
from polytag.data.readers.decimals import IrregularError
from polytag.errors import ReadError

# Heads and first rows as the real files have them: birds, Slashdot (MEKA), Corel16k010 (CRLF), foodtruck, delicious, church.
SEEDS = [
    rb"""@relation birds

@attribute audio-ssd1 numeric
@attribute audio-ssd2 numeric
@attribute hasSegments {0,1}
@attribute location {2,10,1,7,5}
@attribute 'Brown Creeper' {0,1}
@attribute 'Swainson\'s Thrush' {0,1}

@data
0.038215,0.003494,1,10,0,0
0.043201,-3.5e-05,0,2,1,0
?,1,0,7,0,1
""",
    rb"""@relation 'Slashdot: -C 2 -split-number 1891'

@attribute Entertainment {0,1}
@attribute Interviews {0,1}
@attribute the numeric
@attribute a numeric

@data

{0 1,2 1,3 1}
{1 1}
{}
{ 0 1, 3 2.25 }
""",
    b"@relation C\r\n@attribute Cluster1 {0,1}\r\n@attribute Cluster2 {0,1}\r\n@attribute sky {0,1}\r\n@data\r\n0,1,0\r\n1,1,1\r\n",
    rb"""@relation 'foodtruck: -C -1'
@attribute frequency numeric
@attribute time {lunch,happy_hour,'late night'}
@attribute gender {F,M}
@attribute street_food {0,1}
@data
% rows
2,lunch,M,1
0,'late night',F,0
1,?,?,?
""",
    """@RELATION 'delicious: -C 1'
@ATTRIBUTE TAG_m\\'usica {0,1}
@ATTRIBUTE TAG_dise\\~no\t{1, 0}
@attribute "w\u00f6rter" REAL
@DATA
{0 1,2 5}
{1 0}
""".encode(),
    b"""@relation 'church0.names: -C -2'
@attribute chip {A,B,C,D,A-D}
@attribute x numeric
@attribute y NUMERIC
@attribute z NUMERIC
@data
D,20,0.0,1.0
A-D,?,1,0
B,-0,?,1
""",
]
PIECES = [
    b"{",
    b"}",
    b",",
    b" ",
    b"\t",
    b"\n",
    b"\r",
    b"'",
    b'"',
    b"\\",
    b"%",
    b"?",
    b"@data\n",
    b"@attribute q {0,1}\n",
    b"-C 9",
    b"{0 1}\n",
]
PIECES += [
    b"1e999",
    b"nan",
    b"-",
    b".",
    b"1",
    b"0",
    b"9999999999",
    b"\x00",
    b"\xff",
    b"\xc3\xa9",
    b"\xef\xbb\xbf",
    b"/",
    b"1.2.3",
    b"12345.678",
    b"_",
]


@st.composite
def damaged(draw):
    raw = draw(st.sampled_from(SEEDS))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(raw)))
        stop = min(len(raw), start + draw(st.integers(0, 12)))
        what = draw(st.sampled_from(["delete", "insert", "replace", "repeat", "cut", "move"]))
        piece = draw(st.sampled_from(PIECES) | st.binary(max_size=3))
        raw = {
            "delete": raw[:start] + raw[stop:],
            "insert": raw[:start] + piece + raw[start:],
            "replace": raw[:start] + piece + raw[stop:],
            "repeat": raw[:stop] + raw[start:],
            "cut": raw[:start],
            "move": raw[:start] + raw[stop:] + raw[start:stop],
        }[what]
    return raw


def outcome(path, labels):
    try:
        data = read_arff(path, labels=labels)
    except ReadError as error:
        str(error)
        return error.args
    arrays = [m.toarray() if sparse.issparse(m) else m for m in (data.X, data.Y)]
    return [(type(data.X), data.feature_names, data.label_names), *((a.shape, a.dtype, a.tobytes()) for a in arrays)]


quietly = settings(max_examples=250, deadline=20_000, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])


@quietly
@given(damaged(), st.sampled_from([None, 1, -2]))
def test_damaged_files_are_parsed_or_refused(tmp_path, raw, labels):
    path = tmp_path / "fuzz.arff"
    path.write_bytes(raw)
    quick = outcome(path, labels)

    def refuse(*_):
        raise IrregularError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BlockParser, "dense", refuse)
        patch.setattr(BlockParser, "sparse", refuse)
        assert outcome(path, labels) == quick


@settings(quietly, max_examples=100)
@given(st.binary(max_size=200), st.sampled_from([b"", b"\x1f\x8b", b"\xfd7zXZ\x00", b"BZh", b"@data\n", b"@attribute a numeric\n@data\n"]))
def test_random_bytes_are_parsed_or_refused(tmp_path, raw, start):
    path = tmp_path / "fuzz.arff"
    path.write_bytes(start + raw)
    outcome(path, None)


@settings(quietly, max_examples=60)
@given(st.sampled_from(SEEDS), st.integers(0, 400), st.binary(max_size=4))
def test_damaged_gzip_is_parsed_or_refused(tmp_path, raw, at, piece):
    packed = gzip.compress(raw, mtime=0)
    path = tmp_path / "fuzz.arff.gz"
    path.write_bytes(packed[:at] + piece + packed[at + len(piece) :])
    outcome(path, -1)


def test_seeds_are_sound(tmp_path):
    """The fuzz starts from files that parse, else it would test nothing."""
    for raw in SEEDS:
        path = tmp_path / "seed.arff"
        path.write_bytes(raw)
        assert np.isfinite(read_arff(path, labels=None if b"-C" in raw else -1).X.shape).all()
