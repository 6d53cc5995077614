"""What a masked language model is shown of a text: words whole, nothing else altered, in any script."""

from pathlib import Path

import pytest

from stemma.checkpoint import RunFolder
from stemma.errors import UsageError
from stemma.evaluation.report import mask_page
from stemma.runs.masks import MaskedText, Masks
from stemma.tokens.chinese import segmenter, word_spans
from stemma.tokens.scripts import is_han
from stemma.tokens.tokenizer import Config, train

EXAMPLE = "使用语言模型来预测下一个词的probability。"  # Cui 2019, table 1
TEXTS = [
    EXAMPLE,
    "2019年10月,GPT-2在３台機器上跑了1.5天！",
    "繁體中文也要整詞遮罩，「預訓練」即是一例。",
    "𠮷野家的𪚥龘字😀不在vocabulary里，但它們不能丟",
    "今天天气很好我们一起去公园看花吧",  # 16 characters without punctuation are not one word
    "Don't mask half of an unbelievable word, İstanbul.",
    "한국어 かな",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of bert-wwm as it is begun: its settings, and a tokenizer that lacks some characters and most English words."""
    path = tmp_path_factory.mktemp("run")
    learnt = [EXAMPLE, TEXTS[4], "the a an of to in is mask half word 繁體中文也要整詞遮罩，「預訓練」即是一例。" * 3]
    train(iter(learnt * 3), Config("wordpiece", 120)).save(path / "tokenizer.json")
    sections = {"objective": {"units": "words", "mask_share": 0.4}, "model": {"max_length": 64}}
    RunFolder.create(path, {"identity": {"generation": "bert-wwm"}, "sections": sections})
    return path


def masked(folder: Path, **options) -> list[MaskedText]:
    return [text for seed in range(12) for text in Masks.open(folder, **options).of(TEXTS, seed)]


def test_a_word_is_masked_whole_or_not_at_all(folder: Path) -> None:
    halves = {
        units: sum(0 < sum(text.labels[place] is not None for place in word) < len(word) for text in found for word in text.words)
        for units, found in ((units, masked(folder, settings=[f"units={units}"])) for units in ("words", "ngrams", "pieces"))
    }
    assert halves["words"] == halves["ngrams"] == 0 < halves["pieces"]


def test_words_are_the_segmenters_and_no_character_is_lost(folder: Path) -> None:
    for text in masked(folder)[: len(TEXTS)]:
        spans = [(text.spans[word[0]][0], text.spans[word[-1]][1]) for word in text.words]
        assert "".join(text.text[start:end] for start, end in spans) == "".join(text.text.split())
        assert "".join(part for word in text.words for part, _ in text.stretches(word)) == "".join(text.text.split())
        theirs, ours = ([span for span in own if is_han(text.text[span[0]])] for own in (word_spans(text.text, segmenter("rjieba")), spans))
        assert ours == theirs and all(end - start <= 4 for start, end in ours)
    example = [EXAMPLE[text.spans[w[0]][0] : text.spans[w[-1]][1]] for text in masked(folder)[:1] for w in text.words]
    assert example == ["使用", "语言", "模型", "来", "预测", "下", "一个", "词", "的", "probability", "。"]


def test_text_is_never_altered_but_at_masks(folder: Path) -> None:
    found = masked(folder)
    for text in found:
        plain = next(other for other in Masks.open(folder, ["mask_share=0.001"]).of([text.text]))  # one word is masked at least
        own = [label or read for label, read in zip(text.labels, text.reads, strict=True)]
        assert own == [label or read for label, read in zip(plain.labels, plain.reads, strict=True)]
    became = [text.became(place) for text in found for place in range(len(text.labels)) if text.labels[place] is not None]
    assert {"hidden", "drawn", "kept"} == set(became)
    assert any("[UNK]" in filter(None, text.labels) for text in found)  # a word outside the vocabulary may be predicted, in its place


def test_long_texts_come_in_parts_and_empty_ones_not_at_all(folder: Path) -> None:
    parts = list(Masks.open(folder).of(["", "天气很好" * 30, " "]))
    assert [len(part.labels) for part in parts] == [62, 58]


def test_the_page_shows_words_above_what_is_read(folder: Path) -> None:
    shown = mask_page.page(masked(folder)[: len(TEXTS)])
    assert shown.count("<section>") == len(TEXTS) and '<span class="token hidden" title="to predict: ' in shown and "<b>𠮷</b>" in shown


def test_what_masks_nothing_is_refused(tmp_path: Path) -> None:
    for name, config, mend in (("a", {}, "one of these: bert, bert-wwm"), ("b", {"task": {}}, "the run that it was made from")):
        RunFolder.create(tmp_path / name, {"identity": {"generation": "gpt"}, "sections": {}, **config})
        with pytest.raises(UsageError, match=mend):
            Masks.open(tmp_path / name)


def test_a_run_that_masked_nothing_says_what_to_set(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"write --set objective\.mask_share"):
        Masks.open(folder, ["objective.mask_share=0"])
