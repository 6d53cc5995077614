"""The table of layouts: one literal tuple."""

from collections.abc import Iterable
from pathlib import Path

from stemma.errors import DataError
from stemma.export.huggingface_in import albert, albert_zh, bert, gpt, gpt2, xlnet
from stemma.export.huggingface_in.layout import Layout, Settings

LAYOUTS: tuple[Layout, ...] = (bert.LAYOUT, albert_zh.LAYOUT, albert.LAYOUT, gpt.LAYOUT, gpt2.LAYOUT, xlnet.LAYOUT)


def layouts_of(path: Path, settings: Settings) -> list[Layout]:
    """Those of the type that config.json names; the one of albert_zh names none, and has an embedding_size."""
    kind = settings.get("model_type", "albert" if "embedding_size" in settings else None)
    found = [layout for layout in LAYOUTS if layout.model_type == kind]
    if not found:
        known = dict.fromkeys(layout.model_type for layout in LAYOUTS)
        raise DataError(f"{path} holds a model of type {kind!r}", f"one of {', '.join(known)}", "choose a folder of one of these")
    return found


def layout_of(layouts: list[Layout], names: Iterable[str]) -> Layout:
    """The one among these that has tensors of these names; the last is the usual one."""
    names = list(names)
    return next((one for one in layouts if one.known_by and any(name.endswith(one.known_by) for name in names)), layouts[-1])
