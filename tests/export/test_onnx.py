"""The ONNX files that `convert` writes: checked before they are, any length and batch, and all that is to be known in their metadata."""

import json
import sys

import numpy as np
import pytest
import torch
from tests.export.onnx_runs import CHINESE, ENGLISH, fitted, made

from stemma.cli.main import main
from stemma.errors import MissingExtra, RunError, UsageError
from stemma.export.formats import FORMATS, convert
from stemma.export.onnx import GAP, check, onnx_models, traced, write_onnx
from stemma.export.onnx_graphs import graph_of
from stemma.lineage.table import TABLE, find
from stemma.runs.prefixed import Prefixed
from stemma.runs.run import Run
from stemma.tokens.tokenizer import Tokenizer
from stemma.training.pretrain import pretrain
from stemma.training.request import Request

onnxruntime = pytest.importorskip("onnxruntime")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")


@pytest.fixture
def bert(exported):
    """A run and its file."""
    return exported("bert")


@pytest.mark.parametrize("texts", [ENGLISH[:1], CHINESE, ["🌧", "x", ENGLISH[1]]])
def test_a_file_needs_nothing_but_itself(bert, texts):
    """The tokenizer, what stands round a text and the names of the inputs are all in it; the states are the run's."""
    run, path = bert
    session = onnxruntime.InferenceSession(str(path))
    about = session.get_modelmeta().custom_metadata_map
    facts, tokenizer = json.loads(about["stemma"]), Tokenizer.from_json(about["tokenizer.json"])
    frame, types = facts["frame"]["text"]
    rows = [[part for piece in frame for part in (ids if piece == -1 else [piece])] for ids in map(list, tokenizer.encode_batch(texts))]
    longest = max(map(len, rows))
    ids = np.array([row + [0] * (longest - len(row)) for row in rows], np.int64)
    segments = np.array([[1] * len(row) + [0] * (longest - len(row)) for row in rows], np.int64)
    assert not any(types) and list(facts["inputs"]) == ["ids", "segments", "types"]
    states, summary = session.run(["states", "summary"], {"ids": ids, "segments": segments, "types": np.zeros_like(ids)})
    with torch.no_grad():
        ours = run.network.encode({"ids": torch.from_numpy(ids), "segments": torch.from_numpy(segments)})
    real = segments > 0
    np.testing.assert_allclose(states[real], ours[-1].numpy()[real], atol=GAP)
    np.testing.assert_allclose(summary, run.network.summary(ours, {}).detach().numpy(), atol=GAP)


def test_the_axes_have_names(bert):
    graph = onnx.load(str(bert[1])).graph
    shapes = {value.name: [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim] for value in graph.input}
    assert shapes == {name: ["batch", "length"] for name in ("ids", "segments", "types")}
    (states, summary) = ([dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim] for value in graph.output)
    width = bert[0].network.width
    assert states == ["batch", "length", width] and summary == ["batch", width]


def test_what_no_node_reads_goes_in_no_more():
    """Bengio's network frames a pair with types, which its table of words does not read."""
    graph = onnx.load_from_string(onnx_models(made(find("nnlm")))[0])
    assert [value.name for value in graph.graph.input] == ["ids", "segments"]
    assert list(json.loads({entry.key: entry.value for entry in graph.metadata_props}["stemma"])["inputs"]) == ["ids", "segments"]


def test_a_task_s_file_knows_its_labels():
    about = {entry.key: entry.value for entry in onnx.load_from_string(onnx_models(fitted(find("bert"), "classify"))[0]).metadata_props}
    facts = json.loads(about["stemma"])
    assert (facts["task"], facts["targets"]["labels"], facts["graph"]) == ("classify", ["sea", "story", "猫"], "answer")
    assert facts["outputs"] == {"scores": ["batch", 3]}


def test_gated_units_and_clusters_of_words_are_written_too():
    for run in (made(find("seq2seq"), cell="gru"), made(find("lstm"), output="adaptive", tied=False, depth=2)):
        graph = graph_of(run)
        assert check(graph, traced(graph).SerializeToString()) <= GAP


def test_an_unequal_graph_is_not_written(monkeypatch, tmp_path):
    """A weight that differs by a thousandth is found, and what stood there before stays."""
    run, path = made(find("glove")), tmp_path / "glove.onnx"
    write_onnx(run, path)
    before = path.read_bytes()

    def other(graph):
        model = traced(graph)
        graph.module.vectors[7] += 1e-3
        return model

    monkeypatch.setattr("stemma.export.onnx.traced", other)
    with pytest.raises(RunError, match="nothing was written"):
        write_onnx(run, path)
    assert path.read_bytes() == before and [file.name for file in tmp_path.iterdir() if not file.name.startswith(".")] == ["glove.onnx"]


def test_what_has_no_graph_is_refused(monkeypatch, tmp_path):
    assert [row.name for row in TABLE if not FORMATS["onnx"].fits(row)] == ["ngram"]
    monkeypatch.setattr("stemma.export.onnx.MOST", 1000)
    with pytest.raises(UsageError, match="use PyTorch"):
        onnx_models(made(find("glove")))
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(MissingExtra, match=r"stemma-nlp\[onnx\]"):
        onnx_models(made(find("glove")))


def test_convert_and_embed_by_command(tmp_path, capsys):
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("\n".join((ENGLISH + CHINESE) * 9), encoding="utf-8")
    settings = ["model.width=20", "min_count=1", "training.steps=3", "training.held_out=0"]
    pretrain(Request.of("word2vec", corpus, preset="tiny", settings=settings), out=tmp_path / "run")
    run, file = str(tmp_path / "run"), tmp_path / "run.onnx"
    assert main(["convert", run, str(file), "--to", "onnx", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["files"] == [str(file)]
    vectors = []
    for engine in ("torch", str(file)):
        assert main(["embed", run, "--text", "the sea", "--engine", engine, "--json"]) == 0
        vectors.append(json.loads(capsys.readouterr().out)[0]["vector"])
    np.testing.assert_allclose(*vectors, atol=1e-6)
    assert main(["bench", run, "--engines", "torch", str(file), "--lengths", "4", "--batches", "2", "--seconds", "0.01", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [row["engine"] for row in rows] == ["torch", str(file)] and min(row["lowest_cosine"] for row in rows) > 0.9999
    assert main(["embed", run, "--text", "x", "--engine", "onnx", "--layer", "0"]) == 2
    assert main(["embed", run, "--text", "x", "--engine", str(file), "--max-drop", "0.1"]) == 2
    assert "drop --max-drop" in capsys.readouterr().err


def test_8_bits_need_a_file_to_calibrate_by(tmp_path):
    with pytest.raises(UsageError, match="add --calibrate FILE"):
        convert(tmp_path, tmp_path / "out", "onnx", int8=True)
    with pytest.raises(UsageError, match="add --int8, or drop --calibrate"):
        convert(tmp_path, tmp_path / "out", "onnx", calibration=tmp_path / "text.txt")
    with pytest.raises(UsageError, match="drop --calibrate"):
        convert(tmp_path, tmp_path / "out", "ctranslate2", int8=True, calibration=tmp_path / "text.txt")


def test_the_run_is_as_it_was(exported):
    """Tracing leaves nothing behind in the network."""
    np.testing.assert_array_equal(exported("elmo", depth=1)[0].embed(ENGLISH), made(find("elmo"), depth=1).embed(ENGLISH))


def test_a_one_way_network_that_learnt_to_write_targets_is_one_step():
    run = made(find("gpt"))
    writes = Run(None, run.row, run.tokenizer, Prefixed(run.network, run.tokenizer.vocab_size))
    graph = graph_of(writes)
    assert check(graph, traced(graph).SerializeToString()) <= GAP
    (batch, *_) = graph.batches(1, 4)
    scores = graph.module(*(batch[name] for name in graph.inputs))[1]
    assert torch.isneginf(scores).sum() == 3 and graph.frames.frame([9])[0] == [run.tokenizer.vocab_size, 9]
