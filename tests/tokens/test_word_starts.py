"""Which tokens begin a word: the stored bits against a plain restatement from offsets, for every kind and both languages."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokens_texts import CHINESE, ENGLISH, ODD, SUBWORD, TEXTS, config

from stemma.corpus.document import Document
from stemma.errors import UsageError
from stemma.tokens.build import build, build_once
from stemma.tokens.chinese import GIVEN, Segmenter, segmenter
from stemma.tokens.scripts import APOSTROPHE, HAN, MARK, SEPARATOR, WORD, word_classes
from stemma.tokens.store import TokenStore
from stemma.tokens.tokenizer import Config, Tokenizer, train

HARD = [
    "Don't  stop—5€ a day, naïve 语言模型’s Über-Test",
    "研究生命的起源GPT-2是2019年",
    "𠀀𠀁的发展 zzyzx龘龘 👩‍👩‍👧❤️!",
    "İstanbul ΟΔΟΣ ﬁne ½ 한국어",
]
HARD += [
    " lead",
    "trail ",
    "x\u200by 我\u200b们",
    "a\n 我们\nb",
    "e\u0301te\u0301 ẞ",
    "'tis rock'n'roll’",
    "\u3000全角\u3000空格",
    "[UNK] <unk> ##a ▁b",
]
WORDY = ("char", *SUBWORD)
some_text = st.one_of(
    st.sampled_from(CHINESE + ENGLISH + HARD + ODD), st.text("语言模型龘 ab1',。€é\u0301👩\u200d\n", max_size=30), st.text(max_size=20)
)
some_text = some_text.filter(lambda text: not any(0xD800 <= ord(c) < 0xE000 for c in text))


def plain_words(text: str, words: Segmenter) -> list[tuple[int, int]]:
    """The words' places, character by character."""
    kinds = [int(word_classes()[ord(c)]) for c in text]
    cut, at = set(), 0
    for line in text.split("\n"):
        for piece in words.cut(line) if words.cut else []:
            cut.add(at)
            at += len(piece)
        at += 1
    spans, i = [], 0
    while i < len(text):
        begin, kind = i, kinds[i]
        i += 1
        if kind == SEPARATOR:
            continue
        if kind in (WORD, MARK):
            while i < len(text) and (
                kinds[i] in (WORD, MARK) or (kinds[i] == APOSTROPHE and kinds[i + 1 : i + 2] and kinds[i + 1] in (WORD, MARK))
            ):
                i += 1
        elif kind == HAN:
            while i < len(text) and (kinds[i] == MARK or (kinds[i] == HAN and i not in cut)):
                i += 1
        else:
            joined = False
            while i < len(text) and (kinds[i] == MARK or (joined and kinds[i] not in (WORD, HAN, SEPARATOR))):
                joined = kinds[i] == MARK
                i += 1
        spans.append((begin, i))
    return spans


def plain_starts(tokenizer: Tokenizer, text: str) -> list[bool]:
    """A token is a start when it is the first to reach into a word, or into the white space before it."""
    begins = [0, *(end for _, end in plain_words(text, tokenizer.segmenter)[:-1])]
    starts, reached = [], 0
    for _, end in tokenizer.encode_offsets(text)[1]:
        end = max(end, reached, 1)
        starts.append(any(reached <= begin < end for begin in begins))
        reached = end
    return starts


@pytest.fixture(scope="module")
def lowered() -> dict[str, Tokenizer]:
    """The kinds that can, in lower case."""
    return {kind: train(iter(TEXTS), config(kind, lowercase=True)) for kind in ("char", "wordpiece", "unigram")}


@pytest.mark.parametrize("kind", WORDY)
@given(texts=st.lists(some_text, max_size=4))
def test_starts_are_those_of_offsets(tokenizers, lowered, kind, texts):
    for tokenizer in (tokenizers[kind], *([lowered[kind]] if kind in lowered else [])):
        ids, lengths, starts = tokenizer.encode_words(texts)
        np.testing.assert_array_equal(ids, tokenizer.encode_flat(texts)[0])
        assert starts is not None and len(starts) == len(ids) == lengths.sum()
        assert starts.tolist() == [start for text in texts for start in plain_starts(tokenizer, text)]


@pytest.mark.parametrize("kind", WORDY)
@pytest.mark.parametrize("text", [*ENGLISH, *CHINESE, "the mill 语言模型 GPT"])
def test_what_a_start_opens_is_a_whole_word(tokenizers, kind, text):
    """Tokens from one start to the next cover whole words: no word is in two groups, but for tokens that reach beyond it."""
    tokenizer = tokenizers[kind]
    _, spans = tokenizer.encode_offsets(text)
    starts = tokenizer.encode_words([text])[2]
    group = np.cumsum(starts)
    for begin, end in plain_words(text, tokenizer.segmenter):
        inside = [i for i, (a, b) in enumerate(spans) if begin <= a < b <= end]
        assert len({group[i] for i in inside}) <= 1


def starts_of(tokenizer: Tokenizer, text: str) -> str:
    """The tokens, with a bar before each that begins a word."""
    ids, _, starts = tokenizer.encode_words([text])
    return "".join(f"{'|' if start else ' '}{tokenizer.token(i)}" for i, start in zip(ids.tolist(), starts, strict=True))


def test_chinese_words_span_their_characters(tokenizers):
    assert starts_of(tokenizers["wordpiece"], "我们使用语言模型") == "|我 们|使 用|语 言|模 型"
    assert starts_of(tokenizers["char"], "GPT-2是2019年 的") == "|G P T|-|2|是|2 0 1 9|年|▁ 的"


def test_unknown_words_keep_their_place(tokenizers):
    assert starts_of(tokenizers["wordpiece"], "the 龘 mill zzЖ don't") == "|the|[UNK]|mill|[UNK]|d ##on ' t"


def test_words_given_by_spaces_are_the_runs():
    spaced = ["研究生命 的 起源 在 图书馆", "我们 使用 语言模型"] * 60
    tokenizer = train(iter(spaced), config("wordpiece"))
    assert tokenizer.segmenter is GIVEN
    assert starts_of(tokenizer, "研究生命 的 起源") == "|研 究 生 命|的|起 源"
    learnt = train(iter(spaced), config("wordpiece", words="rjieba"))
    assert learnt.segmenter.name == "rjieba" and learnt.fingerprint != tokenizer.fingerprint


def test_words_of_whitespace_tokens_cannot_be_chosen():
    with pytest.raises(UsageError, match="drop words"):
        Config("whitespace", words="rjieba")


@pytest.mark.parametrize("kind", ["word", "whitespace", *WORDY])
def test_the_store_keeps_the_starts(tokenizers, documents, kind, tmp_path):
    tokenizer = tokenizers[kind]
    documents = [*documents, Document(tuple(HARD), "hard")]
    store = build(documents, tokenizer, tmp_path / "store", shard_characters=70)
    sentences = [sentence for document in documents for sentence in document.sentences]
    adjoining = [flag for document in documents for flag in document.adjoining]
    starts = tokenizer.encode_words(sentences, adjoining)[2]
    expected = np.ones(len(store.ids), bool) if starts is None else starts
    assert store.word_starts().dtype == bool and store.word_starts().tolist() == expected.tolist()
    assert store.word_starts()[store.sentence_starts[:-1]].all()
    for first, last in ((0, 0), (3, 4), (7, 17), (8, 16), (15, len(store.ids)), (len(store.ids), len(store.ids))):
        assert store.word_starts(first, last).tolist() == expected[first:last].tolist()
    assert (len(store.word_bits) == 0) == (kind in ("word", "whitespace"))
    assert store.header["segmenter"]["name"] == ("given" if kind == "whitespace" else "rjieba")


def test_another_segmenter_makes_another_store(tokenizers, documents, tmp_path):
    kept = tokenizers["wordpiece"]
    kept.save(tmp_path / "tokenizer.json")
    other = Tokenizer.load(tmp_path / "tokenizer.json")
    other.segmenter = other._engine.words = Segmenter("rjieba", "another", segmenter("rjieba").cut)
    first = build_once(lambda: documents, kept, tmp_path / "store", "text").header
    second = build_once(lambda: documents, other, tmp_path / "store", "text").header
    assert first["tokenizer"] != second["tokenizer"] and second["segmenter"]["version"] == "another"


def test_bits_of_a_wrong_size_are_refused(tokenizers, documents, tmp_path):
    import json

    from stemma.errors import DataError
    from stemma.tokens.files import SEAL, write_sealed

    path = build(documents, tokenizers["bpe"], tmp_path / "store").path
    (path / "words.bin").write_bytes(b"\1")
    header = json.loads((path / "header.json").read_text(encoding="utf-8"))
    header["files"]["words.bin"]["bytes"] = 1
    write_sealed(path / "header.json", {key: value for key, value in header.items() if key != SEAL})
    with pytest.raises(DataError, match=r"words\.bin.*delete the folder"):
        TokenStore.open(path)
