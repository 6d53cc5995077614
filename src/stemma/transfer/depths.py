"""Which tensors move and how fast: depth of each parameter, freezing and its end, layer-wise rates.

Depths count the network's own `layers()` from the bottom: the embeddings are depth 0, block i is depth i, and what stands
above the blocks (a pooler) and the task's head are depth L + 2, as in ELECTRA, which skips one step below the head.
Where settings name layers they are numbered as they stand in `layers()`: 0 the embeddings, L + 1 what stands above the blocks.
"""

from collections.abc import Collection, Sequence
from typing import Any

from torch import nn

from stemma.errors import UsageError
from stemma.nouns import counted


def depths(backbone: Any) -> tuple[dict[str, int], int]:
    """Depth of each named parameter of an `Encoder`, in the network's order, and the number L of its blocks."""
    bottom, *blocks, top = backbone.layers()
    found = dict.fromkeys(bottom.parameters, 0) | dict.fromkeys(top.parameters, len(blocks) + 2)
    for depth, block in enumerate(blocks, start=1):
        found |= dict.fromkeys(block.parameters, depth)
    return {name: found[name] for name, _ in backbone.named_parameters()}, len(blocks)


def rate_scale(depth: int, layers: int, decay: float) -> float:
    """What the rate of this depth is multiplied by: decay ** (L + 2 - depth) (ELECTRA, model/optimization.py)."""
    return decay ** (layers + 2 - depth)


def parameter_groups(
    model: nn.Module, backbone: nn.Module, layer_decay: float, weight_decay: float, added: Sequence[str] = ()
) -> list[dict]:
    """AdamW groups {depth} x {decayed matrices, undecayed vectors} of the model's moving parameters.

    Each holds its `scale` of the rate and, for the report, its `depth`. What is outside the backbone is the head, and what the task
    `added` to it counts as that.
    """
    found, layers = depths(backbone)
    inside = {id(parameter): found[name] for name, parameter in backbone.named_parameters() if name not in added}
    cells: dict[tuple[int, bool], list[nn.Parameter]] = {}
    for parameter in model.parameters():
        if parameter.requires_grad:
            cells.setdefault((inside.get(id(parameter), layers + 2), parameter.ndim > 1), []).append(parameter)
    return [
        {
            "params": parameters,
            "scale": rate_scale(depth, layers, layer_decay),
            "weight_decay": weight_decay if matrix else 0.0,
            "depth": depth,
        }
        for (depth, matrix), parameters in sorted(cells.items(), key=lambda cell: cell[0])
    ]


def freeze(model: Any, lowest: int, only: Collection[str] | None = None, added: Collection[str] = ()) -> None:
    """Fixes the lowest so many layers of the model's backbone, which lose their dropout, and lets the others move, or `only` these
    parameters of theirs, which keep it. What the task `added` to the backbone moves wherever it stands.
    """
    backbone = model.backbone
    below = names_in(backbone, lowest)
    for name, parameter in backbone.named_parameters():
        parameter.requires_grad_(name in added or (name not in below and (only is None or name in only)))
    model.resting = tuple(module for layer in backbone.layers()[:lowest] for module in layer.modules)


def fixed_after(epochs: float, every: float, layers: int, least: int) -> int:
    """How many of the lowest layers stand still after so many epochs of gradual unfreezing (Howard & Ruder 2018, section 3.3).

    For `every` epochs all do, and the head alone learns; then the top one of the network's `layers` blocks moves with what stands
    above it, and one more each time, the embeddings last. At `least` so many always do; `every` 0: these alone, from the start.
    """
    begun = int(epochs / every) if every else layers + 1
    return max(least, layers + 1 - begun + (begun == 0))


def names_in(backbone: Any, lowest: int) -> set[str]:
    """The parameters of the lowest so many layers."""
    return {name for layer in backbone.layers()[:lowest] for name in layer.parameters}


def check_layers(backbone: Any, setting: str, lowest: int) -> None:
    """UsageError where the setting names more layers than the network has."""
    layers = [layer.name for layer in backbone.layers() if layer.parameters]
    if lowest > len(layers):
        named = ", ".join(f"{number} {name}" for number, name in enumerate(layers))
        wrong = f"transfer.{setting} = 0-{lowest - 1}, but the network has {counted(len(layers), 'layer')}: {named}"
        raise UsageError(wrong, f"layers 0 to {len(layers) - 1} at most", f"mend transfer.{setting}")
