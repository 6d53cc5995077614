"""Static vectors distilled from a deep run: what they are, and that they are used as any word vectors are."""

from pathlib import Path

import numpy as np
import pytest
import torch

from stemma.checkpoint import RunFolder
from stemma.config import to_plain
from stemma.errors import UsageError
from stemma.export.formats import convert
from stemma.export.static import on_main_axes, static_vectors, zipf_weights
from stemma.layers.weights import weights
from stemma.lineage.table import find
from stemma.runs.run import Run
from stemma.tokens.tokenizer import Config, train

LINES = ["the old sailor told the young sailor a story", "老水手 给 年轻 的 水手 讲 了 一个 故事"]


@pytest.fixture(scope="module")
def deep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drawn BERT as a finished run."""
    path, row = tmp_path_factory.mktemp("runs") / "bert", find("bert")
    tokenizer = train(iter(LINES * 3), Config(kind="wordpiece", vocab_size=90))
    model = row.model_config()(width=20, depth=2, heads=2, inner=24, max_length=16)
    torch.manual_seed(2)
    network = row.load_network()(model, tokenizer.facts())
    sections = {"model": to_plain(model), "tokenizer": to_plain(tokenizer.config)}
    folder = RunFolder.create(path, {"stemma": "0", "identity": {"generation": "bert", "corpus": []}, "sections": sections})
    tokenizer.save(folder.tokenizer_path)
    folder.finish("", {}, weights(network))
    return path


def test_a_token_s_vector_is_its_state_on_the_main_axes_shortened(deep: Path, tmp_path: Path) -> None:
    run = Run.open(deep)
    specials = set(run.tokenizer.specials.values())
    ids = [token for token in range(run.tokenizer.vocab_size) if token not in specials]
    states = np.stack([run.network.encode({"ids": torch.tensor([run.network.frame([n])[0]])})[-1][0, 1].detach().numpy() for n in ids])
    vectors = static_vectors(run)
    assert not vectors[list(specials)].any() and vectors.shape == (run.tokenizer.vocab_size, 20)
    turned = vectors[ids] / zipf_weights(len(ids))[:, None]
    centred = states - states.mean(0)
    np.testing.assert_allclose(turned @ turned.T, centred @ centred.T, atol=1e-4)  # all axes kept: nothing but turned
    variances = turned.var(0)
    assert (np.diff(variances) <= 1e-6).all()


def test_fewer_axes_keep_the_greatest_variance() -> None:
    rng = np.random.default_rng(1)
    vectors = (rng.normal(size=(200, 5)) * [0.1, 4, 0.2, 2, 0.3] + 7).astype(np.float32)
    kept = on_main_axes(vectors, 2)
    assert kept.var(0) == pytest.approx(np.sort(vectors.var(0))[:2:-1], rel=0.02)
    assert np.array_equal(kept, on_main_axes(vectors, 2)) and np.abs(kept.mean(0)).max() < 1e-5


def test_weights_follow_zipf() -> None:
    found, chances = zipf_weights(3), np.array([6, 3, 2]) / 11
    np.testing.assert_allclose(found, 1e-4 / (1e-4 + chances), rtol=1e-6)


def test_it_is_a_run_of_word_vectors(deep: Path, tmp_path: Path) -> None:
    (made,) = convert(deep, tmp_path / "static", "static")
    run, vectors = Run.open(made), static_vectors(Run.open(deep))
    assert run.row.name == "word2vec" and np.array_equal(run.word_vectors(), vectors)
    for line in LINES:
        np.testing.assert_allclose(run.embed([line])[0], vectors[run.tokenizer.encode(line)].mean(0), rtol=1e-5, atol=1e-7)
    assert len(run.nearest("sailor", 3)) == 3 and "水" in run
    assert "which it needs no more" in (made / "README.md").read_text(encoding="utf-8")
    with pytest.raises(UsageError, match="can be written as"):
        convert(made, tmp_path / "again", "static")
