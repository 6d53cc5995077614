"""The rows of a table of word vectors that point most nearly the same way. V vocabulary, D width."""

import numpy as np

from stemma.errors import UsageError


def unit_rows(vectors: np.ndarray) -> np.ndarray:
    """The rows (V D) at length 1, float32; a row of zeros, a word without a vector, stays as it is."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(norms > 0, norms, 1)).astype(np.float32)


def neighbours(unit: np.ndarray, query: int | np.ndarray, k: int = 10) -> list[tuple[int, float]]:
    """The `k` rows of `unit` (V D) of highest cosine with one of them, itself left out, or with a vector (D); never a row of zeros.

    UsageError when there is no such row, or it has no vector.
    """
    word = np.ndim(query) == 0
    if word and not (0 <= query < len(unit) and unit[query].any()):
        raise UsageError(f"word {query} has no vector", "a word seen in training", "ask for another word")
    vector = unit[query] if word else query / max(float(np.linalg.norm(query)), 1e-12)
    cosine = np.where(unit.any(axis=1), unit @ vector, -np.inf)
    if word:
        cosine[query] = -np.inf
    order = np.argsort(-cosine, kind="stable")[:k]
    return [(int(row), float(cosine[row])) for row in order if np.isfinite(cosine[row])]
