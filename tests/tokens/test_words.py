"""Words: the rules of the compiled scan against a regular expression, the table against Counter, the order of ids."""

import random
import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokens_texts import CHINESE, ENGLISH, ODD

from stemma.tokens.sample import batches, even_sample
from stemma.tokens.scan import WordTable, borders
from stemma.tokens.scripts import codes_of, word_classes
from stemma.tokens.tokenizer import Config, train

RULES = re.compile("[wm]+(?:a[wm]+)*|h[hm]*|[sa](?:m+[sa]?)*")  # over one letter a character: its class
LETTERS = np.array(list("-wmhsa"))


def words_of(text: str, **config) -> list[str]:
    """The words of one text as a vocabulary in order of first appearance shows them."""
    tokenizer = train(iter([text]), Config(kind="word", vocab_size=0, **config))
    return [tokenizer.token(i) for i in tokenizer.encode(text)]


@settings(max_examples=400)
@given(text=st.one_of(st.text(max_size=60), st.text("ab_1é'’ ,.❤\ufe0f\u200d👩语言\u0301\u3000\n", max_size=40), st.sampled_from(ODD)))
def test_the_scan_follows_its_rules(text):
    codes = codes_of(text)
    starts, ends = borders(codes, np.zeros(0, dtype=bool), word_classes())
    expected = [match.span() for match in RULES.finditer("".join(LETTERS[word_classes()[codes]]))]
    assert list(zip(starts.tolist(), ends.tolist(), strict=True)) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Don't stop, it’s 3.14!", ["Don't", "stop", ",", "it’s", "3", ".", "14", "!"]),
        ("'tis the dogs' naïve snake_case", ["'", "tis", "the", "dogs", "'", "naïve", "snake_case"]),
        ("हिन्दी e\u0301té", ["हिन्दी", "e\u0301té"]),
        ("I ❤️ 👨‍👩‍👧!", ["I", "❤️", "👨‍👩‍👧", "!"]),
        ("使用GPT-2模型，2019年。", ["使用", "GPT", "-", "2", "模型", "，", "2019", "年", "。"]),
        ("", []),
        ("\u3000\u200b ", []),
    ],
)
def test_words_of(text, words):
    assert words_of(text) == words


def test_given_words_are_kept():
    assert words_of("研究生命 的 起源", words="given") == ["研究生命", "的", "起源"]
    assert words_of("研究生命 的 起源", words="rjieba") == ["研究", "生命", "的", "起源"]


def test_whether_words_are_given_is_seen_and_remembered(tmp_path):
    raw, spaced = CHINESE * 30, [" ".join(text) for text in CHINESE * 30]
    for texts, name in ((raw, "rjieba"), (spaced, "given"), (ENGLISH, "rjieba")):
        tokenizer = train(iter(texts), Config(kind="word", vocab_size=0))
        tokenizer.save(tmp_path / "tokenizer.json")
        assert tokenizer.load(tmp_path / "tokenizer.json")._own()["segmenter"]["name"] == name


def test_words_stand_by_count_then_first_appearance():
    tokenizer = train(iter(["b a c", "c a d", "<unk> <s>"]), Config(kind="word", vocab_size=0))
    assert tokenizer.tokens == ["<unk>", "<s>", "</s>", "a", "c", "<", ">", "b", "d", "unk", "s"]
    assert train(iter(["b a c", "c a d"]), Config(kind="word", vocab_size=5)).tokens[3:] == ["a", "c"]
    assert train(iter(["b a c", "c a d"]), Config(kind="word", vocab_size=0, min_count=2)).tokens[3:] == ["a", "c"]


def test_whitespace_has_the_ids_of_kenlm():
    texts = ["b a\u3000c b,", "c\ta\rd <s> </s> <unk>"]
    tokenizer = train(iter(texts), Config(kind="whitespace", vocab_size=0))
    assert tokenizer.tokens == ["<unk>", "<s>", "</s>", "b", "a\u3000c", "b,", "c", "a", "d"]
    assert tokenizer.encode(texts[1]).tolist() == [6, 7, 8, 0, 0, 0]
    assert train(iter(["b a c a", "c"]), Config(kind="whitespace", vocab_size=5)).tokens[3:] == ["a", "c"]


def test_the_table_counts_like_a_counter():
    draw = random.Random(3)
    words = ["".join(draw.choices("abc语言", k=draw.randint(1, 12))) for _ in range(60_000)]
    expected, table = Counter(words), WordTable()
    for part in (words[:7], words[7:31_000], words[31_000:], ["x" * 70_000]):
        codes = codes_of(" ".join(part))
        starts, ends = borders(codes, np.zeros(0, dtype=bool), np.where(np.arange(0x110000) == 32, 0, 1).astype(np.uint8))
        table.add(codes, starts, ends)
        assert (table.find(codes, starts, ends) >= 0).all()
    found = table.words(np.arange(table.size))
    assert found[-1] == "x" * 70_000 and found[:-1] == list(expected)
    assert table.counts.tolist() == [*expected.values(), 1]
    unseen = codes_of("abca zz")
    assert table.find(unseen, np.array([5]), np.array([7])).tolist() == [-1]


def test_characters_stand_by_count_then_code_point():
    assert train(iter(["cab a", "b▁"]), Config(kind="char", vocab_size=0)).tokens[3:] == ["a", "b", "▁", "c"]
    assert train(iter(["aab"]), Config(kind="char", vocab_size=4)).tokens[3:] == ["a"]


def test_batches_keep_order_and_size():
    texts = [str(i) * (i % 7) for i in range(100)]
    made = list(batches(iter(texts), 40))
    assert [text for batch in made for text in batch] == texts
    assert all(sum(map(len, batch[:-1])) < 40 for batch in made)


def test_an_even_sample_spans_the_stream_within_its_limit():
    texts = [f"{i:05d}" for i in range(1000)]
    kept, stride = even_sample(iter(texts), 600)
    assert stride == 16 and kept == texts[::16] and sum(map(len, kept)) <= 600
    assert even_sample(iter(texts), 0) == (texts, 1)
    assert even_sample(iter(["x" * 50]), 10) == (["x" * 50], 1)
