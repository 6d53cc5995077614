"""The loss of text that training never sees."""

from typing import cast

import torch

from stemma.layers.loss import weighted_sum
from stemma.layers.weights import to_tensors
from stemma.lineage.table import Network
from stemma.objectives.objective import Objective
from stemma.training.precision import autocast


def held_out_loss(network: torch.nn.Module, objective: Objective, most_tokens: int, precision: str) -> tuple[float, dict[str, float]]:
    """Mean nats per prediction over the first batches of the held-out text, and the means of its parts, each over all its predictions.

    What a batch leaves is carried to the next; the first starts from nothing, whatever training carries.
    """
    device = next(network.parameters()).device
    network.eval()
    sums: dict[str, float] = {}
    counts: dict[str, int] = {}
    tokens, carried = 0, None
    with torch.no_grad(), autocast(device, precision):
        for step in range(objective.steps_in_epoch(0)):
            batch = objective.batch(step)
            loss = cast(Network, network).loss(to_tensors(batch, device), carried)
            carried = loss.carried
            for name, (value, count) in loss.parts.items():
                sums[name], counts[name] = sums.get(name, 0.0) + float(value), counts.get(name, 0) + count
            tokens += objective.real_tokens(batch)
            if tokens >= most_tokens:
                break
    if not sums:
        return float("nan"), {}
    return float(weighted_sum(sums, counts, loss.weights)), {name: sums[name] / max(1, counts[name]) for name in sums}
