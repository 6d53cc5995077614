"""What a vocabulary leaves out: counted once, written down, and given back by every kind of tokenizer."""

import json
from collections import Counter

import numpy as np
import pytest
from tokens_texts import CHINESE, ENGLISH, TEXTS, config

from stemma.tokens import outside
from stemma.tokens.outside import Outside, left_out, rarest
from stemma.tokens.tokenizer import Tokenizer, train

LISTED = ("word", "whitespace", "char")


@pytest.mark.parametrize("kind", LISTED)
@pytest.mark.parametrize("texts", [ENGLISH, CHINESE], ids=["en", "zh"])
def test_left_out_are_the_unknown_tokens_of_the_text(kind, texts):
    whole, small = (train(iter(texts), config(kind, vocab_size=size)) for size in (0, 5))
    counts = Counter(whole.token(i) for text in texts for i in whole.encode(text).tolist())
    expected = Counter({" " if token == "▁" else token: n for token, n in counts.items() if small.id(token) is None})
    spelt = Counter(small.spellings(texts, small.encode_flat(texts)[0] == small.specials["unk"]))
    assert spelt == expected and len(expected) > 2
    by_word = dict(zip(small.outside.spellings, small.outside.counts, strict=True))
    assert {word: by_word[word] for word in expected} == expected
    rest = set(by_word) - set(expected)  # the rarest of the vocabulary, once each
    assert {by_word[word] for word in rest} <= {1} and all(small.id("▁" if word == " " else word) for word in rest)


@pytest.mark.parametrize("kind", [*LISTED, "wordpiece", "unigram"])
def test_it_is_written_and_read_again(kind, tmp_path):
    tokenizer = train(iter(TEXTS), config(kind, vocab_size=20 if kind in LISTED else 400))
    tokenizer.save(tmp_path / "tokenizer.json")
    assert Tokenizer.load(tmp_path / "tokenizer.json").outside == tokenizer.outside
    assert tokenizer.outside.spellings


def test_byte_level_pieces_leave_nothing_out(tmp_path):
    assert train(iter(TEXTS), config("bpe")).outside is None


def test_a_file_of_another_version_tells_of_none(tmp_path):
    tokenizer = train(iter(TEXTS), config("word", vocab_size=20))
    tokenizer.save(tmp_path / "tokenizer.json")
    data = json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))
    for change in (lambda own: own["outside"].update(version=outside.VERSION + 1), lambda own: own.pop("outside")):
        change(data["model"]["stemma"])
        (tmp_path / "other.json").write_text(json.dumps(data), encoding="utf-8")
        assert Tokenizer.load(tmp_path / "other.json").outside is None


def test_phrases_leave_out_words():
    texts = ["new york is big"] * 9 + ["york is old", "new is good"]
    tokenizer = train(iter(texts), config("word", phrases=1, phrase_threshold=1.0, vocab_size=5))
    assert {"old", "good"} <= set(tokenizer.outside.spellings)
    assert tokenizer.spellings(["old new york"], tokenizer.encode("old new york") == 0)[0] == "old"


@pytest.mark.parametrize("kind", ["word", "char", "wordpiece"])
def test_spellings_are_lower_case_where_the_tokenizer_makes_them_so(kind):
    tokenizer = train(iter(["abc " * 50]), config(kind, lowercase=True))
    text = "abc ΟΔΟΣ İx"
    spelt = tokenizer.spellings([text, text], np.concatenate([tokenizer.encode(text) == tokenizer.specials["unk"]] * 2))
    assert "".join(spelt) == "".join(part.lower() for part in ("ΟΔΟΣ", "İx")) * 2


def test_many_are_thinned_evenly_and_few_are_filled_up(monkeypatch):
    monkeypatch.setattr(outside, "MOST", 5)
    monkeypatch.setattr(outside, "LEAST", 4)
    counts = np.array([9, 1, 5, 0, 4, 3, 2, 8, 7, 6])  # of w0 to w9
    spell = lambda numbers: [f"w{n}" for n in numbers.tolist()]  # noqa: E731
    assert left_out(counts, np.array([0]), spell) == Outside(("w7", "w8", "w2", "w5", "w1"), (8, 7, 5, 3, 1))
    assert left_out(counts, np.array([0, 7, 8, 9, 2, 4, 5]), spell) == Outside(("w6", "w1", "w4", "w5"), (2, 1, 1, 1))
    assert left_out(counts, np.arange(10), spell).spellings == ("w4", "w5", "w6", "w1")
    assert rarest(["a", "b", "", "\ud800", "e", "f"]).spellings == ("e", "f")
