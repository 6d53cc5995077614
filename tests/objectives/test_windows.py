"""Chunks of sentences: nothing lost, nothing drawn twice, thinned out as the sheet says."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stemma.errors import DataError, UsageError
from stemma.objectives.windows import Config, Windows, keep_probability

SPECIALS = {"unk": 0, "bos": 1, "eos": 2}
KEEP_ALL = Config(sample=0)


def store_of(sentences, vocab_size):
    ids = np.array([token for sentence in sentences for token in sentence], np.uint16)
    starts = np.concatenate([[0], np.cumsum([len(s) for s in sentences])]).astype(np.int64)
    counts = np.bincount(ids, minlength=vocab_size)
    return SimpleNamespace(ids=ids, sentence_starts=starts, document_starts=np.array([0, len(sentences)]), counts=counts)


def facts_of(store, counts=None):
    return SimpleNamespace(vocab_size=len(store.counts), specials=SPECIALS, counts=counts)


def windows_of(sentences, vocab_size=20, config=KEEP_ALL, **options):
    store = store_of(sentences, vocab_size)
    return Windows(store, facts_of(store), config, **{"seed": 7, "batch_tokens": 5, **options})


def sentences_in(batch):
    return [batch["words"][a:b].tolist() for a, b in zip(batch["starts"][:-1], batch["starts"][1:], strict=True)]


texts = st.lists(st.lists(st.integers(0, 19), max_size=13), min_size=1, max_size=30)


@settings(max_examples=60, deadline=None)
@given(texts.filter(lambda text: any(t > 2 for s in text for t in s)), st.integers(1, 40), st.integers(0, 2), st.integers(1, 3))
def test_an_epoch_is_every_sentence_once_without_its_unknown_words(text, batch_tokens, epoch, ranks):
    windows = windows_of(text, batch_tokens=batch_tokens)
    steps = windows.steps_in_epoch(epoch)
    found = [s for step in range(steps) for rank in range(ranks) for s in sentences_in(windows.batch(epoch * steps + step, rank, ranks))]
    expected = [[t for t in s if t > 2] for s in text]
    assert sorted(s for s in found if s) == sorted(s for s in expected if s)


def test_a_sentence_longer_than_a_step_stays_whole():
    long = list(range(3, 20)) * 10
    windows = windows_of([[3, 4], long, [5]])
    assert long in [s for step in range(windows.steps_in_epoch()) for s in sentences_in(windows.batch(step))]


def test_the_order_depends_on_seed_and_step_only():
    text = [[3 + i % 17, 3 + (5 * i) % 17, 4] for i in range(60)]
    config = Config(sample=0.01)
    ours, again = windows_of(text, config=config), windows_of(text, config=config)
    assert all(np.array_equal(ours.batch(s)["words"], again.batch(s)["words"]) for s in (31, 2, 17, 70, 2))
    steps = ours.steps_in_epoch()
    first, second = (np.concatenate([ours.batch(e * steps + s)["words"] for s in range(steps)]) for e in (0, 1))
    assert not np.array_equal(first, second)
    other = windows_of(text, config=config, seed=8)
    assert any(not np.array_equal(ours.batch(s)["words"], other.batch(s)["words"]) for s in range(5))


def test_chunks_come_in_the_texts_own_order_on_request():
    text = [[3 + i % 17, 3 + (5 * i) % 17, 4] for i in range(60)]
    windows = windows_of(text, config=Config(sample=0, order="text"))
    steps = windows.steps_in_epoch()
    assert steps > 10
    for epoch in range(2):
        assert [s for step in range(steps) for s in sentences_in(windows.batch(epoch * steps + step))] == text


def test_keep_probability_is_the_codes_rule_and_the_papers_on_request():
    counts = np.array([0, 1000, 100, 1])
    share = counts / counts.sum()
    code, paper = keep_probability(counts, 0.05), keep_probability(counts, 0.05, "paper")
    assert code[1] == pytest.approx(np.sqrt(0.05 / share[1]) + 0.05 / share[1], rel=1e-6)
    assert paper[1] == pytest.approx(np.sqrt(0.05 / share[1]), rel=1e-6)
    assert code[0] == 0 and code[3] == 1 and (np.diff(code[1:]) >= 0).all()


def test_frequent_words_are_kept_as_often_as_they_should_be():
    text = [[3] * 40 + [4] * 8 + [5] * 2] * 400
    windows = windows_of(text, config=Config(sample=0.02), batch_tokens=1000)
    kept = np.bincount(np.concatenate([windows.batch(s)["words"] for s in range(windows.steps_in_epoch())]), minlength=6)[3:]
    expected = windows.keep[3:6] * 400 * np.array([40, 8, 2])
    assert np.abs(kept - expected).max() < 5 * np.sqrt(expected.max())


def test_the_ledger_balances():
    windows = windows_of([[0, 3, 4, 0], [5, 2, 3]], config=Config(sample=0.1))
    ledger = windows.ledger()
    assert ledger["tokens"] == 7 == ledger["used"] + ledger["unknown"] + ledger["subsampled"] and ledger["unknown"] == 3


def test_what_is_thinned_out_was_read_too():
    text = [[3, 4, 3, 0], [3, 5], [3] * 9]
    windows = windows_of(text * 4, config=Config(sample=0.05), batch_tokens=9)
    steps = windows.steps_in_epoch()
    for ranks in (1, 2, 3):
        read = [windows.real_tokens(windows.batch(step, rank, ranks)) for step in range(steps) for rank in range(ranks)]
        assert sum(read) == 4 * 15 > 2 * windows.ledger()["used"]
    assert windows.used_by(0) == 0 and windows.used_by(steps) == windows.used_by(2 * steps) == windows.ledger()["used"]
    assert windows.used_by(steps // 2) == pytest.approx(windows.ledger()["used"] / 2, abs=2)


def test_text_without_a_known_word_is_refused():
    with pytest.raises(DataError, match="train the tokenizer on this text"):
        windows_of([[0, 0], [0]])
    with pytest.raises(UsageError, match="leave it at 100000"):
        windows_of([[3]], batch_tokens=0)


def test_text_whose_words_are_all_thinned_out_is_refused():
    with pytest.raises(DataError, match=r"leaves 0\.098 of the 3 words") as caught:
        windows_of([[3, 3, 3]], config=Config())
    assert "objective.sample" in caught.value.mend
    assert windows_of([[3, 3, 3]]).expected == 3
