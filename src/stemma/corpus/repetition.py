"""How much of a text has stood before, in one reading and in bounded memory."""

from collections.abc import Sequence
from zlib import crc32

REPORTED_FROM = 0.01  # share of the pairs of a corpus from which on their repetition is reported
_SAMPLED = 100_000  # texts whose hashes are held at a time


class Repetition:
    """How many texts have stood before, estimated from those whose hash falls in an ever smaller share, in bounded memory."""

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self._step = 1

    def add(self, sentences: Sequence[str]) -> None:
        """Takes in these sentences, or whatever is to stand once."""
        for sentence in sentences:
            at = crc32(sentence.encode("utf-8", "surrogatepass"))
            if at % self._step == 0:
                self._counts[at] = self._counts.get(at, 0) + 1
        while len(self._counts) > _SAMPLED:
            self._step *= 2
            self._counts = {at: count for at, count in self._counts.items() if at % self._step == 0}

    @property
    def share(self) -> float:
        """The share that has stood before, 0 to below 1."""
        total = sum(self._counts.values())
        return 1 - len(self._counts) / total if total else 0.0
