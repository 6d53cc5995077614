"""Phrases: word2phrase's scores and passes against its own loops in Python; nothing is lost by joining."""

from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from stemma.errors import UsageError
from stemma.tokens import phrases
from stemma.tokens.tokenizer import Config, Tokenizer, train


def corpus() -> list[str]:
    """Random words among which three towns and a newspaper stand, in two languages."""
    draw, lines = np.random.default_rng(0), []
    for _ in range(3000):
        line = [f"w{n}" for n in draw.zipf(1.4, 8) % 200]
        line[draw.integers(8)] = ["new york", "los angeles", "new york times", "老 水手", "a"][
            draw.choice(5, p=[0.05, 0.05, 0.05, 0.05, 0.8])
        ]
        lines.append(" ".join(line) + " .")
    return lines


def config(**options) -> Config:
    return Config(**{"kind": "word", "vocab_size": 0, "min_count": 5, "words": "given", "phrases": 2, "phrase_threshold": 10.0, **options})


def reference(lines: list[str], thresholds: list[float], discount: int) -> list[list[str]]:
    """word2phrase.c on words: a pass joins a pair above the threshold and starts anew behind it."""
    texts = [line.split() for line in lines]
    for threshold in thresholds:
        ones = Counter(word for text in texts for word in text)
        twos = Counter(pair for text in texts for pair in pairwise(text))
        total = sum(ones.values())
        joined = []
        for text in texts:
            out, free = text[:1], True
            for before, word in pairwise(text):
                able = free and min(ones[before], ones[word]) >= discount and "." not in (before, word)
                score = (twos[before, word] - discount) / ones[before] / ones[word] * total if able else 0
                free = score <= threshold
                out = [*out, word] if free else [*out[:-1], f"{out[-1]}_{word}"]
            joined.append(out)
        texts = joined
    return texts


def test_the_joined_text_is_word2phrases() -> None:
    lines = corpus()
    learnt, expected = train(iter(lines), config()), reference(lines, [20.0, 10.0], 5)
    counts = Counter(word for text in expected for word in text)
    assert {"new_york", "new_york_times", "los_angeles", "老_水手"} <= {t for t in learnt.tokens if "_" in t}
    for line, text in zip(lines, expected, strict=True):
        got = [learnt.token(i) for i in learnt.encode(line)]
        if all(counts[word] >= 5 for word in text):
            assert got == text
    assert learnt.id("new_york_times") is not None and learnt.id("york") is None  # it never stands alone


def test_decoding_and_offsets_know_the_words() -> None:
    learnt = train(iter(corpus()), config())
    text = "a new  york times , los angeles 老 水手 zzz york"
    ids, spans = learnt.encode_offsets(text)
    assert [text[start:end] for start, end in spans] == ["a", "new  york times", ",", "los angeles", "老 水手", "zzz", "york"]
    assert learnt.decode(ids[:2]) == "a new york times"
    assert learnt.decode(ids).endswith("los angeles 老 水手 <unk> <unk>")
    assert [len(part) for part in learnt.encode_batch(["", text, "new", "york"])] == [0, 7, 1, 1]  # phrases do not cross texts


def test_a_file_gives_the_same_phrases_again(tmp_path: Path) -> None:
    lines = corpus()
    learnt = train(iter(lines), config())
    learnt.save(tmp_path / "tokenizer.json")
    again = Tokenizer.load(tmp_path / "tokenizer.json")
    assert again.fingerprint == learnt.fingerprint == train(iter(lines), config()).fingerprint
    assert all(np.array_equal(a, b) for a, b in zip(learnt.encode_batch(lines), again.encode_batch(lines), strict=True))


def test_a_phrase_too_rare_in_the_end_is_taken_apart() -> None:
    """`new_york` of the first pass is nearly always part of the second pass's `new_york_times`: what is left is words again."""
    draw = np.random.default_rng(0)
    middle = ["new york times"] * 60 + ["new york"] * 3 + ["york", "new"] * 3 + ["a"] * 900
    lines = [" ".join([f"w{draw.integers(30)}", phrase, f"w{draw.integers(30)}"]) for phrase in draw.permutation(middle)]
    learnt = train(iter(lines), config())
    assert learnt.id("new_york_times") is not None and learnt.id("new_york") is None
    assert [learnt.token(i) for i in learnt.encode("new york a new york times")] == ["new", "york", "a", "new_york_times"]


def test_a_word_spelt_like_a_phrase_keeps_its_place() -> None:
    lines = ["w1 new york w2", "w3 new_york w4", "w5 w6 w7 w8"] * 40
    learnt = train(iter(lines), config(phrases=1))
    assert learnt.decode(learnt.encode("w1 new york w2")) == "w1 new york w2"
    assert learnt.decode(learnt.encode("w3 new_york w4")) == "w3 new_york w4"


def test_counting_in_parts_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = corpus()
    whole = train(iter(lines), config()).fingerprint
    monkeypatch.setattr(phrases, "ROOM", 1000)
    monkeypatch.setattr(phrases, "CHUNK", 700)
    assert train(iter(lines), config()).fingerprint == whole


def test_npmi_finds_the_towns_and_no_chance_pairs() -> None:
    learnt = train(iter(corpus()), config(phrase_score="npmi", phrase_threshold=0.6))
    joined = {token for token in learnt.tokens if "_" in token}
    assert {"new_york_times", "los_angeles", "老_水手"} <= joined and not any("w" in token[0] for token in joined)
    with pytest.raises(UsageError, match="set phrase_threshold"):
        config(phrase_score="npmi")
    with pytest.raises(UsageError, match="drop phrases"):
        Config(kind="bpe", phrases=1)


def test_texts_without_words() -> None:
    learnt = train(iter(["", "🦭", "..."]), config(min_count=1))
    assert learnt.encode("").size == 0 and learnt.decode(learnt.encode("🦭 ...")) == "🦭 . . ."
