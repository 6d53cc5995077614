"""The network that is carried over: as it was pre-trained, or newly drawn in the same shape."""

from typing import Any

import torch
from torch import nn

from stemma.objectives.batch import seed_for


def fresh(run: Any, seed: int) -> nn.Module:
    """A network of the run's config with its own initialisation, drawn from this seed."""
    network = run.network
    counts = getattr(network, "counts", None)  # what static vectors know of their vocabulary
    facts = run.tokenizer.facts(None if counts is None else counts.cpu().numpy())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_for("fresh", seed))
        drawn = type(network)(network.config, facts)
    return drawn.to(next(network.parameters()).device)
