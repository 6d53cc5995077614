"""Pairs that the tests of encoder-decoders read."""

import torch

from stemma.objectives.batch import IGNORE


def pairs():
    """Three pairs, the sources 5, 3 and 4 tokens long with their ends, the targets 4, 2 and 6."""
    torch.manual_seed(5)
    ids, targets = torch.randint(2, 31, (3, 5)), torch.randint(2, 31, (3, 6))
    segments, labels = torch.ones(3, 5, dtype=torch.long), torch.full((3, 6), IGNORE)
    for row, (source, target) in enumerate(((5, 4), (3, 2), (4, 6))):
        ids[row, source - 1], segments[row, source:] = 0, 0
        labels[row, : target - 1], labels[row, target - 1] = targets[row, : target - 1], 0
    target_ids = torch.cat([torch.zeros(3, 1, dtype=torch.long), targets[:, :-1]], 1)
    return {"ids": ids, "segments": segments, "target_ids": target_ids, "labels": labels}


def sources(batch):
    """The sources of such a batch as lists of ids, without their padding."""
    return [[int(i) for i, s in zip(ids, real, strict=True) if s] for ids, real in zip(batch["ids"], batch["segments"], strict=True)]


def reversals(rows, length):
    """Rows of `length` tokens of a vocabulary of 12, whose targets are they turned round."""
    source = torch.randint(1, 12, (rows, length))
    end = torch.zeros(rows, 1, dtype=torch.long)
    target = source.flip(1)
    ids = torch.cat([source, end], 1)
    return {"ids": ids, "segments": torch.ones_like(ids), "target_ids": torch.cat([end, target], 1), "labels": torch.cat([target, end], 1)}
