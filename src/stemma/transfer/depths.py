"""Which tensors move and how fast: depth of each parameter, freezing and its end, redrawing, layer-wise rates.

Depths count the network's own `layers()` from the bottom: the embeddings are depth 0, block i is depth i, and what stands
above the blocks (a pooler) and the task's head are depth L + 2, as in ELECTRA, which skips one step below the head.
"""

from collections.abc import Iterable
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


def parameter_groups(model: nn.Module, backbone: nn.Module, layer_decay: float, weight_decay: float) -> list[dict]:
    """AdamW groups {depth} x {decayed matrices, undecayed vectors} of the model's moving parameters.

    Each holds its `scale` of the rate and, for the report, its `depth`. What is outside the backbone is the head.
    """
    found, layers = depths(backbone)
    inside = {id(parameter): found[name] for name, parameter in backbone.named_parameters()}
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


def freeze(backbone: nn.Module, moving: int | None) -> list[str]:
    """Fixes all but the top `moving` blocks (0: everything; None: nothing) and names what it fixed.

    What stands above the blocks moves with them.
    """
    found, layers = depths(backbone)
    if moving is not None and moving > layers:
        raise UsageError(
            f"transfer.moving = {moving}, but the network has {counted(layers, 'layer')}", f"0 to {layers}", "lower transfer.moving"
        )
    frozen = []
    for name, parameter in backbone.named_parameters():
        fixed = moving is not None and (moving == 0 or found[name] <= layers - moving)
        parameter.requires_grad_(not fixed)
        frozen += [name] if fixed else []
    return frozen


def moving_after(epochs: float, every: float, layers: int, most: int | None) -> int | None:
    """How many top blocks move after so many epochs of gradual unfreezing (Howard & Ruder 2018, section 3.3).

    For `every` epochs the head alone; then one block more each time, the embeddings last. At most `most` blocks (None:
    everything); `every` 0: all of these from the start.
    """
    most_steps = layers + 1 if most is None else most  # the embeddings are one step more
    reached = min(most_steps, int(epochs / every)) if every else most_steps
    return None if reached > layers else reached


def redraw(backbone: nn.Module, fresh: nn.Module, top: int) -> list[str]:
    """Replaces the top `top` blocks, and what stands above them, by those of a newly drawn network."""
    found, layers = depths(backbone)
    if top > layers:
        raise UsageError(
            f"transfer.redraw = {top}, but the network has {counted(layers, 'layer')}", f"0 to {layers}", "lower transfer.redraw"
        )
    chosen = [name for name, depth in found.items() if top and depth > layers - top]
    _copy(backbone, fresh, chosen)
    return chosen


def _copy(target: nn.Module, source: nn.Module, names: Iterable[str]) -> None:
    ours, theirs = dict(target.named_parameters()), dict(source.named_parameters())
    for name in names:
        ours[name].data.copy_(theirs[name].data)
