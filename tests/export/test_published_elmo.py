"""ELMo in its authors' files and back: nothing is lost, and what they do not hold is refused."""

import builtins
import json

import numpy as np
import pytest
import torch

from stemma.cli.main import main
from stemma.errors import DataError, MissingExtra, StemmaError
from stemma.export.formats import convert
from stemma.runs.run import Run
from stemma.training.pretrain import pretrain
from stemma.training.request import Request

h5py = pytest.importorskip("h5py", reason="the extra interop")
TEXTS = ["the old sailor sat in the rain", "老水手 坐在雨里 quandle", "🦭 of the sea"]
SMALL = {"characters": 3, "filters": [4, 6, 5], "highways": 1, "width": 7, "cells": 9, "targets": 9}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("elmo")
    text = "the old sailor sat in the rain\na story of the sea\n老水手坐在雨里\n" * 20
    (folder / "text.txt").write_text(text, encoding="utf-8")
    settings = [f"model.{name}={value}" for name, value in SMALL.items()] + ["training.steps=3", "training.threads=1"]
    return Run.open(pretrain(Request.of("elmo", folder / "text.txt", preset="tiny", settings=settings), out=folder / "run").path)


def test_there_and_back_nothing_is_lost(run, tmp_path):
    files = convert(run.path, tmp_path / "theirs", "elmo")
    assert sorted(path.name for path in files) == ["options.json", "vocabulary.txt", "weights.hdf5"]
    convert(tmp_path / "theirs" / "weights.hdf5", tmp_path / "run", "run")
    again = Run.open(tmp_path / "run")
    assert again.tokenizer.tokens == run.tokenizer.tokens and again.network.begin != again.network.end
    for ours, theirs in zip(run.vectors(TEXTS), again.vectors(TEXTS), strict=True):
        np.testing.assert_allclose(theirs.layers, ours.layers, atol=1e-6)
    np.testing.assert_allclose([score.nats for score in again.score(TEXTS)], [score.nats for score in run.score(TEXTS)], rtol=1e-6)
    before, after = run.folder.tensors(), again.folder.tensors()
    assert before.keys() == after.keys()
    for name in before.keys() - {"frequencies", "words.characters.weight"}:
        np.testing.assert_allclose(after[name], before[name], atol=1e-7)  # the forget gates' 1 is taken off and added


def test_what_others_read_is_the_layout_of_the_paper(run, tmp_path):
    convert(run.path, tmp_path, "elmo")
    options = json.loads((tmp_path / "options.json").read_text(encoding="utf-8"))
    assert options["char_cnn"]["filters"] == [[1, 4], [2, 6], [3, 5]] and options["char_cnn"]["n_characters"] == 262
    assert options["lstm"]["projection_dim"] == 7 and options["lstm"]["dim"] == 9
    words = (tmp_path / "vocabulary.txt").read_text(encoding="utf-8").split("\n")
    assert words[:4] == ["<S>", "</S>", "<UNK>", run.tokenizer.tokens[3]] and len(words) == run.tokenizer.vocab_size + 1
    with h5py.File(tmp_path / "weights.hdf5", "r") as file:
        cell = file["RNN_1/RNN/MultiRNNCell/Cell1/LSTMCell"]
        assert cell["W_0"].shape == (14, 36) and cell["W_P_0"].shape == (9, 7) and file["CNN/W_cnn_1"].shape == (1, 2, 3, 6)
        ours = run.network.backward_chain.lstms[1]
        x, h, c = (torch.randn(1, size) for size in (7, 7, 9))
        sums = torch.cat([x, h], 1) @ torch.from_numpy(np.asarray(cell["W_0"])) + torch.from_numpy(np.asarray(cell["B"]))
        i, j, f, o = sums.chunk(4, 1)  # their order
        c_next = torch.sigmoid(f + 1) * c + torch.sigmoid(i) * j.tanh()
        h_next = (torch.sigmoid(o) * c_next.clamp(-3, 3).tanh()) @ torch.from_numpy(np.asarray(cell["W_P_0"]))
        with torch.no_grad():
            y, _ = ours(x[:, None], type(ours(x[:, None])[1])(h, c))
        np.testing.assert_allclose(y[0].numpy(), h_next.clamp(-3, 3).numpy(), atol=1e-6)


def test_without_a_softmax_it_embeds_and_score_refuses(run, tmp_path):
    convert(run.path, tmp_path, "elmo")
    (tmp_path / "vocabulary.txt").unlink()
    with h5py.File(tmp_path / "weights.hdf5", "a") as file:
        del file["softmax"]
    convert(tmp_path / "weights.hdf5", tmp_path / "run", "run")
    bare = Run.open(tmp_path / "run")
    assert bare.tokenizer.vocab_size == 3
    np.testing.assert_allclose(bare.embed(TEXTS), run.embed(TEXTS), atol=1e-6)
    with pytest.raises(StemmaError, match="hold no softmax"):
        bare.score(TEXTS)
    assert "`score` refuses" in (tmp_path / "run" / "README.md").read_text(encoding="utf-8")


def test_files_that_do_not_fit_are_refused_with_a_cure(run, tmp_path):
    convert(run.path, tmp_path, "elmo")
    options = json.loads((tmp_path / "options.json").read_text(encoding="utf-8"))

    def refused(message, **changes):
        changed = {part: {**options[part], **changes.get(part, {})} for part in options}
        (tmp_path / "options.json").write_text(json.dumps(changed), encoding="utf-8")
        with pytest.raises(DataError, match=message):
            convert(tmp_path / "weights.hdf5", tmp_path / "run", "run")
        assert not (tmp_path / "run").exists()

    refused("proj_clip", lstm={"proj_clip": 5})
    refused("activation", char_cnn={"activation": "tanh"})
    refused("filters", char_cnn={"filters": [[1, 4], [3, 6]]})
    refused(r"options\.json tells of", lstm={"n_layers": 3})
    (tmp_path / "options.json").unlink()
    with pytest.raises(DataError, match="no options"):
        convert(tmp_path / "weights.hdf5", tmp_path / "run", "run")
    assert main(["convert", str(tmp_path / "weights.hdf5"), str(tmp_path / "run"), "--to", "run"]) == 3


def test_a_missing_library_is_named_with_its_cure(run, tmp_path, monkeypatch):
    found = builtins.__import__

    def lacking(name, *rest):
        if name == "h5py":
            raise ImportError
        return found(name, *rest)

    monkeypatch.setattr(builtins, "__import__", lacking)
    with pytest.raises(MissingExtra, match=r"pip install .stemma-nlp\[interop\]"):
        convert(run.path, tmp_path / "theirs", "elmo")
