"""Lists of n-grams, in whatever order -> the arrays of an n-gram model."""

import numpy as np

from stemma.errors import DataError
from stemma.export.arpa_parse import Section
from stemma.lineage import ngram_kernels as kernels


def link_ngrams(name: str, sections: list[Section]) -> dict[str, np.ndarray]:
    """The arrays of the n-gram model that holds the n-grams of `sections`: its links, logarithms, `sizes` and `implied`.

    A model walks from n-gram to n-gram, so the prefixes and endings that a foreign model leaves out are put in, with the
    probability that backing off gives them: no score changes. `implied` lists their rows. Errors name the file `name`.
    """
    try:
        return _Links(name, sections).arrays()
    except _Missing:
        return _Links(name, _closed(sections)).arrays()


class _Missing(Exception):
    """An n-gram's prefix or ending is not in the list of the order below."""


class _Links:
    def __init__(self, name: str, sections: list[Section]) -> None:
        self.name, self.sections = name, sections
        self.sizes = np.array([len(section.words) for section in sections])
        self.offsets = np.concatenate([[0], np.cumsum(self.sizes)])
        below, total = int(self.offsets[max(len(sections) - 1, 1)]), int(self.offsets[-1])
        self.last_words = np.arange(total, dtype=np.uint32)
        self.successors = np.full(below + 1, total, np.uint32)
        self.suffixes = np.zeros(total, np.uint32)
        self.log10_probs = np.zeros(total)
        self.log10_backoffs = np.zeros(below)
        self.implied: list[np.ndarray] = [np.empty(0, np.uint32)]

    def arrays(self) -> dict[str, np.ndarray]:
        """Places order after order."""
        self._put(1, self.sections[0], 0)
        for n, section in enumerate(self.sections[1:], 2):
            self._place(n, section)
        return {
            "last_words": self.last_words,
            "successors": self.successors,
            "suffixes": self.suffixes,
            "log10_probs": self.log10_probs.astype(np.float32),
            "log10_backoffs": self.log10_backoffs.astype(np.float32),
            "sizes": self.sizes,
            "implied": np.concatenate(self.implied),
        }

    def _put(self, n: int, section: Section, start: int) -> None:
        self.log10_probs[start : start + len(section.words)] = section.log10_probs
        if n < len(self.sections) or n == 1:
            self.log10_backoffs[start : start + len(section.words)] = section.log10_backoffs

    def _place(self, n: int, section: Section) -> None:
        base, start, stop = (int(x) for x in self.offsets[n - 2 : n + 1])
        contexts, suffixes = self._rows(section.words[:, :-1]), self._rows(section.words[:, 1:])
        order = np.lexsort((section.words[:, -1], contexts))
        words, contexts, suffixes = section.words[order], contexts[order], suffixes[order]
        if (same := (np.diff(contexts) == 0) & (np.diff(words[:, -1].astype(np.int64)) == 0)).any():
            line = int(order[same.argmax() + 1]) + 1
            raise DataError(f"{self.name}: line {line} of the {n}-grams repeats an earlier one", "each n-gram once", "remove the line")
        section = Section(words, section.log10_probs[order], section.log10_backoffs[order])
        self._put(n, section, start)
        self.last_words[start:stop], self.suffixes[start:stop] = words[:, -1], suffixes
        self.successors[base:start] = start + np.searchsorted(contexts, np.arange(base, start))
        self.successors[start] = stop
        rows = np.flatnonzero(np.isnan(section.log10_probs))
        self.log10_probs[start + rows] = self.log10_backoffs[contexts[rows]] + self.log10_probs[suffixes[rows]]
        self.implied.append((start + rows).astype(np.uint32))

    def _rows(self, words: np.ndarray) -> np.ndarray:
        rows = np.empty(len(words), np.int64)
        kernels.locate(self.last_words, self.successors, np.ascontiguousarray(words), rows)
        if (rows < 0).any():
            raise _Missing
        return rows


def _closed(sections: list[Section]) -> list[Section]:
    """The sections with every prefix and ending of every n-gram; what is new has no probability (NaN) yet."""
    closed = [sections[-1]]
    for section in sections[-2::-1]:
        longer, n = closed[0].words, section.words.shape[1]
        wanted = np.unique(np.concatenate([section.words, longer[:, :-1], longer[:, 1:]]), axis=0)
        held = {row.tobytes() for row in np.ascontiguousarray(section.words)}
        new = np.array([row for row in wanted if row.tobytes() not in held], np.uint32).reshape(-1, n)
        nothing = np.full(len(new), np.nan)
        closed.insert(0, Section(
            np.concatenate([section.words, new]), np.concatenate([section.log10_probs, nothing]),
            np.concatenate([section.log10_backoffs, np.zeros(len(new))]),
        ))
    return closed
