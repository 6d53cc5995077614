"""What the corpus room hands on: documents, and the ledger of what became of every character."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain


@dataclass(frozen=True, slots=True)
class Document:
    """One text: its sentences in order, where it stood, its label where the source has one, and what parted its sentences.

    Between two sentences stands what the source has there: nothing between Chinese ones, the white space between others,
    and for line ends, blank lines and trimmed white space one space.
    """

    sentences: tuple[str, ...]
    source: str  # "file.txt:12", the line (or record) it starts at
    label: str = ""
    joins: tuple[str, ...] = ()  # what stands before each sentence but the first; none given: single spaces
    lead: str | None = None  # what stands before the first sentence of a part that goes on with a document
    pair: bool = False  # two sentences, a source and its target: they stay together

    @property
    def text(self) -> str:
        """The sentences as the source joins them: the text whose characters are counted."""
        lead = self.lead or ""
        if not self.joins:
            return lead + " ".join(self.sentences)
        return "".join(chain.from_iterable(zip((lead, *self.joins), self.sentences, strict=True)))

    @property
    def adjoining(self) -> tuple[bool, ...]:
        """Of each sentence, whether nothing parts it from what stands before it, as between Chinese ones; at the document's start False."""
        if not self.joins:
            return (self.lead == "", *[False] * (len(self.sentences) - 1))[: len(self.sentences)]
        return tuple(before == "" for before in (self.lead, *self.joins))

    @property
    def stretches(self) -> tuple[str, ...]:
        """The sentences, those that nothing parts as one."""
        found: list[list[str]] = []
        for sentence, adjoins in zip(self.sentences, self.adjoining, strict=True):
            if adjoins and found:
                found[-1].append(sentence)
            else:
                found.append([sentence])
        return tuple(map("".join, found))

    def part(self, start: int, stop: int) -> "Document":
        """Some of its sentences, or none: parts that follow one another have the text of the whole."""
        if start >= min(stop, len(self.sentences)):
            return Document((), self.source, self.label)
        lead = self.lead if start == 0 else self.joins[start - 1] if self.joins else " "
        joins, whole = self.joins[start : max(start, stop - 1)], start == 0 and stop >= len(self.sentences)
        return Document(self.sentences[start:stop], self.source, self.label, joins, lead, self.pair and whole)


@dataclass(slots=True)
class Ledger:
    """Characters in = used + rejected, itemised. Borders (line ends, blank lines, trimmed spaces)
    are an item of `rejected` like any other, so that the sum always balances.
    """

    characters_in: int = 0
    characters_used: int = 0
    rejected: Counter[str] = field(default_factory=Counter)  # reason -> characters
    documents: int = 0
    sentences: int = 0
    notes: Counter[str] = field(default_factory=Counter)  # what was done to the text without dropping any of it -> times

    @property
    def balances(self) -> bool:
        """True when every character is accounted for."""
        return self.characters_in == self.characters_used + self.rejected.total()

    def add(self, other: "Ledger") -> None:
        """Adds another shard's ledger to this one."""
        self.characters_in += other.characters_in
        self.characters_used += other.characters_used
        self.rejected.update(other.rejected)
        self.documents += other.documents
        self.sentences += other.sentences
        self.notes.update(other.notes)

    def take_out(self, dropped: Mapping[str, int]) -> None:
        """Counts characters as rejected, by their kind, that were taken for used: a tokenizer made nothing of them."""
        self.characters_used -= sum(dropped.values())
        self.rejected.update(dropped)

    def as_dict(self) -> dict:
        """The ledger as JSON-able values, with the balance stated."""
        return {
            "characters_in": self.characters_in,
            "characters_used": self.characters_used,
            "rejected": {reason: count for reason, count in sorted(self.rejected.items()) if count},
            "documents": self.documents,
            "sentences": self.sentences,
            "notes": {note: count for note, count in sorted(self.notes.items()) if count},
            "balances": self.balances,
        }
