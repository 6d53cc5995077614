"""From a run folder's arrays to the network they are of."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from stemma.lineage.table import Generation
from stemma.tokens.tokenizer import Tokenizer


def network_of(row: Generation, config: Any, tokenizer: Tokenizer, arrays: Mapping[str, np.ndarray]) -> Any:
    """The row's network with these weights: mapped from the file as they are, or copied into a network in eval mode."""
    return _WAYS[row.learns](row, config, tokenizer, arrays)


def _mapped(row: Generation, config: Any, tokenizer: Tokenizer, arrays: Mapping[str, np.ndarray]) -> Any:
    return row.load_network().from_arrays(config, tokenizer.facts(), arrays)


def _copied(row: Generation, config: Any, tokenizer: Tokenizer, arrays: Mapping[str, np.ndarray]) -> Any:
    import torch

    from stemma.layers.weights import load_weights

    with torch.random.fork_rng(devices=[]):
        network = row.load_network()(config, tokenizer.facts())
    load_weights(network, arrays)
    return network.eval()


_WAYS = {"count": _mapped, "descend": _copied}
