"""Both ways: each word is predicted from all before it, and from all after it (ELMo).

The forward stream is that of `streams`; the backward one is the same over the mirrored text, so that the two directions of a batch
mostly read different documents (in Peters 2018's program always) and each carries its own state.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from stemma.objectives.batch import Batch
from stemma.objectives.frequencies import frequency_loss
from stemma.objectives.streams import Config, Streams
from stemma.objectives.whole_text import WholeText

if TYPE_CHECKING:
    from stemma.tokens.facts import TokenFacts
    from stemma.tokens.store import TokenStore

__all__ = ["BothWays", "Config", "Mirrored"]


@dataclass(frozen=True)
class Mirrored:
    """A store's text from its end to its start, as a view."""

    ids: np.ndarray
    sentence_starts: np.ndarray
    document_starts: np.ndarray

    @classmethod
    def of(cls, store: "TokenStore") -> "Mirrored":
        """The mirrored store."""
        sentences, documents = np.asarray(store.sentence_starts), np.asarray(store.document_starts)
        return cls(store.ids[::-1], len(store.ids) - sentences[::-1], len(sentences) - 1 - documents[::-1])


@dataclass(frozen=True)
class _Predicted:
    """How often each target is predicted in a text."""

    counts: np.ndarray


class BothWays(WholeText[Any]):
    """Batches of `streams`, and beside them `back_ids`, `back_labels` (B T) of the mirrored text.

    Of the words the first `targets` are predicted (0: all), the others as the unknown word.
    """

    def __init__(
        self,
        store: "TokenStore",
        facts: "TokenFacts",
        config: Config,
        *,
        seed: int,
        batch_tokens: int,
        max_length: int | None = None,
        targets: int = 0,
    ) -> None:
        self._ahead = Streams(store, facts, config, seed=seed, batch_tokens=batch_tokens)
        super().__init__(store, self._ahead.epochs)
        self._targets, self._unknown = targets or facts.vocab_size, facts.specials.get("unk", -1)
        self._back = Streams(Mirrored.of(store), facts, config, seed=seed, batch_tokens=batch_tokens)  # type: ignore[arg-type]

    def batch(self, step: int, rank: int = 0, ranks: int = 1) -> Batch:
        """Window `step` of the columns of `rank`, in both directions."""
        back = self._back.batch(step, rank, ranks)
        return {**self._ahead.batch(step, rank, ranks), "back_ids": back["ids"], "back_labels": back["labels"]}

    def constant_losses(self, learnt_from: "TokenStore") -> dict[str, float]:
        """Nats of answering by frequency alone: the same in both directions."""
        ends = learnt_from.documents, self._store.documents
        loss = frequency_loss(self._predicted(learnt_from), self._predicted(self._store), ends)
        return {"": loss, "forward": loss, "backward": loss}

    def _predicted(self, text: "TokenStore") -> "_Predicted":
        counts = np.array(text.counts)
        counts[self._unknown] += counts[self._targets :].sum()
        return _Predicted(counts[: self._targets])
