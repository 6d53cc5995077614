"""Counting: the same bytes however the text is cut, and the plain counts of a dictionary."""

from collections import Counter
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stemma.kernels.ngram_counts import add_count, count_of, merge_rows
from stemma.objectives.counts import Config, Counts
from stemma.objectives.spool import Room
from stemma.tokens.facts import TokenFacts

SPECIALS = {"unk": 0, "bos": 1, "eos": 2}
CORPORA = st.lists(st.lists(st.integers(3, 7), max_size=6), min_size=1, max_size=15)


def counts_of(sentences: list[list[int]], order: int, memory: int = 2**24, drops_unknown: bool = False) -> Counts:
    flat = np.array([token for sentence in sentences for token in sentence], np.uint16)
    store = SimpleNamespace(ids=flat, sentence_starts=np.cumsum([0, *(len(s) for s in sentences)]))
    model = SimpleNamespace(order=order, drops_unknown=drops_unknown)
    return Counts(Config(), model, store, TokenFacts(9, SPECIALS), Room(memory))


def total(counts: Counts, shards: list[tuple[int, int]]) -> np.ndarray:
    """All rows."""
    return np.concatenate([rows.copy() for rows in counts.merge([counts.partial(*shard) for shard in shards]).blocks()])


@settings(max_examples=100, deadline=None)
@given(CORPORA, st.integers(1, 5), st.lists(st.integers(0, 15), max_size=3), st.sampled_from([2**24, 2**15]))
def test_counts_are_those_of_a_dictionary_however_the_text_is_cut(sentences, order, cuts, memory):
    borders = sorted({0, len(sentences), *(min(cut, len(sentences)) for cut in cuts)})
    cut = total(counts_of(sentences, order, memory), list(pairwise(borders)))
    counts = counts_of(sentences, order)
    whole = total(counts, [(0, len(sentences))])
    assert cut.tobytes() == whole.tobytes()

    padded = [[1] * (order - 1) + [int(counts.words[token]) for token in s] + [2] for s in sentences]
    expected = Counter(tuple(s[i : i + order][::-1]) for s in padded for i in range(len(s) - order + 1))
    found = {tuple(row[:order]): row[order] for row in whole.tolist()}
    assert found == expected
    assert list(found) == sorted(found)  # suffix order: last word first


@pytest.mark.parametrize("workers", [1, 2, 4, 9])
def test_shards_cover_the_text_once(workers):
    rng = np.random.default_rng(0)
    counts = counts_of([rng.integers(3, 8, n).tolist() for n in rng.integers(0, 30, 50)], 3)
    shards = counts.shards(workers)
    assert [first for first, _ in shards] == [0, *(last for _, last in shards[:-1])]
    assert shards[-1][1] == 50
    assert len(shards) == workers


def test_little_memory_makes_more_shards():
    sentences = [[3, 4, 5]] * 1000
    assert len(counts_of(sentences, 3).shards(1)) == 1
    assert len(counts_of(sentences, 3, memory=2**15).shards(1)) > 1


@pytest.mark.parametrize(("drops_unknown", "unseen", "vocabulary"), [(False, [6, 7, 8], 9), (True, [0, 0, 0], 6)])
def test_words_are_numbered_as_they_come_and_the_unseen_come_last_or_are_unknown(drops_unknown, unseen, vocabulary):
    counts = counts_of([[7, 3], [7, 5]], 2, drops_unknown=drops_unknown)
    assert [int(counts.words[token]) for token in (7, 3, 5)] == [3, 4, 5]
    assert [int(counts.words[token]) for token in (0, 1, 2, 4, 6, 8)] == [0, 1, 2, *unseen]
    assert counts.vocabulary == vocabulary


def test_without_an_unknown_token_the_unseen_are_words():
    store = SimpleNamespace(ids=np.array([4, 2], np.uint16), sentence_starts=np.array([0, 2]))
    counts = Counts(Config(), SimpleNamespace(order=2, drops_unknown=False), store, TokenFacts(6, {"bos": 0, "eos": 0}), Room(2**20))
    assert counts.words.tolist() == [2, 5, 4, 6, 3, 7]  # token 0 ends sentences; 4 and 2 came first
    assert (counts.vocabulary, counts.closed) == (8, True)


def test_specials_in_the_text_are_skipped_and_counted():
    counts = counts_of([[3, 1, 4], [2, 5]], 2)
    assert counts.merge([counts.partial(0, 1), counts.partial(1, 2)]).skipped == 2
    assert total(counts, [(0, 2)])[:, 2].sum() == 3 + 2


def test_counts_beyond_32_bits_take_two_columns():
    row = np.array([7, 5, 0, 0], np.uint32)
    for count in (2**32 - 1, 1, 2**33 + 5):
        add_count(row, 2, count)
    assert count_of(row, 2) == 2**32 + 2**33 + 5
    blocks = np.array([[[3, 3, 1, 0], row], [row, [8, 1, 2, 0]]], np.uint32)
    rows = np.zeros((4, 4), np.uint32)
    filled, state = merge_rows(blocks, np.array([0, 0]), np.array([2, 2]), 2, rows, 0)
    assert (filled, state) == (2, 0)  # the first run is used up: its next block is needed
    assert count_of(rows[1], 2) == count_of(row, 2)


@pytest.mark.parametrize("memory", [1, 8_000, 100_000])
def test_spools_give_back_what_they_got_from_memory_and_disk(tmp_path, memory):
    records, others = np.arange(3000, dtype=np.int64), np.arange(5000).astype(np.uint8)
    with Room(memory, tmp_path / "aside") as room:
        spool, other = room.spool(records.dtype), room.spool(others.dtype)
        for begin in range(0, 3000, 7):
            spool.append(records[begin : begin + 7])
            other.append(others[begin : begin + 7])
        other.append(others[3003:])
        assert (len(spool), len(other)) == (3000, 5000)
        assert bool(room.spilled) == (memory < 50_000)
        assert room.held <= max(memory // 2, 2 * 512)  # a page a spool is the least
        parts = [spool.read(9)]
        while len(parts[-1]):
            parts.append(spool.read(9))
            if len(parts) == 100:
                assert other.read_all().tolist() == others.tolist()
                held = room.held
        assert np.concatenate(parts).tolist() == records.tolist()
        assert room.held == held  # what was read is free for others, and is not bought again
        again = room.spool(records.dtype)
        again.append(records[: held // 8])
        assert room.held == held
        assert again.read_all().tolist() == records[: held // 8].tolist()
        if room.spilled:
            assert list((tmp_path / "aside").iterdir()) == []
        mapped = room.array(100_000, np.uint32)
        mapped[:] = 3
        assert isinstance(mapped, np.memmap)
    assert not (tmp_path / "aside").exists()


def test_an_array_leaves_memory_to_what_is_set_aside():
    with Room(10_000) as room:
        assert not isinstance(room.array(1000, np.uint32), np.memmap)
        assert room.held == 4000
        assert isinstance(room.array(100, np.uint32, spare=1000), np.memmap)
        room.works_with(1000)  # the work at hand needs less: there is more to set aside
        assert not isinstance(room.array(100, np.uint32, spare=1000), np.memmap)
        assert room.held == 4400
