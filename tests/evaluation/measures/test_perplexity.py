"""Bits per character: equal to the definition, with an interval, spelling charged, and not claimed for what was not predicted."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

from stemma.corpus.document import Document, Ledger
from stemma.corpus.formats import Config as Reading
from stemma.corpus.read import read
from stemma.errors import DataError
from stemma.evaluation.measures.perplexity import blocks, perplexity, spread
from stemma.runs.run import Score
from stemma.runs.spacing import _rarity, spacing
from stemma.tokens import tokenizer
from stemma.tokens.settings import Config


def documents(*texts: tuple[str, ...]) -> list[Document]:
    return [Document(sentences, "x:1") for sentences in texts]


TEXTS = documents(("the cat sat .", "it slept ."), ("一 只 猫 坐 着 。",), ("😀",), ("a longer sentence than the others are .",))
BYTES = tokenizer.train(iter(["the cat"]), Config("bpe", vocab_size=257))  # keeps every text whose sentences spaces part


class Uniform:
    """Scores each token at `nats`; `unknown` tokens a text, which cost `spelling` together."""

    def __init__(self, nats: float, unknown: int = 0, spelling: float | None = None, cut=BYTES) -> None:
        self.nats, self.unknown, self.spelling, self.tokenizer = nats, unknown, spelling, cut

    def score_documents(self, documents):
        sizes = [(len(d.text), int(self.tokenizer.encode_flat(d.sentences, d.adjoining)[1].sum())) for d in documents]
        unknown = self.unknown, 2.0 * self.unknown, self.spelling
        return [Score(self.nats * tokens, tokens, characters, *unknown) for characters, tokens in sizes]


def test_bits_follow_from_their_definition():
    found = perplexity(Uniform(np.log(2)), TEXTS)
    tokens = sum(len(f" {s}".encode()) for text in TEXTS for s in text.sentences)
    characters = sum(len(text.text) for text in TEXTS)
    assert found["bits_per_character"]["value"] == pytest.approx(tokens / characters)
    assert found["bits_per_character"]["low"] <= found["bits_per_character"]["value"] <= found["bits_per_character"]["high"]
    assert found["perplexity_per_token"] == pytest.approx(2.0) and found["spacing_nats"] == 0
    nats, size = np.array(found["each"]).T
    assert len(nats) == len(TEXTS) and nats.sum() == pytest.approx(found["nats"]) and size.sum() == characters
    words = sum(len(text.text.split()) for text in TEXTS)  # and no end of a sentence, which nobody predicts
    assert found["words"] == words and found["perplexity_per_word"] == pytest.approx(2.0 ** (tokens / words))


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
    found = perplexity(Uniform(1.0), documents(("这是一个没有空格的很长很长很长很长很长很长的中文句子，它接着又说了许多许多许多话。",)))
    assert found["perplexity_per_word"] is None and found["bits_per_character"]["value"] > 0


def test_nor_where_chinese_stands_in_lines_of_few_words_between_spaces():
    found = perplexity(Uniform(1.0), documents(("医生在医院里看病。 病人等了很久。 天黑了 他们才回家",)))
    assert found["perplexity_per_word"] is None


def test_spaced_chinese_has_a_perplexity_per_word():
    found = perplexity(Uniform(1.0), documents(("医生 在 医院 里 看病 。 病人 等 了 很久 。",)))
    assert found["perplexity_per_word"] is not None


def test_the_interval_narrows_with_more_text():
    rng = np.random.default_rng(0)

    class Noisy:
        tokenizer = BYTES

        def score_documents(self, documents):
            return [Score(float(n), 10, 50, 0, 0.0) for n in rng.normal(60, 15, len(documents))]

    wide, narrow = (perplexity(Noisy(), documents(("x",)) * n)["bits_per_character"] for n in (20, 2000))
    assert narrow["high"] - narrow["low"] < (wide["high"] - wide["low"]) / 3


def test_blocks_keep_whole_sentences_in_order():
    document = Document(tuple(f"sentence number {n} ." for n in range(50)), "x:1")
    found = blocks([document, Document(("短 。",), "x:2")], characters=100)
    assert [s for block in found for s in block.sentences] == [*document.sentences, "短 。"]
    assert all(len(block.text) < 140 for block in found)
    assert spread(found, 10**6) == found
    some = spread(found, 300)
    assert some[0] == found[0] and some[-1] == found[-1] and sum(len(b.text) for b in some) < 400


def test_empty_text_says_what_to_do():
    with pytest.raises(DataError, match="hold out a bigger share"):
        perplexity(Uniform(1.0), [])


ENGLISH = [
    "Alice was beginning to get very tired.",
    "“What is the use of a book,” she thought, “without pictures?”",
    "The cat sat (it slept).",
]


CHINESE = [
    "天下大势，分久必合，合久必分。周末七国分争。并入于秦！",
    "及秦灭之后，楚汉分争，又并入于汉。汉朝自高祖斩白蛇而起义。",
    "一统天下。",
]


def test_letters_that_lose_their_case_give_no_bits():
    """A unigram model of small letters predicts less than one of bytes: 1.94 bits a character were no better than 1.96."""
    lower = tokenizer.train(iter(ENGLISH), Config("unigram", vocab_size=60, lowercase=True))
    found = perplexity(Uniform(1.0, cut=lower), documents(tuple(ENGLISH)))
    assert found["bits_per_character"] is None and found["perplexity_per_word"] is None and found["spacing_nats"] is None
    assert "'Alice was beginning to g' comes back as 'alice was beginning to g'" in found["why_not_bits"]
    small = documents(tuple(sentence.lower() for sentence in ENGLISH))
    assert perplexity(Uniform(1.0, cut=lower), small)["bits_per_character"]["value"] > 0


@pytest.mark.parametrize(("text", "kind"), [("ﬁne ² words", "unigram"), ("Ａ wide letter", "unigram"), ("soft\u00adly said", "word")])
def test_characters_that_change_or_go_give_no_bits(text, kind):
    cut = tokenizer.train(iter([*ENGLISH, "fine 2 words A wide letter softly said"] * 2), Config(kind, vocab_size=120))
    assert "comes back as" in perplexity(Uniform(1.0, cut=cut), documents((text,)))["why_not_bits"]


@pytest.mark.parametrize("kind", ["word", "whitespace", "wordpiece", "unigram", "char"])
def test_white_space_that_tokens_do_not_tell_is_charged(kind):
    """Runs of spaces cost what they are worth: 17 of these 20 characters were given for nothing."""
    cut = tokenizer.train(iter(["t h e"] * 3), Config(kind, vocab_size=40))
    plain, spaced = (perplexity(Uniform(1.0, cut=cut), documents((text,))) for text in ("t h e", "t         h        e"))
    assert spaced["characters"] == 20 and plain["characters"] == 5
    assert spaced["nats"] + spaced["spacing_nats"] > plain["nats"] + plain["spacing_nats"] + 10 * math.log(2)
    assert (kind == "char") == (spaced["spacing_nats"] == 0)  # it predicts each of them


@pytest.mark.parametrize("format", ["text", "sentences", "jsonl"])
@pytest.mark.parametrize("kind", ["char", "wordpiece"])
def test_chinese_has_the_same_bits_whatever_format_split_it(tmp_path, format, kind):
    """No space stands between Chinese sentences: 5.865, 5.950 and 6.025 bits were of the same text and the same nats."""
    lines = CHINESE * 9
    raw = "\n".join(lines)
    path = tmp_path / f"a.{'jsonl' if format == 'jsonl' else 'txt'}"
    path.write_text('{"text": "' + raw.replace("\n", "\\n") + '"}' if format == "jsonl" else raw, encoding="utf-8")
    found = perplexity(
        Uniform(1.5, cut=tokenizer.train(iter(lines), Config(kind, vocab_size=200))), list(read([path], Reading(format=format), Ledger()))
    )
    visible = len(raw) - raw.count("\n")
    assert found["characters"] == len(raw) and found["nats"] == pytest.approx(1.5 * visible)
    assert found["bits_per_character"]["value"] == pytest.approx((found["nats"] + found["spacing_nats"]) / len(raw) / math.log(2))
    assert 0 < found["spacing_nats"] < 2 * math.log(2) * 6 * 9  # which of the sentences ends a line


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_pieces_put_no_space_between_chinese_sentences(tmp_path, kind):
    """The same file is the same text and the same characters of it, predicted and not, however it was split: 5.31 and 5.36 bits."""
    lines = [line.translate({0xFF0C: "、", 0xFF01: "。"}) for line in CHINESE * 9]  # which NFKC keeps
    path = tmp_path / "a.txt"
    path.write_text("\n".join(lines), encoding="utf-8")
    split, whole = (list(read([path], Reading(format=format), Ledger())) for format in ("text", "sentences"))
    assert len(split[0].sentences) > len(whole[0].sentences) and split[0].text == whole[0].text == " ".join(lines)
    cut = tokenizer.train(iter(split[0].stretches), Config(kind, vocab_size=300))
    for (document,) in (split, whole):
        assert cut.give_back(document.sentences, document.adjoining) == document.text
        assert perplexity(Uniform(1.0, cut=cut), [document])["spacing_nats"] == 0
    assert split[0].stretches == whole[0].sentences  # so one tokenizer is learnt from both


@pytest.mark.parametrize("kind", ["bpe", "char", "wordpiece"])
@pytest.mark.parametrize("lines", [ENGLISH, CHINESE])
def test_blocks_have_the_characters_of_the_text(lines, kind):
    """What parts two blocks belongs to the later one: it is counted, and predicted or charged."""
    whole = (
        Document(tuple(lines * 5), "x:1", joins=("", "  ", " ") * 4 + ("", " ")) if lines is CHINESE else Document(tuple(lines * 5), "x:1")
    )
    parts = blocks([whole], characters=60)
    assert len(parts) > 3 and "".join(part.text for part in parts) == whole.text
    uniform = Uniform(1.0, cut=tokenizer.train(iter(lines * 2), Config(kind, vocab_size=300)))
    at_once, in_parts = (perplexity(uniform, found) for found in ([whole], parts))
    assert at_once["characters"] == in_parts["characters"] == len(whole.text)
    assert at_once["nats"] == in_parts["nats"]
    as_spaces = kind == "bpe" and lines is ENGLISH  # all the white space is single spaces
    assert (in_parts["spacing_nats"] == 0) == as_spaces == (at_once["spacing_nats"] == 0)


def test_the_code_of_white_space_is_one():
    """The probabilities of what may stand in a gap sum to less than one, and come close to it."""

    def total(most: int) -> float:
        return sum(
            math.comb(length, others) * 24**others * _rarity("\t" * others + " " * (length - others))
            for length in range(most)
            for others in range(length + 1)
        )

    assert 0.999 < total(12) < 1 and _rarity("") == 0.5
    cut = SimpleNamespace(kind="word", give_back=lambda sentences, adjoining: "a b c d e")
    kept = spacing(cut, documents(("a b cd e",)))
    by_hand = [0.1875, (0.1875 + 1) / 2, 0.5 / 3, (0.1875 + 2) / 4]  # one context: a space between letters
    assert kept.nats.sum() == pytest.approx(-np.log(by_hand).sum())
