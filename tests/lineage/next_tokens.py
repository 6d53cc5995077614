"""Rows that the tests of one-way language models read."""

import torch

from stemma.objectives.batch import IGNORE
from stemma.tokens.facts import TokenFacts

FACTS = TokenFacts(53, {"eos": 0, "bos": 0})
B, T = 3, 7


def rows():
    """Full rows, and the token after each as its label."""
    torch.manual_seed(2)
    ids = torch.randint(1, FACTS.vocab_size, (B, T))
    return {"ids": ids, "labels": torch.cat([ids[:, 1:], torch.full((B, 1), IGNORE)], 1)}


LENGTHS = (5, 2, 4, 3)


def packed_and_alone():
    """The same four segments in two packed rows, and one a row with padding."""
    torch.manual_seed(4)
    pieces = [torch.randint(1, FACTS.vocab_size, (n,)) for n in LENGTHS]
    shape = {"ids": 0, "positions": 0, "segments": 0, "labels": IGNORE}
    packed = {name: torch.full((2, 8), fill) for name, fill in shape.items()}
    alone = {name: torch.full((4, 8), fill) for name, fill in shape.items()}
    for i, piece in enumerate(pieces):
        row, start = divmod(i, 2)[0], sum(LENGTHS[i // 2 * 2 : i])
        values = {"ids": piece, "positions": torch.arange(len(piece)), "labels": torch.cat([piece[1:], torch.tensor([0])])}
        for name, value in values.items():
            packed[name][row, start : start + len(piece)] = value
            alone[name][i, : len(piece)] = value
        packed["segments"][row, start : start + len(piece)] = 1 + i % 2
        alone["segments"][i, : len(piece)] = 1
    return packed, alone


def log_probs(net, ids):
    """Of the token after `ids`, in one pass."""
    return net.logits(net.encode({"ids": torch.tensor([ids])})[-1][0, -1]).log_softmax(-1).detach()
