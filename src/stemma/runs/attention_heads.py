"""Where a network looks in one text or pair: the weights of every head, beside the tokens that their rows and columns stand for.

Axes: T positions that look, S positions that are looked at, K width of a head.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from stemma.errors import UsageError
from stemma.lineage.network import AttentionKind, AttentionMap

if TYPE_CHECKING:
    from stemma.layers.soft_attention import SixSteps
    from stemma.tokens.tokenizer import Tokenizer

CAUSAL: AttentionKind = "decoder causal self"
_SEEN = str.maketrans({" ": "␣", "\n": "⏎", "\t": "⇥"})
MEANING: dict[AttentionKind, str] = {
    "encoder self": "each token looks at every token",
    "relative self": "each token looks at every token, by what it is and how far away",
    "decoder causal self": "each token looks at itself and at those before it",
    "encoder-decoder": "each token of the target looks at the source",
    "soft": "each token of the target looks at the source, through one head",
}


@dataclass(frozen=True)
class AttentionHead:
    """One head of one layer: how much of each column's position goes into each row's."""

    kind: AttentionKind
    layer: int  # 1 for the lowest of its kind
    head: int  # 1 for the first of its layer
    rows: tuple[str, ...]  # the tokens that look, as they read
    columns: tuple[str, ...]  # those looked at
    weights: np.ndarray  # (T S); each row adds up to 1
    vectors: tuple[np.ndarray, np.ndarray, np.ndarray] | None  # queries (T K), keys and values (S K); None where more than these scores

    @property
    def spread(self) -> float:
        """How many tokens a row looks at, on average: e to the entropy of its weights, from 1 to S."""
        logs = np.log(self.weights, where=self.weights > 0, out=np.zeros_like(self.weights))
        return float(np.exp(-(self.weights * logs).sum(1)).mean())

    def steps(self) -> "SixSteps":
        """The six steps from queries, keys and values to the head's output; UsageError where other things score too."""
        if self.vectors is None:
            told = "soft attention has three stages" if self.kind == "soft" else "distances and segments have a part in these scores"
            raise UsageError(
                f"{told} and not the six steps of self-attention", "a Transformer's head", "look at its weights without the steps"
            )
        import torch

        from stemma.layers.soft_attention import six_steps

        allowed = torch.ones(self.weights.shape, dtype=torch.bool).tril() if self.kind == CAUSAL else None
        queries, keys, values = map(torch.from_numpy, self.vectors)
        return six_steps(queries, keys, values, allowed)


def visible(token: str) -> str:
    r"""The token with its white space to be seen, for tables and pictures.

    >>> visible(" the"), visible("\n")
    ('␣the', '⏎')
    """
    return token.translate(_SEEN)


def heads_of(maps: Sequence[AttentionMap], tokenizer: "Tokenizer") -> list[AttentionHead]:
    """The heads of the first row of these maps, layer by layer."""
    return [head for one in maps for head in _heads(one, tokenizer)]


def _heads(one: AttentionMap, tokenizer: "Tokenizer") -> Iterator[AttentionHead]:
    rows, columns = (tuple(tokenizer.read(ids[0].tolist())) for ids in (one.query_ids, one.key_ids))
    weights = one.weights[0].float().cpu().numpy()  # (H, T, S)
    for place in range(len(weights)):
        yield AttentionHead(one.kind, one.layer, place + 1, rows, columns, weights[place], _vectors(one, place))


def _vectors(one: AttentionMap, place: int) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """The queries, keys and values of the head at `place`; None where a network does not tell them."""
    if one.queries is None or one.keys is None or one.values is None:
        return None
    queries, keys, values = (part[0, place].float().cpu().numpy() for part in (one.queries, one.keys, one.values))
    return queries, keys, values
