"""The target text: of pairs the translation, of plain text what was hidden in it. What an encoder-decoder predicts.

Both give batches of the same names, so that a network learns from either, and goes on from the one to the other.
"""

from dataclasses import dataclass, replace
from typing import Annotated, Literal

from stemma.bounds import BelowOne, PositiveFloat
from stemma.config import ReadIf, check_read, to_plain
from stemma.errors import DataError
from stemma.nouns import counted
from stemma.objectives import denoising, translation
from stemma.objectives.batch import Batch
from stemma.objectives.denoising import Denoising
from stemma.objectives.objective import TextObjective
from stemma.objectives.translation import Translation
from stemma.tokens.facts import TokenFacts
from stemma.tokens.store import TokenStore


@dataclass(frozen=True)
class Config:
    """What is predicted, and how."""

    kind: Literal["auto", "translation", "denoising"] = "auto"  # auto: translation of pairs, denoising of plain text
    reverse: Annotated[bool, ReadIf("kind", "auto", "translation")] = False  # from the second text of a pair to the first
    share: Annotated[BelowOne, ReadIf("kind", "auto", "denoising")] = 0.15  # of a row's tokens, hidden; one at least
    mean_span: Annotated[PositiveFloat, ReadIf("kind", "auto", "denoising")] = 3.0  # tokens of a hidden span, in the mean


class TargetText:
    """Batches of `ids`, `segments` (B S), `target_ids`, `target_segments` and `labels` (B T), of the kind that the text allows."""

    def __init__(self, store: TokenStore, facts: TokenFacts, config: Config, *, seed: int, batch_tokens: int, max_length: int) -> None:
        self.kind = kind_of(store, config)
        check_read({"objective": replace(config, kind=self.kind)}, ("this text", {"objective": to_plain(config)}))
        self._objective: TextObjective
        if self.kind == "translation":
            pairs = translation.Config(config.reverse)
            self._objective = Translation(store, facts, pairs, seed=seed, batch_tokens=batch_tokens, max_length=max_length)
        else:
            spans = denoising.Config(config.share, config.mean_span)
            self._objective = Denoising(store, facts, spans, seed=seed, batch_tokens=batch_tokens, max_length=max_length)

    def steps_in_epoch(self, epoch: int) -> int:
        """Steps of the epoch: its batches."""
        return self._objective.steps_in_epoch(epoch)

    def epoch_of(self, step: int) -> tuple[int, int]:
        """(epoch, step within it)."""
        return self._objective.epoch_of(step)

    def real_tokens(self, batch: Batch) -> int:
        """Tokens of both sides, ends and begins among them, padding never."""
        return self._objective.real_tokens(batch)

    def ledger(self) -> dict[str, int]:
        """What an epoch does with the store's tokens."""
        return self._objective.ledger()

    def used_by(self, steps: int) -> int:
        """How many of the store's tokens the first `steps` of the first epoch use."""
        return self._objective.used_by(steps)

    def constant_losses(self, learnt_from: TokenStore) -> dict[str, float]:
        """Nats of answering by frequency alone."""
        return self._objective.constant_losses(learnt_from)

    def batch(self, step: int, rank: int = 0, ranks: int = 1) -> Batch:
        """What `rank` reads in this step; a pure function of the seed and the step."""
        return self._objective.batch(step, rank, ranks)


def kind_of(store: TokenStore, config: Config) -> Literal["translation", "denoising"]:
    """What the store's text teaches. DataError where `auto` finds pairs beside plain text."""
    if config.kind != "auto":
        return config.kind
    if store.pairs == store.documents:
        return "translation"
    if store.pairs:
        wrong = f"{counted(store.pairs, 'pair')} of a source and its target beside {store.documents - store.pairs:,} plain documents"
        mend = "give the pairs alone, or set objective.kind = denoising, which reads both as plain text"
        raise DataError(wrong, "pairs alone or plain text alone", mend)
    return "denoising"
