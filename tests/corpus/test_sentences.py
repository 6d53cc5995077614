"""Sentence splitting: English, Chinese, mixed; nothing but white space is lost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stemma.corpus.sentences import borders, pieces, sentences

ENGLISH = [
    "He left. | She stayed! | Why? | Nobody knows.",
    "Mr. Smith and Mrs. Jones met Dr. Brown in St. Louis. | They talked.",
    "J. R. Kennedy wrote it. | T. S. Eliot did not.",
    "The U.S. Army came at 4 p.m. | The rest came later.",
    "It costs $3.50, or 2.7 euros. | That is 99.9 percent.",
    "See Fig. 3 and Eq. 12 of vol. 2. | No. | No. 7 is missing.",
    'He cried "Stop!" and ran. | "Go on," she said. | "I will not."',
    "“What!” said he. | “You here?” | He sat down.",
    "Well... I think so. | But wait... | Nothing came.",
    "Use e.g. a list, i.e. many items, etc. and stop.",
    "Acme Inc. makes anvils. | Acme Inc. | The end.",
    "It was late. | (He slept.) | Everyone slept.",
    "CHAP. IV. | The start. | He ran. | `Mr. Fox did.´",
    'He asked why. "',
    "numpy.array is a function. | It returns an array.",
    "He has a Ph.D. in physics. | So do I.",
    "lower case follows. so this is one sentence.",
    "It ended in 1999. | 2000 was better.",
]
CHINESE = [
    "他来了。 | 她走了！ | 为什么？ | 没人知道。",
    "“你好。” | “再见！” | 天黑了。",
    "“你是谁？”他问。 | “我是小王。”",
    "他说：“我不知道。” | 然后走了。",
    "「好的。」 | 『行。』 | 走吧。",
    "我……我不知道。 | 算了吧……",
    "（他笑了。） | 她没有。",
    "他说：“好。“",
    "真的？！ | 是的。",
    "红的、绿的；黄的，都有。",
    "版本 3.14 已发布。 | 下载 v2.0 吧！",
    "价格是 5.6 元。 | 便宜吗? | 不便宜。",
]
MIXED = [
    "我用 Linux。 | It works. | 很好！",
    "Upscayl 使用 Python 和 JavaScript 开发。 | Mr. Wang 说好。 | Yes!",
    "😀 好的。 | 😀 Fine. | 👍",
]


@pytest.mark.parametrize(("marked", "space"), [*((marked, " ") for marked in ENGLISH + MIXED), *((marked, "") for marked in CHINESE)])
def test_splits_where_a_reader_would(marked: str, space: str) -> None:
    expected = marked.split(" | ")
    assert sentences(space.join(expected)) == expected


def test_list_numbers_stay_with_their_item() -> None:
    assert sentences("1. Introduction to it. 2. The method.") == ["1. Introduction to it.", "2. The method."]


def test_a_long_chinese_clause_ends_at_its_semicolon() -> None:
    clause = "粮食仓库和场院掌管交纳的官吏不得收取额外的钱物" * 3
    assert sentences(f"{clause}；{clause}。") == [f"{clause}；", f"{clause}。"]


@pytest.mark.parametrize("text", ["", " ", "\n\t", ".", "。", "a", "中", "...", "……", "“", '"', ". .", "! ?"])
def test_odd_texts_give_what_they_hold(text: str) -> None:
    assert " ".join(sentences(text)).split() == text.split()


TEXTS = st.text(alphabet=st.sampled_from("abZI中国人 .!?…。！？；”“\"')」\t\n　é5"), max_size=200)


@given(TEXTS | st.text(max_size=100))
def test_only_white_space_is_lost(text: str) -> None:
    found = sentences(text)
    assert "".join("".join(found).split()) == "".join(text.split())
    assert all(sentence == sentence.strip() and sentence for sentence in found)


@given(TEXTS)
def test_borders_are_in_order_and_hold_white_space(text: str) -> None:
    text = text.strip()
    at = 0
    for stop, start in borders(text):
        assert at < stop <= start < len(text)
        assert not text[stop:start].strip()
        at = start


@given(TEXTS, st.integers(1, 30))
def test_pieces_keep_every_word_and_the_limit(text: str, limit: int) -> None:
    found = list(pieces(text.strip(), limit))
    assert all(len(piece) <= limit for piece in found)
    assert "".join("".join(found).split()) == "".join(text.split())


def test_an_endless_sentence_is_cut_at_a_space_or_a_comma() -> None:
    assert list(pieces("aaaa bbbb cccc", 10)) == ["aaaa bbbb", "cccc"]
    assert list(pieces("一二三四，五六七八", 6)) == ["一二三四，", "五六七八"]
    assert list(pieces("a" * 25, 10)) == ["a" * 10, "a" * 10, "a" * 5]
