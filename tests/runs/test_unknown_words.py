"""The price of unknown words: a proper code, charged to every run of a closed vocabulary, by which no vocabulary gains."""

import itertools
import json
import math
import random

import numpy as np
import pytest

from stemma.corpus.document import Document
from stemma.runs import unknown_words
from stemma.runs.run import Run, Score
from stemma.runs.unknown_words import CODE_POINTS, Spelling
from stemma.tokens.outside import Outside
from stemma.tokens.tokenizer import Tokenizer
from stemma.training.pretrain import pretrain
from stemma.training.request import Request

STRANGER = "\ue123"  # a character that no spelling holds; there are many
SPELT = {
    "en": Outside(("ab", "b", "ba", "aab", "bb"), (3, 2, 1, 1, 1)),
    "zh": Outside(("词", "生词", "词生"), (4, 2, 1)),
    "one": Outside(("a",), (1,)),
    "emoji": Outside(("🤷🏽", "🤷"), (1, 1)),
}


@pytest.mark.parametrize("name", SPELT)
def test_probabilities_of_all_strings_sum_to_one(name):
    outside = SPELT[name]
    alphabet = sorted(set("".join(outside.spellings)))
    spelling, total, before = Spelling(outside), 0.0, 0.0
    for length in range(9):
        words = ["".join(word) for word in itertools.product([*alphabet, STRANGER], repeat=length)]
        strangers = np.array([word.count(STRANGER) for word in words])
        before, total = total, total + float((np.exp(-spelling.nats(words)) * (CODE_POINTS - len(alphabet)) ** strangers).sum())
    assert before < total <= 1 + 1e-9
    assert total > 0.85  # the rest are longer ones


def test_a_word_costs_what_its_letters_and_its_end_cost():
    spelling = Spelling(Outside(("ab",), (2,)))
    assert spelling.nats(["ab"])[0] < spelling.nats(["ba"])[0] < spelling.nats(["a" + STRANGER])[0]
    lone = spelling.nats([STRANGER, "\ue124", "\ud800"])
    assert lone[0] == lone[1] == lone[2] > math.log(CODE_POINTS - 2)
    assert spelling.nats(["ab", "ba", "ab"]).tolist() == [*spelling.nats(["ab", "ba"]), spelling.nats(["ab"])[0]]
    assert spelling.nats([]).tolist() == []


def test_many_spellings_are_learnt_from_in_bounds(monkeypatch):
    words = Outside(("ab", "ba", "c"), (60, 30, 1))
    free = Spelling(words).nats(["ab", "ba", "c"])
    monkeypatch.setattr(unknown_words, "MOST_EVENTS", 120)
    np.testing.assert_allclose(Spelling(words).nats(["ab", "ba", "c"]), free, atol=1.5)


def test_score_adds_the_spelling_to_the_bits_alone():
    score = Score(3.0, 4, 10, 1, 1.0, 2.0)
    assert score.bits_per_character == pytest.approx(5 / 10 / math.log(2))
    assert score.perplexity() == pytest.approx(math.exp(3 / 4))
    assert Score(3.0, 4, 10, 1, 1.0, None).bits_per_character is None
    assert Score(3.0, 4, 10, 0, 0.0, None).bits_per_character == pytest.approx(3 / 10 / math.log(2))


def made_up(lines: int, seed: int) -> str:
    """Text of a few frequent words and of many rare ones, which are made of syllables; every tenth line is Chinese."""
    drawn = random.Random(seed)
    syllables = ["ka", "lo", "mi", "ten", "ru", "sha", "bo", "vi"]
    frequent = [a + b for a in syllables for b in syllables][::5]
    words = lambda: [drawn.choice(frequent) if drawn.random() < 0.8 else "".join(drawn.choices(syllables, k=3)) for _ in range(9)]  # noqa: E731
    hanzi = [chr(0x4E00 + n) for n in range(60)]
    return "".join(f"{' '.join(words()) if n % 10 else '  '.join(drawn.choices(hanzi, k=7))}\n" for n in range(lines))


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("spelt")
    for name, lines, seed in (("train", 1500, 1), ("dev", 100, 2)):
        (folder / f"{name}.txt").write_text(made_up(lines, seed), encoding="utf-8")
    return folder


def counted(folder, kind: str, size: int) -> Run:
    out = folder / f"{kind}-{size}"
    settings = [f"tokenizer.kind={kind}", f"tokenizer.vocab_size={size}", "corpus.format=sentences", "model.order=2"]
    request = Request.of("ngram", folder / "train.txt", dev=folder / "dev.txt", settings=settings)
    return Run.open(pretrain(request, out=out, store=folder / "stores").path)


@pytest.mark.parametrize(("kind", "sizes"), [("word", (5, 9, 20, 100)), ("char", (5, 9, 15, 30))])
def test_a_smaller_vocabulary_gains_nothing(texts, kind, sizes):
    lines = (texts / "dev.txt").read_text(encoding="utf-8").splitlines()
    runs = [counted(texts, kind, size) for size in (*sizes, 0)]
    scores = [run.score(lines) for run in runs]
    unknown = [sum(score.unknown for score in row) for row in scores]
    assert unknown == sorted(unknown, reverse=True) and unknown[0] > 300
    bits = [sum(score.nats + (score.spelling or 0) for score in row) for row in scores]
    predicted = [sum(score.nats for score in row) for row in scores]
    assert min(bits[:3]) > 0.97 * min(bits[3:]) and bits[0] > bits[2]  # though ...
    assert predicted[0] < 0.8 * min(predicted[3:])  # ... it has hardly anything to predict


@pytest.mark.parametrize("generation", ["nnlm", "lstm"])
def test_what_descends_is_charged_by_the_same_model(texts, generation):
    settings = ["tokenizer.kind=word", "tokenizer.vocab_size=20", "tokenizer.min_count=1", "corpus.format=sentences"]
    request = Request.of(
        generation,
        texts / "train.txt",
        preset="tiny",
        dev=texts / "dev.txt",
        settings=[*settings, "training.steps=3", "training.evaluations=0"],
    )
    run, peer = Run.open(pretrain(request, out=texts / generation).path), counted(texts, "word", 20)
    lines = (texts / "dev.txt").read_text(encoding="utf-8").splitlines()[8:12]
    ours, theirs = run.score(lines), peer.score(lines)
    assert [score.spelling for score in ours] == [score.spelling for score in theirs] and sum(score.unknown for score in ours) > 5
    assert run.spelling(lines) == [score.spelling for score in ours] and run.spelling([""]) == [0.0]
    assert int(run.lacks(run.tokenizer.encode_flat(lines)[0]).sum()) == sum(score.unknown for score in ours)
    (whole,) = run.score_documents([Document(tuple(lines), "dev.txt:1")])
    assert whole.spelling == pytest.approx(sum(score.spelling for score in ours))
    assert whole.bits_per_character == pytest.approx((whole.nats + whole.spelling) / math.log(2) / whole.characters)


def test_pruned_words_are_spelt_too(texts):
    settings = ["tokenizer.kind=word", "tokenizer.vocab_size=0", "corpus.format=sentences", "model.order=2", "model.prune=[2]"]
    run = Run.open(pretrain(Request.of("ngram", texts / "train.txt", settings=settings), out=texts / "pruned").path)
    word = next(token for token in reversed(run.tokenizer.tokens) if run.network.lacks(np.array([run.tokenizer.id(token)]))[0])
    (score,) = run.score([f"kaka {word}"])
    assert score.unknown == 1 and score.spelling == pytest.approx(Spelling(run.tokenizer.outside).nats([word])[0])


def test_a_run_of_an_older_version_says_that_it_cannot_spell(texts, tmp_path):
    run = counted(texts, "word", 20)
    data = json.loads((run.path / "tokenizer.json").read_text(encoding="utf-8"))
    del data["model"]["stemma"]["outside"]
    (tmp_path / "tokenizer.json").write_text(json.dumps(data), encoding="utf-8")
    older = Run(run.folder, run.row, Tokenizer.load(tmp_path / "tokenizer.json"), run.network)
    known, unknown = older.score(["kaka", "kaka zzz"])
    assert known.bits_per_character and unknown.spelling is None and unknown.bits_per_character is None


def test_words_that_are_read_and_not_predicted_are_spelt_like_those_that_are_unknown(texts, tmp_path):
    """Else a network that reads all words would price the frequent of them by how the rarest are spelt."""
    sizes = ["model.filters=[8]", "model.highways=1", "model.width=8", "model.cells=8", "training.steps=2", "training.threads=1"]
    found = {}
    for name, cut in {"open": ["model.targets=20"], "closed": ["model.targets=0", "tokenizer.vocab_size=20"]}.items():
        request = Request.of("elmo", texts / "train.txt", preset="tiny", settings=[*sizes, *cut, "training.held_out=0"])
        found[name] = Run.open(pretrain(request, out=tmp_path / name).path)
    assert found["open"].tokenizer.vocab_size > 60 and found["open"].tokenizer.tokens[:20] == found["closed"].tokenizer.tokens
    outside = {name: dict(zip(run.tokenizer.outside.spellings, run.tokenizer.outside.counts, strict=True)) for name, run in found.items()}
    assert outside["open"] == outside["closed"]
    dev = (texts / "dev.txt").read_text(encoding="utf-8").splitlines()
    assert found["open"].spelling(dev) == pytest.approx(found["closed"].spelling(dev))
