"""How well a run predicts held-out text: bits per character, comparable across tokenizers, and perplexities.

The text is scored in blocks of whole sentences, which are the examples of the interval. The rules are the same for every
generation:

- A character is one of the raw text, that between two sentences included: nothing stands between Chinese sentences, and
  a line end is one space. How the text was split into sentences changes nothing.
- The tokens of a block are predicted and nothing else: the ends of sentences and documents are no characters, and are not
  charged to those who predict them (`Run.score_documents`).
- What the tokenizer does not keep is owed. White space is charged by the code of `measures.spacing`; where letters lose
  their case, or characters are changed or left out, there are no bits per character, and `why_not_bits` says why.
- Where its vocabulary lacks tokens of the text, a run pays for their spelling too (`runs.unknown_words`). A run that knows
  nothing of spelling gets perplexities, with and without those tokens, and no bits per character.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import numpy as np

from stemma.corpus.document import Document
from stemma.errors import DataError
from stemma.evaluation.measures.intervals import interval
from stemma.kernels.numbers import HAN
from stemma.nouns import counted
from stemma.runs.spacing import spacing
from stemma.tokens.scripts import codes_of, inner_classes
from stemma.tokens.tokenizer import Tokenizer

BLOCK = 2000  # characters of a block: many blocks for the interval, each much longer than a model's window
LONGEST_WORD = 12  # characters, its space included: Finnish has 9, English 6; where spaces stand further apart, they part no words
MOST_HAN = 3  # Chinese characters between spaces: its words have 1.6, what stands between its punctuation marks many more


class Scorer(Protocol):
    """What a run must have: its tokenizer, and the surprise at the tokens of each document."""

    tokenizer: Tokenizer

    def score_documents(self, documents: Sequence[Document]) -> list[Any]:
        """Each document's `Score` (`runs.run`)."""


class BackwardScorer(Protocol):
    """What a run that reads both ways must have."""

    def backward_nats(self, documents: Sequence[Document], ends: bool = False) -> list[float]:
        """Nats of each document's tokens, read from its end to its start."""


def blocks(documents: Iterable[Document], characters: int = BLOCK) -> list[Document]:
    """Consecutive whole sentences of one document each, of about `characters` characters."""
    found: list[Document] = []
    for document in documents:
        first = size = 0
        for place, sentence in enumerate(document.sentences, 1):
            size += len(sentence) + 1
            if size >= characters:
                found.append(document.part(first, place))
                first, size = place, 0
        if first < len(document.sentences):
            found.append(document.part(first, len(document.sentences)))
    return found


def spread(found: Sequence[Document], most_characters: int) -> list[Document]:
    """Blocks taken evenly from all over the text, `most_characters` characters of them in all."""
    total = sum(len(block.text) for block in found)
    if total <= most_characters:
        return list(found)
    number = max(1, int(len(found) * most_characters / total))
    return [found[int(place)] for place in np.linspace(0, len(found) - 1, number)]


def perplexity(run: Scorer, texts: Sequence[Document]) -> dict[str, Any]:
    """Bits per character with a 95 % interval, and perplexities, of the run on the texts.

    `bits_per_character` is None, and `why_not_bits` says why, when the tokenizer does not keep the texts' characters, or the
    vocabulary lacks a token of them and the run knows nothing of spelling. `each` holds what every text costs in nats, and its
    characters: what differences are judged on. `nats` are those of the tokens, `spacing_nats` those
    of white space beside them; `spelling_share` of the bits are the spelling of unknown tokens, which no perplexity a token holds.
    """
    scores = run.score_documents(texts)
    nats, tokens, characters, unknown, unknown_nats = (
        np.array([getattr(score, name) for score in scores], np.float64)
        for name in ("nats", "tokens", "characters", "unknown", "unknown_nats")
    )
    if not characters.sum():
        raise DataError("the held-out text is empty", "some text to score", "give a dev text, or hold out a bigger share of the corpus")
    words = sum(len(text.text.split()) for text in texts)
    known = tokens.sum() - unknown.sum()
    kept = spacing(run.tokenizer, texts)
    spelling = np.array([0.0 if score.spelling is None else score.spelling for score in scores])
    why_not = kept.why_not or _unspelt(scores)
    paid = nats + spelling + kept.nats
    per_word = not why_not and characters.sum() < LONGEST_WORD * words and _han(texts) < MOST_HAN * words
    found: dict[str, Any] = {
        "bits_per_character": None if why_not else _bits(paid, characters),
        "perplexity_per_token": _exp(nats.sum() / tokens.sum()),
        "perplexity_per_token_without_oov": _exp((nats.sum() - unknown_nats.sum()) / known) if known else None,
        "perplexity_per_word": _exp(paid.sum() / words) if per_word else None,
        "nats": float(nats.sum()),
        "spacing_nats": None if kept.why_not else float(kept.nats.sum()),
        "tokens": int(tokens.sum()),
        "words": words,
        "characters": int(characters.sum()),
        "oov": int(unknown.sum()),
        "blocks": len(texts),
        "spelling_share": None if why_not else float(spelling.sum() / paid.sum()),
        "why_not_bits": why_not or None,
        "each": [] if why_not else list(zip(paid.tolist(), characters.astype(int).tolist(), strict=True)),
    }
    return found


def backward(run: BackwardScorer, texts: Sequence[Document], tokens: int) -> dict[str, Any]:
    """What the same `tokens` cost from each text's end to its start: nats, and the perplexity of that."""
    nats = sum(run.backward_nats(texts))
    return {"backward_nats": nats, "backward_perplexity_per_token": _exp(nats / tokens)}


def _han(texts: Sequence[Document]) -> int:
    """Chinese characters in all."""
    return sum(int((inner_classes()[codes_of(text.text)] == HAN).sum()) for text in texts)


def _unspelt(scores: Sequence[Any]) -> str:
    """Why unknown tokens were not charged, in words; "" where there are none, or all were."""
    unknown = sum(score.unknown for score in scores if score.spelling is None)
    lacking = counted(unknown, "token is", "tokens are")
    return f"{lacking} not in its vocabulary, and the run knows no spelling: it was made elsewhere or before" if unknown else ""


def _bits(nats: np.ndarray, characters: np.ndarray) -> dict[str, float]:
    terms = np.stack([nats, characters], 1)[None]  # (1 N 2)
    return interval(terms, lambda sums: sums[..., 0] / sums[..., 1] / np.log(2)).as_dict()


def _exp(nats: float) -> float | None:
    """Perplexity from nats; None when it is beyond any use."""
    return float(np.exp(nats)) if nats < 500 else None
