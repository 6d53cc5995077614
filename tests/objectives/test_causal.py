"""Causal rows: each token predicted once, from its true predecessor, inside its document."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
from tests.objectives.conftest import made_store

from stemma.errors import DataError
from stemma.objectives.batch import IGNORE
from stemma.objectives.causal import Causal, Config

FACTS = SimpleNamespace(vocab_size=1000, specials={"eos": 0})


def causal(store: SimpleNamespace, length: int = 7, batch_tokens: int = 21, seed: int = 5) -> Causal:
    return Causal(store, FACTS, Config(), seed=seed, batch_tokens=batch_tokens, max_length=length)


def test_an_epoch_predicts_every_token_and_document_end_once(store: SimpleNamespace) -> None:
    data = causal(store)
    labels = np.concatenate([data.batch(step)["labels"].ravel() for step in range(data.steps_in_epoch(0))])
    predicted = labels[labels != IGNORE]
    assert sorted(predicted) == sorted([*store.ids, *[0] * 60])


def test_labels_follow_their_inputs() -> None:
    store = made_store([[3, 2], [4], [1, 1, 1]])
    data = causal(store, length=5, batch_tokens=10)
    follows = set()
    for first, last in zip(store.document_starts[:-1], store.document_starts[1:], strict=True):
        document = [0, *store.ids[store.sentence_starts[first] : store.sentence_starts[last]].tolist(), 0]
        follows |= set(itertools.pairwise(document))
    batch = data.batch(0)
    real = batch["segments"] > 0
    assert set(zip(batch["ids"][real].tolist(), batch["labels"][real].tolist(), strict=True)) <= follows
    inside = (batch["segments"][:, 1:] == batch["segments"][:, :-1]) & real[:, 1:]
    assert (batch["labels"][:, :-1][inside] == batch["ids"][:, 1:][inside]).all()
    assert (np.diff(batch["positions"], axis=1)[inside] == 1).all()


def test_a_document_border_begins_a_segment_at_position_zero(store: SimpleNamespace) -> None:
    batch = causal(store, length=64, batch_tokens=100_000).batch(0)
    starts = (batch["ids"] == 0) & (batch["segments"] > 0)
    assert starts.sum() == 60
    assert (batch["positions"][starts] == 0).all()


def test_ranks_share_a_step_without_overlap(store: SimpleNamespace) -> None:
    data = causal(store, batch_tokens=28)
    whole = data.batch(3)["labels"]
    parts = [data.batch(3, rank, 2)["labels"] for rank in (0, 1)]
    assert (np.stack(parts, 1).reshape(whole.shape) == whole).all()


def test_a_batch_depends_on_seed_and_step_alone(store: SimpleNamespace) -> None:
    data, fresh = causal(store), causal(store)
    late = data.steps_in_epoch(0) + 2
    for step in range(late):
        data.batch(step)
    assert (data.batch(late)["ids"] == fresh.batch(late)["ids"]).all()
    assert not np.array_equal(causal(store, seed=6).batch(0)["ids"], fresh.batch(0)["ids"])
    assert fresh.epoch_of(late) == (1, 2)


def test_an_empty_store_is_refused() -> None:
    with pytest.raises(DataError, match="corpus check"):
        causal(made_store([[]]))
