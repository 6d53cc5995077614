"""Pairs of source and target: in one table or in two files, whole, in order, and every character accounted for."""

import gzip
import lzma
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stemma.corpus.blocks import blocks
from stemma.corpus.clean import clean
from stemma.corpus.document import Document, Ledger
from stemma.corpus.formats import Config, recognise
from stemma.corpus.parallel import is_header, parting
from stemma.corpus.parse import parse
from stemma.corpus.read import PAIRS as NOTE
from stemma.corpus.read import Joiner, fingerprint, read
from stemma.errors import DataError

PAIRS = [("Two dogs run. They bark!", "Zwei Hunde laufen. Sie bellen!"), ("The mill is old.", "这座磨坊很旧。它还在转。"), ("🙂", "🙂 ok")]


def taken(*paths: Path, targets: tuple[Path, ...] = (), workers: int = 1, **settings) -> tuple[list[Document], Ledger]:
    ledger = Ledger()
    documents = list(read(paths, Config(**settings), ledger, workers, targets))
    assert ledger.balances, ledger.as_dict()
    assert ledger.documents == len(documents) and ledger.sentences == 2 * len(documents)
    assert ledger.characters_used == sum(len(sentence) for document in documents for sentence in document.sentences)
    assert ledger.notes[NOTE] == len(documents)
    assert all(document.pair and len(document.sentences) == 2 and all(document.sentences) for document in documents)
    return documents, ledger


def put(folder: Path, text: str, name: str = "a.tsv", encoding: str = "utf-8") -> Path:
    (folder / name).write_bytes(text.encode(encoding))
    return folder / name


def table(pairs: list[tuple[str, str]]) -> str:
    return "".join(f"{source}\t{target}\n" for source, target in pairs)


def sides(documents: list[Document]) -> list[tuple[str, ...]]:
    return [document.sentences for document in documents]


@pytest.mark.parametrize("header", ["en\tde", "source\ttarget", "tgt\tsrc", "zh-Hans\ten_GB", "Classical\tModern", '"English"\t"German"'])
def test_a_table_whose_columns_are_named_is_read_as_pairs(tmp_path: Path, header: str) -> None:
    documents, ledger = taken(put(tmp_path, header + "\r\n" + table(PAIRS).replace("\n", "\r\n"), "a.txt"))
    assert sides(documents) == PAIRS
    assert [document.source.rsplit(":", 1)[1] for document in documents] == ["2", "3", "4"]
    assert ledger.rejected["header of the columns"] == len(header) and ledger.rejected["white space between sentences"] == 3


@pytest.mark.parametrize("header", ["label\ttext", "en\ten", "en", "en\tde\tfr", "token\ttag", "id\ttext", "The\tDie"])
def test_other_headers_name_no_pairs(header: str) -> None:
    assert not is_header(header)


def test_a_table_without_a_header_is_read_as_pairs_when_asked(tmp_path: Path) -> None:
    documents, _ = taken(put(tmp_path, table(PAIRS), "a.txt"), format="pairs")
    assert sides(documents) == PAIRS


def test_a_table_of_two_running_texts_is_known_by_its_lines() -> None:
    text = table([(f"The mill number {at} is old.", f"第{at}座磨坊很旧。") for at in range(9)])
    assert recognise(text + "cut off here", "a.tsv.gz") == "pairs"
    assert recognise(text, "a.txt") != "pairs"  # a tab in text says nothing
    for other in (text.replace("第", "第\t"), "".join(f"{at}\tThe mill is old.\n" for at in range(9))):  # a cell that is always the same
        with pytest.raises(DataError, match="table of labelled examples"):
            recognise(other, "a.tsv")


def test_tables_of_labels_are_refused_as_before(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="labelled examples"):
        taken(put(tmp_path, "label\ttext_a\ttext_b\n1\ta b\tc d\n"))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("alone", "line 2: 1 cell .*a source, one tab and its target"),
        ("a\tb\tc", "line 2: 3 cells .*one tab"),
        ("\tallein", "line 2: the source of 'allein' is empty"),
        ("alone\t  ", "line 2: the target of 'alone' is empty"),
    ],
)
def test_a_line_that_is_no_pair_is_an_error_or_counted(tmp_path: Path, line: str, message: str) -> None:
    path = put(tmp_path, table(PAIRS[:1]) + line + "\n \n" + table(PAIRS[1:]))
    with pytest.raises(DataError, match=message + r'.*corpus\.invalid = "reject"'):
        taken(path, format="pairs")
    documents, ledger = taken(path, format="pairs", invalid="reject")
    assert sides(documents) == PAIRS
    (reason,) = set(ledger.notes) - {NOTE}
    assert ledger.rejected[reason] == len(line) and ledger.notes[reason] == 1


def test_a_pair_with_a_side_too_long_is_left_out_whole_and_counted(tmp_path: Path) -> None:
    documents, ledger = taken(put(tmp_path, table([*PAIRS, ("short", "x" * 41)])), format="pairs", max_sentence=40)
    assert sides(documents) == PAIRS
    assert ledger.rejected["pairs with a side too long"] == 47 and ledger.notes["pairs with a side too long"] == 1


def test_pairs_are_never_parted_for_their_length(tmp_path: Path) -> None:
    documents, _ = taken(put(tmp_path, table(PAIRS)), format="pairs", max_document=10, documents="file")
    assert sides(documents) == PAIRS


TEXT = st.lists(st.tuples(*[st.text(st.sampled_from("ab .。磨é🙂\u200b\u2028\ufeff"), max_size=8)] * 2), max_size=30)
END = st.sampled_from(["\n", "\r\n", "\r"])


@given(rows=TEXT, end=END, closed=st.booleans(), size=st.integers(8, 60))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
def test_two_files_and_one_table_give_the_same_pairs_whatever_the_blocks(tmp_path: Path, rows, end, closed, size) -> None:
    """Invisible characters, empty sides and line ends of every kind included; each character is accounted for."""
    closed = closed or not rows or not all(rows[-1])  # else a last line that is empty is none
    cleaned = [tuple(clean(cell)[0].strip() for cell in row) for row in rows]
    expected = [row for row in cleaned if all(row)]
    one = put(tmp_path, "".join("\t".join(row) + end for row in rows), "one.tsv")
    paths = [put(tmp_path, end.join(column) + end * closed, name) for column, name in zip(zip(*rows, strict=True), "ab", strict=False)]
    two = (paths[0], paths[1]) if rows else (put(tmp_path, "", "a"), put(tmp_path, "", "b"))
    for path, targets in ((one, ()), (two[0], (two[1],))):
        ledger, found, config = Ledger(), [], Config(format="pairs", invalid="reject")
        joiner = Joiner(config, ledger)
        for block in blocks([path], config, size, targets):
            assert not isinstance(block, DataError), block
            found += joiner.documents(parse(block, config))
        assert sides(found) == expected and ledger.balances
        if targets or end != "\r":
            assert [int(document.source.rsplit(":", 1)[1]) for document in found] == [at for at, row in enumerate(cleaned, 1) if all(row)]


def test_two_files_in_any_encoding_and_compression_and_by_several_workers(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(blocks, "__defaults__", (20_000, ()))
    many = [(f"{source} {at}", f"{target} {at}") for at in range(3_000) for source, target in PAIRS[:2]]
    columns = ["\n".join(column).encode("gb18030") for column in zip(*many, strict=True)]
    source, target = tmp_path / "s.gz", tmp_path / "t.xz"
    source.write_bytes(gzip.compress(columns[0], 1))
    target.write_bytes(lzma.compress(columns[1], preset=0))
    for workers in (1, 2):
        documents, _ = taken(source, targets=(target,), encoding="gb18030", workers=workers)
        assert sides(documents) == many


def test_lines_that_one_file_lacks_are_an_error_with_both_counts_and_the_place(tmp_path: Path) -> None:
    lengths = np.random.default_rng(3).integers(3, 60, 500)
    source = put(tmp_path, "".join("a" * n + "\n" for n in lengths), "s")
    short = put(tmp_path, "".join("b" * n + "\n" for n in lengths[:477]), "short")
    with pytest.raises(DataError, match=r"s has 500 lines, .*short 477 lines; .*s goes on after line 477"):
        taken(source, targets=(short,))
    holed = put(tmp_path, "".join("b" * n + "\n" for at, n in enumerate(lengths) if at not in (210, 211)), "holed")
    with pytest.raises(DataError, match=r"s has 500 lines, .*holed 498 lines; they seem to part at about line 211 of .*/s"):
        taken(source, targets=(holed,))
    with pytest.raises(DataError, match=r"holed has 498 lines, .*s 500 lines; they seem to part at about line 211 of .*/s"):
        taken(holed, targets=(source,), invalid="reject")


@given(st.lists(st.integers(1, 80), min_size=30, max_size=200, unique_by=lambda n: n), st.data())
def test_parting_is_found_where_lengths_agree_on_both_sides(lengths, data) -> None:
    at, extra = data.draw(st.integers(0, len(lengths) - 4)), data.draw(st.integers(1, 3))
    long = np.array(lengths)
    short = np.delete(long, slice(at, at + extra))
    assert parting(long, short) == parting(short, long)
    assert abs(parting(long, long[:-extra]) - (len(long) - extra)) == 0


def test_empty_lines_at_the_end_of_one_file_are_no_mismatch(tmp_path: Path) -> None:
    source, target = put(tmp_path, "one\ntwo\n\n \n\n", "s"), put(tmp_path, "eins\nzwei", "t")
    documents, _ = taken(source, targets=(target,))
    assert sides(documents) == [("one", "eins"), ("two", "zwei")]


def test_an_empty_side_of_two_files_names_the_file_it_is_in(tmp_path: Path) -> None:
    source, target = put(tmp_path, "one\ntwo\n", "s"), put(tmp_path, "eins\n\n", "t")
    with pytest.raises(DataError, match=r"/t, line 2: the target of 'two' is empty"):
        taken(source, targets=(target,))


def test_several_files_pair_in_the_order_given(tmp_path: Path) -> None:
    a, b, c, d = (put(tmp_path, text, text[0]) for text in ("a1\n", "b1\n", "c1\n", "d1\n"))
    assert sides(taken(a, a, targets=(c, d))[0]) == [("a1", "c1"), ("a1", "d1")]
    with pytest.raises(DataError, match="2 files of sources and 1 file of targets"):
        taken(a, b, targets=(c,))
    prints = {fingerprint(*named) for config in [Config()] for named in (([a], config, [c]), ([a], config, [d]), ([a, c], config))}
    assert len(prints) == 3 and fingerprint([b], Config(), [d]) == fingerprint([b], Config(), [d])


@pytest.mark.parametrize(("name", "count"), [("mt-en-de-multi30k", 1014), ("mt-en-zh-tatoeba", 1550), ("mt-lzh-zh", 1000)])
def test_real_tables_are_known_as_pairs(name: str, count: int, shared_data: Path) -> None:
    documents, _ = taken(shared_data / name / "dev.tsv")
    assert len(documents) == count
