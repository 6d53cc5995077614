"""Texts that a program or a command line hands over: what they must be, and the one cleaning that text of files has too."""

import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Set
from numbers import Number
from typing import Any, Protocol, cast, runtime_checkable

import numpy as np

from stemma.corpus.clean import clean
from stemma.errors import DataError, UsageError


def given_texts(texts: Iterable[str], name: str = "texts") -> list[str]:
    """The texts as a list, cleaned; a warning counts the characters that were taken out of them.

    UsageError for a single string, which would be read letter by letter, and for what is no series of texts. DataError
    names the one that is no text: None, a NaN, a list of tokens.
    """
    dimensions = 1 if isinstance(texts, (list, tuple)) else np.ndim(cast(Any, texts))
    if dimensions > 1:
        raise UsageError(f"{name} is a table of {dimensions} dimensions", "a list of texts", "pass one column of it")
    several = listed(texts, name)
    for place, text in enumerate(several):
        if not isinstance(text, str):
            raise _no_text(f"{name}[{place}]", text)
    return _cleaned(several)


def given_text(text: str, name: str = "the text") -> str:
    """The text, cleaned. UsageError for several texts, DataError for what is no text."""
    if isinstance(text, str):
        return _cleaned([text])[0]
    if isinstance(text, Iterable) and not isinstance(text, (bytes, bytearray)):
        raise UsageError(f"{name} is a {type(text).__name__}: {_shown(text)}", "one text, as a string", "ask for one text at a time")
    raise _no_text(name, text)


@runtime_checkable
class Frame(Protocol):
    """A table of a data library, such as pandas'; its columns by themselves are none."""

    @property
    def columns(self) -> Any:
        """The columns' names."""

    def to_dict(self, orient: str) -> Any:
        """With "records": a mapping a row."""


def listed(values: Iterable[Any] | Frame, name: str) -> list[Any]:
    """The values as a list, of a data frame its rows as mappings; UsageError for a single string, which would be taken letter by letter,
    and for what is no series.
    """
    if isinstance(values, Frame):
        return list(values.to_dict("records"))
    if isinstance(values, (str, bytes, bytearray)):
        raise UsageError(f"{name} is one string, {_shown(values)}", "a list of them", f"write [{_shown(values)}]")
    if isinstance(values, (Mapping, Set)) or not isinstance(values, Iterable):
        raise UsageError(f"{name} is {_shown(values)}", "a list of them, in their order", f"pass {name} as a list")
    return list(values)


def warn_of(removed: Counter[str], where: str = "the text, as in training") -> None:
    """Warns of the invisible characters that were taken out, if any were."""
    if removed:
        removals = ", ".join(f"{count:,} {reason}" for reason, count in removed.items())
        warnings.warn(f"taken out of {where}, since no reader sees them: {removals}", stacklevel=4)


def _cleaned(texts: list[str]) -> list[str]:
    whole = "".join(texts)
    if clean(whole)[0] is whole:  # as nearly all texts are: one look for all of them
        return texts
    removed: Counter[str] = Counter()
    found = []
    for text in texts:
        kept, own = clean(text)
        removed.update(own)
        found.append(kept)
    warn_of(removed)
    return found


def _no_text(where: str, value: Any) -> DataError:
    if isinstance(value, (list, tuple)):
        return DataError(f"{where} is a {type(value).__name__}: {_shown(value)}", "a text as a string", "join its tokens with spaces")
    number = isinstance(value, Number) and value == value  # a NaN is not itself
    mend = "write it as text: str(…)" if number else "fill it in, or leave it out"
    return DataError(f"{where} is {_shown(value)}", "a text as a string", mend)


def _shown(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else shown[:57] + "..."
