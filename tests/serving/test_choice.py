"""The fastest engine within a bound is taken; one in 8 bits only where what it loses was measured, and is no more than was allowed."""

import json

import numpy as np
import pytest
from tests.export.onnx_runs import CHINESE, ENGLISH, EXAMPLES, fitted, made

from stemma.errors import RunError, UsageError
from stemma.lineage.table import find
from stemma.serving import choice, drops
from stemma.serving.bench import Cell
from stemma.serving.choice import chosen, fastest, holds
from stemma.serving.drops import COSINE, Drop, drop
from stemma.tasks.task import Metric


def cell(name, tier, ms, cosine=1.0, gap=0.0):
    return Cell(name, tier, 4, 2, 4.0, [ms / 1000], cosine, gap)


@pytest.mark.parametrize(
    ("bound", "cells", "expected"),
    [
        ("exact", {"torch": (9, 1, 0), "onnx": (5, 1, 9e-5), "openvino": (3, 1, 2e-4)}, "onnx"),
        ("exact", {"torch": (2, 1, 0), "onnx": (5, 1, 0), "openvino": (3, 1, 0)}, "torch"),
        ("close", {"torch": (9, 1, 0), "torch-bf16": (2, 0.9998, 0.1), "onnx": (5, 1, 0), "openvino": (3, 0.99991, 0.1)}, "openvino"),
    ],
)
def test_the_fastest_within_the_bound_is_chosen(monkeypatch, bound, cells, expected):
    run = made(find("bert"))
    monkeypatch.setattr(choice, "opened", lambda run, names, work, strict: [(name, "exact", name) for name in cells])
    monkeypatch.setattr(choice, "measured", lambda *_: [cell(name, "exact", *facts) for name, facts in cells.items()])
    assert fastest(run, bound, "read") == (expected, expected)


def test_answers_have_to_be_the_same():
    assert holds(Cell("onnx", "exact", 4, 2, 4.0, same=1.0), "close") and not holds(Cell("onnx", "exact", 4, 2, 4.0, same=0.99), "close")
    assert holds(cell("a", "close", 1, 0.99995, 0.3), "close") and not holds(cell("a", "close", 1, 0.99995, 0.3), "exact")


def test_only_engines_of_the_tier_are_opened_and_a_file_may_have_a_say(monkeypatch, tmp_path):
    run, asked = made(find("word2vec")), []
    real = choice.opened

    def opened(run, names, work, strict):
        asked.append(list(names))
        return real(run, ["torch", "torch"], work, strict)

    monkeypatch.setattr(choice, "opened", opened)
    (tmp_path / "dev.txt").write_text("\n".join(ENGLISH + CHINESE), encoding="utf-8")
    found, _, told = chosen(run, "exact", "read", tmp_path / "dev.txt")
    assert found is run and told == "the fastest exact engine here: torch" and asked == [["torch", "onnx", "openvino"]]


def test_a_drop_is_counted_so_that_more_is_worse():
    assert Drop(Metric("accuracy", "accuracy"), 0.9, 0.8).worse == pytest.approx(0.1)
    assert Drop(Metric("mae", "error", higher_is_better=False), 0.9, 0.8).worse == pytest.approx(-0.1)
    assert str(Drop(COSINE, 1.0, 0.99)) == "lowest cosine 1.0000, by this engine 0.9900: +0.0100 worse"


def test_an_engine_in_8_bits_is_refused_unless_it_loses_little(monkeypatch, tmp_path):
    run, file = made(find("bert")), tmp_path / "dev.txt"
    file.write_text("\n".join(ENGLISH), encoding="utf-8")
    monkeypatch.setattr(choice, "through", lambda run, engine, work: run)
    monkeypatch.setattr(choice, "tier_of", lambda engine: "int8")
    monkeypatch.setattr(drops, "drop", lambda *_: Drop(COSINE, 1.0, 0.99))
    for missing in ({}, {"dev": file}, {"most_drop": 0.1}):
        with pytest.raises(UsageError, match="add --dev FILE --max-drop"):
            chosen(run, "bert.onnx", "read", **missing)
    with pytest.raises(RunError, match=r"lowest cosine 1.0000, by this engine 0.9900.*0.005 at most"):
        chosen(run, "bert.onnx", "read", file, 0.005)
    assert chosen(run, "bert.onnx", "read", file, 0.02)[0] is run


@pytest.mark.parametrize(
    ("engine", "given", "option"), [("torch-bf16", {"most_drop": 0.1}, "--max-drop"), ("exact", {"most_drop": 0.1}, "--max-drop")]
)
def test_options_without_a_meaning_are_refused(engine, given, option):
    with pytest.raises(UsageError, match=f"{option} with the engine {engine}"):
        chosen(made(find("bert")), engine, "read", **given)


@pytest.mark.parametrize("kind", ["text", pytest.param("task", marks=pytest.mark.slow)])
def test_a_run_in_8_bits_is_written_scored_and_used(kind, tmp_path):
    pytest.importorskip("nncf")
    from stemma.export.onnx_int8 import write_onnx_int8
    from stemma.serving.engines import through, tier_of

    run = made(find("bert")) if kind == "text" else fitted(find("bert"), "classify")
    rows = ENGLISH + CHINESE if kind == "text" else ["label\ttext", *(f"{one.label}\t{one.text}" for one in EXAMPLES["classify"])]
    file = tmp_path / "dev.tsv"
    file.write_text("\n".join(rows) + "\n", encoding="utf-8")
    (path,) = write_onnx_int8(run, tmp_path / "run.onnx", file)
    assert tier_of(str(path)) == "int8"
    assert path.read_bytes().count(b"DequantizeLinear") > 4  # products, and not the table alone
    lost = drop(run, through(run, str(path)), file, "read")
    assert -0.5 < lost.worse < 0.5 and np.isfinite(json.loads(json.dumps(lost.row()))["drop"])


def test_what_has_no_8_bits_is_refused(tmp_path):
    from stemma.export.onnx_int8 import write_onnx_int8

    for name, mend in (("gpt", "--to ctranslate2 --int8"), ("glove", "write it in float32")):
        with pytest.raises(UsageError, match=mend):
            write_onnx_int8(made(find(name)), tmp_path / "x.onnx", tmp_path / "text.txt")
