"""The unknown word, `<unk>`: n-gram and NNLM treat it alike, on one vocabulary of one text."""

from pathlib import Path

import numpy as np
import pytest

from stemma.runs.run import Run
from stemma.training.pretrain import pretrain
from stemma.training.request import Request

WORDS = [f"{letter}{digit}" for letter in "abcdef" for digit in range(5)]
SETTINGS = ["tokenizer.kind=whitespace", f"tokenizer.vocab_size={len(WORDS) + 3}", "tokenizer.min_count=1", "corpus.format=sentences"]
NNLM = ["model.context=2", "model.width=16", "model.inner=32", "model.output=full"]
NNLM += ["training.steps=200", "training.batch_tokens=1024", "training.rate=1e-2"]


def chained(sentences: int, seed: int) -> list[str]:
    """Lines in which each word depends on the one before; about 8 % of the words are new names, most of them after `a0` to `a4`."""
    drawn, chances = np.random.default_rng(seed), np.random.default_rng(0).dirichlet(np.full(len(WORDS), 0.3), len(WORDS))
    lines = []
    for n in range(sentences):
        word, line = int(drawn.integers(len(WORDS))), []
        for m in range(8):
            if m and drawn.random() < (0.3 if line[-1][0] == "a" else 0.04):
                line.append(f"name{seed}x{n}x{m}")
            else:
                word = int(drawn.choice(len(WORDS), p=chances[word]))
                line.append(WORDS[word])
        lines.append(" ".join(line))
    return lines


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, Run]:
    folder: Path = tmp_path_factory.mktemp("unknown")
    (folder / "train.txt").write_text("\n".join(chained(2500, 1)) + "\n", encoding="utf-8")
    by_generation = {"ngram": ["model.order=3"], "nnlm": [*NNLM, "training.threads=1"]}
    held_out = ["training.held_out=0.01"]
    return {
        name: Run.open(pretrain(Request.of(name, folder / "train.txt", settings=[*SETTINGS, *held_out, *more]), out=folder / name).path)
        for name, more in by_generation.items()
    }


def test_both_expect_as_many_unknown_words_as_there_are(runs):
    tokenizer = runs["ngram"].tokenizer
    rows = [tokenizer.encode(line) for line in chained(200, 2)]
    contexts = [row[:n].tolist() for row in rows for n in range(len(row))]
    share = np.mean(np.concatenate(rows) == 0)
    counted = np.mean([runs["ngram"].network.probs(context)[0] for context in contexts])
    learnt = float(runs["nnlm"].network.log_probs(contexts)[:, 0].exp().mean())
    assert 0.05 < share < 0.12
    assert counted == pytest.approx(share, rel=0.15)
    assert learnt == pytest.approx(share, rel=0.15)


def test_both_know_where_unknown_words_stand(runs):
    tokenizer = runs["ngram"].tokenizer
    contexts = [tokenizer.encode(line)[:3].tolist() for line in chained(200, 4)]
    often = np.array([tokenizer.token(context[-1]).startswith("a") for context in contexts])
    counted = np.array([runs["ngram"].network.probs(context)[0] for context in contexts])
    learnt = runs["nnlm"].network.log_probs(contexts)[:, 0].exp().numpy()
    for shares in (counted, learnt):
        assert shares[often].mean() > 3 * shares[~often].mean()


def test_perplexities_are_of_the_same_events_and_near(runs):
    lines = chained(200, 3)
    ngram, nnlm = (run.score(lines) for run in runs.values())
    assert [(s.tokens, s.unknown) for s in ngram] == [(s.tokens, s.unknown) for s in nnlm]
    perplexities = [np.exp(sum(s.nats for s in scores) / sum(s.tokens for s in scores)) for scores in (ngram, nnlm)]
    assert perplexities[0] == pytest.approx(perplexities[1], rel=0.1)
    costs = [sum(s.unknown_nats for s in scores) / sum(s.unknown for s in scores) for scores in (ngram, nnlm)]
    assert costs[0] == pytest.approx(costs[1], abs=0.3)
    assert [s.spelling for s in ngram] == [s.spelling for s in nnlm]  # one vocabulary, one model of spelling
