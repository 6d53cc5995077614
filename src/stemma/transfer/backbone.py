"""The network that is carried over: as it was pre-trained, or newly drawn in the same shape."""

from typing import Any

import torch
from torch import nn

from stemma.objectives.batch import seed_for
from stemma.tokens.tokenizer import Tokenizer

COUNTS = "counts"  # the buffer in which networks of words keep how often each stood in the text


def fresh(network: Any, tokenizer: Tokenizer, seed: int) -> nn.Module:
    """A network of the same config with its own initialisation, drawn from this seed."""
    counts = dict(network.named_buffers()).get(COUNTS)
    facts = tokenizer.facts(None if counts is None else counts.cpu().numpy())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_for("fresh", seed))
        drawn = type(network)(network.config, facts)
    return drawn.to(next(network.parameters()).device)
