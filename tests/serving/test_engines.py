"""Weights in bfloat16 say nearly the same: vectors at a cosine of 0.9999, and of tasks the same answers."""

import pytest
from tests.export.onnx_runs import CHINESE, ENGLISH, NETWORKS, UNSEEN, fitted, made

from stemma.lineage.table import find
from stemma.runs.pooling import Pooling
from stemma.runs.run import unit
from stemma.serving.engines import through

TEXTS = [*ENGLISH, *CHINESE, "x", "🌧"]
BLOCKS = pytest.mark.parametrize("row", [row for row in NETWORKS if row.blocks], ids=lambda row: row.name)


@BLOCKS
def test_vectors_are_close(row):
    run = made(row)
    before, close = run.embed(TEXTS), through(run, "torch-bf16").embed(TEXTS)
    assert (unit(before) * unit(close)).sum(1).min() > 0.9999
    assert (run.embed(TEXTS) == before).all()  # the run itself is as it was


@pytest.mark.parametrize("engine", ["torch-bf16", "onnx"])
def test_vectors_are_pooled_as_the_run_says(engine):
    run = made(find("bert"))
    run.pooling = Pooling(over="framed", normalise=True, max_length=9)
    before, close = run.embed(TEXTS), through(run, engine).embed(TEXTS)
    assert (before * close).sum(1).min() > 0.9999  # both at length 1


@BLOCKS
@pytest.mark.parametrize("way", ["finetune", "frozen", "frozen-network"])
def test_probabilities_are_close(row, way):
    run = fitted(row, "classify", way)
    for mine, other in zip(*(each.answer_rows(UNSEEN["classify"]) for each in (run, through(run, "torch-bf16"))), strict=True):
        assert mine["probabilities"] == pytest.approx(other["probabilities"], abs=0.1)
