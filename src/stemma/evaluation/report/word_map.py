"""The same words in every generation's space: which they are, where they stand on a plane, and what is nearest to them.

W words, D width, G generations.
"""

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np

from stemma.runs.word_vectors import FREQUENT, WordVectors
from stemma.tokens.function_words import is_content

WORDS = 120  # on a map: as many labels as can be read side by side
LEAST = 5  # fewer words make no map
LISTED = 8  # words whose neighbours are listed
NEIGHBOURS = 5
PERPLEXITY = 10  # neighbours that t-SNE attends to (van der Maaten & Hinton 2008, section 2: 5 to 50)


def word_maps(tables: Mapping[str, WordVectors], chosen: Sequence[str] = ()) -> dict[str, Any]:
    """The maps and neighbours of the words `chosen`, or of the most frequent content words that all `tables` have.

    The tables are by generation; the first one's frequencies count, and the other maps are turned to match its own.
    """
    first = next(iter(tables.values()))
    shared = [word for word in chosen or _frequent(first) if all(table.row(word) is not None for table in tables.values())]
    words = list(dict.fromkeys(shared if chosen else islice(shared, WORDS)))
    found: dict[str, Any] = {"words": words, "asked": bool(chosen), "missing": sorted(set(chosen) - set(words)), "maps": {}, "method": ""}
    if len(words) >= LEAST:
        method, maps = _maps([_vectors(table, words) for table in tables.values()])
        found |= {"method": method, "maps": dict(zip(tables, (place.round(4).tolist() for place in maps), strict=True))}
    found["neighbours"] = {
        word: {name: [list(near) for near in table.nearest(word, NEIGHBOURS, FREQUENT)] for name, table in tables.items()}
        for word in (words if chosen else spread(words))[:LISTED]
    }
    return found


def spread(words: Sequence[str]) -> list[str]:
    """A few of the words, from the most frequent to the least."""
    return [words[k] for k in sorted({round(place) for place in np.linspace(0, len(words) - 1, LISTED)})] if words else []


def tsne(vectors: np.ndarray) -> np.ndarray:
    """Places (W 2) in which near vectors (W D) stay near; the same for the same vectors. ImportError without scikit-learn."""
    from sklearn.manifold import TSNE

    perplexity = min(PERPLEXITY, (len(vectors) - 1) / 3)
    return TSNE(perplexity=perplexity, metric="cosine", init="pca", method="exact", random_state=0).fit_transform(vectors)


def pca(vectors: np.ndarray) -> np.ndarray:
    """Places (W 2) on the two directions in which the vectors (W D) differ most."""
    centred = vectors - vectors.mean(0)
    left, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    return left[:, :2] * sizes[:2]


def turned(places: np.ndarray, like: np.ndarray) -> np.ndarray:
    """`places` (W 2), centred and of mean square 1, rotated and mirrored to lie as near as may be to `like` (Schönemann 1966)."""
    places, like = _standard(places), _standard(like)
    left, _, right = np.linalg.svd(places.T @ like)
    return places @ (left @ right)


def _maps(vectors: Sequence[np.ndarray]) -> tuple[str, list[np.ndarray]]:
    """The method, and a map (W 2) of each table."""
    try:
        method, maps = "t-SNE", [tsne(table) for table in vectors]
    except ImportError:  # the extra `eval` is not installed
        method, maps = "PCA", [pca(table) for table in vectors]
    return method, [turned(places, maps[0]) for places in maps]


def _frequent(table: WordVectors) -> list[str]:
    return list(dict.fromkeys(word for row in table.by_frequency if is_content(word := table.tokens[row].removeprefix(" "))))


def _vectors(table: WordVectors, words: Sequence[str]) -> np.ndarray:
    return table.unit[[row for word in words if (row := table.row(word)) is not None]]


def _standard(places: np.ndarray) -> np.ndarray:
    centred = places - places.mean(0)
    return centred / (np.sqrt((centred**2).mean()) or 1)
