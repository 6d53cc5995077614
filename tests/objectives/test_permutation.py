"""Permutation: streams in order, each token once in each half of a row, spans predicted in a drawn order."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
from tests.objectives.conftest import made_store

from stemma.errors import DataError, UsageError
from stemma.kernels.permutations import choose_spans, draw_order
from stemma.objectives.batch import IGNORE
from stemma.objectives.permutation import Config, Permutation

CLS, SEP, EOS = 1, 2, 3
FACTS = SimpleNamespace(vocab_size=60_000, specials={"cls": CLS, "sep": SEP, "eos": EOS})
MANY = [[9, 14, 3], [40], [1, 1, 1], [25, 8], [60, 2, 17, 5], [33]]


def numbered(documents: list[list[int]]) -> SimpleNamespace:
    """A store whose ids are 10, 11, ..., each its own place, and where every third token begins no word."""
    store = made_store(documents)
    store.ids = np.arange(10, 10 + len(store.ids)).astype(np.uint32)
    store.words_begin_at = lambda tokens: (tokens % 3 != 2) | np.isin(tokens, store.sentence_starts)
    return store


def rows_of(documents: list[list[int]] = MANY, length: int = 20, batch_tokens: int = 80, seed: int = 5, **config: object) -> Permutation:
    return Permutation(numbered(documents), FACTS, Config(**config), seed=seed, batch_tokens=batch_tokens, max_length=length)


def epoch(data: Permutation, number: int = 0, rank: int = 0, ranks: int = 1) -> list[dict[str, np.ndarray]]:
    first = sum(data.steps_in_epoch(earlier) for earlier in range(number))
    return [data.batch(first + step, rank, ranks) for step in range(data.steps_in_epoch(number))]


@pytest.mark.parametrize("number", [0, 1])
def test_first_halves_put_end_to_end_are_all_documents_in_both_directions(number: int) -> None:
    store, data = numbered(MANY), rows_of()
    batches = epoch(data, number)
    assert all(int(batch["kept"]) == 10 for batch in batches) and [bool(batch["begins"].any()) for batch in batches[:2]] == [True, False]
    halves = np.concatenate([batch["ids"][:, :10] for batch in batches], 1)
    backward = batches[0]["backward"]
    assert backward.tolist() == [False, False, True, True]
    read = [row[:: -1 if back else 1].tolist() for row, back in zip(halves, backward, strict=True)]
    borders = store.sentence_starts[store.document_starts]
    follow = {int(a): int(a) + 1 for a in store.ids} | {int(store.ids[end - 1]): EOS for end in borders[1:]}
    for one, other in itertools.chain(*map(itertools.pairwise, read)):
        assert other == follow.get(one, other)  # from a token to the next; from <eos> to any document
    assert {token for row in read for token in row} == {*store.ids.tolist(), EOS}
    assert all(set(batch["ids"][:, 10:].ravel()) & {EOS, *store.ids.tolist()} for batch in batches)


def test_a_column_is_read_in_the_other_direction_in_the_next_epoch() -> None:
    data = rows_of([[200]])
    first, second = (epoch(data, number)[0] for number in (0, 1))
    assert abs(int(first["ids"][0, 0]) - int(second["ids"][2, 0])) in (49, 50)  # the two ends of one piece


def test_second_halves_are_two_stretches_with_their_specials_and_types() -> None:
    data, away = rows_of(), 0
    for batch in epoch(data):
        for ids, types, backward in zip(batch["ids"], batch["types"], batch["backward"], strict=True):
            first, last = np.nonzero(ids == SEP)[0]
            assert ids[-1] == CLS and last == 18 and 10 < first < 18
            assert types.tolist() == [0] * (first + 1) + [1] * (last - first) + [2]
            step = -1 if backward else 1
            inside = np.concatenate([ids[:first], ids[first + 1 : last]])
            tokens = inside[inside != EOS]
            assert len(set(tokens.tolist())) == len(tokens)  # B never repeats what the row holds
            if ids[first - 1] != EOS and ids[first + 1] != EOS:
                away += int(ids[first + 1]) != int(ids[first - 1]) + step
    assert away > 0
    assert all((batch["ids"][:, 10:-3] != SEP).any() for batch in epoch(rows_of(elsewhere=0.0)))


def test_as_many_are_predicted_as_the_share_says_and_never_a_special() -> None:
    for length, predictions in ((20, (2, 1)), (64, (5, 5)), (128, (11, 10)), (512, (43, 42))):
        data = rows_of([[300] * 12], length=length, batch_tokens=2 * length)
        for batch in epoch(data)[:3]:
            chosen, half = batch["labels"] != IGNORE, length // 2
            assert (chosen[:, :half].sum(1) == predictions[0]).all() and (chosen[:, half:].sum(1) == predictions[1]).all()
            assert (batch["labels"][chosen] == batch["ids"][chosen]).all()
            assert not np.isin(batch["labels"][chosen], (SEP, CLS)).any()


def test_an_order_shows_the_context_first_and_never_the_second_half_to_the_first() -> None:
    """By the original's rule: i sees j where j is not predicted and no special, or where j comes before i in the order."""
    for batch in epoch(rows_of(length=40, batch_tokens=160)):
        order, chosen = batch["turns"], batch["labels"] != IGNORE
        special = np.isin(batch["ids"], (SEP, CLS))
        for half in (slice(20), slice(20, None)):
            context = ~(chosen | special)[:, half]
            assert all(len(set(row[seen])) == 1 for row, seen in zip(order[:, half], context, strict=True))
            drawn = [row[~seen] for row, seen in zip(order[:, half], context, strict=True)]
            assert all(len(set(row)) == len(row) for row in drawn)
            assert all((row > base).all() for row, base in zip(drawn, order[:, half].min(1), strict=True))
        assert (order[:, :20].max(1) < order[:, 20:].min(1)).all()
    orders = {tuple(batch["turns"][0, :20]) for batch in epoch(rows_of(length=40, batch_tokens=160))}
    assert len(orders) > 1


def test_orders_are_drawn_inside_blocks_and_all_are_as_likely() -> None:
    state, firsts = np.array([3], np.uint64), np.zeros(4)
    for _ in range(4000):
        order = draw_order(np.ones(8, bool), 4, 0, state)
        assert sorted(order[:4]) == [1, 2, 3, 4] and (order[4:] == order[:4] + 4).all()
        firsts[order[0] - 1] += 1
    assert np.abs(firsts / 4000 - 0.25).max() < 0.03


def test_spans_have_lengths_in_inverse_proportion_and_begin_words() -> None:
    state, lengths, starts = np.array([1], np.uint64), np.zeros(6), np.arange(600) % 4 == 0
    for _ in range(300):
        chosen = choose_spans(starts, np.ones(600, bool), 60, 5, 6, state)
        assert chosen.sum() == 60
        edges = np.flatnonzero(np.diff(np.concatenate([[0], chosen.astype(int), [0]])))
        for first, end in edges.reshape(-1, 2)[:8]:  # towards the end single tokens fill up what is lacking
            assert starts[first]
            lengths[min(end - first, 5)] += 1
    shares = lengths[1:] / lengths.sum()
    assert np.abs(shares - np.array([1, 1 / 2, 1 / 3, 1 / 4, 1 / 5]) / (137 / 60)).max() < 0.03


def test_a_batch_depends_on_the_seed_and_the_step_alone_and_ranks_share_its_rows() -> None:
    data, again, other = rows_of(), rows_of(), rows_of(seed=6)
    for step in (3, 0, 7):
        batch, same = data.batch(step), again.batch(step)
        assert all((batch[name] == same[name]).all() for name in batch)
        parts = [data.batch(step, rank, 2) for rank in (0, 1)]
        for name in ("ids", "turns", "labels", "types", "backward"):
            assert all((batch[name][rank::2] == part[name]).all() for rank, part in enumerate(parts))
            assert all((np.diff(part["backward"].astype(int)) >= 0).all() for part in parts)  # those read backward come last
    assert (data.batch(0)["labels"] != other.batch(0)["labels"]).any()


@pytest.mark.parametrize("documents", [[[1]], [[2]], [[1], [1]], [[3, 2]], [[5], [], [1]], [[7, 1, 9]]])
def test_short_texts_are_read_whole_and_no_token_stands_twice(documents: list[list[int]]) -> None:
    data = rows_of(documents, length=64, batch_tokens=1024)
    for batch in [*epoch(data), *epoch(data, 1)]:
        tokens = [row[row >= 10] for row in batch["ids"]]
        assert all(len(set(row)) == len(row) for row in tokens) and (batch["labels"] != IGNORE).any()
        assert {token for row in tokens for token in row} <= set(range(10, 10 + sum(map(sum, documents))))
    assert data.ledger()["used"] == data.used_by(data.steps_in_epoch(0)) == sum(map(sum, documents))


def test_errors_name_the_mend() -> None:
    with pytest.raises(UsageError, match=r"raise model\.max_length"):
        rows_of(length=7)
    with pytest.raises(UsageError, match=r"set tokenizer\.kind to unigram"):
        Permutation(numbered(MANY), SimpleNamespace(specials={"eos": 0}), Config(), seed=0, batch_tokens=64, max_length=16)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="corpus check"):
        rows_of([])
    with pytest.raises(UsageError, match=r"raise training\.batch_tokens"):
        rows_of().batch(0, 0, 9)
