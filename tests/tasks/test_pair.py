"""The task `pair`: it is classify, and demands two texts."""

import pytest

from stemma.corpus.task import Example
from stemma.errors import DataError
from stemma.tasks.pair import Config, Pair

TASK = Pair(Config(symmetric=True))


def test_pairs_are_read_and_single_texts_refused(tmp_path):
    path = tmp_path / "p.tsv"
    path.write_text("label\ttext1\ttext2\n1\ta\tb\n0\t花呗\t借呗\n", encoding="utf-8")
    examples = TASK.read(path)
    assert TASK.targets(examples) == {"labels": ["0", "1"], "several": False, "pairs": True}
    assert all(text.symmetric and text.other for text in TASK.texts(examples))
    path.write_text("label\ttext\n1\ta\n0\tb\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"the header names one text.*`text_b`.*use the task classify"):
        TASK.read(path)


def test_examples_of_a_program_have_two_texts():
    assert len(TASK.given([("1", "a", "b"), Example("c", "0", "d")])) == 2
    with pytest.raises(DataError, match="example 1 has one text"):
        TASK.given([("1", "a", "b"), ("0", "c")])
