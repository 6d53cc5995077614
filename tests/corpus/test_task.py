"""Labelled TSV files: columns by name, and every fault told with its line and cure."""

import gzip
from pathlib import Path

import pytest

from stemma.corpus.task import Example, read_examples
from stemma.errors import DataError


def put(folder: Path, text: str | bytes) -> Path:
    path = folder / "t.tsv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


@pytest.mark.parametrize("header", ["label\ttext", "Label\tSentence", " label \ttext_a"])
def test_single_texts(tmp_path: Path, header: str) -> None:
    path = put(tmp_path, f"{header}\n1\tA good film .\n0\t很糟糕。\n\n")
    assert read_examples(path) == [Example("A good film .", "1", "", f"{path}:2"), Example("很糟糕。", "0", "", f"{path}:3")]


@pytest.mark.parametrize("names", [("text_a", "text_b"), ("text1", "text2"), ("sentence1", "sentence2")])
def test_pairs_in_any_column_order(tmp_path: Path, names: tuple[str, str]) -> None:
    path = put(tmp_path, f"{names[1]}\tlabel\t{names[0]}\nB\tyes\tA\nD\tno\tC 😀\n")
    assert read_examples(path) == [Example("A", "yes", "B", f"{path}:2"), Example("C 😀", "no", "D", f"{path}:3")]


CHANGES = [lambda t: t.replace("\n", "\r\n"), lambda t: "\ufeff" + t, lambda t: t.rstrip("\n"), lambda t: t + "\n\n"]


@pytest.mark.parametrize("change", CHANGES)
def test_odd_files_give_the_same_examples(tmp_path: Path, change) -> None:
    text = "label\ttext\n1\ta b\n0\t中文\n"
    assert read_examples(put(tmp_path, change(text))) == read_examples(put(tmp_path, text))


def test_encodings_and_compression(tmp_path: Path) -> None:
    text = "label\ttext\n好\t今天天气很好，我们出去玩。\n坏\t这是一个很坏的天气。\n"
    assert read_examples(put(tmp_path, text.encode("gb18030")), encoding="gb18030")[0].label == "好"
    assert read_examples(put(tmp_path, gzip.compress(text.encode())))[1].label == "坏"
    with pytest.raises(DataError, match=r"t.tsv, line 2: byte 0xba.*Re-save it as UTF-8; its bytes look like gb18030"):
        read_examples(put(tmp_path, text.encode("gb18030")))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", r"the file is empty.*give it the header"),
        ("label\ttext\n", r"no example follows the header.*below line 1"),
        ("1\tgood\n0\tbad\n", r"line 1: no column 'label' and 'text' in '1\\tgood'.*add that header"),
        ("label,text\n1,good\n", r"commas and no tab.*TSV"),
        ("label\tbody\n1\tgood\n", r"no column 'text'.*rename the columns"),
        ("label\ttext\n1\tgood\n0\tbad\tworse\n", r"t.tsv, line 3: 3 cells\. Expected: 2 cells.*tab inside a text as a space"),
        ("label\ttext\n1\tgood\n0 bad\n", r"line 3: 1 cell.*one tab each"),
        ("label\ttext\n1\tgood\n\tbad\n", r"line 3: the cell 'label' is empty.*fill it in"),
        ("label\ttext\n1\tgood\n0\t \n", r"line 3: the cell 'text' is empty"),
        ("label\ttext\n1\tgood\n1\tbad\n", r"all 2 examples have the label '1'.*check the label column"),
    ],
)
def test_faults_are_told_with_their_cure(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(DataError, match=told):
        read_examples(put(tmp_path, text))


def test_one_label_is_enough_to_measure_on(tmp_path: Path) -> None:
    assert len(read_examples(put(tmp_path, "label\ttext\n1\tgood\n"), min_labels=1)) == 1


def test_columns_not_used_are_named(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="columns not used: idx"):
        read_examples(put(tmp_path, "idx\tlabel\ttext\n7\t1\tgood\n8\t0\tbad\n"))


def test_a_missing_file_suggests_the_nearest(tmp_path: Path) -> None:
    put(tmp_path, "label\ttext\n")
    with pytest.raises(DataError, match=r"no such file.*did you mean .*t\.tsv"):
        read_examples(tmp_path / "tt.tsv")


def test_real_tasks(shared_data: Path) -> None:
    assert len(read_examples(shared_data / "cls-en-sst2/dev.tsv")) == 872
    assert {example.label for example in read_examples(shared_data / "cls-zh-thucnews-titles/dev.tsv")} >= {"sports", "game"}
    assert read_examples(shared_data / "pair-zh-afqmc/dev.tsv")[0].text_b
