"""Loss curves: watching changes nothing, and a network that knows the task already needs fewer updates than one from scratch."""

import dataclasses
import math
from types import SimpleNamespace

import numpy as np
import pytest
from tests.transfer.conftest import CLASSIFY, assigned, lesson_of

from stemma.transfer.finetune import finetune
from stemma.transfer.loss_curves import LossPoint, loss_curve, saved, watched
from stemma.transfer.moving import Descent
from stemma.transfer.settings import Config

FAST = Config(precision="fp32", seeds=(1,), budget=1, epochs=1, updates=40, threads=1, batch_size=16)
SCRATCH = dataclasses.replace(FAST, mode="scratch")


@pytest.fixture(scope="module")
def curves(word2vec, train_examples, dev_examples):
    """Of word vectors that have learnt the task before, and of some from scratch."""
    before = finetune(word2vec, train=train_examples, config=dataclasses.replace(FAST, updates=150, grid=(3e-2,)))
    taught = SimpleNamespace(row=word2vec.row, tokenizer=word2vec.tokenizer, module=lambda: before.model.model.backbone)
    options = {"train": train_examples, "dev": dev_examples, "task": CLASSIFY, "value": 1e-2, "seed": 2}
    return loss_curve(taught, config=FAST, **options), loss_curve(taught, config=SCRATCH, **options)


def test_a_network_that_knows_the_task_saves_updates(curves):
    knows, scratch = curves
    found = saved(knows, scratch)
    assert found.ratio is not None and found.ratio > 1.5
    assert found.loss == min(point.loss for point in scratch)
    assert saved(scratch, knows).finetuned is None  # the other way round it is never reached


def test_a_curve_goes_from_before_the_first_update_to_the_last(curves):
    for curve in curves:
        updates = [point.updates for point in curve]
        assert updates == sorted(watched(40)) and (updates[0], updates[-1]) == (0, 40)
    assert curves[1][0].loss == pytest.approx(math.log(2), abs=0.3)


def test_watching_changes_nothing_that_is_learnt(bert, train_examples):
    recipe = Descent(assigned(bert, FAST, train_examples), FAST)
    lesson, rows, seen = lesson_of(recipe, train_examples), np.arange(60), []
    alone = recipe.fit(lesson, rows, 1e-3, 1).arrays()

    def watch(updates: int, model) -> None:
        seen.append(updates)
        model.eval()

    recipe.watch = watch
    assert all(np.array_equal(array, alone[name]) for name, array in recipe.fit(lesson, rows, 1e-3, 1).arrays().items())
    assert seen == list(range(41))


def test_nothing_learnt_from_scratch_has_no_ratio():
    flat = [LossPoint(0, 0.69), LossPoint(9, 0.7)]
    assert saved(flat, flat).ratio is None
