"""ROUGE (Lin 2004) of texts in any script: F1 of the n-grams, and of the longest common subsequence, that a text shares with another.

Words are compared in lower case, without marks and without stemming; each Chinese character counts as a word. (The program most used
for English drops them.)

S words of the one, T of the other.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from stemma.corpus.questions import units_of


def rouge(said: str, right: str) -> tuple[float, float, float]:
    """(ROUGE-L, ROUGE-1, ROUGE-2) of a text, each F1 between 0 and 1; 1 where they have the same words, or none.

    >>> rouge("The cat sat", "the cat lay there")
    (0.5714285714285714, 0.5714285714285714, 0.4)
    """
    ours, theirs = _words(said), _words(right)
    if ours == theirs:
        return 1.0, 1.0, 1.0
    return _f1(longest_common(ours, theirs), len(ours), len(theirs)), _shared(ours, theirs, 1), _shared(ours, theirs, 2)


def longest_common(ours: Sequence[str], theirs: Sequence[str]) -> int:
    """The length of the longest common subsequence; one row of the S x T table at a time."""
    if not ours or not theirs:
        return 0
    numbers = {word: number for number, word in enumerate({*ours, *theirs})}
    columns = np.array([numbers[word] for word in theirs])
    before = np.zeros(len(theirs) + 1, dtype=np.int64)
    for word in ours:
        taken = np.where(columns == numbers[word], before[:-1] + 1, before[1:])
        before = np.concatenate([[0], np.maximum.accumulate(taken)])
    return int(before[-1])


def _words(text: str) -> list[str]:
    text = text.lower()
    return [word for start, end in units_of(text) if (word := text[start:end])[0].isalnum()]


def _shared(ours: Sequence[str], theirs: Sequence[str], n: int) -> float:
    counts = [Counter(tuple(words[at : at + n]) for at in range(len(words) - n + 1)) for words in (ours, theirs)]
    return _f1((counts[0] & counts[1]).total(), counts[0].total(), counts[1].total())


def _f1(shared: int, ours: int, theirs: int) -> float:
    return 2 * shared / max(1, ours + theirs)
