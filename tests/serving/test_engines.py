"""Engines that are named are those that answer, in a server too.

Weights in bfloat16 say nearly the same: vectors at a cosine of 0.9999, and of tasks the same answers."""

import numpy as np
import pytest
from tests.export.onnx_runs import CHINESE, ENGLISH, NETWORKS, UNSEEN, fitted, made
from tests.serving.conftest import ask, pretrained, run_async, served

from stemma.errors import UsageError
from stemma.lineage.table import find
from stemma.runs.pooling import Pooling
from stemma.runs.run import Run, unit
from stemma.serving import choice
from stemma.serving.choice import Chosen, Wish, chosen_for
from stemma.serving.engines import engines_for, through

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


def test_a_server_computes_by_the_engine_that_is_named(home):
    """And by the run itself what the engine does not have: other layers, each token's vector."""
    run = Run.open(pretrained("bert", home))
    close = through(run, "torch-bf16").embed(["the sea"])[0]

    async def tried():
        async with served([str(run.path)], engine="torch-bf16") as client:
            for _ in range(2):
                assert (await ask(client, "/v1/embed", inputs="the sea"))["outputs"][0]["vector"] == pytest.approx(close, abs=1e-6)
                told = (await client.get("/v1/models/bert")).json()
                assert told["engines"] == {"embed": "torch-bf16"}
                assert (await client.get("/info")).json()["model_dtype"] == "bfloat16"
                await ask(client, "/v1/models/bert/reload")
            (row,) = (await ask(client, "/v1/embed", inputs="the sea", layer=0, tokens=True))["outputs"]
            np.testing.assert_allclose([token["vector"] for token in row["by_token"]], run.vectors(["the sea"])[0].layers[0], atol=1e-5)
            (row,) = (await ask(client, "/v1/embed", inputs="the sea", layer=0))["outputs"]
            np.testing.assert_allclose(row["vector"], run.embed(["the sea"], layer=0)[0], atol=1e-5)

    run_async(tried)
    assert abs(close - run.embed(["the sea"])[0]).max() > 1e-5


def test_each_run_of_a_server_has_its_own_engine(monkeypatch, home):
    words, asked, real = Run.open(pretrained("word2vec", home)), [], choice.opened

    def opened(run, names, work, strict):
        asked.append((run.row.name, list(names)))
        return real(run, ["torch"], work, strict)

    monkeypatch.setattr(choice, "opened", opened)
    places = [str(words.path), str(pretrained("ngram", home))]

    async def tried():
        async with served(places, engine="exact") as client:
            found = await ask(client, "/v1/embed", inputs="the sea")
            np.testing.assert_allclose(found["outputs"][0]["vector"], words.embed(["the sea"])[0], atol=1e-6)
            told = {model["id"]: model["engines"] for model in (await client.get("/v1/models")).json()["data"]}
            assert told == {"word2vec": {"embed": "torch"}, "ngram": {"generate": "torch"}}
            assert [model.used.told for model in client.desk.models] == [["the fastest exact engine here: torch"]] * 2

    run_async(tried)
    assert asked == [("word2vec", ["torch", "onnx", "openvino"]), ("ngram", ["torch"])]


def test_an_engine_does_what_it_can_and_the_run_the_rest(monkeypatch):
    run, fast = made(find("gpt")), made(find("gpt"), depth=1)
    monkeypatch.setattr(choice, "through", lambda run, engine, work: fast)
    able = ("embed", "generate", "score")
    found = {engine: chosen_for(run, able, Wish(engine)) for engine in ("torch-bf16", "ctranslate2", "onnx")}
    assert found["torch-bf16"] == {"embed": Chosen(fast, "torch-bf16"), "generate": Chosen(run, "torch")}
    assert found["ctranslate2"] == {"embed": Chosen(run, "torch"), "generate": Chosen(fast, "ctranslate2")}
    assert found["onnx"] == {"embed": Chosen(fast, "onnx"), "generate": Chosen(fast, "onnx")}


def test_what_writes_by_lot_is_not_left_to_what_cannot(monkeypatch):
    """CTranslate2 draws in its own way, so it is only used where it is named."""
    run, asked = made(find("gpt")), {}
    monkeypatch.setattr(choice, "opened", lambda run, names, work, strict: [asked.setdefault(work, names), ("torch", "exact", run)][1:])
    chosen_for(run, ("embed", "generate"), Wish("exact"))
    assert asked == {"read": ["torch", "onnx", "openvino"], "write": ["torch", "onnx", "openvino"]}
    assert "ctranslate2" in [engine.name for engine in engines_for(run, "write")]


def test_what_answers_has_no_vectors_in_a_graph():
    run = fitted(find("bert"), "classify", depth=1)
    assert set(chosen_for(run, ("predict", "embed", "tokens"), Wish("torch-bf16"))) == {"predict"}
    with pytest.raises(UsageError, match="choose one of torch"):
        chosen_for(run, ("predict", "embed"), Wish("ctranslate2"))
