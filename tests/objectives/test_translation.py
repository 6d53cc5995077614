"""Translation batches: every pair once an epoch beside its own target, in batches of like lengths within the budget."""

from collections import Counter
from math import log
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from tests.objectives.conftest import made_store

from stemma.corpus.document import Ledger
from stemma.corpus.read import Config as Reading
from stemma.corpus.read import read
from stemma.errors import DataError, UsageError
from stemma.objectives.batch import IGNORE
from stemma.objectives.buckets import bucketed
from stemma.objectives.translation import Config, Translation

FACTS = SimpleNamespace(vocab_size=1000, specials={"eos": 1, "bos": 2, "pad": 3})


def made_pairs(lengths: list[tuple[int, int]]) -> SimpleNamespace:
    store = made_store([list(pair) for pair in lengths])
    documents, counts = len(lengths), np.bincount(store.ids, minlength=1000)
    return SimpleNamespace(**vars(store), documents=documents, sentences=2 * documents, pairs=documents, counts=counts)


@pytest.fixture
def pairs() -> SimpleNamespace:
    """201 pairs of 1 to 30 tokens, the target about as long as the source."""
    rng = np.random.default_rng(4)
    source = rng.integers(1, 31, 201)
    return made_pairs([(int(n), int(np.clip(n + rng.integers(-4, 5), 1, 30))) for n in source])


def translation(store: SimpleNamespace, budget: int = 200, length: int = 40, seed: int = 5, facts=FACTS, **config) -> Translation:
    return Translation(store, facts, Config(**config), seed=seed, batch_tokens=budget, max_length=length)


def sentence(store: SimpleNamespace, at: int) -> tuple[int, ...]:
    return tuple(store.ids[store.sentence_starts[at] : store.sentence_starts[at + 1]].tolist())


def read_back(batch: dict[str, np.ndarray]) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """The pairs of a batch, whose ends, begins and padding are as they should be."""
    found = []
    names = ("ids", "segments", "target_ids", "target_segments", "labels")
    for ids, real, given, heard, labels in zip(*(batch[name] for name in names), strict=True):
        source, target = ids[real > 0].tolist(), labels[labels != IGNORE].tolist()
        assert source[-1] == 1 and target[-1] == 1 and given[heard > 0].tolist() == [2, *target[:-1]]
        assert (np.sort(real)[::-1] == real).all() and ((labels != IGNORE) == (heard > 0)).all()
        assert (ids[real == 0] == 3).all() and (given[heard == 0] == 3).all()
        found.append((tuple(source[:-1]), tuple(target[:-1])))
    return found


@pytest.mark.parametrize("reverse", [False, True])
def test_an_epoch_predicts_every_target_once_from_its_source(pairs, reverse) -> None:
    data = translation(pairs, reverse=reverse)
    for epoch in (0, 1):
        first = sum(data.steps_in_epoch(before) for before in range(epoch))
        found = Counter(pair for step in range(data.steps_in_epoch(epoch)) for pair in read_back(data.batch(first + step)))
        expected = [(sentence(pairs, 2 * at), sentence(pairs, 2 * at + 1)) for at in range(pairs.documents)]
        assert found == Counter(pair[::-1] if reverse else pair for pair in expected)


def test_no_batch_exceeds_its_budget_but_a_pair_alone(pairs) -> None:
    data = translation(pairs, budget=50)
    sizes = [(len(b["ids"]), b["ids"].size + b["labels"].size) for b in map(data.batch, range(data.steps_in_epoch(0)))]
    assert all(size <= 50 or rows == 1 for rows, size in sizes) and any(size > 50 for _, size in sizes)


@pytest.mark.parametrize("seed", range(30))
def test_buckets_hold_every_row_once_within_the_budget(seed: int) -> None:
    rng = np.random.default_rng(seed)
    count, budget = int(rng.integers(0, 400)), int(rng.integers(1, 900))
    source, target = rng.integers(1, rng.integers(2, 60), (2, count))
    found = bucketed(source, target, budget, np.random.default_rng(seed))
    assert sorted(found.order) == list(range(count)) and found.starts[0] == 0 and found.starts[-1] == count
    for number in range(found.rows):
        rows = found.batch(number, 0, 1)
        assert len(rows) and (len(rows) == 1 or len(rows) * (source[rows].max() + target[rows].max()) <= budget)


def test_the_last_batch_is_no_crumb() -> None:
    """So that no process of several is left without a row."""
    sizes = [np.diff(bucketed(*np.full((2, 41), 5), 100, np.random.default_rng(seed)).starts) for seed in range(20)]
    assert all(sorted(found) == [5, 6, 10, 10, 10] for found in sizes)


def test_a_batch_depends_on_seed_and_step_alone(pairs) -> None:
    data, fresh = translation(pairs), translation(pairs)
    late = data.steps_in_epoch(0) + 2
    for step in range(late):
        data.batch(step)
    assert all((data.batch(late)[name] == array).all() for name, array in fresh.batch(late).items())
    assert fresh.epoch_of(late) == (1, 2)
    orders = [tuple(read_back(translation(pairs, seed=seed).batch(0))) for seed in range(4)]
    assert len(set(orders)) == 4 and len({len(order) for order in orders}) > 1  # short and long batches come as drawn


def test_ranks_share_a_step_without_overlap(pairs) -> None:
    data = translation(pairs)
    for step in range(6):
        whole = read_back(data.batch(step))
        parts = [read_back(data.batch(step, rank, 3)) for rank in range(3)]
        assert Counter(pair for part in parts for pair in part) == Counter(whole)
        assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert {array.shape for array in data.batch(0, 700, 701).values()} == {(0, 1)}


def test_a_tokenizer_without_a_begin_of_its_own_begins_with_the_end(pairs) -> None:
    batch = translation(pairs, facts=SimpleNamespace(vocab_size=1000, specials={"eos": 0})).batch(0)
    assert (batch["target_ids"][:, 0] == 0).all() and (batch["ids"][batch["segments"] == 0] == 0).all()


def test_pairs_too_long_are_left_out_reported_and_itemised() -> None:
    store = made_pairs([(3, 4), (6, 2), (2, 6), (5, 5)])
    with pytest.warns(UserWarning, match=r"2 of 4 pairs, a side being longer than model\.max_length = 6"):
        data = translation(store, length=6)
    assert data.ledger() == {"tokens": 33, "used": 17, "too_long": 16}
    found = [pair for step in range(data.steps_in_epoch(0)) for pair in read_back(data.batch(step))]
    assert sorted((len(a), len(b)) for a, b in found) == [(3, 4), (5, 5)]
    with pytest.raises(DataError, match=r"raise model\.max_length"):
        translation(store, length=3)


def test_the_ledger_and_what_steps_use_agree_with_the_batches(pairs) -> None:
    data = translation(pairs)
    steps = data.steps_in_epoch(0)
    read, real = 0, 0
    for step in range(steps):
        assert data.used_by(step) == read
        batch = data.batch(step)
        found = read_back(batch)
        read += sum(len(side) for pair in found for side in pair)
        real += data.real_tokens(batch)
    assert data.used_by(steps) == read == data.ledger()["used"] == len(pairs.ids)
    assert real == len(pairs.ids) + 2 * pairs.documents  # an end of each source, a begin of each target


def test_the_constant_loss_is_that_of_targets_and_ends(monkeypatch) -> None:
    monkeypatch.setattr("stemma.objectives.translation.BLOCK", 4)
    store = made_pairs([(3, 1)] * 5)
    store.ids = np.array([7, 7, 7, 8] * 4 + [7, 7, 7, 9], np.uint16)
    assert translation(store).constant_losses(store)[""] == pytest.approx(
        -(0.4 * log(4 / 1008) + 0.1 * log(1 / 1008) + 0.5 * log(5 / 1008))
    )
    nine = translation(store, reverse=True).constant_losses(store)[""]
    assert nine == pytest.approx(-(0.75 * log(15 / 1019) + 0.25 * log(5 / 1019)))


def test_other_text_and_other_tokenizers_are_refused(pairs) -> None:
    with pytest.raises(DataError, match=r"1 of 201 documents.*--source and --target"):
        pairs.pairs -= 1
        translation(pairs)
    pairs.pairs += 1
    with pytest.raises(UsageError, match=r"tokenizer\.kind to bpe"):
        translation(pairs, facts=SimpleNamespace(vocab_size=9, specials={"sep": 1}))
    with pytest.raises(DataError, match="corpus check"):
        translation(made_pairs([]))


def test_little_of_real_batches_is_padding(shared_data: Path) -> None:
    """Lengths of Multi30k, a token standing for four characters, as BPE of 8,000 makes them about."""
    documents = read([shared_data / "mt-en-de-multi30k" / "train.tsv"], Reading(), Ledger())
    source, target = np.array([[len(side) // 4 + 2 for side in document.sentences] for document in documents]).T
    found = bucketed(source, target, 4096, np.random.default_rng(0))
    batches = [found.batch(number, 0, 1) for number in range(found.rows)]
    positions = sum(len(rows) * (source[rows].max() + target[rows].max()) for rows in batches)
    assert (source.sum() + target.sum()) / positions > 0.94
