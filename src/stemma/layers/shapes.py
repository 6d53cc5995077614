"""Whether saved weights are those of the network."""

from collections.abc import Mapping

from stemma.errors import RunError

Shapes = Mapping[str, tuple[int, ...]]
_EXPECTED, _MEND = "weights of this network", "check that config.json belongs to them"


def check_shapes(found: Shapes, places: Shapes) -> None:
    """RunError unless there are weights of the same names and shapes as the network's `places`, and no others."""
    for name, shape in found.items():
        if name not in places or places[name] != shape:
            raise RunError(f"the weights hold {name} {shape}, the network {places.get(name, 'no such tensor')}", _EXPECTED, _MEND)
    if missing := places.keys() - found.keys():
        raise RunError(f"the weights lack {', '.join(sorted(missing))}", _EXPECTED, _MEND)
