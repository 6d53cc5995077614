"""What a comparison's page will lack on this machine, because an extra of the installation is missing."""

from importlib.util import find_spec
from typing import NamedTuple


class _Extra(NamedTuple):
    """An extra of the installation, its packages, and what the page lacks without it."""

    name: str
    packages: tuple[str, ...]
    lacking: str
    only_for: tuple[str, ...] = ()  # tasks; none: what the page lacks for every task


_EXTRAS = (
    _Extra(
        "eval", ("sklearn",), "the plain baseline TF-IDF, which tells whether a generation is needed at all", only_for=("classify", "pair")
    ),
    _Extra("eval", ("sklearn",), "word maps by t-SNE (it has simpler ones, by PCA)"),
    _Extra("report", ("altair", "vl_convert"), "the charts of its folded parts (their tables and the first chart stay)"),
)


def lacks(task: str) -> tuple[str, ...]:
    """One sentence an extra that is missing: what the page of a comparison on this task lacks, and how to get it."""
    by_extra: dict[str, list[str]] = {}
    for extra in _EXTRAS:
        if (not extra.only_for or task in extra.only_for) and any(find_spec(package) is None for package in extra.packages):
            by_extra.setdefault(extra.name, []).append(extra.lacking)
    return tuple(
        f'Without the extra `{name}` this page lacks {" and ".join(parts)}; pip install "stemma-nlp[{name}]" brings it.'
        for name, parts in by_extra.items()
    )
