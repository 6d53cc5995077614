"""Templates: a task posed as text, in which one slot is filled with each possible answer in turn (Radford 2019; Schick & Schütze 2021).

`{text} This is about {label}.` stands for the text of an example, and for the answer that is asked about; `{text_b}` is the second
text of a pair. What a template has round the slot is the same for every answer.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple, Self

from stemma.corpus.given import given_text
from stemma.corpus.sentences import is_unspaced
from stemma.errors import UsageError

ANSWER = "label"  # the field that is filled with each answer
_FIELD = re.compile(r"\{(\w+)\}")


class Slot(NamedTuple):
    """A text, and where in it the answer stands, the space before it included."""

    text: str
    start: int
    end: int
    whole: bool = True  # the answer is a name or a word, all of which is asked for at once; else a text, asked for word by word


class Template(NamedTuple):
    """What stands before the answer and behind it, with fields for the example's texts."""

    before: str
    after: str

    @classmethod
    def of(cls, written: str, texts: Sequence[str]) -> Self:
        """The template as a user writes it, with the fields `texts` and the answer's; UsageError for another, or one that is missing."""
        before, _, after = with_fields(written, [*texts, ANSWER]).partition(f"{{{ANSWER}}}")
        return cls(before, after)

    def filled(self, answer: str, **texts: str) -> Slot:
        """The template with these texts and the answer.

        >>> Template.of("{text} This is about {label}.", ["text"]).filled("sport", text="They won.")
        Slot(text='They won. This is about sport.', start=23, end=29, whole=True)
        >>> Template.of("{text}这是{label}。", ["text"]).filled("体育", text="")
        Slot(text='这是体育。', start=2, end=4, whole=True)
        """
        return between(answer, *(_FIELD.sub(lambda found: texts[found[1]], part) for part in self))


def with_fields(written: str, fields: Sequence[str]) -> str:
    """The template as it is written, cleaned; UsageError unless it has these fields, each once, and no others."""
    written = given_text(written, "the template")
    found, expected = _FIELD.findall(written), " and ".join(f"{{{name}}}" for name in fields)
    for name in found:
        if name not in fields:
            raise UsageError(f"the template {written!r} has a field {{{name}}}", expected, "mend its name")
    for name in fields:
        if found.count(name) != 1:
            number = "no" if name not in found else "more than one"
            raise UsageError(f"the template {written!r} has {number} {{{name}}}", f"{expected}, each once", f"write {{{name}}} once")
    return written


def between(answer: str, before: str, after: str) -> Slot:
    """The answer between what stands before it and behind it."""
    before = before.lstrip()
    return Slot(before + answer + after, len(before.rstrip()), len(before) + len(answer))


def behind(context: str, answer: str) -> Slot:
    """The answer as what follows the context: behind a space, but in scripts that have none.

    >>> behind("He sat", "down."), behind("", "坐下"), behind("他坐下", "了。").text
    (Slot(text='He sat down.', start=6, end=12, whole=False), Slot(text='坐下', start=0, end=2, whole=False), '他坐下了。')
    """
    context = context.rstrip()
    space = " " if context and not (is_unspaced(context[-1]) and is_unspaced(answer[:1] or "。")) else ""
    text = context + space + answer
    return Slot(text, len(context), len(text), whole=False)
