"""Chinese words with their places: what whole-word masking groups by."""

import pickle
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokens_texts import CHINESE, ENGLISH, ODD

from stemma.errors import DataError, UsageError
from stemma.tokens.chinese import (
    GIVEN,
    Segmenter,
    are_characters,
    chosen,
    described,
    has_chinese,
    is_given,
    rejoined,
    segmenter,
    spoken,
    word_spans,
)
from stemma.tokens.scripts import HAN, SEPARATOR, codes_of, inner_classes
from stemma.tokens.tokenizer import Config, Tokenizer, train

MIXED = "使用语言模型来预测下一个词的probability。GPT-2 是2019年的，iPhone 12 naïve！"


def spans_of(text: str, name: str = "rjieba") -> list[str]:
    return [text[start:end] for start, end in word_spans(text, segmenter(name))]


def test_a_word_is_a_segmenters_word_within_a_run_of_one_type():
    assert " ".join(spans_of(MIXED)) == "使用 语言 模型 来 预测 下 一个 词 的 probability 。 GPT - 2 是 2019 年 的 ， iPhone 12 naïve ！"


def test_given_words_are_the_runs():
    assert spans_of("研究生命 的 起源。don't", "given") == ["研究生命", "的", "起源", "。", "don", "'", "t"]


@given(text=st.one_of(st.sampled_from(CHINESE + ENGLISH + ODD), st.text("语言模型 ab1,。\n👩\u0301", max_size=30), st.text(max_size=30)))
def test_spans_cover_every_visible_character_once(text):
    spans = word_spans(text, segmenter("rjieba"))
    assert spans == sorted(spans) and all(end <= start for (_, end), (start, _) in pairwise(spans))
    covered = {i for start, end in spans for i in range(start, end)}
    assert covered == {i for i, kind in enumerate(inner_classes()[codes_of(text)]) if kind != SEPARATOR}


@pytest.mark.parametrize("text", [MIXED, *CHINESE])
def test_spans_are_the_segmenters_words_or_finer(text):
    import rjieba

    theirs = {place for _, start, end in rjieba.tokenize(text) for place in (start, end)}
    for start, end in word_spans(text, segmenter("rjieba")):
        if inner_classes()[ord(text[start])] == HAN:
            inside = {place for place in theirs if start < place < end}
            assert not inside


def test_any_callable_may_cut():
    pairs = Segmenter("pairs", "1", lambda line: [line[i : i + 2] for i in range(0, len(line), 2)])
    assert [MIXED[a:b] for a, b in word_spans(MIXED[:7], pairs)] == ["使用", "语言", "模型", "来"]


def test_every_line_is_cut_on_its_own():
    text = "\n".join(CHINESE + ENGLISH + CHINESE)
    expected = [word for line in text.split("\n") for word in spans_of(line)]
    assert spans_of(text) == expected


def test_chinese_is_written_together_and_the_rest_apart():
    assert spoken(["我们", "用", "GPT", "-", "2", "，", "ok", "“", "语言"]) == "我们用 GPT - 2，ok “ 语言"
    assert spoken([]) == "" and spoken(["the", "mill"]) == "the mill" and spoken(["", "a"]) == " a"


REJOINED = [
    (["我", "爱", "GPT", "2", "!"], False, "我爱 GPT 2 !"),
    (["张", "三", "在", "I", "B", "M", "，", "1", "9"], True, "张三在IBM，19"),
    (["用", "iPhone", "X", "拍", "😀", "a"], True, "用iPhone X拍😀a"),
    (["Ann", "'s", "dog", "😀"], False, "Ann 's dog 😀"),
    (["“", "北京", "”", "beats"], False, "“ 北京 ” beats"),
    (["one"], False, "one"),
    (["一"], True, "一"),
    ([], False, ""),
    ([], True, ""),
]


@pytest.mark.parametrize(("tokens", "characters", "text"), REJOINED)
def test_rejoined_text_and_the_place_of_each_token(tokens, characters, text):
    found, spans = rejoined(tokens, characters)
    assert found == text
    assert [found[start:end] for start, end in spans] == tokens


def test_texts_of_single_characters_are_known():
    assert are_characters(["张", "三", "G", "iPhone", "，"])
    assert not are_characters(["张三", "笑"])
    assert not are_characters(["a", "b"])
    assert not are_characters([])


TERMS = ["循环神经网络 自然语言处理 机器学习 支持向量机", "深度学习 数据 循环神经网络 的 人工智能", "人工智能 机器学习 支持向量机 研究"]
POEM = ["连甍遥接汉 飞观迥凌虚", "云日隐层阙 风烟出绮疏", "岩廊罢机务 崇文聊驻辇", "玉匣启龙图 金绳披凤篆"]


@pytest.mark.parametrize(
    ("texts", "given"),
    [
        (TERMS, True),  # longer than most words, but they recur
        (["我们 使用 语言 模型 ， 它 预测 下 一个 词 。", "今天 天气 很 好 ！"], True),
        (["我们 use 语言 模型 in Python 来 预测"], True),
        (["我们使用语言模型，它预测下一个词。", "今天天气很好！"], False),
        (["红、黄、蓝、绿、白"], False),  # short runs, which no space parts
        (["日本語の文を書くのは楽しい。今日は天気が良い。"], False),
        (["the 猫 sat on a mat"], False),
    ],
)
def test_words_are_given_where_spaces_part_them(texts, given):
    assert is_given(texts * 60) is given
    assert not is_given(texts[:1])  # too little to judge by


def test_clauses_that_spaces_part_are_no_words():
    verses = [line.replace(" ", chr(0x4E00 + n) + " ") + chr(0x5E00 + n) for n, line in enumerate(POEM * 40)]
    assert not is_given(verses)


def test_a_dictionary_adds_words_and_goes_with_the_tokenizer(tmp_path):
    text, file = "隔壁老王头在云计算平台上跑大语言模型", tmp_path / "words.txt"
    file.write_text("\ufeff老王头\n\n云计算平台 nz\r\n大语言模型 5 n\n", encoding="utf-8")
    tokenizer = train(iter([text] * 9), Config("wordpiece", 60, dictionary=str(file)))
    file.unlink()
    tokenizer.save(tmp_path / "tokenizer.json")
    for one in (tokenizer, Tokenizer.load(tmp_path / "tokenizer.json"), pickle.loads(pickle.dumps(tokenizer))):
        starts = np.flatnonzero(one.encode_words([text])[2]).tolist()
        assert [text[a:b] for a, b in pairwise([*starts, len(text)])] == ["隔壁", "老王头", "在", "云计算平台", "上", "跑", "大语言模型"]
    assert "rjieba and a dictionary" in described(tokenizer.segmenter) and tokenizer.segmenter.as_json()["added"][2] == ("大语言模型", 5)
    assert word_spans(text, segmenter("rjieba"))[1] == (2, 4)  # others are not changed by it


@pytest.mark.parametrize(
    ("content", "wrong"),
    [
        (b"\xb0\xa1", "is not UTF-8"),
        (b"\n \n", "has no word"),
        ("词 3 n 5".encode(), "line 1: '词 3 n 5' is no entry"),
        (None, "No such file"),
    ],
)
def test_what_is_no_dictionary_is_refused(tmp_path, content, wrong):
    if content is not None:
        (tmp_path / "words.txt").write_bytes(content)
    with pytest.raises(DataError, match=wrong):
        chosen("auto", [], str(tmp_path / "words.txt"))
    with pytest.raises(UsageError, match="drop dictionary"):
        Config("wordpiece", words="given", dictionary="words.txt")


def test_what_was_chosen_is_told_with_the_setting_that_changes_it():
    assert "tokenizer.words=given" in described(chosen("auto", TERMS * 60)) and chosen("auto", TERMS * 60) is GIVEN
    assert "cut by rjieba (tokenizer.words=rjieba); tokenizer.words=given" in described(chosen("auto", POEM))
    assert has_chinese("a 猫") and has_chinese("〇𠀀") and not has_chinese("the cat, かな 🙂")
