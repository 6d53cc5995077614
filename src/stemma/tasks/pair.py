"""The task `pair`: one label for a pair of texts, such as whether the second follows from the first, or says the same.

It is `classify` that demands two texts.
"""

from collections.abc import Iterable
from pathlib import Path

from stemma.corpus.task import Example
from stemma.errors import DataError
from stemma.tasks.classify import Classify
from stemma.tasks.classify import Config as Config


class Pair(Classify):
    """Labels for pairs of texts."""

    name = "pair"

    def read(self, path: str | Path, learning: bool = True) -> list[Example]:
        """The examples of a table with a header that names two texts."""
        found = super().read(path, learning)
        if not any(example.text_b for example in found):
            wrong = f"{path}: the header names one text"
            raise DataError(wrong, "`label`, `text_a` and `text_b`", "name the column of the second text, or use the task classify")
        return found

    def given(self, examples: Iterable[Example]) -> list[Example]:
        """Examples with two texts and a label."""
        found = super().given(examples)
        for place, example in enumerate(found):
            if not example.text_b:
                raise DataError(f"example {place} has one text", "(label, text_a, text_b)", "give it the second, or use the task classify")
        return found
