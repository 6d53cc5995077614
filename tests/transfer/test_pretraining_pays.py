"""On a made-up language whose words have topics, pre-training pays where the task asks for the topic, and nowhere else (spec 00)."""

import numpy as np
import pytest

from stemma.corpus.task import Example
from stemma.runs.run import Run
from stemma.training.pretrain import pretrain
from stemma.training.request import Request
from stemma.transfer.finetune import finetune
from stemma.transfer.settings import Config

TOPICS, WORDS, LABELLED = 4, 150, 50  # words a topic; 50 labelled texts show few of them


def texts(count, rng, topics):
    """Texts of ten words, eight of them from the text's topic."""
    table = np.arange(TOPICS * WORDS).reshape(TOPICS, WORDS)
    own = np.take_along_axis(table[topics], rng.integers(WORDS, size=(count, 8)), 1)
    words = np.concatenate([own, rng.integers(TOPICS * WORDS, size=(count, 2))], 1)
    return [" ".join(f"w{word}" for word in row) for row in rng.permuted(words, axis=1)]


def examples(count, seed):
    rng = np.random.default_rng(seed)
    topics = rng.integers(TOPICS, size=count)
    return [Example(text, f"topic {topic}") for text, topic in zip(texts(count, rng, topics), topics, strict=True)]


@pytest.fixture(scope="module", params=["related", pytest.param("unrelated", marks=pytest.mark.slow)])
def run(request, tmp_path_factory):
    """word2vec over texts of one topic each; or over the same words, thrown together by lot."""
    place, rng = tmp_path_factory.mktemp(request.param), np.random.default_rng(0)
    corpus = texts(6000, rng, rng.integers(TOPICS, size=6000))
    if request.param == "unrelated":
        words = np.array(" ".join(corpus).split())
        corpus = [" ".join(row) for row in rng.permutation(words).reshape(-1, 10)]
    (place / "corpus.txt").write_text("\n\n".join(corpus) + "\n", encoding="utf-8")
    settings = ["model.width=32", "tokenizer.min_count=1", "training.epochs=8", "training.seed=1", "objective.sample=0"]
    folder = pretrain(Request.of("word2vec", place / "corpus.txt", settings=settings), out=place / "run")
    return request.param, Run.open(folder.path)


@pytest.mark.slow
def test_it_pays_under_the_task_network_too(run):
    """The same small network stands on both: what differs is what their states hold."""
    kind, pretrained = run
    config = Config(seeds=(1, 2), budget=1, head="network", updates=150)
    train, dev = examples(LABELLED, 1), examples(400, 2)
    right = {
        mode: finetune(pretrained, train=train, dev=dev, mode=mode, config=config).facts["accuracy"]["mean"]
        for mode in ("frozen", "random")
    }
    if kind == "related":
        assert right["frozen"] > right["random"] + 0.2, right
    else:
        assert right["frozen"] < right["random"] + 0.05, right


def test_pretraining_pays_where_the_task_asks_for_what_it_learnt(run):
    """Over three seeds; the one task in all modes, so the same 50 labels and the same 400 questions."""
    kind, pretrained = run
    config = Config(seeds=(1, 2, 3), budget=1)
    train, dev = examples(LABELLED, 1), examples(400, 2)
    modes = ("frozen", "random", "finetune", "scratch")
    right = {mode: finetune(pretrained, train=train, dev=dev, mode=mode, config=config).facts["accuracy"]["mean"] for mode in modes}
    if kind == "related":
        assert right["frozen"] > right["random"] + 0.2 and right["finetune"] > right["scratch"] + 0.05, right
        assert right["finetune"] > right["random"] + 0.2, right
    else:
        assert right["frozen"] < right["random"] + 0.05 and right["finetune"] < right["scratch"] + 0.05, right
