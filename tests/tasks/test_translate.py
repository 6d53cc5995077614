"""The task `translate`: its pairs, and BLEU and chrF against sacreBLEU's own, of a corpus and of any resample of it."""

import sys

import numpy as np
import pytest

from stemma.errors import DataError, MissingExtra, UsageError
from stemma.evaluation.measures.judge import Judge
from stemma.tasks import bleu
from stemma.tasks.table import make_task
from stemma.tasks.task import Seat
from stemma.tasks.translate import Config, Target, Translated, is_chinese

sacrebleu = pytest.importorskip("sacrebleu")

ENGLISH = ["two", "dogs", "play", "in", "the", "snow", ",", "and", "a", "man", "in", "a", "coat", "is", "watching", "them", "."]
CHINESE = list("两只狗在雪地里玩耍，一个穿绿外套的男人在门廊上看着它们。2026年")


def corpus(words, space, seed, texts=23):
    """(written, right): random texts and their disturbed copies, some of them empty, or shorter than an n-gram."""
    rng = np.random.default_rng(seed)
    right = [[str(word) for word in rng.choice(words, rng.integers(1, 12))] for _ in range(texts)]
    written = [[str(rng.choice(words)) if rng.random() < 0.3 else word for word in text if rng.random() > 0.1] for text in right]
    written[3] = []
    return [space.join(text) for text in written], [space.join(text).capitalize() for text in right]


def sums_of(written, right, tokenize):
    return bleu.statistics(written, [[text] for text in right], tokenize)


@pytest.mark.parametrize(("words", "space", "tokenize"), [(ENGLISH, " ", "13a"), (CHINESE, "", "zh"), (CHINESE, "", "char")])
def test_the_metrics_equal_sacrebleus(words, space, tokenize):
    written, right = corpus(words, space, 1)
    terms, rng = sums_of(written, right, tokenize), np.random.default_rng(2)
    picks = [np.arange(len(right)), *rng.integers(0, len(right), (7, len(right))), np.arange(2), np.array([3])]
    resampled = np.stack([terms[pick].sum(0) for pick in picks])
    for k, pick in enumerate(picks):
        texts, references = [written[n] for n in pick], [[right[n] for n in pick]]
        assert bleu.bleu_of(resampled)[k] == pytest.approx(
            sacrebleu.corpus_bleu(texts, references, tokenize=tokenize, force=True).score, abs=1e-9
        )
        assert bleu.chrf_of(resampled)[k] == pytest.approx(sacrebleu.corpus_chrf(texts, references).score, abs=1e-9)


@pytest.mark.parametrize(
    ("written", "right"),
    [
        (["a"], ["a b c d e"]),  # no bigram is written
        (["x y z w v"], ["a b c d e"]),  # nothing matches
        (["a x b y c z d"], ["a b c d e"]),  # no bigram matches: smoothed
        (["a b c d e f g h"], ["a b c d e"]),
        (["", "a b c d"], ["a b", "a b c d"]),
        ([""], ["a"]),
        (["😀 a b c"], ["😀 a b d"]),
    ],
)
def test_the_metrics_equal_sacrebleus_at_the_edges(written, right):
    sums = sums_of(written, right, "13a").sum(0)
    assert float(bleu.bleu_of(sums)) == pytest.approx(sacrebleu.corpus_bleu(written, [right], force=True).score, abs=1e-9)
    assert float(bleu.chrf_of(sums)) == pytest.approx(sacrebleu.corpus_chrf(written, [right]).score, abs=1e-9)


def test_the_tokenizer_follows_the_script_of_the_targets_and_stands_in_the_signature():
    task = make_task("translate")
    assert (
        is_chinese(["人之初，性本善。 OK"])
        and not is_chinese(["ひらがなと漢字"])
        and not is_chinese(["Ein Mann 男"])
        and not is_chinese([])
    )
    for target, tokenize, title in (("Zwei Hunde.", "13a", "BLEU"), ("两只狗。", "zh", "BLEU (zh)")):
        targets = task.targets([Translated("Two dogs.", target)])
        assert targets["tokenize"] == tokenize and f"|tok:{tokenize}|" in targets["signatures"]["bleu"]
        assert [metric.title for metric in task.metrics(targets)] == [title, "chrF"]
    score = sacrebleu.metrics.BLEU()
    score.corpus_score(["a"], [["a"]])
    assert task.targets([Translated("a", "b")])["signatures"]["bleu"] == str(score.get_signature())
    assert make_task("translate", Config(tokenize="char")).targets([Translated("a", "b")])["tokenize"] == "char"


def test_a_judge_gives_intervals_and_paired_differences():
    task = make_task("translate")
    written, right = corpus(ENGLISH, " ", 5, 80)
    pairs = [Translated("a", target) for target in right]
    targets = task.targets(pairs)
    judge = Judge(task, targets, task.gold(pairs, targets))
    found = judge.intervals([written])
    score = task.score(judge.gold, [Target(text, -1.0) for text in written], targets)
    assert found["bleu"].value == pytest.approx(score["bleu"]) and found["bleu"].low < score["bleu"] < found["bleu"].high
    resample = np.random.default_rng(0).integers(0, 80, (2000, 80))
    terms = judge.terms([written])[0]
    spread = np.std(task.measures(terms[resample].sum(1), targets)["bleu"])  # the jackknife's interval is the bootstrap's
    assert found["bleu"].half / 1.99 == pytest.approx(spread, rel=0.15)
    worse = [" ".join(text.split()[:-2]) for text in written]
    assert judge.difference([written], [worse]).excludes_zero and not judge.difference([written], [written]).excludes_zero


def test_pairs_are_read_as_a_corpus_of_pairs_is(tmp_path):
    path = tmp_path / "pairs.tsv"
    path.write_text("en\tzh\nTwo dogs.\t两只狗。 \n\n 😀 a\tb\n", encoding="utf-8")
    task = make_task("translate")
    found = task.read(path)
    assert [(pair.source, pair.target) for pair in found] == [("Two dogs.", "两只狗。"), ("😀 a", "b")] and found[1].place.endswith(":4")
    assert task.given([("Two dogs.", "两只狗。"), {"source": " 😀 a", "target": "b"}])[1].source == "😀 a"
    for text, mend in (
        ("a\tb\nc\n", "mend the line.$"),
        ("a\tb\n\tc\n", "mend the line.$"),
        ("label\ttext\na\tb\n", "name a table of pairs"),
    ):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(DataError, match=mend):
            task.read(path)
    path.write_text(f"a\tb\nc\t{'d' * 20_000}\n", encoding="utf-8")
    with pytest.raises(DataError, match="leave those pairs out"):
        task.read(path)
    with pytest.raises(DataError, match="the target of example 1 is empty"):
        task.given([("a", "b"), ("c", " ")])
    with pytest.raises(DataError, match="example 0 is 'a'"):
        task.given(["a"])


def test_no_head_stands_on_it():
    with pytest.raises(UsageError, match=r"use transfer\.mode finetune or scratch"):
        make_task("translate").head(Seat(8), {})


def test_without_sacrebleu_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "sacrebleu", None)
    with pytest.raises(MissingExtra, match=r"pip install \"stemma-nlp\[eval\]\""):
        make_task("translate").targets([Translated("a", "b")])
