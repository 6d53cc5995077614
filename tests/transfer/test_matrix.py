"""The matrix of generations, tasks and modes: what has a meaning makes a step and answers, in one mode or the other; all else says why."""

from dataclasses import fields
from itertools import product

import numpy as np
import pytest
import torch
from tests.transfer.conftest import counted, make_examples
from tests.transfer.test_tasks import asked, chosen, rated

from stemma.cli.main import main
from stemma.corpus.columns import Tagged
from stemma.layers.uniform import uniform
from stemma.lineage.table import TABLE, find
from stemma.runs.assignment import Assignment
from stemma.runs.run import Run
from stemma.tasks.table import TASKS, make_task
from stemma.tasks.tag import Sentence
from stemma.tasks.translate import Translated
from stemma.tokens.tokenizer import Config as TokenizerConfig
from stemma.tokens.tokenizer import train as train_tokenizer
from stemma.transfer.matrix import MODES, matrix
from stemma.transfer.recipe import Lesson, recipe_for
from stemma.transfer.settings import Config

SIZES = {
    "width": 16,
    "inner": 24,
    "depth": 1,
    "heads": 2,
    "cells": 16,
    "max_length": 48,
    "characters": 4,
    "filters": (8, 8, 8),
    "embedding": 8,
}
EXAMPLES = {
    "classify": make_examples(12, 1),
    "pair": make_task("pair").given([(example.label, example.text, "the film") for example in make_examples(12, 1)]),
    "regress": rated(12, 1),
    "choice": chosen(12, 1),
    "span": asked(12, 1, longest=6),
    "tag": [Sentence("the film", ((0, 3), (4, 8)), Tagged(("the", "film"), ("A", "B")))] * 12,
    "generate": [Translated("the film", "a story")] * 12,
    "translate": [Translated("the film", "故事")] * 12,
}
CELLS = {(cell.generation, cell.task, cell.mode): cell.reason for cell in matrix()}


@pytest.fixture(scope="module")
def runs() -> dict[str, Run]:
    """A run of every generation, drawn by lot, the smallest there are; one tokenizer a kind."""
    tokenizers, found = {}, {}
    for row in (row for row in TABLE if row.ready):
        if row.tokenizer not in tokenizers:
            size = {"min_count": 1} if row.tokenizer == "word" else {}
            texts = iter(example.text for example in make_examples(200, 9))
            tokenizers[row.tokenizer] = train_tokenizer(texts, TokenizerConfig(kind=row.tokenizer, vocab_size=300, **size))
        tokenizer = tokenizers[row.tokenizer]
        if row.learns == "count":
            found[row.name] = Run(None, row, tokenizer, counted(row, tokenizer))
            continue
        known = {field.name for field in fields(row.model_config())}
        config = row.model_config()(**{name: size for name, size in SIZES.items() if name in known})
        facts = tokenizer.facts(np.ones(tokenizer.vocab_size, dtype=np.int64))
        torch.manual_seed(7)
        drawn = row.load_network().drawn(config, facts, uniform(7)) if row.updates == "by hand" else row.new_module(config, facts).eval()
        found[row.name] = Run(None, row, tokenizer, drawn)
    return found


def test_the_matrix_is_whole():
    assert set(CELLS) == set(product((row.name for row in TABLE), TASKS, MODES))
    for row in TABLE:
        reasons = [CELLS[row.name, task, mode] for task, mode in product(TASKS, MODES)]
        assert all(row.name in reason or reason.startswith("no head") for reason in reasons if reason)
        assert any(not reason for reason in reasons) == row.ready


@pytest.mark.parametrize("task", TASKS)
def test_every_generation_makes_a_step_of_every_task_or_says_why_not(runs, task):
    if task in ("generate", "translate"):
        pytest.importorskip("sacrebleu")
    kind, examples = make_task(task), EXAMPLES[task]
    targets = kind.targets(examples)
    for place, (name, run) in enumerate(runs.items()):
        can = [way for mode, way in MODES.items() if not CELLS[name, task, mode]]
        if not can:
            continue
        way = can[(place + [*TASKS].index(task)) % len(can)]  # of two modes one, by turns: both would take twice as long
        config = Config(mode=way, precision="fp32", updates=1, epochs=1, batch_size=12, threads=1)
        assignment = Assignment(find(name), run.tokenizer, run.module(), kind, targets, config)
        recipe = recipe_for(assignment, config)
        lesson = Lesson(recipe.prepare(kind.texts(examples)), kind.gold(examples, targets))
        model = recipe.fit(lesson, np.arange(12), recipe.grid[0], 1)
        answers = model.answers(model.prepare(kind.texts(examples[:3])))
        assert len(kind.answer_rows(examples[:3], answers, targets)) == 3, name


def test_the_matrix_is_printed(capsys):
    main(["lineage", "--matrix"])
    out = capsys.readouterr().out
    assert out.splitlines()[0].split() == list(TASKS)
    assert "(1) ngram counts a model for each class, and the task regress has none" in out
    main(["lineage", "bert", "--matrix"])
    row = capsys.readouterr().out.splitlines()[1].split()
    assert row[:7] == ["bert", *["both"] * 6]
