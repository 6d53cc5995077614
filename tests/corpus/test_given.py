"""Texts handed over by a program: taken as text from files is, or refused."""

import warnings

import numpy as np
import pytest

from stemma.corpus.clean import clean, kept_places
from stemma.corpus.given import given_text, given_texts, listed
from stemma.errors import DataError, UsageError

DIRTY = "\ufeffclose the\x0bfi\x00le\u2028now 关\x01闭\x9f文件"


def test_clean_texts_come_back_as_they_are_from_any_series():
    texts = ["the cat", "", "猫🙂", " two  spaces "]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for given in (texts, tuple(texts), np.array(texts, dtype=object), iter(texts)):
            assert given_texts(given) == texts
        assert given_texts([]) == [] and given_text("猫") == "猫"


def test_what_no_reader_sees_is_taken_out_and_reported():
    with pytest.warns(UserWarning, match="as in training.*: 1 NUL, 1 byte order marks, 2 control characters"):
        assert given_texts(["the cat", DIRTY]) == ["the cat", clean(DIRTY)[0]]
    with pytest.warns(UserWarning, match="1 byte order marks"):
        assert given_text("\ufeff猫") == "猫"


def test_characters_that_stay_know_their_places():
    text, places = clean(DIRTY)[0], kept_places(DIRTY)
    assert len(text) == len(places)
    assert all(DIRTY[place] == character for place, character in zip(places, text, strict=True) if character != " ")


@pytest.mark.parametrize("text", ["abc", "", "猫", b"abc"])
def test_one_string_is_not_taken_letter_by_letter(text):
    with pytest.raises(UsageError, match=r"is one string.*write \["):
        given_texts(text)
    with pytest.raises(UsageError, match="is one string"):
        listed(text, "settings")


@pytest.mark.parametrize("series", [None, 3, {"a": 1}, {"a", "b"}])
def test_what_has_no_order_is_no_series_of_texts(series):
    with pytest.raises(UsageError, match="pass texts as a list"):
        given_texts(series)


@pytest.mark.parametrize("value", [None, float("nan"), 3, b"abc"])
def test_what_is_no_text_is_named_with_its_place(value):
    with pytest.raises(DataError, match=r"texts\[1\] is .*leave it out|write it as text"):
        given_texts(["the cat", value])
    with pytest.raises(DataError, match=r"leave it out|write it as text"):
        given_text(value)


def test_a_list_of_tokens_is_no_text():
    with pytest.raises(DataError, match=r"texts\[0\] is a list: \['the', 'cat'\].*join its tokens"):
        given_texts([["the", "cat"]])
    with pytest.raises(UsageError, match="one text at a time"):
        given_text(["the", "cat"])


def test_a_table_is_no_list_of_texts():
    with pytest.raises(UsageError, match=r"table of 2 dimensions.*one column"):
        given_texts(np.array([["a", "b"], ["c", "d"]]))
