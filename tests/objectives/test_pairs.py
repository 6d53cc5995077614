"""Masked sentence pairs: shapes, shares, borders, and what is counted as cut."""

from types import SimpleNamespace

import numpy as np
import pytest
from tests.objectives.conftest import made_store

from stemma.errors import UsageError
from stemma.objectives.batch import IGNORE
from stemma.objectives.pairs import Config, Pairs

FACTS = SimpleNamespace(vocab_size=1000, specials={"pad": 0, "unk": 1, "cls": 2, "sep": 3, "mask": 4})


def pairs(store: SimpleNamespace, length: int = 128, seed: int = 5, batch_tokens: int = 1024, **options) -> Pairs:
    return Pairs(store, FACTS, Config(**options), seed=seed, batch_tokens=batch_tokens, max_length=length)


def epoch(data: Pairs, number: int = 0) -> list[dict[str, np.ndarray]]:
    first = sum(data.steps_in_epoch(e) for e in range(number))
    return [data.batch(first + step) for step in range(data.steps_in_epoch(number))]


def restored(batch: dict[str, np.ndarray]) -> np.ndarray:
    return np.where(batch["labels"] == IGNORE, batch["ids"], batch["labels"])


def test_each_segment_is_a_framed_pair(store: SimpleNamespace) -> None:
    for batch in epoch(pairs(store)):
        ids = restored(batch)
        for row in range(len(ids)):
            for segment in range(1, batch["segments"][row].max() + 1):
                inside = batch["segments"][row] == segment
                one = ids[row, inside]
                first = np.flatnonzero(one == 3)[0]
                assert one[0] == 2 and one[-1] == 3 and (one == 3).sum() == 2 and len(one) <= 128
                assert (batch["types"][row, inside] == (np.arange(len(one)) > first)).all()
                assert (batch["positions"][row, inside] == np.arange(len(one))).all()


def test_next_labels_tell_whether_b_follows_a(store: SimpleNamespace) -> None:
    text = store.ids.tolist()
    place = {tuple(text[k : k + 4]): k for k in range(len(text) - 3)}
    checked = [0, 0]
    for batch in epoch(pairs(store, short_share=0.0)):
        flat, segments = restored(batch).ravel(), batch["segments"].ravel()
        for cls, label in zip(batch["cls"], batch["next"], strict=True):
            one = flat[cls : cls + 128][segments[cls : cls + 128] == segments[cls]]
            one = one[: np.flatnonzero(one == 3)[1] + 1]
            first = np.flatnonzero(one == 3)[0]
            a, b = one[1:first], one[first + 1 : -1]
            if len(a) + len(b) == 125 or min(len(a), len(b)) < 4:  # cut, or too short to be found again
                continue
            gap = place[tuple(b[:4])] - place[tuple(a[-4:])] - 4
            assert (gap == 0) == (label == 0)
            checked[label] += 1
    assert min(checked) > 20


def test_shares_of_masking_over_many_slots(store: SimpleNamespace) -> None:
    batches = [batch for number in range(12) for batch in epoch(pairs(store), number)]
    chosen = np.concatenate([batch["labels"][batch["labels"] != IGNORE] for batch in batches])
    shown = np.concatenate([batch["ids"][batch["labels"] != IGNORE] for batch in batches])
    real = sum((batch["segments"] > 0).sum() for batch in batches)
    assert abs(len(chosen) / real - 0.15) < 0.005
    assert abs((shown == 4).mean() - 0.8) < 0.01
    assert abs((shown == chosen).mean() - 0.1) < 0.01
    assert not np.isin(chosen, [0, 2, 3]).any()


def test_quota_is_a_rounded_share_of_the_instance(store: SimpleNamespace) -> None:
    for batch in epoch(pairs(store)):
        for row in range(len(batch["ids"])):
            for segment in range(1, batch["segments"][row].max() + 1):
                inside = batch["segments"][row] == segment
                predicted = (batch["labels"][row, inside] != IGNORE).sum()
                assert predicted == max(1, np.rint(0.15 * inside.sum()))


def test_padding_is_rare(store: SimpleNamespace) -> None:
    rng = np.random.default_rng(3)
    large = made_store([rng.integers(3, 50, rng.integers(5, 60)).tolist() for _ in range(2000)])
    for options in ({}, {"pairs": "none"}):
        filled = np.concatenate([(batch["segments"] > 0).ravel() for batch in epoch(pairs(large, batch_tokens=4096, **options))])
        assert filled.mean() > 0.98


def test_short_documents_are_mostly_random_pairs() -> None:
    data = pairs(made_store([[5]] * 50))
    labels = np.concatenate([batch["next"] for batch in epoch(data)])
    assert labels.all() and len(labels) == 50


def test_singles_show_every_token_once(store: SimpleNamespace) -> None:
    batches = epoch(pairs(store, pairs="none"))
    shown = np.concatenate([restored(batch)[(batch["segments"] > 0)] for batch in batches])
    assert sorted(shown[shown >= 10]) == sorted(store.ids)
    assert "next" not in batches[0]


def test_ledger_counts_what_no_pair_shows(store: SimpleNamespace) -> None:
    ledger = pairs(store).ledger()
    assert ledger["used"] + ledger["cut_from_long_pairs"] == ledger["tokens"] == len(store.ids)
    assert 0 < ledger["cut_from_long_pairs"] < 0.25 * len(store.ids)
    assert pairs(store, pairs="none").ledger()["cut_from_long_pairs"] == 0


def test_a_sentence_longer_than_an_instance_is_cut_not_dropped() -> None:
    """Deviates: the original throws the tail of such a sentence away."""
    data = pairs(made_store([[1000]] * 30), short_share=0.0)
    assert data.ledger()["used"] > 0.75 * 30_000


@pytest.mark.parametrize("units", ["pieces", "ngrams"])
def test_masks_are_those_of_the_rows_whoever_reads_them(store: SimpleNamespace, units: str) -> None:
    """A rank hides in its rows what one process hides in them."""
    data = pairs(store, units=units)
    for step in range(3):
        whole = data.batch(step)
        for rank in range(3):
            part = data.batch(step, rank, 3)
            for name in ("ids", "labels"):
                left, right = part[name], whole[name][rank::3, : part[name].shape[1]]
                real = part["segments"] > 0
                assert np.array_equal(left[real], right[real])


def test_static_masks_repeat_and_dynamic_ones_do_not(store: SimpleNamespace) -> None:
    static, dynamic = pairs(store, dynamic=False, copies=1), pairs(store)
    assert all((a["ids"] == b["ids"]).all() for a, b in zip(epoch(static, 0), epoch(static, 1), strict=True))
    assert not np.array_equal(dynamic.batch(0)["ids"], dynamic.batch(dynamic.steps_in_epoch(0))["ids"])


@pytest.mark.parametrize("options", [{}, {"pairs": "order", "units": "ngrams"}])
def test_a_batch_depends_on_seed_and_step_alone(store: SimpleNamespace, options: dict[str, str]) -> None:
    data, fresh = pairs(store, **options), pairs(store, **options)
    late = data.steps_in_epoch(0) + 1
    for step in range(late):
        data.batch(step)
    assert all((data.batch(late)[name] == array).all() for name, array in fresh.batch(late).items())


def test_ranks_share_the_instances_of_a_step(store: SimpleNamespace) -> None:
    data = pairs(store)
    whole, parts = data.batch(2), [data.batch(2, rank, 2) for rank in (0, 1)]
    assert len(whole["next"]) == sum(len(part["next"]) for part in parts)
    assert (whole["segments"] > 0).sum() == sum((part["segments"] > 0).sum() for part in parts)


def instances(batch: dict[str, np.ndarray]) -> list[tuple[int, np.ndarray, np.ndarray]]:
    """(the flat place of its [CLS], A, B) of each instance, as the text has them; B is empty where there is none."""
    found = []
    for row, ids in enumerate(restored(batch)):
        for segment in range(1, batch["segments"][row].max() + 1):
            inside = np.flatnonzero(batch["segments"][row] == segment)
            parts = np.split(ids[inside], np.flatnonzero(ids[inside] == 3) + 1)
            found.append((row * ids.size + inside[0], parts[0][1:-1], parts[1][:-1]))
    return found


@pytest.fixture
def numbered() -> SimpleNamespace:
    """20 documents of 1 to 9 short sentences, whose tokens are numbered: a token is its place in the corpus."""
    rng = np.random.default_rng(4)
    made = made_store([rng.integers(1, 12, rng.integers(1, 10)).tolist() for _ in range(20)])
    made.ids = np.arange(10, 10 + len(made.ids))
    return made


def test_order_says_which_of_two_neighbours_came_first(numbered: SimpleNamespace) -> None:
    ends = np.append(numbered.sentence_starts[numbered.document_starts], len(numbered.ids)) + 10
    labels = []
    for number in range(8):
        for batch in epoch(pairs(numbered, pairs="order", length=64), number):
            swapped = dict(zip(batch["cls"].tolist(), batch["order"].tolist(), strict=True))
            for cls, a, b in instances(batch):
                assert (cls in swapped) == (len(b) > 0)
                if len(b):
                    assert swapped[cls] == (a[0] > b[0])  # swapping A and B flips the label
                    first, second = (b, a) if swapped[cls] else (a, b)
                    assert len(a) + len(b) == 61 or first[-1] + 1 == second[0]
                    assert np.searchsorted(ends, first[0], "right") == np.searchsorted(ends, second[-1], "right")  # one document
                    labels.append(swapped[cls])
    assert abs(np.mean(labels) - 0.5) < 0.1


def test_order_reads_sentences_without_a_neighbour_for_their_masks(numbered: SimpleNamespace) -> None:
    data = pairs(numbered, pairs="order", length=128, short_share=0.5)
    assert data.ledger() == {"tokens": len(numbered.ids), "used": len(numbered.ids), "cut_from_long_pairs": 0}
    alone = [a for batch in epoch(data) for _, a, b in instances(batch) if not len(b)]
    assert len(alone) > 2


@pytest.mark.parametrize("documents", [[[5]] * 30, [[7, 9, 4, 1]], [[300]]])
def test_short_and_single_documents_are_read(documents: list[list[int]]) -> None:
    made = made_store(documents)
    has_order = len(documents) == 1  # a sentence too long for an instance is cut into neighbours
    data = pairs(made, pairs="order", length=64)
    assert all(("order" in batch) == has_order for batch in epoch(data))
    assert data.ledger()["used"] > 0.7 * len(made.ids)


@pytest.mark.parametrize("units", ["words", "ngrams"])
def test_words_are_masked_whole_or_not_at_all(store: SimpleNamespace, units: str) -> None:
    store.ids = np.arange(10, 10 + len(store.ids))
    begins, predicted, real = store.word_starts(0, len(store.ids)), 0, 0
    for batch in epoch(pairs(store, units=units)):
        ids, chosen = restored(batch), batch["labels"] != IGNORE
        inside = (ids[:, 1:] > 3) & (ids[:, :-1] > 3) & ~begins[np.maximum(ids[:, 1:], 10) - 10]  # goes on with the word before it
        assert (chosen[:, 1:] == chosen[:, :-1])[inside].all() and inside.sum() > 100
        assert (ids[ids > 3] - 10 < len(store.ids)).all()  # what is not masked is the text
        predicted, real = predicted + chosen.sum(), real + (batch["segments"] > 0).sum()
    assert 0.12 < predicted / real <= 0.151


def test_a_tokenizer_without_a_mask_is_refused(store: SimpleNamespace) -> None:
    facts = SimpleNamespace(vocab_size=1000, specials={"eos": 0})
    with pytest.raises(UsageError, match="wordpiece"):
        Pairs(store, facts, Config(), seed=0, batch_tokens=64, max_length=32)
