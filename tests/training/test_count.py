"""The driver of counting generations: the same network for any number of workers, and facts on the way."""

from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest

from stemma.lineage.table import TABLE, find
from stemma.tokens.settings import TokenFacts
from stemma.training.count import count

FACTS = TokenFacts(40, {"unk": 0, "bos": 1, "eos": 2})


@pytest.fixture(scope="module")
def store() -> SimpleNamespace:
    rng = np.random.default_rng(0)
    starts = np.concatenate([[0], np.cumsum(rng.integers(0, 13, 300))])
    return SimpleNamespace(ids=(3 + np.minimum(rng.zipf(1.5, starts[-1]), 36)).astype(np.uint16), sentence_starts=starts)


def sections(memory: float = 1.0) -> dict:
    row = find("ngram").sections()
    return {"model": row["model"](order=4, prune=(0, 0, 1)), "objective": row["objective"](memory=memory)}


@pytest.mark.parametrize("workers", [2, 4])
def test_workers_and_memory_change_no_byte(store, workers):
    one = count(find("ngram"), store, FACTS, sections(), workers=1)
    many = count(find("ngram"), store, FACTS, sections(memory=1e-5), workers=workers)
    for name, array in one.arrays().items():
        assert array.tobytes() == many.arrays()[name].tobytes(), name


def test_facts_come_as_the_work_goes(store):
    facts: list[dict] = []
    network = count(find("ngram"), store, FACTS, sections(), workers=3, report=facts.append)
    assert [fact["stage"] for fact in facts] == ["count"] * 4 + ["merge", "estimate", "done"]
    assert facts[-1]["tokens"] == len(store.ids)
    assert facts[-1]["4-grams"] == network.facts()["4-grams"] > 0
    assert all(a["seconds"] <= b["seconds"] for a, b in pairwise(facts))


def test_every_counting_row_brings_what_the_driver_calls():
    for row in TABLE:
        if row.ready and row.learns == "count":
            assert all(hasattr(row.load_data(), name) for name in ("shards", "partial", "merge"))
            assert all(hasattr(row.load_network(), name) for name in ("from_counts", "from_arrays", "arrays", "facts"))
