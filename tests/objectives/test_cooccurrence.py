"""Co-occurrence: the sums of a brute-force count, whatever the memory, the threads and the cut of the text."""

import json
import resource
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stemma.errors import BudgetError, DataError, UsageError
from stemma.objectives import cooccurrence_count
from stemma.objectives.cooccurrence import HEADER, Config, Cooccurrence, entries

DEFAULTS = Config()
SPECIALS = {"unk": 0, "bos": 1, "eos": 2}


def store_of(sentences, vocab_size=20):
    ids = np.array([token for sentence in sentences for token in sentence], np.uint16)
    starts = np.concatenate([[0], np.cumsum([len(s) for s in sentences])]).astype(np.int64)
    header = {"fingerprint": f"{hash(ids.tobytes())}{starts.tolist()}", "tokenizer": "t"}
    return SimpleNamespace(ids=ids, sentence_starts=starts, counts=np.bincount(ids, minlength=vocab_size), header=header)


def objective(sentences, config=DEFAULTS, vocab_size=20):
    store = store_of(sentences, vocab_size)
    return Cooccurrence(store, SimpleNamespace(vocab_size=vocab_size, specials=SPECIALS, counts=None), config, seed=7)


def counted(sentences, folder, config=DEFAULTS, threads=1, vocab_size=20):
    """X as a dictionary (row id, column id) -> value."""
    found = objective(sentences, config, vocab_size)
    found.prepare(folder, threads, lambda _: None)
    rows, columns, values = entries(found.batch(0))
    pairs = list(zip(rows.tolist(), columns.tolist(), strict=True))
    assert len(set(pairs)) == len(pairs)
    return dict(zip(pairs, values.tolist(), strict=True))


def brute_force(sentences, config):
    """The definition, word by word: specials take no place, each line is its own context (cooccur.c)."""
    sums = {}
    for sentence in sentences:
        words = [token for token in sentence if token > 2]
        for i, word in enumerate(words):
            for j in range(max(0, i - config.window), i):
                weight = 1 / (i - j) if config.distance_weighting else 1
                for pair in ((words[j], word), (word, words[j])) if config.symmetric else ((words[j], word),):
                    sums[pair] = sums.get(pair, 0) + weight
    return sums


texts = st.lists(st.lists(st.integers(0, 19), max_size=40), min_size=1, max_size=25)
options = st.builds(Config, window=st.integers(1, 15), symmetric=st.booleans(), distance_weighting=st.booleans())


@settings(max_examples=80, deadline=None)
@given(texts, options, st.integers(1, 3), st.integers(1, 7), st.integers(0, 5), st.integers(1, 5))
def test_x_is_the_brute_force_count(tmp_path_factory, text, config, threads, chunk, corner, block):
    expected = brute_force(text, config)
    folder = tmp_path_factory.mktemp("x") / "made"
    with pytest.MonkeyPatch.context() as patch:  # small numbers, so that sentences are cut, pairs are spilt and blocks are many
        patch.setattr(cooccurrence_count, "CHUNK", chunk)
        patch.setattr(cooccurrence_count, "CORNER", corner)
        patch.setattr("stemma.objectives.cooccurrence.BLOCK", block)
        if not expected:
            with pytest.raises(DataError, match=r"train the tokenizer|check the corpus"):
                counted(text, folder, config, threads)
            assert not folder.exists()
            return
        found = counted(text, folder, config, threads)
    assert found.keys() == expected.keys()
    assert max(abs(found[pair] - expected[pair]) for pair in expected) < 1e-12  # ours rounds once, theirs at each addition
    if config.symmetric:
        assert all(found[i, j] == found[j, i] for i, j in found)


def natural(words=300, sentences=4000, seed=0):
    """Sentences of words as uneven in frequency as natural text, some unknown, some of one word."""
    draw = np.random.default_rng(seed)
    return [(draw.zipf(1.3, draw.integers(1, 60)) % words).tolist() for _ in range(sentences)]


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != HEADER}


@pytest.mark.parametrize("symmetric", [True, False])
def test_bytes_do_not_depend_on_memory_or_threads(tmp_path, monkeypatch, symmetric):
    monkeypatch.setattr("stemma.objectives.cooccurrence.BLOCK", 32)
    text, runs = natural(900), []
    spill = cooccurrence_count.Counter._spill
    monkeypatch.setattr(cooccurrence_count.Counter, "_spill", lambda self: (runs.append(self._filled), spill(self)))
    monkeypatch.setattr(cooccurrence_count, "LEAST", 1 << 16)
    monkeypatch.setattr(cooccurrence_count, "CHUNK", 1000)
    roomy, spills = Config(symmetric=symmetric), {}
    for name, config, threads in (
        ("roomy", roomy, 1),
        ("threads", roomy, 3),
        ("tight", Config(symmetric=symmetric, memory=0.0007), 1),
        ("both", Config(symmetric=symmetric, memory=0.001), 2),
    ):
        counted(text, tmp_path / name, config, threads, vocab_size=900)
        spills[name] = len([filled for filled in runs if filled])
        runs.clear()
    assert spills["roomy"] == 0 and spills["tight"] > 5 and spills["both"] > 2, spills
    first = files(tmp_path / "roomy")
    assert first.keys() == {"rows", "columns", "values", "index.safetensors"}  # nothing spilt is left
    assert all(files(tmp_path / name) == first for name in ("threads", "tight", "both"))


def test_the_tiles_of_a_round_share_no_word(tmp_path, monkeypatch):
    monkeypatch.setattr("stemma.objectives.cooccurrence.BLOCK", 16)
    for symmetric in (True, False):
        found = objective(natural(), Config(symmetric=symmetric), 300)
        found.prepare(tmp_path / str(symmetric), 1, lambda _: None)
        batch = found.batch(0)
        assert batch["tiles"][-1] == len(batch["rows"]) and batch["rounds"][-1] == len(batch["blocks"])
        for first, last in zip(batch["rounds"][:-1], batch["rounds"][1:], strict=True):
            for side in range(2):
                rows = batch["blocks"][first:last]
                touched = np.concatenate([rows[:, side], rows[:, 1 - side][rows[:, 0] != rows[:, 1]]]) if symmetric else rows[:, side]
                assert len(set(touched.tolist())) == len(touched)


def test_what_was_counted_is_found_again_unless_it_is_damaged_or_of_another_text(tmp_path):
    text, folder, notes = natural(sentences=50), tmp_path / "x", []
    first = objective(text, vocab_size=300).prepare(folder, 1, notes.append)
    again = objective(text, Config(memory=1.0), 300)
    assert again.prepare(folder, 2, notes.append) == first and len(notes) == 1
    values = (folder / "values").read_bytes()
    (folder / "values").write_bytes(values[:-1] + bytes([values[-1] ^ 1]))
    again.prepare(folder, 1, notes.append)
    assert len(notes) == 2 and (folder / "values").read_bytes() == values
    objective(text, Config(window=3), 300).prepare(folder, 1, notes.append)
    assert len(notes) == 3 and json.loads((folder / HEADER).read_text())["identity"]["window"] == 3


def test_a_count_that_was_killed_is_made_again(tmp_path, monkeypatch):
    text, folder = natural(sentences=50), tmp_path / "x"

    def killed(*args):
        (folder / "run-0-0.keys").write_bytes(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(cooccurrence_count, "_write", killed)
        with pytest.raises(KeyboardInterrupt):
            objective(text, vocab_size=300).prepare(folder, 1, lambda _: None)
    assert (folder / "run-0-0.keys").exists()
    counted(text, folder, vocab_size=300)
    assert not list(folder.glob("run-*"))


@pytest.mark.parametrize("spilled", [True, False])
def test_a_disk_that_fills_with_the_last_block_is_reported(tmp_path, monkeypatch, spilled):
    """A count of less than a block: what is written reaches the disk when its file is closed."""
    sentences = [np.random.default_rng(n).integers(3, 20, 12).tolist() for n in range(4)]
    if spilled:
        monkeypatch.setattr(cooccurrence_count, "CORNER", 0)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, limits[1]))
    try:
        with pytest.raises(BudgetError, match="File too large"):
            counted(sentences, tmp_path / "count")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list(tmp_path.rglob("*"))


def test_too_little_memory_is_reported_with_what_is_needed(tmp_path):
    with pytest.raises(BudgetError, match=r"set objective.memory=0\.\d+"):
        objective(natural(), Config(memory=0.001))
    found = objective(natural(), Config(memory=0.03))
    with pytest.raises(BudgetError, match=r"fewer training\.threads"):
        found.prepare(tmp_path / "x", 8, lambda _: None)
    assert not (tmp_path / "x").exists()


def test_the_ledger_itemises_the_text():
    assert objective([[3, 4, 5], [0, 4], [6, 7, 8, 9], [3, 9]]).ledger() == {"tokens": 11, "used": 10, "unknown": 1}


def test_words_that_stand_alone_are_named(tmp_path):
    found = objective([[3, 4], [5], [6, 0], [7, 0, 3]])
    found.prepare(tmp_path / "x", 1, lambda _: None)
    assert sorted(found.batch(0)["lone"].tolist()) == [5, 6]


def test_windows_that_cannot_be_exact_are_refused():
    with pytest.raises(UsageError, match="distance_weighting = false"):
        Config(window=23)
    assert Config(window=500, distance_weighting=False).unit == 1
    assert Config(window=22).unit * 10_000_000_000 * 4 < 2**63 * 2  # 1 + 1/2 + ... + 1/22 < 4


def test_a_text_without_words_or_pairs_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"lower tokenizer\.min_count"):
        objective([[0, 0], [1]])
    with pytest.raises(DataError, match="check the corpus"):
        objective([[3], [0, 4]]).prepare(Path(tmp_path / "x"), 1, lambda _: None)
    assert not (tmp_path / "x").exists()
