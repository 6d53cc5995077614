"""Tiny runs of the descending generations, and a task that a linear head can learn, half English and half Chinese."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from stemma.corpus.task import Example
from stemma.layers.uniform import uniform
from stemma.lineage.table import find
from stemma.objectives.spool import Room
from stemma.runs.assignment import Assignment
from stemma.runs.run import Run
from stemma.tasks.table import make_task
from stemma.tokens.tokenizer import Config as TokenizerConfig
from stemma.tokens.tokenizer import train as train_tokenizer
from stemma.training.count import count
from stemma.transfer.recipe import Lesson

WORDS = {"neg": ["bad", "awful", "poor", "坏", "差", "糟"], "pos": ["good", "lovely", "fine", "好", "棒", "妙"]}
FILLERS = ["the", "a", "film", "was", "it", "story", "of", "and", "but", "very", "的", "电影", "故事"]
KINDS = {"bert": "wordpiece", "gpt": "bpe", "word2vec": "word", "ngram": "word", "elmo": "word"}
KINDS |= {"bert-wwm": "wordpiece", "albert": "wordpiece", "tinybert": "wordpiece", "gpt2": "bpe", "xlnet": "unigram", "transformer": "bpe"}
KINDS |= {"lstm": "bpe"}

SIZES = {"word2vec": {"width": 20}, "elmo": {"characters": 4, "filters": (8, 8, 8), "width": 12, "cells": 20, "output": "full"}}
SIZES |= {"lstm": {"width": 24, "depth": 2, "output": "full", "dropout_embedding": 0.3}}


def make_examples(count: int, seed: int) -> list[Example]:
    """Fillers with one word that gives the label away."""
    rng = np.random.default_rng(seed)
    examples = []
    for _ in range(count):
        label = ("neg", "pos")[int(rng.random() < 0.45)]
        words = [*rng.choice(FILLERS, rng.integers(1, 9)), rng.choice(WORDS[label])]
        rng.shuffle(words)
        examples.append(Example(" ".join(words), label))
    return examples


def make_run(name: str, dropout: float = 0.1) -> Run:
    """A randomly drawn tiny run, its vocabulary learnt from the task's words."""
    kind = KINDS[name]
    size = {"min_count": 1} if kind == "word" else {}
    tokenizer = train_tokenizer(iter(example.text for example in make_examples(300, 9)), TokenizerConfig(kind=kind, vocab_size=400, **size))
    row = find(name)
    config = row.sections()["model"]
    if name == "ngram":
        return Run(None, row, tokenizer, counted(row, tokenizer))
    sizes = SIZES.get(name) or {"width": 24, "depth": 3, "heads": 2, "inner": 40, "max_length": 48}
    sizes = sizes if name == "word2vec" else sizes | {"dropout": dropout}
    facts = tokenizer.facts(np.ones(tokenizer.vocab_size, dtype=np.int64))
    if row.updates == "by hand":
        return Run(None, row, tokenizer, row.load_network().drawn(config(**sizes), facts, uniform(7)))
    torch.manual_seed(7)
    return Run(None, row, tokenizer, row.load_network()(config(**sizes), facts))


CLASSIFY = make_task("classify")


def assigned(run: Run, config, examples=()) -> Assignment:
    """The run put to the task of these examples, or of two labels."""
    targets = CLASSIFY.targets(examples or [Example("a", "neg"), Example("a", "pos")])
    return Assignment(run.row, run.tokenizer, run.module(), CLASSIFY, targets, config)


def lesson_of(recipe, examples) -> Lesson:
    """The examples as a recipe learns from them."""
    return Lesson(recipe.prepare(CLASSIFY.texts(examples)), CLASSIFY.gold(examples, {"labels": ["neg", "pos"], "several": False}))


def counted(row, tokenizer):
    """A trigram model of the task's kind of text."""
    texts = tokenizer.encode_batch([example.text for example in make_examples(400, 8)])
    starts = np.concatenate([[0], np.cumsum([len(ids) for ids in texts])])
    ids = np.concatenate(texts).astype(np.uint32)
    store = SimpleNamespace(ids=ids, sentence_starts=starts, counts=np.bincount(ids, minlength=tokenizer.vocab_size))
    sections = row.sections()
    config = {"model": sections["model"](order=3), "objective": sections["objective"]()}
    return count(row, store, tokenizer.facts(store.counts), config, Room(2**30))


@pytest.fixture(scope="session")
def ngram():
    return make_run("ngram")


@pytest.fixture(scope="session", params=["bert", "gpt", "word2vec"])
def run(request):
    return make_run(request.param)


@pytest.fixture(scope="session")
def bert():
    return make_run("bert")


@pytest.fixture(scope="session")
def still_bert():
    """BERT without dropout: what it learns depends on its batches alone."""
    return make_run("bert", dropout=0.0)


@pytest.fixture(scope="session")
def word2vec():
    return make_run("word2vec")


@pytest.fixture(scope="session")
def gpt():
    return make_run("gpt")


@pytest.fixture(scope="session")
def train_examples():
    return make_examples(240, 1)


@pytest.fixture(scope="session")
def dev_examples():
    return make_examples(120, 2)
