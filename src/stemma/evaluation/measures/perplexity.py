"""How well a run predicts held-out text: bits per character, comparable across tokenizers, and perplexities.

The text is scored in blocks of whole sentences, and the interval draws blocks again with replacement.
Where its vocabulary lacks tokens of the text, a run pays for their spelling too (`runs.unknown_words`). A run that knows
nothing of spelling gets perplexities, with and without those tokens, and no bits per character.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import numpy as np

from stemma.corpus.document import Document
from stemma.errors import DataError
from stemma.evaluation.measures.bootstrap import interval

BLOCK = 2000  # characters of a block: many blocks for the interval, each much longer than a model's window
LONGEST_WORD = 15  # characters; where spaces stand further apart on average, they do not part words, as in Chinese


class Scorer(Protocol):
    """What is asked of a run: the surprise at each document, given as its sentences."""

    def score_documents(self, documents: Sequence[Sequence[str]]) -> list[Any]:
        """Each document's `Score` (`runs.run`)."""


def blocks(documents: Iterable[Document], characters: int = BLOCK) -> list[tuple[str, ...]]:
    """Consecutive whole sentences of one document each, of about `characters` characters."""
    found: list[tuple[str, ...]] = []
    for document in documents:
        block: list[str] = []
        size = 0
        for sentence in document.sentences:
            block.append(sentence)
            size += len(sentence) + 1
            if size >= characters:
                found.append(tuple(block))
                block, size = [], 0
        if block:
            found.append(tuple(block))
    return found


def spread(found: Sequence[tuple[str, ...]], most_characters: int) -> list[tuple[str, ...]]:
    """Blocks taken evenly from all over the text, `most_characters` characters of them in all."""
    total = sum(len(" ".join(block)) for block in found)
    if total <= most_characters:
        return list(found)
    wanted = max(1, int(len(found) * most_characters / total))
    return [found[int(place)] for place in np.linspace(0, len(found) - 1, wanted)]


def perplexity(run: Scorer, texts: Sequence[Sequence[str]]) -> dict[str, Any]:
    """Bits per character with a 95 % interval, and perplexities, of the run on the texts (each a sequence of sentences).

    `bits_per_character` is None, and `why_not_bits` says why, when the vocabulary lacks a token of the texts and the run knows
    nothing of spelling; else `spelling_share` of the bits are the spelling of unknown tokens, which no perplexity a token holds.
    """
    scores = run.score_documents(texts)
    nats, tokens, characters, unknown, unknown_nats = (
        np.array([getattr(score, name) for score in scores], np.float64)
        for name in ("nats", "tokens", "characters", "unknown", "unknown_nats")
    )
    if not characters.sum():
        raise DataError("the held-out text is empty", "some text to score", "give a dev text, or hold out a bigger share of the corpus")
    spelt = not unknown.sum() or all(score.spelling is not None for score in scores)
    paid = nats + [score.spelling or 0.0 for score in scores]
    words = sum(len(sentence.split()) for text in texts for sentence in text) + sum(map(len, texts))
    known = tokens.sum() - unknown.sum()
    found: dict[str, Any] = {
        "bits_per_character": _bits(paid, characters) if spelt else None,
        "perplexity_per_token": _exp(nats.sum() / tokens.sum()),
        "perplexity_per_token_without_oov": _exp((nats.sum() - unknown_nats.sum()) / known) if known else None,
        "perplexity_per_word": _exp(paid.sum() / words) if spelt and characters.sum() < LONGEST_WORD * words else None,
        "nats": float(nats.sum()),
        "tokens": int(tokens.sum()),
        "words": words,
        "characters": int(characters.sum()),
        "oov": int(unknown.sum()),
        "blocks": len(texts),
        "spelling_share": float((paid - nats).sum() / paid.sum()) if spelt else None,
        "why_not_bits": None
        if spelt
        else f"{int(unknown.sum()):,} tokens are not in its vocabulary, and the run knows no spelling: it was made elsewhere or before",
    }
    return found


def _bits(nats: np.ndarray, characters: np.ndarray) -> dict[str, float]:
    terms = np.stack([nats, characters], 1)[None]  # (1 N 2)
    return interval(terms, lambda sums: sums[..., 0] / sums[..., 1] / np.log(2)).as_dict()


def _exp(nats: float) -> float | None:
    """Perplexity from nats; None when it is beyond any use."""
    return float(np.exp(nats)) if nats < 500 else None
