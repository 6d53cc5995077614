"""Words: the rules of the compiled scan against a regular expression, the table against Counter, the order of ids."""

import random
import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokens_texts import CHINESE, ENGLISH, ODD

from stemma.kernels import word_table
from stemma.kernels.word_scan import borders
from stemma.kernels.word_table import WordTable
from stemma.tokens.chinese import GIVEN, segmenter
from stemma.tokens.few_words import LITTLE, spaced_once
from stemma.tokens.sample import batches, even_sample
from stemma.tokens.scripts import PLACES, bytes_of, class_of, codes_of, lower_codes, token_classes, word_classes
from stemma.tokens.tokenizer import Config, train
from stemma.tokens.words import Words, learn

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


MIXED = st.one_of(
    st.text(max_size=60),
    st.text("ab_1é'’ ,.❤\ufe0f\u200d👩语言\u0301\u3000\n\0\t\r\ud800", max_size=40),
    st.text("İΣσΟK\u212aẞÉÀⱥȺ 语\n", max_size=20),
    st.sampled_from(ODD + CHINESE + ENGLISH),
)


def plainly(texts: list[str], config: Config, words=GIVEN) -> list[list[str]]:
    """The words of each text by the plain form of the rules, over the code points of that text alone."""
    found = []
    for text in texts:
        text = text.lower() if config.lowercase else text
        codes = codes_of(text)
        classes = token_classes() if config.kind == "whitespace" else word_classes()
        starts, ends = borders(codes, words.cuts(text, codes), classes)
        found.append([text[start:end] for start, end in zip(starts.tolist(), ends.tolist(), strict=True)])
    return found


@settings(max_examples=400, deadline=None)
@given(
    texts=st.lists(MIXED, max_size=6),
    held_out=st.lists(MIXED, max_size=4),
    config=st.sampled_from(
        [
            Config("word", 0, words="given"),
            Config("word", 0, lowercase=True, words="given"),
            Config("word", 0, words="rjieba"),
            Config("word", 0, lowercase=True, words="rjieba"),
            Config("whitespace", 0),
        ]
    ),
)
def test_bytes_give_the_words_of_the_plain_form(texts, held_out, config):
    words = segmenter(config.words if config.kind == "word" else "given")
    counts = Counter(word for text in plainly(texts, config, words) for word in text if word not in ("<unk>", "<s>", "</s>"))
    order = list(counts) if config.kind == "whitespace" else [word for word, _ in counts.most_common()]
    tokenizer = train(iter(texts), config)
    assert tokenizer.tokens == ["<unk>", "<s>", "</s>", *order]
    for part in (texts, held_out):
        ids, lengths = tokenizer.encode_flat(part)
        expected = [[order.index(word) + 3 if word in counts else 0 for word in text] for text in plainly(part, config, words)]
        assert lengths.tolist() == [len(text) for text in expected]
        assert ids.tolist() == [index for text in expected for index in text]


@pytest.mark.parametrize("kind", ["word", "whitespace"])
def test_a_long_word_ends_where_the_plain_form_ends_it(kind):
    # Letters are looked at sixteen at once: every character stands before, at and after such a border, and at the text's end.
    lengths = (1, 7, 8, 15, 16, 17, 31, 32, 33, 48)
    others = [*map(chr, range(128)), "é", "’", "语", "\u0301", "\u200d"]
    texts = [f"{'aZ0b' * 12}"[:n] + other + "x" * (n % 20) for n in lengths for other in others]
    config = Config(kind, 0, words="given") if kind == "word" else Config(kind, 0)
    expected = plainly(texts, config)
    tokenizer = train(iter(texts), config)
    ids, lengths = tokenizer.encode_flat(texts)
    assert lengths.tolist() == [len(words) for words in expected]
    assert [tokenizer.token(i) for i in ids] == [word for words in expected for word in words]


def test_lower_case_is_pythons_own():
    lower = lower_codes()
    for code in range(PLACES):
        assert lower[code] in (0, ord(chr(code).lower()[0])), hex(code)
        assert lower[code] or code == 0 or len(chr(code).lower()) > 1 or chr(code) == "Σ" or chr(code).lower() != chr(code)
    assert lower[ord("É")] == ord("é") and lower[ord("Σ")] == lower[ord("İ")] == lower[0x212A] == 0


def test_the_table_counts_like_a_counter():
    draw = random.Random(3)
    words = ["".join(draw.choices("abc语言", k=draw.randint(1, 12))) for _ in range(60_000)]
    expected, table, spaces = Counter(words), WordTable(), np.where(np.arange(PLACES) == 32, 0, 1).astype(np.uint8)
    for part in (words[:7], words[7:31_000], words[31_000:], ["x" * 70_000]):
        data = bytes_of(" ".join(part))
        numbers, lengths = table.count_texts(data, np.array([len(data)]), spaces, np.zeros(0, dtype=bool))
        assert lengths.tolist() == [len(part)]
        assert table.words(numbers.astype(np.int64) - 1) == part
        assert (table.number_texts(data, np.array([len(data)]), spaces, np.zeros(0, dtype=bool))[0] == numbers).all()
    found = table.words(np.arange(table.size))
    assert found[-1] == "x" * 70_000 and found[:-1] == list(expected)
    assert table.counts.tolist() == [*expected.values(), 1]
    unseen = bytes_of("abca zz")
    assert table.find(unseen, np.array([0, 5]), np.array([1, 7])).tolist() == [found.index("a"), -1]


def test_words_that_share_their_first_bytes_or_end_in_nul_are_told_apart():
    words = [b"a", b"a\0", b"a\0\0", b"12345678", b"123456789", b"1234567", b"12345678\0", b"x" * 300, b"x" * 299 + b"y", b"x" * 301]
    data, ends, table = np.frombuffer(b"".join(words), np.uint8), np.cumsum([0, *map(len, words)]), WordTable()
    assert table.add(data, ends[:-1], ends[1:], np.arange(10, 20)).tolist() == list(range(10))
    assert table.counts.tolist() == list(range(10, 20))
    assert table.find(data, ends[:-1], ends[1:]).tolist() == list(range(10))


def test_words_of_one_hash_are_told_apart():
    """Every word is seated in a table whose hashes are all the same."""
    words = [f"{i:012d}".encode() for i in range(200)]
    data, ends, table = np.frombuffer(b"".join(words), np.uint8), np.arange(201) * 12, WordTable()
    slots, hashes, places, arena, _ = table._state
    for word in range(200):
        first, _ = word_table._hash(data, ends[word], ends[word + 1])
        slot = word_table._seat(data, ends[word], ends[word + 1], first, np.uint64(7), slots, places, arena)
        assert slots[slot, 1] == 0
        word_table._seal(data, ends[word], ends[word + 1], first, np.uint64(7), slot, word, slots, hashes, places, arena)
    for word in range(200):
        first, _ = word_table._hash(data, ends[word], ends[word + 1])
        slot = word_table._seat(data, ends[word], ends[word + 1], first, np.uint64(7), slots, places, arena)
        assert int(slots[slot, 1]) & 0xFFFFFFFF == word + 1


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


@given(
    texts=st.lists(
        st.text(alphabet=st.one_of(st.characters(), st.sampled_from("aB'’ß İΣσς王国的雨，。\u200d❤️\n\r\t _9é")), max_size=40), max_size=4
    )
)
@pytest.mark.parametrize("kind", ["word", "whitespace"])
def test_few_words_are_cut_as_many_are(kind, texts):
    """What needs no compiled code and what is compiled: the same ids, borders and spellings."""
    config = Config(kind=kind, vocab_size=0, lowercase=kind == "word")
    words = learn(iter(["the cat’s rain 王国 的 雨 ß ❤️ don't ' _9", *texts]), config)
    few, many = Words(config, words.tokens, words.words), Words(config, words.tokens, words.words)
    many._few.takes(["x" * (LITTLE + 1)])
    assert few._few.takes(()) and not many._few.takes(())
    (ids, lengths), (expected, expected_lengths) = few.encode_flat(texts), many.encode_flat(texts)
    assert ids.tolist() == expected.tolist() and lengths.tolist() == expected_lengths.tolist()
    for text in texts:
        assert few.encode_offsets(text)[1] == many.encode_offsets(text)[1]
    chosen = np.arange(len(ids)) % 2 == 0
    assert few.spellings(texts, chosen) == many.spellings(texts, chosen)


def test_the_class_of_a_character_is_that_of_the_table():
    codes = [*range(0x3100), *range(0x3100, 0x110000, 97)]
    assert [class_of(code) for code in codes] == word_classes()[codes].tolist()


@given(
    texts=st.lists(
        st.text(st.one_of(st.characters(exclude_characters="ΣİΣ"), st.sampled_from("ab'王国雨， \n\t<unk>")), max_size=30), max_size=3
    )
)
@pytest.mark.parametrize(("kind", "cutter"), [("word", "rjieba"), ("word", "given"), ("whitespace", "auto")])
def test_each_text_is_given_back_as_alone(kind, cutter, texts):
    tokenizer = train(iter(["a b王国的雨，ab ' a", *texts[:1]]), Config(kind=kind, vocab_size=0, lowercase=kind == "word", words=cutter))
    assert tokenizer.give_back_each(texts) == [tokenizer.give_back([text]) for text in texts]


@given(text=st.text(st.sampled_from("ab王🙂\u3000\u00a0 \t\n\r\0\x0b"), max_size=8))
def test_text_is_spaced_once_as_its_tokens_are_joined(text):
    assert spaced_once(text) == " ".join(re.findall("[^\0\t\n\r ]+", text))
