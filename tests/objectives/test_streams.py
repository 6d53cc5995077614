"""Streams: columns that go on from step to step, each token predicted once, each label the next input."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.objectives.conftest import made_store

from stemma.errors import DataError, UsageError
from stemma.objectives.batch import IGNORE
from stemma.objectives.streams import SHORTEST, Config, Streams

FACTS = SimpleNamespace(vocab_size=1000, specials={"eos": 0})
SMALL = [[3, 2], [4], [1, 1, 1], [7]]


def streams(store: SimpleNamespace, window: int = 7, batch_tokens: int = 21, seed: int = 5, variable: bool = False) -> Streams:
    return Streams(store, FACTS, Config(window, variable), seed=seed, batch_tokens=batch_tokens)


def epoch(data: Streams, number: int = 0, rank: int = 0, ranks: int = 1) -> list[dict[str, np.ndarray]]:
    first = sum(data.steps_in_epoch(earlier) for earlier in range(number))
    return [data.batch(first + step, rank, ranks) for step in range(data.steps_in_epoch(number))]


def columns(batches: list[dict[str, np.ndarray]], name: str) -> list[list[int]]:
    """The windows put end to end again, padding left out."""
    whole, real = (np.concatenate([batch[key] for batch in batches], 1) for key in (name, "segments"))
    return [row[kept > 0].tolist() for row, kept in zip(whole, real, strict=True)]


def documents(store: SimpleNamespace) -> list[tuple[int, ...]]:
    borders = store.sentence_starts[store.document_starts]
    return [tuple(store.ids[a:b].tolist()) for a, b in itertools.pairwise(borders)]


def documents_of(stream: list[int]) -> list[tuple[int, ...]]:
    """The documents of a stream of labels, each of which ends in the separator."""
    assert stream[-1] == 0
    ends = [-1, *(place for place, label in enumerate(stream) if label == 0)]
    return [tuple(stream[a + 1 : b]) for a, b in itertools.pairwise(ends)]


shapes = st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=3), min_size=1, max_size=6)


@given(shapes, st.integers(1, 11), st.integers(1, 60), st.booleans())
def test_columns_put_end_to_end_are_all_documents_in_some_order(
    lengths: list[list[int]], window: int, batch_tokens: int, variable: bool
) -> None:
    store = made_store(lengths)
    for number in (0, 1):
        labels = columns(epoch(streams(store, window, batch_tokens, variable=variable), number), "labels")
        stream = list(itertools.chain(*labels))
        assert IGNORE not in stream
        assert sorted(documents_of(stream)) == sorted(documents(store))
        assert max(map(len, labels)) - min(map(len, labels)) <= 1


@given(shapes, st.integers(1, 11), st.integers(1, 60), st.booleans())
def test_each_label_is_the_next_input_even_across_windows_and_columns(
    lengths: list[list[int]], window: int, batch_tokens: int, variable: bool
) -> None:
    batches = epoch(streams(made_store(lengths), window, batch_tokens, variable=variable))
    ids, labels = (list(itertools.chain(*columns(batches, name))) for name in ("ids", "labels"))
    assert ids == [0, *labels[:-1]]
    for batch in batches:
        assert (batch["labels"][batch["segments"] == 0] == IGNORE).all()


def test_a_state_begins_with_an_epoch_and_nowhere_else(store: SimpleNamespace) -> None:
    data = streams(store)
    for number in (0, 1):
        begins = np.stack([batch["begins"] for batch in epoch(data, number)])
        assert begins.dtype == bool and begins[0].all() and not begins[1:].any()


@pytest.mark.parametrize("ranks", [2, 3])
def test_ranks_share_the_columns_and_keep_them(store: SimpleNamespace, ranks: int) -> None:
    data = streams(store, batch_tokens=35)
    whole = columns(epoch(data), "labels")
    assert len(whole) == 5
    for rank in range(ranks):
        assert columns(epoch(data, rank=rank, ranks=ranks), "labels") == whole[rank::ranks]


@given(shapes, st.integers(1, 11), st.integers(1, 60), st.booleans())
def test_every_row_of_every_batch_predicts_a_token(lengths: list[list[int]], window: int, batch_tokens: int, variable: bool) -> None:
    for batch in epoch(streams(made_store(lengths), window, batch_tokens, variable=variable)):
        assert (batch["labels"] != IGNORE).any(1).all()


def test_no_rank_is_left_without_a_label_at_the_end_of_a_pass() -> None:
    data = streams(made_store([[16]]), window=4, batch_tokens=8)  # 17 predictions: columns of 9 and 8, in windows of 4 and 5
    assert [batch["ids"].shape for batch in epoch(data)] == [(2, 4), (2, 5)]
    assert [[int((batch["labels"] != IGNORE).sum()) for batch in epoch(data, rank=rank, ranks=2)] for rank in (0, 1)] == [[4, 5], [4, 4]]


def test_more_ranks_than_columns_are_refused(store: SimpleNamespace) -> None:
    with pytest.raises(UsageError, match=r"raise training\.batch_tokens"):
        streams(store).batch(0, 0, 4)


def test_a_batch_depends_on_seed_and_step_alone(store: SimpleNamespace) -> None:
    for variable in (False, True):
        data, fresh = streams(store, variable=variable), streams(store, variable=variable)
        late = data.steps_in_epoch(0) + 2
        for step in range(late):
            data.batch(step)
        assert (data.batch(late)["ids"] == fresh.batch(late)["ids"]).all()
        assert not np.array_equal(streams(store, seed=6, variable=variable).batch(0)["ids"], fresh.batch(0)["ids"])
        assert fresh.epoch_of(late) == (1, 2)


def test_the_ledger_balances_and_real_tokens_add_up_to_it(store: SimpleNamespace) -> None:
    data = streams(store)
    assert data.ledger()["tokens"] == data.ledger()["used"] == len(store.ids)
    assert sum(data.real_tokens(batch) for batch in epoch(data)) == len(store.ids) + 60


def test_a_short_text_has_fewer_columns_not_empty_ones() -> None:
    batches = epoch(streams(made_store([[2]]), window=4, batch_tokens=64))
    assert [batch["ids"].shape for batch in batches] == [(3, 1)]


def test_drawn_windows_are_as_long_as_the_paper_says(store: SimpleNamespace) -> None:
    data = streams(store, window=70, batch_tokens=70, variable=True)
    batches = [batch for number in range(3) for batch in epoch(data, number)[:-1]]
    lengths = np.array([batch["ids"].shape[1] for batch in batches])
    halved = lengths < 52
    assert len(lengths) > 300 and lengths.min() >= SHORTEST
    assert halved.mean() == pytest.approx(0.05, abs=0.03)
    assert lengths[~halved].mean() == pytest.approx(69.5, abs=1) and lengths[~halved].std() == pytest.approx(5, abs=1)
    for batch, length in zip(batches, lengths, strict=True):
        assert batch["rate_scale"].shape == () and float(batch["rate_scale"]) == pytest.approx(length / 70)
    assert "rate_scale" not in streams(store).batch(0)


def test_an_empty_store_and_a_tokenizer_without_an_end_are_refused() -> None:
    with pytest.raises(DataError, match="corpus check"):
        streams(made_store([[]]))
    with pytest.raises(UsageError, match=r"set tokenizer\.kind to bpe"):
        Streams(made_store(SMALL), SimpleNamespace(specials={"cls": 1}), Config(), seed=0, batch_tokens=8)
