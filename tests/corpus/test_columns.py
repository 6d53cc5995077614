"""Tagged sentences in columns: what is read, what is passed over, and every fault with its line and cure."""

import gzip
from pathlib import Path

import pytest

from stemma.corpus.columns import Columns, Tagged, is_bio, read_columns
from stemma.errors import DataError

PLAIN = "Ann\tB-PER\nsmiles\tO\n😀\tO\n\n张\tB-PER\n三\tI-PER\n笑\tO\n"
READ = [(("Ann", "smiles", "😀"), ("B-PER", "O", "O")), (("张", "三", "笑"), ("B-PER", "I-PER", "O"))]


def put(folder: Path, text: str | bytes) -> Path:
    path = folder / "t.txt"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def pairs(columns: Columns) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    return [(sentence.tokens, sentence.tags) for sentence in columns.sentences]


CHANGES = [
    lambda t: t,
    lambda t: t.replace("\n", "\r\n"),
    lambda t: "\ufeff" + t,
    lambda t: t.rstrip("\n"),
    lambda t: "\n\n" + t.replace("\n\n", "\n\n\n \n") + "\n\n",
    lambda t: t.replace("\t", " "),
    lambda t: t.replace("\t", "   ").replace("\n", " \n"),
    lambda t: t.replace("\t", "\tNN\t_\t"),
    lambda t: t.replace("\t", " NN _ "),
]


@pytest.mark.parametrize("change", CHANGES)
def test_odd_files_give_the_same_sentences(tmp_path: Path, change) -> None:
    columns = read_columns(put(tmp_path, change(PLAIN)))
    assert pairs(columns) == READ
    assert columns.passed == {"comments": 0, "document starts": 0}


def test_sources_name_the_line_of_the_first_token(tmp_path: Path) -> None:
    path = put(tmp_path, PLAIN)
    assert [sentence.source for sentence in read_columns(path).sentences] == [f"{path}:1", f"{path}:5"]


def test_encoding_and_compression(tmp_path: Path) -> None:
    chinese = "张\tB-PER\n三\tI-PER\n笑\tO\n"
    assert pairs(read_columns(put(tmp_path, chinese.encode("gb18030")), "gb18030")) == READ[1:]
    assert pairs(read_columns(put(tmp_path, gzip.compress(PLAIN.encode())))) == READ


@pytest.mark.parametrize("header", ["label\ttext", "labels\ttext", "label\ttext_a\ttext_b", "\ufefflabel\ttext\r"])
def test_a_table_of_labelled_texts_is_not_read_as_tags(tmp_path: Path, header: str) -> None:
    cells = "\t".join(["sport", "the game", "再见"][: header.count("\t") + 1])
    with pytest.raises(DataError, match=r"line 1: the header of labelled texts.*classify"):
        read_columns(put(tmp_path, f"{header}\n{cells}\n"))


def test_what_is_passed_over_is_counted(tmp_path: Path) -> None:
    text = f"-DOCSTART- -X- O O\n\n# text = Ann smiles\n{PLAIN}\n#\tO\n"
    with pytest.raises(DataError, match=r"line 3.*comments"):
        read_columns(put(tmp_path, text))
    columns = read_columns(put(tmp_path, text), comments=True)
    assert pairs(columns) == READ
    assert columns.passed == {"comments": 2, "document starts": 1}
    assert read_columns(put(tmp_path, "#\tO\n")).sentences[0].tokens == ("#",)


def test_other_columns(tmp_path: Path) -> None:
    path = put(tmp_path, "1\tAnn\tNOUN\t_\n2\tsmiles\tVERB\t_\n")
    assert pairs(read_columns(path, token_column=1, tag_column=-2)) == [(("Ann", "smiles"), ("NOUN", "VERB"))]
    with pytest.raises(DataError, match=r"4 columns.*name the columns"):
        read_columns(path, tag_column=4)


def test_a_token_may_hold_a_space_between_tabs(tmp_path: Path) -> None:
    assert read_columns(put(tmp_path, "New York\tB-LOC\n")).sentences[0].tokens == ("New York",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no sentence"),
        ("\n \n\n", "holds no sentence"),
        ("Ann\tO\nsmiles\n", r"t\.txt, line 2: 1 column \('smiles'\).*2 columns, as in the lines above"),
        ("Ann\n", r"line 1: 1 column.*one token and its tag"),
        ("Ann\tO\nsmiles\tVB\tO\n", r"line 2: 3 columns"),
        ("Ann\tO\n\tO\n", r"line 2: the token is empty.*fill it in"),
        ("Ann\tO\nsmiles\t \n", r"line 2: the tag is empty"),
        ("Ann\tO\n\x96\tO\n", r"line 2: the token is empty"),
    ],
)
def test_faults_name_file_line_and_cure(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_columns(put(tmp_path, text))


def test_bytes_of_another_encoding_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="line 2"):
        read_columns(put(tmp_path, b"Ann\tO\n\xd5\xc5\tO\n"))


def test_bio_is_told_from_plain_tags() -> None:
    assert is_bio([Tagged(("a", "b"), ("O", "O")), Tagged(("c",), ("B-X",))])
    assert not is_bio([Tagged(("a", "b"), ("NOUN", "B"))])
    assert not is_bio([Tagged(("a",), ("O",))])
    assert not is_bio([])


@pytest.mark.parametrize("tag", ["o", "E-PER", "B-", "PER", "b-PER"])
def test_a_tag_that_is_not_bio_among_bio_is_named(tmp_path: Path, tag: str) -> None:
    path = put(tmp_path, f"Ann\tB-PER\n\nLee\tB-PER\nwent\t{tag}\n")
    with pytest.raises(DataError, match=rf"t\.txt, line 4: the tag '{tag}' of 'went' is not BIO.*E-x as I-x"):
        is_bio(read_columns(path).sentences)
