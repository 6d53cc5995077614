"""Span corruption: the source with its gaps filled by the targets is the text, each token of it once an epoch."""

from itertools import pairwise
from math import log
from types import SimpleNamespace

import numpy as np
import pytest
from tests.objectives.conftest import made_store

from stemma.errors import DataError, UsageError
from stemma.objectives.batch import IGNORE
from stemma.objectives.denoising import Config, Denoising

FACTS = SimpleNamespace(vocab_size=1000, specials={"eos": 1, "bos": 2, "pad": 3, "mask": 4})
ONE = SimpleNamespace(vocab_size=1000, specials={"eos": 0, "bos": 0})  # as BPE has it


def made(sentences: list[list[int]], pairs: bool = False) -> SimpleNamespace:
    store = made_store(sentences)
    counts = np.bincount(store.ids, minlength=1000)
    return SimpleNamespace(**vars(store), documents=len(sentences), pairs=len(sentences) * pairs, counts=counts)


@pytest.fixture
def text(store) -> SimpleNamespace:
    rng = np.random.default_rng(2)
    return made([*([int(n)] for n in rng.integers(1, 30, 150)), *(rng.integers(1, 60, 9).tolist() for _ in range(8))])


def denoising(store, length: int = 32, budget: int = 300, seed: int = 5, facts=FACTS, **config) -> Denoising:
    return Denoising(store, facts, Config(**config), seed=seed, batch_tokens=budget, max_length=length)


def restored(batch: dict[str, np.ndarray], facts=FACTS) -> list[list[int]]:
    """Each row's text, its gaps filled in order by the spans that are predicted."""
    end, begin = facts.specials["eos"], facts.specials["bos"]
    gap, padding = facts.specials.get("mask", end), facts.specials.get("pad", end)
    rows = []
    for ids, real, given, heard, labels in zip(
        batch["ids"], batch["segments"], batch["target_ids"], batch["target_segments"], batch["labels"], strict=True
    ):
        source, target = ids[: real.sum()].tolist(), labels[: heard.sum()].tolist()
        assert (ids[real.sum() :] == padding).all() and (labels[heard.sum() :] == IGNORE).all() and (given[heard.sum() :] == padding).all()
        assert source.pop() == end and target[-1] == end and given[: heard.sum()].tolist() == [begin, *target[:-1]]
        spans: list[list[int]] = [[]]
        for token in target:
            spans = [*spans, []] if token == end else [*spans[:-1], [*spans[-1], token]]
        assert spans.pop() == [] and all(spans) and len(spans) == source.count(gap)
        assert not any(a == b == gap for a, b in pairwise(source))
        rows.append([token for one in source for token in (spans.pop(0) if one == gap else [one])])
    return rows


@pytest.mark.parametrize("facts", [FACTS, ONE])
@pytest.mark.parametrize(("share", "mean_span"), [(0.15, 3.0), (0.5, 1.0), (0.9, 8.0), (0.0, 0.1)])
def test_sources_and_targets_together_are_the_text_once_an_epoch(text, facts, share, mean_span) -> None:
    data = denoising(text, facts=facts, share=share, mean_span=mean_span)
    for epoch in (0, 1):
        begun = sum(data.steps_in_epoch(before) for before in range(epoch))
        rows = [row for step in range(data.steps_in_epoch(epoch)) for row in restored(data.batch(begun + step), facts)]
        assert max(map(len, rows)) <= 31 and sum(map(len, rows)) == len(text.ids)
        whole = {tuple(row) for row in rows}
        borders = text.sentence_starts[text.document_starts]
        for start, end in pairwise(borders[:151]):
            assert tuple(text.ids[start:end].tolist()) in whole  # short documents are rows
        assert sorted(token for row in rows for token in row) == sorted(text.ids.tolist())


def test_long_documents_are_cut_in_order_and_elsewhere_each_epoch() -> None:
    store = made([[500]])
    store.ids = np.arange(10, 510, dtype=np.uint16)
    data = denoising(store)
    cuts = []
    for epoch in (0, 1):
        begun = data.steps_in_epoch(0) * epoch
        rows = sorted(row for step in range(data.steps_in_epoch(epoch)) for row in restored(data.batch(begun + step)))
        assert [token for row in rows for token in row] == store.ids.tolist() and len(rows) <= 18
        cuts.append([row[0] for row in rows])
    assert cuts[0] != cuts[1]


def test_the_share_and_the_mean_span_are_those_asked_for() -> None:
    data = denoising(made([[400]] * 40), length=101, budget=4000, share=0.3, mean_span=5.0)
    batches = [data.batch(step) for step in range(data.steps_in_epoch(0))]
    gaps = sum(int((batch["ids"] == 4).sum()) for batch in batches)
    hidden = sum(int((batch["labels"] != IGNORE).sum()) for batch in batches) - gaps
    assert hidden / 16_000 == pytest.approx(0.3, abs=0.01) and hidden / gaps == pytest.approx(5, abs=0.2)


def test_every_place_of_a_row_is_hidden_about_as_often() -> None:
    store = made([[20]] * 4000)
    store.ids = np.tile(np.arange(10, 30), 4000).astype(np.uint16)
    data = denoising(store, length=21, budget=20_000)
    hidden = np.zeros(20)
    for step in range(data.steps_in_epoch(0)):
        labels = data.batch(step)["labels"]
        hidden += np.bincount(labels[labels >= 10] - 10, minlength=20)
    assert hidden.sum() == 4000 * 3 and hidden[2:-2].min() > 0.9 * hidden[2:-2].mean() and hidden.min() > 0


def test_both_sides_of_pairs_are_rows_of_their_own() -> None:
    data = denoising(made([[3, 5], [7, 2]], pairs=True))
    rows = [row for step in range(data.steps_in_epoch(0)) for row in restored(data.batch(step))]
    assert sorted(map(len, rows)) == [2, 3, 5, 7]


def test_no_batch_exceeds_its_budget_and_ranks_share_it(text) -> None:
    data = denoising(text)
    for step in range(data.steps_in_epoch(0)):
        batch = data.batch(step)
        assert len(batch["ids"]) == 1 or batch["ids"].size + batch["labels"].size <= 300
        parts = [restored(data.batch(step, rank, 2)) for rank in (0, 1)]
        assert sorted(parts[0] + parts[1]) == sorted(restored(batch))
    assert {array.shape for array in data.batch(0, 700, 701).values()} == {(0, 1)}


def test_a_batch_depends_on_seed_and_step_alone(text) -> None:
    data, fresh = denoising(text), denoising(text)
    late = data.steps_in_epoch(0) + 1
    for step in range(late):
        data.batch(step)
    assert all((data.batch(late)[name] == array).all() for name, array in fresh.batch(late).items())
    assert not np.array_equal(denoising(text, seed=6).batch(0)["ids"], fresh.batch(0)["ids"])


def test_the_ledger_and_what_steps_use_agree_with_the_batches(text) -> None:
    data = denoising(text)
    read = 0
    for step in range(data.steps_in_epoch(0)):
        assert data.used_by(step) == read
        batch = data.batch(step)
        read += sum(map(len, restored(batch)))
        assert data.real_tokens(batch) == (batch["segments"] > 0).sum() + (batch["labels"] != IGNORE).sum()
    assert data.used_by(10**6) == read == data.ledger()["used"] == data.ledger()["tokens"]


def test_the_constant_loss_is_that_of_tokens_and_ends_of_spans() -> None:
    store = made([[20]] * 10)
    store.ids, store.counts = np.full(200, 7, np.uint16), np.bincount([7] * 200, minlength=9)
    nats = denoising(store).constant_losses(store)[""]  # of 3 hidden tokens each, in one span
    total = 200 + 8 + 200 / 3
    assert nats == pytest.approx(-(0.75 * log(200 / total) + 0.25 * log(200 / 3 / total)))


def test_no_text_and_no_room_are_refused() -> None:
    with pytest.raises(DataError, match="corpus check"):
        denoising(made([[]]))
    with pytest.raises(UsageError, match=r"raise model\.max_length"):
        denoising(made([[3]]), length=1)
    with pytest.raises(UsageError, match=r"tokenizer\.kind to bpe"):
        denoising(made([[3]]), facts=SimpleNamespace(vocab_size=9, specials={"sep": 1}))
