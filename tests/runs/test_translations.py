"""Translations: each source's own, whole before cut, priced as the network prices them."""

import numpy as np
import pytest
import torch

from stemma.errors import UsageError
from stemma.lineage import seq2seq, transformer
from stemma.objectives.batch import IGNORE
from stemma.runs.decoding import LONGER, Decoding, translate
from stemma.tokens.facts import TokenFacts

FACTS = TokenFacts(31, {"eos": 0, "pad": 1})
BEAMS = Decoding(beams=4)
MOST = 24  # positions that the networks have


class Numbers:
    """A tokenizer whose texts are ids."""

    def decode(self, ids):
        return " ".join(map(str, ids))


class Read:
    """What was written of each row."""

    def __init__(self, rows):
        self.written = rows

    def rows(self, chosen):
        return Read([list(self.written[row]) for row in chosen])


class Loops:
    """Says 1 and ends, with a chance of 0.8 times 0.6; or falls, with 0.2, into a loop of 2 that hardly ever ends."""

    end, max_length, opening = 0, 512, [0]

    def frame(self, ids, other=None):
        return [*ids, 0], [0] * (len(ids) + 1)

    def read_sources(self, sources):
        return Read([[] for _ in sources])

    def advance(self, prompts, memory=None):
        written = [[*row, *new] for row, new in zip(memory.written, prompts, strict=True)]
        chances = []
        for _, *row in written:
            if not row:
                chances.append([0, 0.8, 0.2])
            elif row[0] == 1:
                chances.append([0.6, 0.4, 0] if len(row) < 3 else [0.9, 0.1, 0])
            else:
                chances.append([0.001, 0, 0.999])
        return np.log(np.maximum(chances, 1e-12)), Read(written)


def drawn(kind):
    torch.manual_seed(2)
    if kind == "transformer":
        config = transformer.Config(width=20, heads=4, inner=40, depth=2, max_length=MOST, tie="none")
        net = transformer.Transformer(config, FACTS).eval()
    else:
        config = seq2seq.Config(width=12, cells=16, depth=2, inner=10, max_length=MOST, feeding=True)
        net = seq2seq.Seq2Seq(config, FACTS).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.25)
        if kind == "transformer":
            net.output.weight[0] *= 0.2  # so that not every text ends at once
    return net, [torch.randint(2, 31, (length,)).tolist() for length in (3, 7, 1, 5, 0, 9, 23, 12)]


def test_a_text_cut_off_at_its_length_stands_behind_whole_ones():
    best, *others = translate(Loops(), Numbers(), [[5, 6, 7]], BEAMS, samples=4)[0]
    assert best.ids == [1] and len(others[-1].ids) == 3 + LONGER and others[-1].score > best.score


@pytest.mark.parametrize("kind", ["transformer", "seq2seq"])
def test_each_source_has_the_translations_that_it_has_alone_at_their_own_price(kind):
    net, sources = drawn(kind)
    together = translate(net, Numbers(), sources, BEAMS, samples=2)
    assert max(len(best.ids) for best, *_ in together) == MOST  # as many as can be learnt, the end left out
    for source, found in zip(sources, together, strict=True):
        (alone,) = translate(net, Numbers(), [source], BEAMS, samples=2)
        assert [one.ids for one in found] == [one.ids for one in alone]
        if not source:
            assert [one.text for one in found] == [""] and found[0].log_prob == 0
            continue
        for one in found:
            whole = one.ids if len(one.ids) == min(len(source) + LONGER, MOST) else [*one.ids, 0]
            batch = {"ids": [*source, 0], "segments": [1] * (len(source) + 1), "target_ids": [0, *whole[:-1]], "labels": whole}
            loss = net.loss({name: torch.tensor([row]) for name, row in batch.items()})
            assert -one.log_prob == pytest.approx(float(loss.parts["tokens"][0].detach()), abs=1e-3)


@pytest.mark.parametrize("kind", ["transformer", "seq2seq"])
def test_one_beam_takes_the_likeliest_token_each_time(kind):
    net, sources = drawn(kind)
    ((best,),) = translate(net, Numbers(), [sources[1]], Decoding(temperature=0))
    ids = torch.tensor([[*sources[1], 0]])
    written: list[int] = []
    while len(written) < MOST:
        batch = {"ids": ids, "segments": torch.ones_like(ids), "target_ids": torch.tensor([[0, *written]])}
        nats = [float(net.loss({**batch, "labels": labels}).mean) for labels in _last(len(written), 31)]
        nats[1] = float("inf")  # a special is never written
        token = int(np.argmin(nats))
        if token == 0:
            break
        written.append(token)
    assert best.ids == written


def _last(before, size):
    """Labels of one token after `before` others, each token in turn."""
    for token in range(size):
        yield torch.tensor([[*[IGNORE] * before, token]])


@pytest.mark.parametrize(
    ("options", "samples", "message"), [(Decoding(), 3, "3 with beams = 1"), (Decoding(top_k=2), 1, "options of a draw")]
)
def test_options_that_would_be_ignored_are_refused(options, samples, message):
    with pytest.raises(UsageError, match=message):
        translate(Loops(), Numbers(), [[5]], options, samples)
