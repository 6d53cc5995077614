"""Previous words: every word and every sentence end predicted once, after what truly stands before it."""

from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
from tests.objectives.conftest import made_store

from stemma.errors import DataError, UsageError
from stemma.objectives.previous import Config, Previous, sentence_marks

FACTS = SimpleNamespace(vocab_size=1000, specials={"unk": 0, "bos": 1, "eos": 2})


def previous(store: SimpleNamespace, batch_tokens: int = 50, seed: int = 5) -> Previous:
    return Previous(store, FACTS, Config(), seed=seed, batch_tokens=batch_tokens)


def sentences(store: SimpleNamespace) -> list[list[int]]:
    return [part.tolist() for part in np.split(store.ids, store.sentence_starts[1:-1])]


def read(batch: dict[str, np.ndarray]) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """(inputs, labels) of each segment."""
    ids, segments, labels = (batch[name][0] for name in ("ids", "segments", "labels"))
    return [(tuple(ids[segments == n]), tuple(labels[segments == n])) for n in range(1, segments.max() + 1)]


def test_an_epoch_is_every_sentence_once_each_with_its_start_and_end(store: SimpleNamespace) -> None:
    data = previous(store, batch_tokens=100)  # no sentence is longer
    for epoch in (0, 1):
        first = sum(data.steps_in_epoch(e) for e in range(epoch))
        rows = [row for step in range(data.steps_in_epoch(epoch)) for row in read(data.batch(first + step))]
        expected = [((1, *ids), (*ids, 2)) for ids in sentences(store)]
        assert Counter(rows) == Counter(expected) and rows != expected


def test_steps_are_of_about_the_size_asked_for(store: SimpleNamespace) -> None:
    data = previous(store, batch_tokens=500)
    sizes = [data.batch(step)["ids"].size for step in range(data.steps_in_epoch(0))]
    assert all(440 < size < 560 for size in sizes[:-1]) and len(sizes) == -(-sum(sizes) // 500)


def test_a_long_sentence_is_cut_and_nothing_of_it_is_lost() -> None:
    store = made_store([[23], [4]])
    data = previous(store, batch_tokens=10)
    rows = [row for step in range(data.steps_in_epoch(0)) for row in read(data.batch(step))]
    long, short = sentences(store)
    assert sorted(rows) == sorted(
        [
            ((1, *long[:9]), tuple(long[:10])),
            (tuple(long[9:19]), tuple(long[10:20])),
            (tuple(long[19:]), (*long[20:], 2)),
            ((1, *short), (*short, 2)),
        ]
    )


def test_ranks_share_a_step_without_overlap(store: SimpleNamespace) -> None:
    data = previous(store, batch_tokens=200)
    parts = [row for rank in range(3) for row in read(data.batch(2, rank, 3))]
    assert Counter(parts) == Counter(read(data.batch(2)))


def test_a_batch_depends_on_seed_and_step_alone(store: SimpleNamespace) -> None:
    data, fresh = previous(store), previous(store)
    late = data.steps_in_epoch(0) + 2
    for step in range(late):
        data.batch(step)
    assert (data.batch(late)["ids"] == fresh.batch(late)["ids"]).all()
    assert not np.array_equal(previous(store, seed=6).batch(0)["ids"], fresh.batch(0)["ids"])
    assert fresh.epoch_of(late) == (1, 2)


def test_ledger_tells_all_tokens(store: SimpleNamespace) -> None:
    assert previous(store).ledger() == {"tokens": len(store.ids), "used": len(store.ids)}


def test_what_it_refuses() -> None:
    with pytest.raises(DataError, match="corpus check"):
        previous(made_store([[]]))
    for specials in ({"unk": 1, "cls": 2}, {"bos": 0, "eos": 0}):
        with pytest.raises(UsageError, match=r"set tokenizer\.kind"):
            sentence_marks(specials)
