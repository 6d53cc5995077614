"""Spans and their F1 against seqeval's numbers (golden/seqeval.json says how they were made) and a plain restatement."""

import itertools
import json
import random
from pathlib import Path

import numpy as np
import pytest

from stemma.tasks.entities import follows, iob2, precision_recall_f1, span_counts, spans, types_of

GOLDEN = json.loads((Path(__file__).parent / "golden" / "seqeval.json").read_text(encoding="utf-8"))
TAGS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]


@pytest.mark.parametrize("reading", ["lenient", "strict"])
def test_seqeval_agrees(reading):
    strict, golden = reading == "strict", GOLDEN[reading]
    assert [[list(span) for span in spans(tags, strict)] for tags in GOLDEN["gold"]] == golden["spans"]
    both = zip(GOLDEN["gold"], GOLDEN["answers"], strict=True)
    counts = sum(span_counts(gold, answers, GOLDEN["types"], strict) for gold, answers in both)
    micro = precision_recall_f1(counts.sum(0))
    assert list(micro.values()) == pytest.approx(golden["micro"], abs=1e-12)
    present = counts[:, 1:].sum(1) > 0  # seqeval names no type that neither side has
    each = precision_recall_f1(counts[present])
    np.testing.assert_allclose(np.stack(list(each.values()), -1), golden["types"], atol=1e-12)
    assert counts[present, 1].tolist() == golden["support"]


def begins(before, tag):
    """conlleval's rule, place by place, for B, I and O."""
    if tag == "O":
        return False
    return tag[0] == "B" or before == "O" or before[2:] != tag[2:]


def restated(tags, strict):
    """A span at every beginning, as far as its I- tags go."""
    found = []
    for at, tag in enumerate(tags):
        if tag[0] == "B" if strict else begins(tags[at - 1] if at else "O", tag):
            rest = itertools.takewhile(lambda other: other == f"I-{tag[2:]}", tags[at + 1 :])  # noqa: B023
            found.append((tag[2:], at, at + 1 + len(list(rest))))
    return found


@pytest.mark.parametrize("strict", [False, True])
def test_every_short_sentence_gives_the_spans_of_the_restated_rules(strict):
    for length in range(5):
        for tags in itertools.product(TAGS, repeat=length):
            assert spans(tags, strict) == restated(tags, strict)


def test_iob2_tells_the_same_spans_lawfully():
    assert iob2(["I-PER", "I-PER", "O", "I-LOC", "B-LOC", "I-PER"]) == ("B-PER", "I-PER", "O", "B-LOC", "B-LOC", "B-PER")
    for length in range(5):
        for tags in itertools.product(TAGS, repeat=length):
            lawful = iob2(tags)
            assert spans(tags) == spans(lawful, strict=True) and iob2(lawful) == lawful
            assert all(follows(before, tag) for before, tag in zip([None, *lawful], lawful, strict=False))


def test_lawful_tags_read_alike():
    rng = random.Random(2)
    for _ in range(200):
        tags: list[str] = []
        while len(tags) < 12:
            tag = rng.choice(TAGS)
            if follows(tags[-1] if tags else None, tag):
                tags.append(tag)
        assert spans(tags) == spans(tags, strict=True)


def test_what_may_follow():
    lawful = {(before, tag) for before in [None, *TAGS] for tag in TAGS if follows(before, tag)}
    unlawful = {(before, tag) for before in [None, *TAGS] for tag in TAGS} - lawful
    assert unlawful == {
        (None, "I-PER"), ("O", "I-PER"), ("B-LOC", "I-PER"), ("I-LOC", "I-PER"),
        (None, "I-LOC"), ("O", "I-LOC"), ("B-PER", "I-LOC"), ("I-PER", "I-LOC"),
    }  # fmt: skip


def test_empty_sentences_and_nothing_to_divide_by():
    assert spans([]) == []
    counts = span_counts([], [], ["PER"])
    assert {name: value.tolist() for name, value in precision_recall_f1(counts.sum(0)).items()} == {"precision": 0, "recall": 0, "f1": 0}


def test_names_of_types_may_hold_dashes_and_chinese():
    assert spans(["B-人-名", "I-人-名", "O"]) == [("人-名", 0, 2)]
    assert types_of(["O", "I-地", "B-人-名", "I-人-名"]) == ["人-名", "地"]
