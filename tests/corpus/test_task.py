"""Labelled TSV files: columns by name, and every fault reported with its line and cure."""

import gzip
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stemma.corpus.choices import given_choices, read_choices
from stemma.corpus.questions import given_questions, read_questions
from stemma.corpus.task import Example, given_examples, read_examples
from stemma.errors import DataError
from stemma.evaluation.measures.minimal_files import read_minimal_pairs


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


def test_what_no_reader_sees_is_taken_out_and_counted(tmp_path: Path) -> None:
    path = put(tmp_path, "label\ttext\n1\ta\x00 b\x07\n0\t\x00中\x00文\n")
    with pytest.warns(UserWarning, match=r"taken out of \S*t\.tsv, since no reader sees them: 3 NUL, 1 control characters"):
        assert [example.text for example in read_examples(path)] == ["a b", "中文"]


ESCAPED = r"x\u0000y\ud800 cat"  # in JSON: a NUL, and half of a pair of surrogates, which is no text


@pytest.mark.parametrize(
    ("read", "line"),
    [
        (read_examples, r'{"label": "a\u0007", "text": "%s"}' "\n" '{"label": "b", "text": "dog"}'),
        (read_choices, r'{"label": 1, "context": "%s", "choices": ["a\u0007b", "c"]}'),
        (read_questions, r'{"question": "w\u0007?", "context": "%s", "answers": {"text": ["cat"], "answer_start": [3]}}'),
        (lambda path: read_minimal_pairs([path]), r'{"field": "f", "sentence_good": "%s", "sentence_bad": "a\u0007b"}'),
    ],
)
def test_what_escapes_of_json_spell_is_taken_out_and_counted_too(tmp_path: Path, read: Callable[[Path], list], line: str) -> None:
    path = put(tmp_path, line % ESCAPED)
    with pytest.warns(UserWarning, match="since no reader sees them") as told:
        found = repr(read(path))
    counts = str(told[0].message).partition("them: ")[2].split(", ")
    assert sorted(counts) == ["1 NUL", "1 control characters", "1 lone surrogates"]
    assert "'xy cat'" in found and not re.search(r"\\x0|\\ud8", found)


FORMS = {
    "csv": 'label,text\n好,"今天, 天气 ""很"" 好"\n\nbad,"two\nlines"\n',
    "csv with columns turned": '"text","label"\n"今天, 天气 ""很"" 好",好\ntwo lines,bad\n',
    "json": '{"label": "好", "text": "今天, 天气 \\"很\\" 好"}\n\n{"text": "two\\nlines", "label": "bad"}\n',
    "fasttext": '__label__好 今天, 天气 "很" 好\n\n__label__bad two lines\n',
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_the_same_examples_in_every_form(tmp_path: Path, form: str, encoding: str) -> None:
    found = read_examples(put(tmp_path, FORMS[form].encode(encoding)))
    assert [(one.label, one.text) for one in found] == [("好", '今天, 天气 "很" 好'), ("bad", "two lines")]
    assert [one.source.rpartition(":")[2] for one in found][1] == {"csv": "4", "csv with columns turned": "3"}.get(form, "3")


def test_several_labels_in_fasttext_and_json(tmp_path: Path) -> None:
    marked = read_examples(put(tmp_path, "__label__a __label__b both\n__label__a one\nnone\n"))
    assert [(one.label, one.text, one.several) for one in marked] == [("a|b", "both", True), ("a", "one", True), ("", "none", True)]
    objects = read_examples(put(tmp_path, '{"labels": ["a", "b"], "text": "both"}\n{"labels": [], "text": "none"}\n'))
    assert [(one.label, one.several) for one in objects] == [("a|b", True), ("", True)]
    lists = read_examples(put(tmp_path, '{"text": "both", "Label": ["a", "b"]}\n{"text": "one", "Label": ["体育"]}\n'))
    assert [(one.label, one.several) for one in lists] == [("a|b", True), ("体育", True)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"the file is empty.*give it the header"),
        ("label\ttext\n", r"no example follows the header.*below line 1"),
        ("1\tgood\n0\tbad\n", r"line 1: no column 'label' and 'text' in '1\\tgood'.*add that header"),
        ("label|text\n1|good\n", r"no column 'label' and 'text' in 'label\|text'.*rename the columns"),
        ('label,text\n1,"good, bad"\n0,one, two\n', r"line 3: 3 cells.*put quotes round a text with commas"),
        ('label,text\n1,good\n0,"bad" x\n', r"line 3: .*cells with ',' between them"),
        ('{"label": "1", "text": "good"}\n{"label": "0"}\n', r"line 2: not the keys of the first line \(differing: text\)"),
        ('{"label": "1", "text": "good"}\n[1]\n', r"line 2: list.*JSON object"),
        ('{"label": "1", "text": "good"}\n{"label": null, "text": "x"}\n', r"line 2: 'label' is null.*write it as text"),
        ('{"label": 1.0, "text": "good"}\n{"label": NaN, "text": "x"}\n', r"line 2: 'label' is NaN.*write it as text"),
        ('{"label": "1", "text": "good"}\n{"label\n', r"line 2: .*mend the line"),
        ("__label__1 good\n__label__0\n", r"line 2: the cell 'text' is empty"),
        ("label\tbody\n1\tgood\n", r"no column 'text'.*rename the columns"),
        ("label\ttext\n1\tgood\n0\tbad\tworse\n", r"t.tsv, line 3: 3 cells\. Expected: 2 cells.*tab inside a text as a space"),
        ("label\ttext\n1\tgood\n0 bad\n", r"line 3: 1 cell.*fill in the others"),
        ("label\ttext\n1\tgood\n\tbad\n", r"line 3: the cell 'label' is empty.*fill it in"),
        ("label\ttext\n1\tgood\n0\t \n", r"line 3: the cell 'text' is empty"),
        ("label\ttext\n1\tgood\n", r"the only example has the label '1'"),
        ("label\ttext\n1\tgood\n1\tbad\n", r"all 2 examples have the label '1'.*check the label column"),
    ],
)
def test_faults_are_reported_with_their_cure(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
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


@pytest.mark.parametrize(
    "given",
    [
        [("a", "one", "two"), ("b", "three", "four")],
        [["a", "one", "two"], ["b", "three", "four"]],
        [{"label": "a", "text_a": "one", "text_b": "two"}, {"sentence2": "four", "Label": "b", "sentence1": "three"}],
    ],
)
def test_examples_of_a_program_in_every_form(given) -> None:
    found = given_examples(iter(given))
    assert [(one.label, one.text, one.text_b) for one in found] == [("a", "one", "two"), ("b", "three", "four")]


class Columns:
    """A data frame as far as Stemma knows one."""

    def __init__(self, **columns: list) -> None:
        self.columns = columns

    def to_dict(self, orient: str) -> list[dict]:
        """A mapping a row."""
        assert orient == "records"
        return [dict(zip(self.columns, row, strict=True)) for row in zip(*self.columns.values(), strict=True)]

    def __iter__(self) -> Iterator[str]:
        """The names of its columns, as of pandas'."""
        return iter(self.columns)


class OneColumn(list):
    """A column of one, which has `to_dict` too, and takes no orientation."""

    def to_dict(self) -> dict:
        """A mapping of all its values."""
        return dict(enumerate(self))


def test_a_data_frame_holds_examples() -> None:
    frame = Columns(text=["one", "二"], label=["a", "b"])
    assert [(one.label, one.text, one.several) for one in given_examples(frame)] == [("a", "one", False), ("b", "二", False)]
    choices = given_choices(Columns(label=[2], context=["the mill"], choices=[["reads", "turns"]]))
    assert [(one.context, one.candidates, one.right) for one in choices] == [("the mill", ("reads", "turns"), 1)]
    found = given_questions(Columns(question=["谁?"], context=["磨坊转动"], answers=[[{"text": "磨坊", "answer_start": 0}]]))
    assert [(one.question, one.passage) for one in found] == [("谁?", "磨坊转动")]
    with pytest.raises(DataError, match="example 0 is 'one'"):
        given_examples(OneColumn(["one", "two"]))
    for lacking, mend in ((float("nan"), "fill it in"), (None, "fill it in"), (3, r"write it as text: str\(…\)")):
        with pytest.raises(DataError, match=mend):
            given_examples(Columns(text=["one", "二"], label=["a", lacking]))
    several = given_examples([{"labels": ["a", "b"], "text": "both"}])[0]
    assert (several.label, several.several) == ("a|b", True)


@pytest.mark.parametrize("row", [("a",), {"label": "a"}, "a text", 5, ("a", "b", "c", "d"), ("a", float("nan")), (1, "text")])
def test_what_is_no_example_is_named(row) -> None:
    with pytest.raises(DataError, match=r"example 1 is|\[1\] is"):
        given_examples([("a", "one"), row])


def test_semicolons_part_cells_where_excel_writes_them(tmp_path):
    (tmp_path / "t.csv").write_text('label;text\na;"x; y, z"\nb;zwei, Worte\n', encoding="utf-8")
    assert [(example.label, example.text) for example in read_examples(tmp_path / "t.csv")] == [("a", "x; y, z"), ("b", "zwei, Worte")]
