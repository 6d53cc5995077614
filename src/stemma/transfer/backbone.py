"""The network that is carried over: as it was pre-trained, or newly drawn in the same shape."""

import torch
from torch import nn

from stemma.layers.word_tables import COUNTS
from stemma.objectives.batch import seed_for
from stemma.runs.assignment import Assignment


def fresh(assignment: Assignment, seed: int) -> nn.Module:
    """A network of the same config and the same counts of words with its own initialisation, drawn from this seed."""
    network = assignment.network
    counts = dict(network.named_buffers()).get(COUNTS)
    facts = assignment.tokenizer.facts(None if counts is None else counts.cpu().numpy())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_for("fresh", seed))
        drawn = assignment.row.new_module(network.config, facts)
    return drawn.to(next(network.parameters()).device)
