"""Sentence ends summed over: equal to adding up every way of cutting, and the tokens of a text are all that is predicted."""

from itertools import pairwise, product

import numpy as np
import pytest
import torch

from stemma.lineage import nnlm
from stemma.runs.cuts import surprises_uncut
from stemma.runs.run import Run
from stemma.tokens.facts import TokenFacts
from stemma.training.pretrain import pretrain
from stemma.training.request import Request

FACTS = TokenFacts(7, {"unk": 0, "bos": 1, "eos": 2}, np.array([1, 0, 0, 5, 4, 3, 2]))


class Table:
    """A model of `reach` words drawn at random: token 0 is the end, 1 to V - 1 are words; short contexts begin a sentence."""

    def __init__(self, reach: int, size: int = 4, seed: int = 0) -> None:
        self.reach, self.size, self._rows, self._rng = reach, size, {}, np.random.default_rng(seed)

    def chances(self, context: tuple[int, ...]) -> np.ndarray:
        """P over the end and the words."""
        return self._rows.setdefault(context, self._rng.dirichlet(np.ones(self.size)))

    def token_or_end(self, past, seen, following):
        rows = [self.chances(tuple(ids[self.reach - n :].tolist())) for ids, n in zip(past, seen, strict=True)]
        return np.array([row[token] for row, token in zip(rows, following, strict=True)]), np.array([row[0] for row in rows])


def probability(chances, end: int, ids: list[int], reach: int) -> float:
    """Of the ids as a text that goes on: the sum over all ways of cutting it into sentences that hold a word."""
    total = 0.0
    for cut in product([False, True], repeat=max(0, len(ids) - 1)):
        borders = [0, *(at + 1 for at, is_cut in enumerate(cut) if is_cut), len(ids)]
        share = 1.0
        for start, stop in pairwise(borders):
            for at in range(start, stop):
                share *= chances(tuple(ids[max(start, at - reach) : at]))[ids[at]]
            share *= chances(tuple(ids[max(start, stop - reach) : stop]))[end] if stop < len(ids) else 1.0
            share /= 1 - chances(())[end]
        total += share
    return total


@pytest.mark.parametrize("reach", [0, 1, 2, 4])
def test_the_sum_over_every_way_of_cutting(reach: int) -> None:
    network = Table(reach)
    texts = [[3, 1, 2, 2, 1, 3, 3], [1], [], [2, 2, 3]]
    borders = np.cumsum([0, *map(len, texts)])
    nats = surprises_uncut(network, np.array([i for text in texts for i in text]), borders, negligible=0.0)
    for text, first in zip(texts, borders, strict=False):
        for length in range(1, len(text) + 1):
            expected = -np.log(probability(network.chances, 0, text[:length], reach))
            assert nats[first : first + length].sum() == pytest.approx(expected, rel=1e-9)
    rough = surprises_uncut(network, np.array(texts[0]), np.array([0, 7]), negligible=0.05)
    assert rough.sum() >= nats[:7].sum() - 1e-12  # what is let go makes a text less likely, never more


@pytest.mark.parametrize("reach", [0, 1, 2])
def test_the_texts_of_one_length_have_probability_one_together(reach: int) -> None:
    """No mass is lost to ends, and none is won: two generations predict the very same."""
    network = Table(reach)
    texts = list(product(range(1, 4), repeat=4))
    nats = surprises_uncut(network, np.array(texts).ravel(), 4 * np.arange(len(texts) + 1), negligible=0.0)
    assert np.exp(-nats.reshape(-1, 4).sum(1)).sum() == pytest.approx(1)


@pytest.mark.parametrize("method", ["mkn", "add-k"])
@pytest.mark.parametrize("order", [1, 3])
def test_ngram_gives_what_its_distribution_says(tmp_path, order: int, method: str) -> None:
    """And pays for no end, where every other way of reading has it pay for each."""
    corpus = tmp_path / "both.txt"
    corpus.write_text("a b c\nb a\nc a b\n春 天\na\n\n" * 9, encoding="utf-8")
    settings = ['tokenizer.kind="whitespace"', "tokenizer.vocab_size=0", f"model.order={order}", f"model.method={method}"]
    run = Run.open(pretrain(Request.of("ngram", corpus, preset="tiny", settings=settings), out=tmp_path / "run").path)
    network, ids = run.network, run.tokenizer.encode("a b c a 春 天")
    nats = surprises_uncut(network, ids, np.array([0, len(ids)]), negligible=0.0).sum()
    assert nats == pytest.approx(-np.log(probability(lambda past: network.probs(past), network.end, ids.tolist(), order - 1)), rel=1e-6)
    assert nats < run.score(["a b c a 春 天"])[0].nats


@pytest.mark.parametrize("output", ["full", "sampled", "hierarchical"])
def test_nnlm_gives_what_its_distribution_says(output: str) -> None:
    torch.manual_seed(3)
    network = nnlm.NNLM(nnlm.Config(context=3, width=5, inner=6, output=output), FACTS).eval()
    with torch.no_grad():
        network.output.weight.normal_()

    def chances(context: tuple[int, ...]) -> np.ndarray:
        return network.log_probs([context])[0].exp().numpy()

    ids = [3, 5, 0, 6, 4, 3]
    nats = surprises_uncut(network, np.array(ids, np.uint32), np.array([0, 6]), negligible=0.0)
    assert nats.sum() == pytest.approx(-np.log(probability(chances, network.end, ids, 3)), rel=1e-5)
