"""Texts become word numbers and word weights by one rule, learnt from training rows only."""

import json

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer

from polytag.data.tfidf import TfidfFeatures
from polytag.data.tokenizer import WORD, Tokenizer, words_of
from polytag.errors import DataError, ParameterError

TEXTS = ["The cat sat on the mat.", "the dog sat; THE END", "a cat and a dog", ""]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Don't stop", ["don't", "stop"]),
        ("rock ’n’ roll isn’t", ["rock", "n", "roll", "isn't"]),
        ("'quoted' words''", ["quoted", "words"]),
        ("snake_case and-dash 3.5", ["snake", "case", "and", "dash", "3", "5"]),
        ("Naïve Straße 北京 été", ["naïve", "straße", "北京", "été"]),
        ("B52s\n\t&lt; 1,221", ["b52s", "lt", "1", "221"]),
        ("", []),
        ("?!... _ '", []),
    ],
)
def test_the_rule_for_words(text, words):
    assert words_of(text) == words


def test_numbers_follow_frequency_then_the_alphabet():
    tokenizer = Tokenizer.fit(TEXTS, min_count=2)
    # the 4; a cat dog sat 2 each; the others once
    assert tokenizer.words == ("the", "a", "cat", "dog", "sat")
    assert tokenizer.vocabulary == 7
    assert tokenizer.length == 6
    ids = tokenizer.transform(["The cat and the unicorn", "", "dog"])
    assert ids.dtype == np.int32
    assert ids.tolist() == [[2, 4, 1, 2, 1, 0], [0] * 6, [5, 0, 0, 0, 0, 0]]
    assert ids.max() < tokenizer.vocabulary


def test_limits_cut_words_and_rows():
    tokenizer = Tokenizer.fit(TEXTS, max_words=2, min_count=1, max_len=3)
    assert tokenizer.words == ("the", "a")
    assert tokenizer.transform(["the dog saw a cat"]).tolist() == [[2, 1, 1]]
    assert Tokenizer.fit(["", ""]).transform(["word"]).tolist() == [[1]]
    cased = Tokenizer.fit(TEXTS, min_count=1, lower=False)
    assert {"The", "THE", "the"} <= set(cased.words)
    assert Tokenizer.fit(TEXTS).transform([]).shape == (0, 6)


def test_what_is_learnt_comes_from_the_training_texts_only():
    first = Tokenizer.fit(TEXTS)
    first.transform(["entirely new words words words"])
    assert first == Tokenizer.fit(TEXTS)


@pytest.mark.parametrize("kind", [Tokenizer, TfidfFeatures])
def test_state_survives_json(kind):
    fitted = kind.fit(TEXTS, min_count=1)
    state = {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in fitted.to_dict().items()}
    again = kind.from_dict(json.loads(json.dumps(state)))
    new = [*TEXTS, "the end of a mat mat"]
    before, after = fitted.transform(new), again.transform(new)
    assert (abs(before - after)).sum() == 0
    assert before.shape == after.shape


@pytest.mark.parametrize("kind", [Tokenizer, TfidfFeatures])
def test_a_column_of_a_set_is_as_good_as_a_list(kind):
    column = np.array(TEXTS, dtype=object)
    fitted = kind.fit(column[:, None], min_count=1)
    assert abs(fitted.transform(TEXTS) - fitted.transform(column)).sum() == 0


@pytest.mark.parametrize("kind", [Tokenizer, TfidfFeatures])
def test_several_columns_are_read_one_after_the_other(kind):
    both = np.array([["the cat", "sat on"], ["a dog", ""]], dtype=object)
    fitted = kind.fit(both, min_count=1)
    assert abs(fitted.transform(both) - fitted.transform(["the cat sat on", "a dog"])).sum() == 0


@pytest.mark.parametrize("kind", [Tokenizer, TfidfFeatures])
def test_wrong_input_is_named(kind):
    with pytest.raises(DataError, match=r"row 1 .*None"):
        kind.fit(["a", None])
    with pytest.raises(DataError, match=r"row 1 .*None"):
        kind.fit(np.array([["a", "b"], ["c", None]], dtype=object))
    with pytest.raises(DataError, match=r"got \(1, 1, 1\)"):
        kind.fit(np.array([[["a"]]], dtype=object))
    with pytest.raises(DataError, match="got one: 'text'"):
        kind.fit("text")
    with pytest.raises(ParameterError, match="max_words=0"):
        kind.fit(TEXTS, max_words=0)
    with pytest.raises(DataError, match=r"row 0 .*3"):
        kind.fit(TEXTS).transform([3])


@pytest.mark.parametrize("sublinear", [False, True])
def test_weights_are_those_of_scikit_learn(sublinear):
    new = [*TEXTS, "The the the mat unicorn"]
    ours = TfidfFeatures.fit(TEXTS, min_count=1, sublinear=sublinear)
    theirs = TfidfVectorizer(token_pattern=WORD, sublinear_tf=sublinear).fit(TEXTS)
    assert list(ours.names) == theirs.get_feature_names_out().tolist()
    weights = ours.transform(new)
    np.testing.assert_allclose(weights.toarray(), theirs.transform(new).toarray(), rtol=1e-6)
    assert weights.dtype == np.float32
    assert ours.transform([]).shape == (0, len(ours.names))


def test_weights_by_hand():
    weights = TfidfFeatures.fit(["cat dog", "cat"], min_count=1).transform(["cat dog dog"]).toarray()[0]
    raw = np.array([1.0, 2 * (np.log(3 / 2) + 1)])
    np.testing.assert_allclose(weights, raw / np.linalg.norm(raw), rtol=1e-6)


def test_no_word_left_is_an_error():
    with pytest.raises(DataError, match="lower min_count"):
        TfidfFeatures.fit(["one", "two"], min_count=2)
    with pytest.raises(DataError, match="got none"):
        TfidfFeatures.fit(["", "?"], min_count=1)
