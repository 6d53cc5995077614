"""Lists of n-grams, in whatever order -> the arrays of an n-gram model."""

import numpy as np

from stemma.errors import DataError
from stemma.export.arpa_parse import Section
from stemma.kernels.ngram_links import deal, locate, sort_keys


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
        self.log10_probs = np.zeros(total, np.float32)
        self.log10_backoffs = np.zeros(below, np.float32)
        self.implied: list[np.ndarray] = [np.empty(0, np.uint32)]

    def arrays(self) -> dict[str, np.ndarray]:
        """Places order after order."""
        unigrams = slice(int(self.sizes[0]))
        self.log10_probs[unigrams], self.log10_backoffs[unigrams] = self.sections[0].log10_probs, self.sections[0].log10_backoffs
        for n, section in enumerate(self.sections[1:], 2):
            self._place(n, section)
        return {
            "last_words": self.last_words,
            "successors": self.successors,
            "suffixes": self.suffixes,
            "log10_probs": self.log10_probs,
            "log10_backoffs": self.log10_backoffs,
            "sizes": self.sizes,
            "implied": np.concatenate(self.implied),
        }

    def _place(self, n: int, section: Section) -> None:
        base, start, stop = (int(x) for x in self.offsets[n - 2 : n + 1])
        contexts, suffixes = self._rows(section.words, 0), self._rows(section.words, 1)
        by_word, _ = sort_keys(section.words[:, -1], int(self.sizes[0]))
        by_context, ends = sort_keys(contexts[by_word] - base, start - base)
        order = by_word[by_context]
        self.successors[base], self.successors[base + 1 : start + 1] = start, start + ends
        rows = slice(start, stop)
        backoffs = self.log10_backoffs[rows] if n < len(self.sections) else section.log10_backoffs
        repeated = deal(order, contexts, suffixes, section, self.last_words[rows], self.suffixes[rows], self.log10_probs[rows], backoffs)
        if repeated >= 0:
            raise DataError(
                f"{self.name}: line {repeated + 1} of the {n}-grams repeats an earlier one", "each n-gram once", "remove the line"
            )
        new = np.flatnonzero(np.isnan(self.log10_probs[rows]))
        below = self.log10_backoffs[contexts[order[new]]].astype(np.float64)
        self.log10_probs[start + new] = below + self.log10_probs[suffixes[order[new]]]
        self.implied.append((start + new).astype(np.uint32))

    def _rows(self, words: np.ndarray, first: int) -> np.ndarray:
        rows = np.empty(len(words), np.int64)
        locate(self.last_words, self.successors, words, first, rows)
        if (rows < 0).any():
            raise _Missing
        return rows


def _closed(sections: list[Section]) -> list[Section]:
    """The sections with every prefix and ending of every n-gram; what is new has no probability (NaN) yet."""
    closed = [sections[-1]]
    for section in sections[-2::-1]:
        longer, n = closed[0].words, section.words.shape[1]
        needed = np.unique(np.concatenate([section.words, longer[:, :-1], longer[:, 1:]]), axis=0)
        held = {row.tobytes() for row in np.ascontiguousarray(section.words)}
        new = np.array([row for row in needed if row.tobytes() not in held], np.uint32).reshape(-1, n)
        nothing = np.full(len(new), np.nan)
        closed.insert(
            0,
            Section(
                np.concatenate([section.words, new]),
                np.concatenate([section.log10_probs, nothing]),
                np.concatenate([section.log10_backoffs, np.zeros(len(new))]),
            ),
        )
    return closed
