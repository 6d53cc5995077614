"""Lists of n-grams, in whatever order -> the arrays of an n-gram model."""

import numpy as np

from stemma.errors import DataError
from stemma.export.arpa_parse import Section
from stemma.lineage import ngram_kernels as kernels
from stemma.lineage.ngram_kernels import SUCCESSORS, SUFFIX, WORD


def link_ngrams(name: str, sections: list[Section], vocabulary: int) -> dict[str, np.ndarray]:
    """The arrays `nodes`, `leaves`, `log10_probs`, `log10_backoffs`, `sizes` and `implied` of the n-grams in `sections`.

    A model walks from n-gram to n-gram, so the prefixes and endings that a foreign model leaves out are put in, with the
    probability that backing off gives them: no score changes. `implied` lists their rows. Errors name the file `name`.
    """
    try:
        return _Links(name, sections, vocabulary).arrays()
    except _Missing:
        return _Links(name, _closed(sections), vocabulary).arrays()


class _Missing(Exception):
    """An n-gram's prefix or ending is not in the list of the order below."""


class _Links:
    def __init__(self, name: str, sections: list[Section], vocabulary: int) -> None:
        self.name, self.sections = name, sections
        self.sizes = np.array([len(section.words) for section in sections])
        self.offsets = np.concatenate([[0], np.cumsum(self.sizes)])
        below = int(self.offsets[max(len(sections) - 1, 1)])
        self.nodes = np.zeros((below + 1, 3), np.uint32)
        self.nodes[:, SUCCESSORS] = self.offsets[-1]
        self.nodes[:vocabulary, WORD] = np.arange(vocabulary)
        self.leaves = np.zeros((int(self.offsets[-1]) - below, 2), np.uint32)
        self.log10_probs = np.zeros(self.offsets[-1])
        self.log10_backoffs = np.zeros(below)
        self.implied: list[np.ndarray] = [np.empty(0, np.uint32)]

    def arrays(self) -> dict[str, np.ndarray]:
        """Places order after order."""
        self._put(1, self.sections[0], 0)
        for n, section in enumerate(self.sections[1:], 2):
            self._place(n, section)
        return {
            "nodes": self.nodes,
            "leaves": self.leaves,
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
        table, suffix = (self.nodes[start:stop], SUFFIX) if n < len(self.sections) else (self.leaves, 1)
        table[:, WORD], table[:, suffix] = words[:, -1], suffixes
        self.nodes[base:start, SUCCESSORS] = start + np.searchsorted(contexts, np.arange(base, start))
        self.nodes[start, SUCCESSORS] = stop
        rows = np.flatnonzero(np.isnan(section.log10_probs))
        self.log10_probs[start + rows] = self.log10_backoffs[contexts[rows]] + self.log10_probs[suffixes[rows]]
        self.implied.append((start + rows).astype(np.uint32))

    def _rows(self, words: np.ndarray) -> np.ndarray:
        rows = np.empty(len(words), np.int64)
        kernels.locate(self.nodes, np.ascontiguousarray(words), rows)
        if (rows == len(self.nodes) - 1).any():
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
