"""The embedded default: prose out of docstrings, nothing on both sides, the same files every time."""

import csv
import json
from collections import Counter
from pathlib import Path

import pytest

from stemma.corpus.docstrings import write_docstrings
from stemma.corpus.document import Ledger
from stemma.corpus.formats import Config
from stemma.corpus.prose import prose
from stemma.corpus.read import read
from stemma.corpus.task import read_examples
from stemma.errors import DataError

NUMPYDOC = """
Fit the :class:`~sklearn.svm.SVC` model to the *given* training data [1]_.

A kernel is a `function <https://x.org>`_ of two points; see
``decision_function`` for the values that it gives back.

.. versionadded:: 1.2
    Not a sentence that should be kept here.

.. note::
    This note is kept since it is a sentence like any other.

Parameters
----------
X : array-like of shape (n_samples, n_features)
    The data to fit, one row for every sample.
y, z : None
    Ignored by this method but kept for consistency.

Returns
-------
self
    The fitted estimator is given back to the caller.

See Also
--------
other : This entry stands in a list of references only.

Examples
--------
>>> fit(1)
This is the output of a doctest and not prose.

The following lines are an example of some code::

    This is not prose because it is code.

References
----------
.. [1] Somebody, A book that should not be kept here.
"""
GOOGLE = """Loads the module from a file.

Args:
    path (str): The path of the file that holds the module.
    strict: whatever

Returns:
    The module that has been read from the file.

- The first bullet is a whole sentence too.
- The second bullet goes on
  over two lines of text.

| a | b |
+---+---+
"""


def test_prose_of_numpy_docstrings() -> None:
    assert prose(NUMPYDOC) == [
        "Fit the SVC model to the given training data.",
        "This note is kept since it is a sentence like any other.",
        "The data to fit, one row for every sample.",
        "Ignored by this method but kept for consistency.",
        "The fitted estimator is given back to the caller.",
    ]  # and not the sentence with an identifier in it


def test_prose_of_google_docstrings() -> None:
    assert prose(GOOGLE) == [
        "Loads the module from a file.",
        "The path of the file that holds the module.",
        "The module that has been read from the file.",
        "The first bullet is a whole sentence too.",
        "The second bullet goes on over two lines of text.",
    ]


@pytest.mark.parametrize("text", ["", "x", "中文文档。", ">>> f(x)\n3", "x : int", "====\n----", "Title\n====="])
def test_what_is_no_prose_gives_none(text: str) -> None:
    assert prose(text) == []


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """Two made-up packages of twenty modules each."""
    for package, subject in (("aapack", "kernel"), ("bbpack", "matrix")):
        folder = tmp_path / "site" / package
        (folder / "tests").mkdir(parents=True)
        (folder / "__init__.py").write_text("", encoding="utf-8")
        (folder / "tests" / "test_x.py").write_text('"""' + "Never read this file of tests at all. " * 20 + '"""', encoding="utf-8")
        (folder / "broken.py").write_text('"""' + "This file is for another Python altogether. " * 20 + '"""\nprint "x"', encoding="utf-8")
        for at in range(20):
            (folder / f"m{at}.py").write_text(_module(package, subject, at), encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    return "aapack", "bbpack"


def _module(package: str, subject: str, at: int) -> str:
    number = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")[at % 10] + ("teen" if at > 9 else "")
    own = "\n\n".join(f"The {subject} of number {number} gives the {word} result." for word in ("first", "second", "third"))
    shared = "This sentence stands in every module of the package.\n\nThe index of the node is kept in order here."
    return f'"""{own}\n\n{shared}\n\nThe {package} package is named in this sentence."""\nraise RuntimeError("never imported")\n'


def test_files_agree_and_nothing_leaks(tmp_path: Path, packages: tuple[str, str]) -> None:
    made = write_docstrings(tmp_path / "out", [*packages, "not_installed_at_all"], workers=1, dev_share=0.2)
    again = write_docstrings(tmp_path / "again", packages, workers=2, dev_share=0.2)
    for path in (made.train, made.dev, made.task_train, made.task_dev, made.senses):
        assert path.read_bytes() == (again.train.parent / path.name).read_bytes()
    assert made.packages == packages
    train, dev = ([json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] for path in (made.train, made.dev))
    assert {record["label"] for record in train} == {record["label"] for record in dev} == set(packages)
    assert not {record["module"] for record in train} & {record["module"] for record in dev}
    sentences = [sentence for record in train + dev for sentence in record["text"].split("\n")]
    assert len(sentences) == len(set(sentences))
    assert not any("tests" in sentence or "another Python" in sentence for sentence in sentences)
    assert not list((tmp_path / "out").glob("*.part"))


def test_the_task_is_balanced_and_never_names_the_package(tmp_path: Path, packages: tuple[str, str]) -> None:
    made = write_docstrings(tmp_path / "out", packages, workers=1, dev_share=0.2)
    train, dev = read_examples(made.task_train), read_examples(made.task_dev)
    assert len(set(Counter(example.label for example in train).values())) == 1
    assert not any(example.label in example.text for example in train + dev)
    assert not {example.text for example in train} & {example.text for example in dev}
    documents = list(read([made.train], Config(), Ledger()))
    assert {document.label for document in documents} == set(packages)


def test_senses_point_at_their_word(tmp_path: Path) -> None:
    made = write_docstrings(tmp_path, ["numpy", "networkx"], limit_mb=0.4, workers=2)
    rows = list(csv.DictReader(made.senses.open(encoding="utf-8"), delimiter="\t", quoting=csv.QUOTE_NONE))
    assert {row["sense"] for row in rows} == {"numpy", "networkx"}
    assert all(row["sentence"].split()[int(row["index"])] == row["word"] for row in rows)
    assert all(len({row["sense"] for row in rows if row["word"] == word}) == 2 for word in {row["word"] for row in rows})


def test_no_package_at_all_is_reported(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none of the packages not_there is installed.*install scikit-learn"):
        write_docstrings(tmp_path, ["not_there"])
