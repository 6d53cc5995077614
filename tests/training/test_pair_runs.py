"""Pre-training on pairs: a table and two files become the same store, and every pair is on one side of the split."""

from pathlib import Path

import numpy as np
import pytest

import stemma
from stemma.errors import DataError, UsageError
from stemma.tokens.store import TokenStore
from stemma.training.facts import Fact, Note
from stemma.training.rehearse import rehearse
from stemma.training.request import Request, job_of

LINES = [(f"The mill number {at % 17} is {at}.", f"第{at % 17}座磨坊是{at}。") for at in range(120)]


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path, Path]:
    paths = (tmp_path / "pairs.tsv", tmp_path / "s", tmp_path / "t")
    paths[0].write_text("en\tzh\n" + "".join(f"{a}\t{b}\n" for a, b in LINES), encoding="utf-8")
    for path, column in zip(paths[1:], zip(*LINES, strict=True), strict=True):
        path.write_text("\n".join(column), encoding="utf-8")
    return paths


def stores(run: Path) -> tuple[TokenStore, TokenStore]:
    (home,) = (run / "store").iterdir()
    return TokenStore.open(home / "store"), TokenStore.open(home / "dev")


def test_a_table_and_two_files_make_the_same_stores(files, tmp_path):
    table, source, target = files
    first = stemma.pretrain("ngram", table, out=tmp_path / "a", preset="tiny", settings={"training.held_out": 0.1})
    second = stemma.pretrain(
        "ngram", source=source, target=[target], out=tmp_path / "b", preset="tiny", settings={"training.held_out": 0.1}
    )
    for one, other in zip(stores(tmp_path / "a"), stores(tmp_path / "b"), strict=True):
        assert one.pairs == one.documents == other.pairs and (np.diff(one.document_starts) == 2).all() and (one.ids == other.ids).all()
    assert sum(store.pairs for store in stores(tmp_path / "a")) == len(LINES)
    assert first.path != second.path
    for run, named in ((first, f"{table}: 120 pairs of"), (second, f"{source}, {target}: 120 pairs of a source and its target")):
        assert named in (run.path / "README.md").read_text(encoding="utf-8")


def test_the_same_call_on_two_files_is_taken_up(files, tmp_path):
    options = {"source": files[1], "target": files[2], "out": tmp_path / "a", "preset": "tiny"}
    assert stemma.pretrain("ngram", **options).path == stemma.pretrain("ngram", **options).path
    files[2].write_text("\n".join(reversed([b for _, b in LINES])), encoding="utf-8")
    with pytest.raises((UsageError, DataError, stemma.RunError)):
        stemma.pretrain("ngram", **options)


def test_a_rehearsal_reads_pairs(files):
    plan = rehearse(Request.of("ngram", (), source=files[1], target=files[2], preset="tiny"))
    assert plan.exact and plan.corpus_characters == sum(len(a) + len(b) + 1 for a, b in LINES)


def test_one_side_alone_and_a_corpus_beside_them_are_refused(files, tmp_path):
    table, source, target = files
    for options, mend in (
        ({"source": source}, "as target"),
        ({"target": target}, "as source"),
        ({"corpus": table, "source": source, "target": target}, "drop the corpus"),
        ({"source": source, "target": target, "settings": ("corpus.format=text",)}, "drop corpus.format"),
    ):
        with pytest.raises(UsageError, match=mend):
            job_of(Request.of("ngram", **{"corpus": (), "preset": "tiny", **options}))
    with pytest.raises(UsageError, match=r"both a corpus and source and target.*name one of the three"):
        stemma.pretrain("ngram", table, source=source, target=target, out=tmp_path / "x")
    with pytest.raises(DataError, match="120 lines"):
        (tmp_path / "short").write_text("one\n", encoding="utf-8")
        stemma.pretrain("ngram", source=source, target=tmp_path / "short", out=tmp_path / "x", preset="tiny")
    assert not (tmp_path / "x").exists()


def test_held_out_text_of_another_kind_is_refused(files, tmp_path):
    table, source, _ = files
    for corpus, dev in ((table, source), (source, table)):
        with pytest.raises(DataError, match="both of one kind"):
            stemma.pretrain("ngram", corpus, dev=dev, out=tmp_path / "x", preset="tiny")
    stemma.pretrain("ngram", table, dev=table, out=tmp_path / "y", preset="tiny")
    assert stores(tmp_path / "y")[1].pairs == len(LINES)


def test_pairs_that_stand_again_are_reported_where_they_are_read(files, tmp_path):
    table = files[0]
    for times, expected in ((1, []), (2, ["50% of the pairs have stood before; those that are alike are held out together"])):
        twice = tmp_path / f"{times}.tsv"
        twice.write_text(table.read_text(encoding="utf-8") + "".join(f"{a}\t{b}\n" for a, b in LINES * (times - 1)), encoding="utf-8")
        facts: list[Fact] = []
        stemma.pretrain("ngram", twice, out=tmp_path / f"out-{times}", preset="tiny", progress=facts.append)
        assert [fact.message for fact in facts if isinstance(fact, Note) and "stood before" in fact.message] == expected
