"""The lower layers of a pre-trained network put under upper ones that are newly drawn (Yosinski 2014)."""

import torch

from stemma.lineage.network import Encoder


def load_layers(network: Encoder, trained: Encoder, kept: int) -> list[str]:
    """Gives `network` the parameters of the lowest `kept` of the layers of `trained`, one of its shape, and names those left as drawn.

    Layers are those of `layers()`, counted from the bottom, the embeddings first: of none nothing is loaded, of all everything.
    """
    for own, theirs in zip(network.layers()[:kept], trained.layers(), strict=False):
        with torch.no_grad():
            for name, parameter in own.parameters.items():
                parameter.copy_(theirs.parameters[name])
    return [name for layer in network.layers()[kept:] for name in layer.parameters]
