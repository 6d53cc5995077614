"""The ids of texts for networks that read a word by its spelling: a word that no vocabulary has gets an id of its own.

Such ids go on from the vocabulary's size in the order of the texts, and mean something beside the words' spellings alone: an
`OpenVocabulary` lives as long as what it encoded is read. For other networks the ids are the tokenizer's. N tokens of all texts.
"""

from collections.abc import Sequence

import numpy as np

from stemma.lineage.network import ReadsSpelling
from stemma.objectives.batch import Batch
from stemma.tokens.tokenizer import Tokenizer


class OpenVocabulary:
    """A tokenizer's ids, and the words beyond its vocabulary that were found; `speller` is the network that reads spelling, if it does."""

    def __init__(self, tokenizer: Tokenizer, speller: ReadsSpelling | None) -> None:
        self._tokenizer, self._speller = tokenizer, speller
        self._beyond: dict[str, int] = {}

    @property
    def beside(self) -> Batch:
        """What goes with batches of the ids: `spelled` (U L), where there are words beyond the vocabulary."""
        return {"spelled": self._speller.spell(list(self._beyond))} if self._speller is not None and self._beyond else {}

    def known_of(self, rows: Sequence[np.ndarray]) -> np.ndarray:
        """True for each row of such ids that has something to read: a token of the vocabulary, or a word by its spelling."""
        flat = np.concatenate(rows) if rows else np.empty(0, np.int64)
        known: np.ndarray = self._tokenizer.known_among(flat, np.array([len(row) for row in rows], np.int64))
        return known

    def encode_batch(self, texts: Sequence[str]) -> list[np.ndarray]:
        """The ids of each text."""
        if self._speller is None:
            return self._tokenizer.encode_batch(texts)
        ids, lengths = self._tokenizer.encode_flat(texts)
        return np.split(self.numbered(ids, texts), np.cumsum(lengths[:-1])) if len(texts) else []

    def encode_offsets(self, text: str) -> tuple[np.ndarray, list[tuple[int, int]]]:
        """The ids of one text, and the (start, end) characters of it that each stands for."""
        ids, spans = self._tokenizer.encode_offsets(text)
        return self.numbered(ids, [text]), spans

    def numbered(self, ids: np.ndarray, texts: Sequence[str], adjoining: Sequence[bool] = ()) -> np.ndarray:
        """The tokenizer's flat ids (N) of the texts, each unknown word by its own."""
        if self._speller is None:
            return ids
        lacking = ids == self._tokenizer.specials.get("unk", -1)
        found = ids.copy()
        words = self._tokenizer.spellings(texts, lacking, adjoining)
        found[lacking] = [self._beyond.setdefault(word, self._tokenizer.vocab_size + len(self._beyond)) for word in words]
        return found
