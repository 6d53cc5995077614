"""From a run folder's arrays to the network they are of."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from stemma.lineage.table import Generation
from stemma.tokens.tokenizer import Tokenizer


def network_of(row: Generation, config: Any, tokenizer: Tokenizer, arrays: Mapping[str, np.ndarray]) -> Any:
    """The row's network with these weights: mapped from the file as they are, or copied into a network in eval mode."""
    return _WAYS[row.learns](row, config, tokenizer, arrays)


def unmoved(row: Generation, config: Any, tokenizer: Tokenizer, arrays: Mapping[str, np.ndarray]) -> Any:
    """The row's network in the shape of a run that learnt a task: what counts has its own arrays; the weights of what descends
    are loaded by whoever knows whether it grew.
    """
    own = {name: array for name, array in arrays.items() if not name.startswith("task.")}
    return _UNMOVED[row.learns](row, config, tokenizer, own)


def _mapped(row: Generation, config: Any, tokenizer: Tokenizer, arrays: Mapping[str, np.ndarray]) -> Any:
    return row.load_network().from_arrays(config, tokenizer.facts(), arrays)


def _copied(row: Generation, config: Any, tokenizer: Tokenizer, arrays: Mapping[str, np.ndarray]) -> Any:
    from stemma.layers.weights import load_weights

    network = _drawn(row, config, tokenizer, arrays)
    load_weights(network, arrays)
    return network


def _drawn(row: Generation, config: Any, tokenizer: Tokenizer, arrays: Mapping[str, np.ndarray]) -> Any:
    import torch

    with torch.random.fork_rng(devices=[]):
        return row.load_network()(config, tokenizer.facts()).eval()


_UNMOVED = {"count": _mapped, "descend": _drawn}
_WAYS = {"count": _mapped, "descend": _copied}
