"""The driver of counting generations: the same network for any number of workers and any memory, and facts on the way."""

import json
import lzma
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stemma.checkpoint import map_tensors
from stemma.errors import BudgetError, DataError
from stemma.lineage.table import TABLE, find
from stemma.objectives.spool import Room
from stemma.tokens.facts import TokenFacts
from stemma.training.count import count, counting_room
from stemma.training.peak import memory_mib
from stemma.training.pretrain import pretrain
from stemma.training.request import Request

FACTS = TokenFacts(40, {"unk": 0, "bos": 1, "eos": 2})
AMPLE = 2**26
METHODS = ["mkn", "kn", "abs", "katz", "add-k", "mle"]
GOLDEN = [("golden-en.txt.xz", 5, ()), ("golden-en.txt.xz", 3, (0, 0, 1)), ("golden-zh.txt.xz", 3, ()), ("golden-tiny.txt", 3, ())]


def made(lengths: np.ndarray, seed: int = 0, types: int = 36) -> SimpleNamespace:
    """A token store of sentences of these lengths, its words drawn as in a language: few are frequent, many are rare."""
    rng = np.random.default_rng(seed)
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return SimpleNamespace(ids=(3 + np.minimum(rng.zipf(1.5, starts[-1]), types)).astype(np.uint16), sentence_starts=starts)


@pytest.fixture(scope="module")
def store() -> SimpleNamespace:
    return made(np.random.default_rng(0).integers(0, 13, 300))


def sections(**model) -> dict:
    row = find("ngram").sections()
    return {"model": row["model"](**{"order": 4, "prune": (0, 0, 1), **model}), "objective": row["objective"]()}


def counted(store, memory: int, config: dict, workers: int = 1, facts: TokenFacts = FACTS) -> tuple[dict[str, bytes], int]:
    """The bytes of the arrays, and how many bytes went to disk on the way."""
    with Room(memory) as room:
        network = count(find("ngram"), store, facts, config, room, workers=workers)
        return {name: array.tobytes() for name, array in network.arrays().items()}, room.spilled


@pytest.mark.parametrize("memory", [AMPLE, 2**15])
@pytest.mark.parametrize("workers", [1, 2, 4])
def test_workers_and_memory_change_no_byte(store, workers, memory):
    expected, none = counted(store, AMPLE, sections())
    found, spilled = counted(store, memory, sections(), workers)
    assert none == 0
    assert (spilled > 0) == (memory < AMPLE)
    assert found == expected


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(0, 9), min_size=1, max_size=40), st.integers(0, 99), st.integers(1, 5), st.sampled_from(METHODS),
    st.booleans(), st.booleans(), st.integers(14, 60),
)  # fmt: skip
def test_any_text_in_hardly_any_memory(lengths, seed, order, method, pruned, unknown, kib):
    """Every method, pruned where it can be, with unknown words or without a token for them: whatever goes to disk comes back."""
    store = made(np.array(lengths), seed, types=9)
    if unknown:
        store.ids[::5] = 0
    config = sections(order=order, method=method, prune=(0, 1)[:order] if pruned and method not in ("add-k", "mle") else ())
    facts = TokenFacts(13, {"bos": 1, "eos": 2} if seed % 2 else FACTS.specials)
    expected, _ = counted(store, AMPLE, config, facts=facts)
    found, _ = counted(store, kib * 2**10, config, workers=1 + seed % 3, facts=facts)
    assert found == expected


@pytest.mark.parametrize(("name", "order", "prune"), GOLDEN, ids=str)
def test_golden_corpora_in_little_memory(kenlm_models, name, order, prune):
    path = kenlm_models / name
    text = (lzma.decompress(path.read_bytes()) if name.endswith(".xz") else path.read_bytes()).decode("utf-8")
    ids: dict[str, int] = {"<unk>": 0, "<s>": 1, "</s>": 2}
    sentences = [[ids.setdefault(word, len(ids)) for word in line.split()] for line in text.splitlines()]
    flat = np.array([i for sentence in sentences for i in sentence], np.uint32)
    store = SimpleNamespace(ids=flat, sentence_starts=np.cumsum([0, *map(len, sentences)]))
    facts, config = TokenFacts(len(ids), FACTS.specials), sections(order=order, prune=prune)
    expected, _ = counted(store, AMPLE, config, facts=facts)
    little = 2 * 160 * len(ids) + 2**15
    found, spilled = counted(store, little, config, workers=2, facts=facts)
    assert found == expected
    assert spilled > little or len(flat) < 100


def test_too_little_memory_is_reported_with_what_is_needed(store):
    with pytest.raises(BudgetError, match=r"(?s)left for counting.*at least.*allow more memory with --memory"):
        counted(store, 2**10, sections())


def test_the_limit_is_that_of_the_whole_process(tmp_path):
    with pytest.raises(BudgetError, match=r"(?s)hold .* MiB already.*for example --memory"), counting_room(1e-3, 9, tmp_path / "aside"):
        raise AssertionError("there is no room")
    with counting_room(memory_mib() / 2**10 + 0.5, 9, tmp_path / "aside") as room:
        assert 2**28 < room.memory < 2**29
    with counting_room(0, 9, tmp_path / "aside") as room:
        assert 2**29 < room.memory <= 2**30


def test_a_full_disk_is_reported_before_it_is_full(store, monkeypatch):
    import shutil

    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=2**26 + 100))
    with pytest.raises(BudgetError, match=r"(?s)disk is full.*free some space, or allow more memory"):
        counted(store, 2**15, sections())


class TestRunFolder:
    @pytest.fixture
    def corpus(self, tmp_path) -> Path:
        rng = np.random.default_rng(3)
        path = tmp_path / "text.txt"
        path.write_text("".join(" ".join(f"w{min(i, 99)}" for i in rng.zipf(1.4, 12)) + "\n" for _ in range(4000)), encoding="utf-8")
        return path

    def test_what_was_left_on_disk_goes_and_what_is_given_stays(self, corpus, tmp_path):
        out = tmp_path / "run"
        with pytest.raises(BudgetError):
            pretrain(Request.of("ngram", corpus, settings=["objective.memory=0.001"]), out=out)
        (out / ".counting").mkdir()
        (out / ".counting" / "spool-3").write_bytes(b"left by a killed process")
        run = pretrain(Request.of("ngram", corpus, settings=["objective.memory=6"]), out=out)  # another limit is no other run
        assert run.finished
        assert not (out / ".counting").exists()
        other = pretrain(Request.of("ngram", corpus, workers=2), out=tmp_path / "other")
        a, b = (map_tensors(folder.path / "model.safetensors") for folder in (run, other))
        assert {name: array.tobytes() for name, array in a.items()} == {name: array.tobytes() for name, array in b.items()}

    def test_a_spaced_line_is_one_sentence_however_long(self, tmp_path):
        (tmp_path / "lines.txt").write_text("word " * 60_000 + "end\nanother line\n", encoding="utf-8")
        ledgers = {}
        for name, more in (("whole", ()), ("cut", ("corpus.max_sentence=10000",))):
            run = pretrain(Request.of("ngram", tmp_path / "lines.txt", settings=["tokenizer=whitespace", *more]), out=tmp_path / name)
            ledgers[name] = json.loads((run.path / "ledger.json").read_text(encoding="utf-8"))["characters"]
        assert ledgers["whole"]["sentences"] == 2
        assert not ledgers["whole"]["notes"]
        assert ledgers["cut"]["sentences"] > 30
        assert ledgers["cut"]["notes"] == {"sentences cut, being too long": 1}

    def test_an_error_leaves_nothing_on_disk(self, corpus, tmp_path):
        with pytest.raises(DataError, match="discount_fallback"):
            pretrain(Request.of("ngram", corpus, settings=["model.discount_fallback=false", "model.order=5"]), out=tmp_path / "run")
        assert not (tmp_path / "run" / ".counting").exists()


def test_facts_come_as_the_work_goes(store):
    facts: list[dict] = []
    network = count(find("ngram"), store, FACTS, sections(), Room(AMPLE), workers=3, report=facts.append)
    assert [fact["stage"] for fact in facts] == ["count"] * 4 + ["merge", "estimate", "done"]
    assert facts[-1]["tokens"] == len(store.ids)
    assert facts[-1]["4-grams"] == network.facts()["4-grams"] > 0
    assert all(a["seconds"] <= b["seconds"] for a, b in pairwise(facts))


def test_every_counting_row_brings_what_the_driver_calls():
    for row in TABLE:
        if row.ready and row.learns == "count":
            assert all(hasattr(row.load_data(), name) for name in ("shards", "partial", "merge"))
            assert all(hasattr(row.load_network(), name) for name in ("from_counts", "from_arrays", "arrays", "facts"))
