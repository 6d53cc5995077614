"""word2vec's subwords: the kernels against NumPy and autograd, vectors of words never seen."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tests.lineage.differentiable import Word2VecLoss

from stemma.cli.main import main
from stemma.errors import DataError
from stemma.kernels import word2vec_pairs as kernels
from stemma.kernels.character_ngrams import hashed_ngrams
from stemma.kernels.draws import draw_word, mix
from stemma.lineage.word2vec import Config, Word2Vec
from stemma.objectives.batch import seed_for
from stemma.runs.run import Run
from stemma.training.pretrain import pretrain
from stemma.training.request import Request

WORDS = ["<unk>", "<s>", "</s>", *["sail", "sailor", "sailing", "rain", "rainy", "水手", "老水手", "大海", "a", "naïve", "🦭", "the"]]
V, D, K, BUCKETS = len(WORDS), 22, 5, 97
BOTH = pytest.mark.parametrize("architecture", ["skipgram", "cbow"])


def network(architecture="skipgram", **options):
    torch.manual_seed(3)
    facts = SimpleNamespace(vocab_size=V, specials={"unk": 0, "bos": 1, "eos": 2}, counts=np.arange(V) + 3, tokens=WORDS)
    net = Word2VecLoss(Word2Vec, Config(architecture, **{"width": D, "window": 4, "subwords": True, "buckets": BUCKETS, **options}), facts)
    with torch.no_grad():
        net.subwords[net.subwords.any(1)] = torch.randn(int(net.subwords.any(1).sum()), D) * 0.5
        net.output.normal_(0, 0.4)
    return net


def chunk(length=120, seed=0):
    draw = np.random.default_rng(seed)
    borders = np.unique(draw.integers(1, length, length // 12))
    return {"words": draw.integers(3, V, length).astype(np.int32), "starts": np.array([0, *borders, length])}


def reference(net, batch, rate, seed):
    """The whole chunk in float64, pair by pair as fastText does it, with the kernels' own draws."""
    table, output = (p.detach().numpy().astype(np.float64) for p in (net.subwords, net.output))
    words, (low, high) = batch["words"], kernels.windows(batch["starts"], 4, np.uint64(seed_for(seed, "radius")))
    starts, rows = net.tables.grams
    loss, count, first = 0.0, 0, seed_for(seed, "negatives")
    for i in range(len(words)):
        near = [j for j in range(low[i], high[i] + 1) if j != i]
        steps = [([i], words[j]) for j in near] if net.config.architecture == "skipgram" else [(near, words[i])] * bool(near)
        for group, target in steps:
            used = np.concatenate([rows[starts[words[j]] : starts[words[j] + 1]] for j in group])
            x, error = table[used].mean(0), np.zeros(D)
            draws = [draw_word(np.uint64(mix(np.uint64(first + count * K + k))), *net.tables.alias) for k in range(K)]
            for label, word in [(1, target)] + [(0, n) for n in draws if n != target]:
                probability = 1 / (1 + np.exp(-x @ output[word]))
                loss -= np.log(probability if label else 1 - probability)
                step = (label - probability) * rate
                error += step * output[word]
                output[word] = output[word] + step * x
            np.add.at(table, used, error)
            count += 1
    return table, output, loss, count


@BOTH
def test_plain_kernel_is_the_reference_step_by_step(architecture):
    net, batch = network(architecture, kernel="plain"), chunk()
    table, output, loss, count = reference(net, batch, 0.01, seed=5)
    got = net.tables.descend(batch, 0.01, seed=5)
    assert got.count == count and float(got.mean) == pytest.approx(loss / count, rel=2e-3)
    # A negative drawn twice for one pair is scored once before both its steps; the reference scores it anew.
    assert np.abs(net.subwords.detach().numpy() - table).max() < 2e-3 and np.abs(net.output.detach().numpy() - output).max() < 2e-3


@BOTH
def test_the_kernels_descend_what_autograd_sees(architecture):
    batch = {"words": np.array([7, 4, 9], np.int32), "starts": np.array([0, 2, 3])}
    for kernel in ("plain", "block"):
        net, rate, seed = network(architecture, kernel=kernel), 1e-3, 11
        before = {name: table.detach().clone() for name, table in net.named_parameters()}
        first = seed_for(seed, "negatives")
        drawn = [draw_word(np.uint64(mix(np.uint64(first + k))), *net.tables.alias) for k in range(2 * K)]
        inputs, targets = ([[7], [4]], [4, 7]) if architecture == "skipgram" else ([[4], [7]], [7, 4])
        loss = net.loss({"inputs": torch.tensor(inputs), "targets": torch.tensor(targets), "negatives": torch.tensor(drawn).view(2, -1)})
        loss.mean.backward()
        got = net.tables.descend(batch, rate, seed=seed)
        assert got.count == loss.count == 2 and float(got.mean) == pytest.approx(float(loss.mean.detach()), rel=1e-2)
        gradient = net.subwords.grad * 2  # the mean's gradient is divided among the rows; each gets it in full (`Deviates` as fastText)
        moved = (before["subwords"] - net.subwords.detach()) / rate
        starts, rows = net.tables.grams
        for word, other in ((4, 7), (7, 4)):
            own, others = (rows[starts[w] : starts[w + 1]] for w in (word, other))
            single = [row for row in own if (own == row).sum() == 1 and row not in others]
            np.testing.assert_allclose(moved[single], gradient[single] * len(own), atol=2e-2)
        np.testing.assert_allclose((before["output"] - net.output.detach()) / rate, net.output.grad * 2, atol=2e-2)


@BOTH
def test_fast_is_plain_but_for_the_order_within_a_block(architecture):
    batch, steps = chunk(400, seed=2), {}
    for kernel in ("plain", "block"):
        net = network(architecture, kernel=kernel)
        still = net.tables.descend(batch, 0.0, seed=3)
        before = torch.cat([t.detach().clone() for t in (net.subwords, net.output)])
        net.tables.descend(batch, 1e-5, seed=3)
        steps[kernel] = float(still.mean), still.count, torch.cat([net.subwords.detach(), net.output.detach()]) - before
    (plain, pairs, expected), (fast, count, got) = steps["plain"], steps["block"]
    assert count == pairs and fast == pytest.approx(plain, rel=1e-5)
    assert torch.norm(got - expected) < 2e-2 * torch.norm(expected)


def test_vectors_are_composed_of_what_was_learnt():
    net = network()
    net.tables.descend(chunk(), 0.05, seed=1)
    vectors = torch.from_numpy(net.tables.arrays()["input"])
    starts, rows = net.tables.grams
    for word in range(V):
        own = rows[starts[word] : starts[word + 1]]
        expected = net.subwords.detach()[own].mean(0) if len(own) else torch.zeros(D)
        assert torch.allclose(vectors[word], expected, atol=1e-6) and (word >= 3) == bool(len(own))
    assert torch.equal(net.tables.as_module().encode({"ids": torch.tensor([[4]])})[0][0, 0], vectors[4])
    rows = V + hashed_ngrams([b"sailo"], 3, 6, BUCKETS)[1]
    assert np.allclose(net.tables.compose("sailo"), net.subwords.detach()[rows].mean(0))


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    home = tmp_path_factory.mktemp("subwords")
    lines = ["the old sailor told the young sailor a story of the sea", "老水手 给 年轻 的 水手 讲 了 一个 故事", "sailing in the rain"]
    (home / "text.txt").write_text("\n".join(lines * 40), encoding="utf-8")
    settings = ["model.subwords=true", "model.buckets=200_000", "training.epochs=2", "tokenizer.min_count=1", "training.threads=1"]
    return Run.open(pretrain(Request.of("word2vec", home / "text.txt", preset="tiny", settings=settings), out=home / "run").path)


def test_a_word_never_seen_is_composed_and_said_to_be(run, capsys):
    assert run.composes("Sailors") and not run.composes("sailor") and run.nearest("sailors", 3)[0][0] == "sailor"
    unseen, seen = run.embed(["sailors", "sailor"])
    assert unseen.any() and np.dot(unseen, seen) > 0
    assert np.allclose(run.vectors(["the sailors"])[0].layers[0, 1], unseen, atol=1e-6)
    assert main(["nearest", str(run.path), "sailors", "sailor", "--k", "2"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert rows[0]["composed"] and "composed" not in rows[1] and len(rows[0]["nearest"]) == 2
    with pytest.raises(DataError, match="not in the vocabulary"):
        run.nearest("xyzzyq")
    assert not run.embed(["xyzzyq"]).any()
