"""What the corpus room hands on: documents, and the ledger of what became of every character."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Document:
    """One text: its sentences in order, where it stood, and its label where the source has one."""

    sentences: tuple[str, ...]
    source: str  # "file.txt:12", the line (or record) it starts at
    label: str = ""

    @property
    def text(self) -> str:
        """The sentences joined by single spaces: the normal form every objective sees."""
        return " ".join(self.sentences)


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
