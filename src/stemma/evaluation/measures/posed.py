"""How a task is posed as text: the template, what its labels read as, how answers are compared."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self, cast, get_args

from stemma.bounds import whole
from stemma.config import nearest
from stemma.corpus.given import given_text
from stemma.errors import UsageError
from stemma.evaluation.measures.choosing import Normalise
from stemma.tasks.task import Task


@dataclass(frozen=True)
class Posed:
    """The options of a measure without training; a task refuses those that it has no use for."""

    template: str = ""  # with {text}, {text_b} where there are two, and {label}; of a prompt {text} alone; none: the task's own
    verbalise: Mapping[str, str] = field(default_factory=dict)  # label -> the word that stands for it; none: the label itself
    normalise: Normalise = "length"  # what answers' log-probabilities are made up for
    limit: int = 0  # examples at most, drawn by lot; 0: all

    def __post_init__(self) -> None:
        """Refuses what is out of range."""
        whole("limit", self.limit, default=0)
        if self.normalise not in get_args(Normalise):
            raise UsageError(f"normalise {self.normalise!r}", " or ".join(get_args(Normalise)), "choose one of them")

    @classmethod
    def of(cls, template: str, pairs: Sequence[str], normalise: str, limit: int = 0) -> Self:
        r"""From a command line: `\n` in a template is a line end, words are pairs `LABEL=WORD`; UsageError for others."""
        for pair in pairs:
            if "=" not in pair:
                raise UsageError(
                    f"verbalise {pair}", "LABEL=WORD", f'write {pair}=WORD, in quotes where it has spaces: "{pair}=some words"'
                )
        words = {label: word for label, _, word in (pair.partition("=") for pair in pairs)}
        return cls(template.replace("\\n", "\n"), words, cast("Normalise", normalise), limit)

    def check(self, task: Task, *read: str) -> None:
        """UsageError where an option was given that is not among those `read`."""
        given = {"template": self.template, "verbalise": self.verbalise, "normalise": self.normalise != "length"}
        for name, value in given.items():
            if value and name not in read:
                expected = " and ".join(read) or "neither template nor words"
                raise UsageError(f"{name} for the task {task.name}, which has no use for it", expected, f"drop {name}")


def label_words(names: Sequence[str], verbalise: Mapping[str, str]) -> list[str]:
    """The word for each label, `_` in a label that is its own word being a space; UsageError for a label that is none of `names`.

    >>> label_words(["0", "world_news"], {"0": "bad"})
    ['bad', 'world news']
    """
    for name, word in verbalise.items():
        if name not in names:
            known = f"one of {', '.join(names[:20])}"
            raise UsageError(f"verbalise {name}={word}: the file has no label {name!r}", known, nearest(name, names))
        if not given_text(word, f"the word for {name!r}").strip():
            raise UsageError(f"verbalise {name}: the word is empty", "a word for the label", f"write {name}=WORD")
    words = [given_text(verbalise[name]).strip() if name in verbalise else name.replace("_", " ") for name in names]
    for place, word in enumerate(words):
        if word in words[:place]:
            wrong = f"the labels {names[words.index(word)]!r} and {names[place]!r} have the same word, {word!r}"
            raise UsageError(wrong, "a word of its own for each label", "mend verbalise")
    return words
