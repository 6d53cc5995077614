"""Probes by layer: the layer that knows is found, chance is told from knowledge, and files are recognised and read strictly."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from stemma.errors import DataError, UsageError
from stemma.evaluation.measures.probe_files import read_probe
from stemma.evaluation.measures.probes import by_layer, probe
from stemma.lineage.table import find
from stemma.runs.assignment import Assignment
from stemma.runs.fixed import FixedNetwork
from stemma.tokens.tokenizer import Config as TokenizerConfig
from stemma.tokens.tokenizer import train as train_tokenizer
from stemma.transfer.features import LinearOnFeatures
from stemma.transfer.settings import Config

WIDTH = 6
WORDS = ["cat", "dog", "mat", "gate", "purrs", "barks", "猫", "狗", "水", "叫", "游泳", "😀"]
SENSES = "word\tindex\tsense\tsentence\n"


class Planted(nn.Module):
    """Three layers of noise; in the middle one the first number is the parity of a token's id, then that of the text's first."""

    width, max_length = WIDTH, None

    def __init__(self, seed: int, knows: bool = True) -> None:
        super().__init__()
        self.seed, self.knows = seed, knows
        self.only = nn.Parameter(torch.zeros(1))

    def frame(self, ids, other=None):
        return [*ids, *(other or [])], [0] * (len(ids) + len(other or []))

    def encode(self, batch):
        generator = torch.Generator().manual_seed(self.seed + int(batch["ids"].sum()))
        states = [torch.randn(*batch["ids"].shape, WIDTH, generator=generator) for _ in range(3)]
        if self.knows:
            states[1][..., 0] = 9.0 * (batch["ids"] % 2)
            states[1][..., 1] = 9.0 * (batch["ids"][:, :1] % 2)
        return states

    def layers(self):
        return [SimpleNamespace(parameters=["only"]), SimpleNamespace(parameters=[]), SimpleNamespace(parameters=[])]

    def summary(self, states, batch):
        return states[1][:, 0]  # what no layer may be credited with


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(iter([" ".join(WORDS)] * 3), TokenizerConfig(kind="word", min_count=1))


def fixed(file, tokenizer, seed=0, knows=True):
    assignment = Assignment(find("lstm"), tokenizer, Planted(seed, knows), file.task, file.targets, Config(mode="frozen"))
    return FixedNetwork(assignment, assignment.network)


def texts(count, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.choice(WORDS, rng.integers(3, 7)).tolist() for _ in range(count)]


def odd(tokenizer, word):
    (number,) = tokenizer.encode(word).tolist()
    return number % 2


@pytest.fixture(params=["labels", "tags", "senses"])
def file(request, tokenizer, tmp_path):
    """A file of which the middle layer knows everything, and the others nothing."""
    path = tmp_path / f"{request.param}.txt"
    chosen = texts(240)
    if request.param == "labels":
        lines = ["label\ttext", *(f"{'甲乙'[odd(tokenizer, words[0])]}\t{' '.join(words)}" for words in chosen)]
    elif request.param == "tags":
        lines = [line for words in chosen for line in (*(f"{word}\t{'XY'[odd(tokenizer, word)]}" for word in words), "")]
    else:
        rows = (f"{words[-1]}\t{len(words) - 1}\t{odd(tokenizer, words[0])}\t{' '.join(words)}" for words in chosen)
        lines = [SENSES.strip(), *rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return read_probe(path)


def test_the_layer_that_knows_is_found(file, tokenizer):
    found = by_layer(file, fixed(file, tokenizer), (fixed(file, tokenizer, seed, knows=False) for seed in (1, 2)))
    assert found.best_layer == 1 and len(found.layers) == 3
    knows = found.layers[1]
    assert knows.value.value > 0.9 and knows.random.value < 0.75
    assert knows.gain.excludes_zero and knows.random.seeds == 2 and knows.value.seeds == 1
    for layer in (found.layers[0], found.layers[2]):
        assert not layer.gain.excludes_zero and layer.value.value < 0.75
    assert found.as_dict()["layers"][1]["value"]["value"] == knows.value.value


def test_parts_share_no_text_and_what_is_known_beforehand_is_the_floor(file):
    parts = [set(part.tolist()) for part in (file.learning, file.selection, file.judged)]
    assert sum(map(len, parts)) == len(file.texts) == len(set.union(*parts))
    own = [{file.texts[k].text for k in part} for part in parts]
    assert not (own[0] | own[1]) & own[2] or file.about == "senses"  # where a sentence may stand for two words
    assert 0.3 < file.floor < 0.7
    assert sum(file.sizes.values()) == len(file.texts)


def test_a_limit_draws_by_lot_and_the_same_each_time(tmp_path):
    path = tmp_path / "labels.tsv"
    path.write_text("label\ttext\n" + "".join(f"{k % 2}\ttext {k}\n" for k in range(60)), encoding="utf-8")
    few, again, every = read_probe(path, 20), read_probe(path, 20), read_probe(path)
    assert [text.text for text in few.texts] == [text.text for text in again.texts] and len(few.texts) == 20
    assert len(every.texts) == 60


def test_a_layer_is_fitted_as_scikit_learn_fits_it(tokenizer, tmp_path):
    """With the same features and C, the answers are those of its LogisticRegression."""
    linear = pytest.importorskip("sklearn.linear_model")
    path = tmp_path / "labels.tsv"
    rng = np.random.default_rng(3)
    lines = [f"{'甲乙丙'[(odd(tokenizer, w[0]) + int(rng.random() < 0.2)) % 3]}\t{' '.join(w)}" for w in texts(200, 5)]
    path.write_text("\n".join(["label\ttext", *lines]) + "\n", encoding="utf-8")
    file = read_probe(path)
    network = fixed(file, tokenizer)
    found = by_layer(file, network, [fixed(file, tokenizer, 1, knows=False)]).layers[1]
    assert found.c in LinearOnFeatures.grid
    features = network.features(network.prepare(file.texts), [1])[:, :WIDTH].double().numpy()
    mean, scale = features[file.learning].mean(0), features[file.learning].std(0)
    model = linear.LogisticRegression(C=found.c, max_iter=1000, tol=1e-8)
    model.fit((features[file.learning] - mean) / scale, file.gold[file.learning])
    right = model.predict((features[file.judged] - mean) / scale) == file.gold[file.judged]
    assert found.value.value == pytest.approx(right.mean())


def test_entities_are_judged_by_their_spans_and_scores_by_their_correlation(tmp_path):
    spans = "".join(f"Mr\tO\nCat{k}\tB-PER\nof\tO\n水{k}\tB-LOC\n\n" for k in range(12))
    (tmp_path / "entities.txt").write_text(spans, encoding="utf-8")
    (tmp_path / "scores.tsv").write_text("score\ttext\n" + "".join(f"{k % 5}\ttext {k}\n" for k in range(30)), encoding="utf-8")
    entities, numbers = read_probe(tmp_path / "entities.txt"), read_probe(tmp_path / "scores.tsv")
    assert (entities.about, entities.metric.name) == ("tags", "f1")
    assert (numbers.about, numbers.metric.name) == ("numbers", "pearson")


@pytest.mark.parametrize(
    ("text", "cure"),
    [
        ("", "name a file with examples"),
        ("label\ttext\na\tone\n", "shuffle and split"),
        ("label\ttext\na\tone\nb\tone\n", "add examples"),
        ("label\ttext\na\tone\nb\ttwo\n", "add labelled examples"),
        ("one\n", "name the columns"),
        (SENSES + "bank\t0\triver\tbank one\n", "add occurrences"),
    ],
)
def test_a_file_that_layers_cannot_be_probed_with_is_refused(tmp_path, text, cure):
    path = tmp_path / "probe.txt"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=cure):
        read_probe(path)


def test_counts_have_no_layers(tmp_path, tokenizer):
    path = tmp_path / "labels.tsv"
    path.write_text("label\ttext\n" + "".join(f"{k % 2}\ttext {k}\n" for k in range(20)), encoding="utf-8")
    counts = SimpleNamespace(row=find("ngram"), tokenizer=tokenizer)
    with pytest.raises(UsageError, match="no states"):
        probe(counts, read_probe(path))
