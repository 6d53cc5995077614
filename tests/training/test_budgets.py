"""What a budget reads: the same drawn text for every generation, no more passes than are sensible, and a note of it."""

import json
import re
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from stemma.checkpoint import RunFolder, map_tensors
from stemma.errors import UsageError
from stemma.lineage.table import TABLE
from stemma.objectives.objective import TextObjective
from stemma.tokens.tokenizer import Tokenizer
from stemma.training.descend import objective_of
from stemma.training.facts import Note, Saved, Update
from stemma.training.pretrain import pretrain
from stemma.training.request import Request, job_of, take_up

ENGLISH = (["the", "miller", "sold", "flour", "to", "the", "baker"], ["stars", "shine", "above", "dark", "hills", "tonight"])
CHINESE = (["我", "喜欢", "看书", "学习"], ["今天", "下雨", "天气", "很冷"])
GENERATIONS = tuple(row.name for row in TABLE if row.ready and not row.teacher)  # who imitates reads what its teacher would
SMALL = {
    "ngram": ["order=2"],
    "nnlm": ["width=8", "inner=8", "batch_tokens=64", "output='full'"],
    "word2vec": ["width=8", "batch_tokens=100", "min_count=1", "sample=0"],
    "glove": ["width=8", "training.steps=2", "min_count=1"],
    "lstm": ["width=8", "batch_tokens=128", "window=8", "vocab_size=300"],
    "elmo": ["width=8", "cells=8", "filters=[4, 4]", "batch_tokens=128", "window=8"],
    "seq2seq": ["width=8", "cells=8", "max_length=16", "batch_tokens=128", "vocab_size=300"],
    "albert": ["width=8", "embedding=4", "depth=1", "heads=2", "inner=8", "max_length=16", "batch_tokens=64", "vocab_size=300"],
}
BLOCKS = ["width=8", "depth=1", "heads=2", "inner=8", "max_length=16", "batch_tokens=64", "vocab_size=300"]  # of all others


def written(path: Path, words: tuple[list[str], list[str]], joint: str, documents: int = 60, sentences: int = 3) -> Path:
    """A corpus whose first two thirds have the first words, and whose last third has the others."""
    rng = np.random.default_rng(0)
    kinds = [words[k >= documents * 2 // 3] for k in range(documents)]
    texts = ["\n".join(joint.join(rng.choice(kind, 8)) for _ in range(sentences)) for kind in kinds]
    path.write_text("\n\n".join(texts), encoding="utf-8")
    return path


def request(name: str, corpus: Path, *settings: str) -> Request:
    hand = ["training.threads=1"] if name not in ("ngram",) else []
    precise = ["training.precision='fp32'"] if name not in ("ngram", "word2vec", "glove") else []
    lines = ["corpus.format='sentences'", "corpus.documents='blank'"]
    return Request.of(name, corpus, preset="tiny", settings=[*SMALL.get(name, BLOCKS), *lines, *hand, *precise, *settings])


def budget(name: str, tokens: int) -> str:
    return f"objective.tokens={tokens}" if name == "glove" else f"training.tokens={tokens}"


def read(name: str, corpus: Path, root: Path, share: float) -> list[str]:
    """The sentences that the generation is given to learn from, as text without spaces."""
    whole = take_up(job_of(request(name, corpus)), root / name, root, lambda _: None)[1]
    tokens = int(share * len(whole.train.ids))
    text = take_up(job_of(request(name, corpus, budget(name, tokens))), root / name, root, lambda _: None)[1]
    assert len(text.train.ids) <= tokens and text.share == len(text.train.ids) / len(whole.train.ids)
    decode = Tokenizer.decode
    rows = [decode(text.tokenizer, text.train.sentence(i)) for i in range(text.train.sentences)]
    return ["".join(row.split()) for row in rows]


@pytest.mark.parametrize(("words", "joint"), [(ENGLISH, " "), (CHINESE, "")], ids=["english", "chinese"])
def test_every_generation_reads_the_same_text_at_the_same_share(tmp_path, words, joint):
    corpus = written(tmp_path / "text.txt", words, joint)
    taken = {name: set(read(name, corpus, tmp_path / "stores", 0.4)) for name in GENERATIONS}
    longest = max(taken.values(), key=len)
    for name, sentences in taken.items():  # a beginning of one order: the share of tokens ends a sentence or two sooner
        assert sentences <= longest and len(sentences) >= len(longest) - 4, name
    late = [sentence for sentence in longest if any(word in sentence for word in words[1])]
    assert 0.15 < len(late) / len(longest) < 0.5  # a third of the text: its beginning has none


@pytest.mark.parametrize("name", GENERATIONS)
def test_the_drawn_text_is_read_once_at_most_and_reported(tmp_path, name):
    corpus = written(tmp_path / "text.txt", ENGLISH, " ")
    notes: list[str] = []
    run = pretrain(
        request(name, corpus, budget(name, 500)),
        out=tmp_path / "run",
        progress=lambda fact: notes.append(fact.message) if isinstance(fact, Note) else None,
    )
    done, ledger = run.metrics()[-1], json.loads((run.path / "ledger.json").read_text(encoding="utf-8"))
    part, tokens = ledger["drawn"], ledger["tokens"]
    assert part["tokens"] <= 500 < part["of_tokens"] and part["documents"] <= part["of_documents"]
    assert tokens["tokens"] == part["of_tokens"] and tokens["beyond_budget"] == part["of_tokens"] - part["tokens"]
    assert tokens["tokens"] == sum(count for reason, count in tokens.items() if reason != "tokens")
    share = part["tokens"] / part["of_tokens"]
    # BERT's pairs show some sentences twice, XLNet's rows every one: fewer are in the budget.
    assert (0.3 if name == "xlnet" else 0.5) * share < done["passes"] < 1.0001 * share
    separated = name not in ("ngram", "word2vec", "glove")  # separators are in the budget of the others
    assert separated or done["passes"] == pytest.approx(share)
    assert done["tokens"] < 500 + 128  # a step more at most
    assert any(f"drawn by lot from {part['documents']} of {part['of_documents']} documents" in note for note in notes)
    card = (run.path / "README.md").read_text(encoding="utf-8")
    assert f"beyond budget {tokens['beyond_budget']:,}" in card and "The vocabulary was learnt from the whole text" in card


def test_what_word2vec_thins_out_counts_below_a_pass_and_above(tmp_path):
    """Below one pass what is read counted, above it what is kept: a budget of one token more went from one pass to three."""
    corpus = written(tmp_path / "text.txt", ENGLISH, " ")
    whole = len(take_up(job_of(request("word2vec", corpus)), tmp_path / "x", tmp_path / "stores", lambda _: None)[1].train.ids)
    for tokens in (whole // 2, whole - 1, whole, whole + 1, 2 * whole):
        run = pretrain(request("word2vec", corpus, "sample=0.005", budget("word2vec", tokens)), out=tmp_path / f"run-{tokens}")
        done, ledger = run.metrics()[-1], json.loads((run.path / "ledger.json").read_text(encoding="utf-8"))["tokens"]
        assert done["passes"] == pytest.approx(tokens / whole, rel=0.12) and done["tokens"] == pytest.approx(tokens, rel=0.12)
        assert ledger["subsampled"] > 0.5 * min(tokens, whole) and ledger["tokens"] == whole


@pytest.mark.parametrize("name", ["ngram", "nnlm"])
def test_unknown_words_are_spelt_by_what_the_budget_read(tmp_path, name):
    rare = ([f"{word}{n}" for n in range(40) for word in "ab"], [f"c{n}" for n in range(80)])  # each word stands in a few documents
    corpus = written(tmp_path / "text.txt", rare, " ")
    closed = ["tokenizer.kind='word'", "tokenizer.vocab_size=20"]
    spellings = {}
    for tokens in (300, 900, 0):
        given = request(name, corpus, *closed, *([budget(name, tokens)] if tokens else []))
        run = pretrain(given, out=tmp_path / f"{tokens}", store=tmp_path / "stores")
        outside = Tokenizer.load(run.tokenizer_path).outside
        spellings[tokens] = dict(zip(outside.spellings, outside.counts, strict=True))
    unknown = {tokens: sum(count for word, count in counts.items()) for tokens, counts in spellings.items()}
    assert unknown[300] < 300 < unknown[900] < unknown[0] and all(spellings[900][word] <= spellings[0][word] for word in spellings[900])


def test_what_the_budget_never_came_to_is_reported(tmp_path):
    """BERT's pairs show some sentences twice: of what was drawn, its budget ends before it has seen all."""
    corpus = written(tmp_path / "text.txt", ENGLISH, " ")
    run = pretrain(request("bert", corpus, budget("bert", 500)), out=tmp_path / "run")
    tokens = json.loads((run.path / "ledger.json").read_text(encoding="utf-8"))["tokens"]
    part = tokens["tokens"] - tokens["beyond_budget"]
    assert 0.1 * part < tokens["not_reached"] < 0.7 * part and 0.3 * part < tokens["used"] < part
    done = run.metrics()[-1]
    assert f"{tokens['not_reached']:,} were not reached" in done["notes"][-1]
    share = float(re.search(r"after (\d\.\d\d) of a pass over the", done["notes"][-1])[1])
    assert share * part / tokens["tokens"] == pytest.approx(done["passes"], abs=0.01)  # note and figure say the same
    assert f"not reached {tokens['not_reached']:,}" in (run.path / "README.md").read_text(encoding="utf-8")
    whole = pretrain(request("bert", corpus, "training.epochs=1"), out=tmp_path / "whole")
    assert "not_reached" not in json.loads((whole.path / "ledger.json").read_text(encoding="utf-8"))["tokens"]


def test_a_budget_of_a_pass_or_more_reads_the_whole_text(tmp_path):
    corpus = written(tmp_path / "text.txt", ENGLISH, " ")
    run = pretrain(request("gpt", corpus, "training.tokens=5000"), out=tmp_path / "run")
    ledger = json.loads((run.path / "ledger.json").read_text(encoding="utf-8"))
    assert "drawn" not in ledger and ledger["tokens"]["beyond_budget"] == 0
    assert run.metrics()[-1]["passes"] == pytest.approx(5000 / ledger["tokens"]["tokens"], rel=0.2)


def test_the_budget_of_a_preset_follows_the_text(tmp_path):
    facts = []
    (tmp_path / "word.txt").write_text("word", encoding="utf-8")
    run = pretrain(request("gpt", tmp_path / "word.txt"), out=tmp_path / "run", progress=facts.append)
    done = run.metrics()[-1]
    assert done["steps"] <= 40 and done["passes"] == done["most_passes"] == 40  # the preset's five million tokens are millions of steps
    assert "40 passes" in done["notes"][-1] and "cut to 40" in next(fact.message for fact in facts if "cut" in getattr(fact, "message", ""))
    assert [fact.passes for fact in facts if isinstance(fact, Update)][-1] == 40


def test_a_budget_of_ones_own_is_kept_and_warned_of(tmp_path):
    (tmp_path / "word.txt").write_text("word", encoding="utf-8")
    notes: list[str] = []
    listen = {"progress": lambda fact: notes.append(fact.message) if isinstance(fact, Note) else None}
    done = pretrain(request("gpt", tmp_path / "word.txt", "training.steps=45"), out=tmp_path / "own", **listen).metrics()[-1]
    assert done["steps"] == 45 and done["most_passes"] is None and any("set training.most_passes=40" in note for note in notes)
    cut = pretrain(request("gpt", tmp_path / "word.txt", "training.steps=45", "most_passes=3"), out=tmp_path / "cut").metrics()[-1]
    assert cut["steps"] == cut["passes"] == 3


def test_passes_are_refused_where_steps_are_none(tmp_path):
    with pytest.raises(UsageError, match=r"drop training\.most_passes"):
        job_of(request("glove", tmp_path / "text.txt", "most_passes=3"))


def test_the_epochs_of_a_preset_are_no_more_than_it_says(tmp_path):
    corpus = written(tmp_path / "text.txt", ENGLISH, " ", documents=4)
    notes: list[str] = []
    steps = ["training.most_passes=3", "training.epochs=3"]  # as many: nothing is cut, nothing is warned of
    run = pretrain(request("bert", corpus, *steps), out=tmp_path / "run", progress=lambda fact: notes.append(getattr(fact, "message", "")))
    assert run.metrics()[-1]["passes"] == 3 and not any("passes" in note for note in notes)


PATIENT = ["training.steps=60", "training.evaluations=20", "training.patience=2", "training.rate=0.03", "training.held_out=0.2"]


def patient(corpus: Path, out: Path, *settings: str, **options) -> RunFolder:
    flat = ["training.schedule='constant'", "training.warmup=0"]
    return pretrain(request("gpt", corpus, *PATIENT, *flat, *settings), out=out, **options)


def test_patience_ends_training_with_the_best_weights_also_when_killed(tmp_path):
    class Killed(Exception):
        pass

    corpus = written(tmp_path / "text.txt", ENGLISH, " ", documents=6)
    whole = patient(corpus, tmp_path / "whole")
    losses = {line["step"]: line["loss"] for line in whole.metrics() if line["kind"] == "eval"}
    done = whole.metrics()[-1]
    best = min(losses, key=losses.__getitem__)
    assert done["kept_step"] == best < done["steps"] == max(losses) < 60
    assert done["held_out_loss"] == losses[best] and list(losses)[-3] == best and "stopped early" in done["notes"][-1]
    there = patient(corpus, tmp_path / "there", f"training.steps={best}", "training.patience=0", "training.evaluations=1")
    kept, then = (map_tensors(run.path / "model.safetensors") for run in (whole, there))
    assert all(kept[name].tobytes() == then[name].tobytes() for name in kept)

    deaths: list[int] = []

    def die_as_it_saves(fact) -> None:
        if isinstance(fact, Saved) and fact.step % 4 == 0 and fact.step not in deaths:
            deaths.append(fact.step)
            raise Killed

    while not (tmp_path / "run" / "manifest.json").exists() or not RunFolder.open(tmp_path / "run").finished:
        with suppress(Killed):
            patient(corpus, tmp_path / "run", "training.save_seconds=1e-9", progress=die_as_it_saves)
    assert len(deaths) > 2
    ours, theirs = (map_tensors(path / "model.safetensors") for path in (whole.path, tmp_path / "run"))
    assert all(ours[name].tobytes() == theirs[name].tobytes() for name in ours)


def test_patience_without_held_out_text_is_refused(tmp_path):
    corpus = written(tmp_path / "text.txt", ENGLISH, " ", documents=6)
    with pytest.raises(UsageError, match=r"set training\.held_out"):
        pretrain(request("gpt", corpus, "training.patience=2", "training.held_out=0", "training.steps=2"), out=tmp_path / "run")
    with pytest.raises(UsageError, match=r"training\.patience to 0"):
        job_of(request("gpt", corpus, "training.patience=2", "training.evaluations=0"))


def following(objective: TextObjective) -> np.ndarray:
    """The labels of all pairs of an epoch."""
    return np.concatenate([objective.batch(step)["next"] for step in range(objective.steps_in_epoch(0))])


@pytest.mark.parametrize("name", ["ngram", "nnlm", "lstm", "gpt", "bert", "xlnet"])
def test_a_loss_at_word_frequencies_is_called_too_small_a_budget(tmp_path, name):
    # what a small held-out text has masked is so far from the text's own frequencies that a network that begins at those is below them
    corpus = written(tmp_path / "text.txt", ENGLISH, " ", documents=900 if name == "bert" else 90)
    few = [] if name == "ngram" else ["training.steps=1", "training.held_out=0.2"]
    done = pretrain(request(name, corpus, *few), out=tmp_path / "few").metrics()[-1]
    job = job_of(request(name, corpus, *few))
    text = take_up(job, tmp_path / "other", tmp_path / "few" / "store", lambda _: None)[1]
    ends = {"lstm": "documents", "gpt": "documents", "xlnet": "documents", "nnlm": "sentences", "ngram": "sentences"}.get(name)
    counted = [np.append(store.counts, getattr(store, ends) if ends else []) for store in (text.train, text.dev)]
    shares = np.maximum(counted[0], 1) / np.maximum(counted[0], 1).sum()
    whole = -(counted[1] * np.log(shares)).sum() / counted[1].sum()
    if name == "bert":  # by how often B did not follow A
        seen, asked = (following(objective_of(job, store, text)) for store in (text.train, text.dev))
        whole -= np.log(np.where(asked, seen.mean(), 1 - seen.mean())).mean()
    assert done["baseline_loss"] == pytest.approx(whole)
    if name == "ngram":
        assert done["left_baseline"] and not [note for note in done["notes"] if "too small" in note]
        return
    assert not done["left_baseline"] and "budget too small" in done["notes"][0]
    assert "budget too small" in (tmp_path / "few" / "README.md").read_text(encoding="utf-8")
    assert name != "bert" or "'next'" in done["notes"][1]
