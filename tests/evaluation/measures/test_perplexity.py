"""Bits per character: equal to the definition, with an interval, spelling charged, and not claimed where that has no price."""

import numpy as np
import pytest

from stemma.corpus.document import Document
from stemma.errors import DataError
from stemma.evaluation.measures.perplexity import blocks, perplexity, spread
from stemma.runs.run import Score


class Uniform:
    """Scores each character at `nats`, and each sentence's end too; `unknown` tokens a text, which cost `spelling` together."""

    def __init__(self, nats: float, unknown: int = 0, spelling: float | None = None) -> None:
        self.nats, self.unknown, self.spelling = nats, unknown, spelling

    def score_documents(self, documents):
        sizes = [(len(" ".join(d)), sum(map(len, d)) + len(d)) for d in documents]
        unknown = self.unknown, 2.0 * self.unknown, self.spelling
        return [Score(self.nats * tokens, tokens, characters, *unknown) for characters, tokens in sizes]


TEXTS = [("the cat sat .", "it slept ."), ("一 只 猫 坐 着 。",), ("😀",), ("a longer sentence than the others are .",)]


def test_bits_follow_from_their_definition():
    found = perplexity(Uniform(np.log(2)), TEXTS)
    tokens = sum(len(s) + 1 for text in TEXTS for s in text)
    characters = sum(len(" ".join(text)) for text in TEXTS)
    assert found["bits_per_character"]["value"] == pytest.approx(tokens / characters)
    assert found["bits_per_character"]["low"] <= found["bits_per_character"]["value"] <= found["bits_per_character"]["high"]
    assert found["perplexity_per_token"] == pytest.approx(2.0)
    words = sum(len(s.split()) + 1 for text in TEXTS for s in text)
    assert found["perplexity_per_word"] == pytest.approx(2.0 ** (tokens / words))


def test_unknown_tokens_pay_for_their_spelling():
    plain, found = perplexity(Uniform(1.0), TEXTS), perplexity(Uniform(1.0, unknown=1, spelling=3.0), TEXTS)
    bits = found["bits_per_character"]["value"] - plain["bits_per_character"]["value"]
    assert bits == pytest.approx(4 * 3.0 / np.log(2) / found["characters"])
    assert found["spelling_share"] == pytest.approx(12 / (found["nats"] + 12)) and plain["spelling_share"] == 0
    assert found["perplexity_per_word"] == pytest.approx(np.exp((found["nats"] + 12) / found["words"]))
    assert (found["perplexity_per_token"], found["oov"]) == (plain["perplexity_per_token"], 4)


def test_no_bits_where_a_token_was_unknown_and_spelling_has_no_price():
    found = perplexity(Uniform(1.0, unknown=1), TEXTS)
    assert found["bits_per_character"] is None and found["perplexity_per_word"] is None and found["spelling_share"] is None
    assert "knows no spelling" in found["why_not_bits"]
    assert found["oov"] == 4
    known = found["tokens"] - 4
    assert found["perplexity_per_token_without_oov"] == pytest.approx(np.exp((found["nats"] - 8.0) / known))


def test_no_perplexity_per_word_where_spaces_part_no_words():
    found = perplexity(Uniform(1.0), [("这是一个没有空格的很长很长很长很长很长很长的中文句子，它接着又说了许多许多许多话。",)])
    assert found["perplexity_per_word"] is None and found["bits_per_character"]["value"] > 0


def test_the_interval_narrows_with_more_text():
    rng = np.random.default_rng(0)

    class Noisy:
        def score_documents(self, documents):
            return [Score(float(n), 10, 50, 0, 0.0) for n in rng.normal(60, 15, len(documents))]

    wide, narrow = (perplexity(Noisy(), [("x",)] * n)["bits_per_character"] for n in (20, 2000))
    assert narrow["high"] - narrow["low"] < (wide["high"] - wide["low"]) / 3


def test_blocks_keep_whole_sentences_in_order():
    document = Document(tuple(f"sentence number {n} ." for n in range(50)), "x:1")
    found = blocks([document, Document(("短 。",), "x:2")], characters=100)
    assert [s for block in found for s in block] == [*document.sentences, "短 。"]
    assert all(sum(map(len, block)) < 140 for block in found)
    assert spread(found, 10**6) == found
    some = spread(found, 300)
    assert some[0] == found[0] and some[-1] == found[-1] and sum(len(" ".join(b)) for b in some) < 400


def test_empty_text_says_what_to_do():
    with pytest.raises(DataError, match="hold out a bigger share"):
        perplexity(Uniform(1.0), [])
