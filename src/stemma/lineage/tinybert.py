# ruff: noqa: F722 (axis names stand in annotations)
"""TinyBERT: a small BERT that imitates a larger one, layer by layer (Jiao 2019).

Parent: BERT, whose network it is, smaller. It added a teacher: on plain text without masks its embeddings, its states and the scores
of its attention are to be those of the teacher (section 3.1); it gave up predicting tokens, and so the head for them.
The pooler learns nothing from imitation; a task moves it.

Axes: B batch, T positions, D width, R width of the teacher's states, H heads, M masked positions, V vocabulary.
`fit_dense` is the paper's W: one linear map, with a bias as in the authors' code, takes embeddings and states of all blocks to the
teacher's width. `blocks` is the layer map g: block m imitates the teacher's block g(m), the embeddings its embeddings. The scores are
q k' / sqrt(K), before the softmax. Every part is a mean of squared differences; they are summed, unweighted, over the blocks.

Deviates: padding, and pairs of positions that cannot attend to each other, are left out of the means, where the authors' code counts
them (`padding`). The paper wants as many heads as the teacher has: where there are not, the means over the heads are compared.
Maps for any two depths: blocks that do not divide evenly are mapped to the nearest.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from stemma.bounds import Depth, NonNegative, Width
from stemma.errors import DataError, UsageError
from stemma.layers.blocks import Layer, layer
from stemma.layers.loss import Carried, Loss, cross_entropy
from stemma.lineage import bert
from stemma.lineage.bert import BERT, Tensors, initialise
from stemma.lineage.network import Teaches
from stemma.nouns import counted
from stemma.objectives.batch import IGNORE
from stemma.tokens.facts import TokenFacts


@dataclass(frozen=True)
class Config(bert.Config):
    """TinyBERT4; `small` and `tiny`, and TinyBERT6, are in presets/tinybert.toml."""

    width: Width = 312  # numbers in a state; a multiple of `heads`
    depth: Depth = 4  # blocks
    inner: Width = 1200  # width inside the feed-forward network
    teacher_width: Width = 768  # numbers in a state of the teacher's (R), which it decides
    mapping: Literal["uniform", "top", "bottom"] = "uniform"  # the teacher's blocks to imitate: evenly spaced, the last or the first ones
    teacher_blocks: tuple[Depth, ...] = ()  # these instead, 1 being the lowest: one for each block
    unequal_heads: Literal["averaged", "off"] = "averaged"  # where the teacher has another number: means over heads, or no attention
    padding: Literal["ignored", "counted"] = "ignored"  # in the means; counted: as in the authors' code
    masked_loss: NonNegative = 0.0  # weight of predicting masked tokens beside imitation, whose head `fill` needs; 0: no such head


@dataclass(frozen=True)
class Imitation:
    """What of its teacher a student imitates."""

    teacher: Teaches
    blocks: tuple[int, ...]  # g(1) .. g(depth): the teacher's block for each of the student's, 1 being the lowest
    heads: Literal["each", "averaged", "off"]  # whose scores are compared

    @property
    def words(self) -> str:
        """That in words, for the card."""
        own, theirs = (", ".join(map(str, blocks)) for blocks in (range(1, len(self.blocks) + 1), self.blocks))
        attention = {"each": "attention head by head", "averaged": "the mean of the heads' attention", "off": "no attention"}[self.heads]
        return f"embeddings, block {own} as the teacher's {theirs} of {len(self.teacher.tower)}, {attention}"


class TinyBERT(BERT):
    """BERT's encoder, with a map from its states to its teacher's, and a head for masked tokens where they are predicted too."""

    config: Config
    shaped_by = (*BERT.shaped_by, "teacher_width", "masked_loss")

    def __init__(self, config: Config, tokens: TokenFacts) -> None:
        super().__init__(config, tokens)
        del self.next_head
        if not config.masked_loss:
            del self.masked_head
        self.fit_dense = nn.Linear(config.width, config.teacher_width)
        self.fit_dense.apply(initialise)
        self._imitation: Imitation | None = None

    @staticmethod
    def taught_by(teacher: Any) -> dict[str, Any]:
        """The width of its states, and as many positions as it has."""
        return {"teacher_width": teacher.width, "max_length": teacher.max_length}

    @staticmethod
    def imitation(config: Config, teacher: Teaches) -> Imitation:
        """Which of the teacher's blocks and heads are imitated; UsageError where it has no such ones, or reads shorter texts."""
        theirs = teacher.config
        if config.max_length > theirs.max_length:
            wrong = f"model.max_length = {config.max_length}, and the teacher reads {counted(theirs.max_length, 'position')}"
            raise UsageError(wrong, "as many at most", "drop model.max_length")
        if config.teacher_width != theirs.width:
            wrong = f"model.teacher_width = {config.teacher_width}, and the teacher's states have {counted(theirs.width, 'number')}"
            raise UsageError(wrong, "the teacher's width", "drop model.teacher_width, or name a teacher as wide as the student's first")
        heads: Literal["averaged", "off"] = config.unequal_heads
        return Imitation(teacher, block_map(config, len(teacher.tower)), "each" if config.heads == theirs.heads else heads)

    def follow(self, teacher: Teaches) -> None:
        """Imitates this teacher from here on, which is never moved. It is no part of the network, nor of what is saved."""
        self._imitation = self.imitation(self.config, teacher)

    def imitate(self, batch: Tensors) -> Loss:
        """The mean squared differences from the teacher, a position's numbers or a pair of positions' heads being one prediction.

        Reads `ids`, and if present `positions`, `segments`, `types` (B T).
        """
        return self._apart(batch, self.encode(batch))

    def differences(self, batch: Tensors) -> dict[str, int]:
        """How many there are of each part: positions, and pairs of them that attend to each other."""
        positions, pairs = compared(batch)
        whole = self.config.padding == "counted"
        counts = {"embedding": positions.numel() if whole else int(positions.sum())}
        counts["hidden"] = counts["embedding"]
        if self._following.heads != "off":
            counts["attention"] = pairs.numel() if whole else int(pairs.sum())
        return counts

    def loss(self, batch: Tensors, carried: Carried | None = None) -> Loss:
        """As `imitate`; with `masked_loss` that of the `labels` (B T) beside it."""
        states, weight = self.encode(batch), self.config.masked_loss
        imitation = self._apart(batch, states)
        if not weight:
            return imitation
        predicted = batch["labels"] != IGNORE
        if not predicted.any():
            mend = "set objective.mask_share, or drop model.masked_loss"
            raise DataError("model.masked_loss with a batch in which nothing is masked", "one label or more", mend)
        hidden = self._compared(states[-1][predicted])
        total = cross_entropy(hidden, self.tokens.weight, self.masked_head.bias, batch["labels"][predicted])
        return Loss.of(imitation.parts | {"masked": (total, int(predicted.sum()))}, weights={"masked": weight})  # type: ignore[arg-type]

    def predictions(self, batch: Tensors) -> dict[str, int]:
        """The differences; and the masked positions, where they are predicted."""
        return self.differences(batch) | ({"masked": int((batch["labels"] != IGNORE).sum())} if self.config.masked_loss else {})

    @property
    def _following(self) -> Imitation:
        assert self._imitation is not None, "a student without a teacher"
        return self._imitation

    def _apart(self, batch: Tensors, states: list[Tensor]) -> Loss:
        """`imitate` for states that are computed already (Jiao 2019, eq. 7 to 9)."""
        following = self._following
        with torch.no_grad():
            shown = following.teacher.encode(batch)
        positions, pairs = compared(batch)
        if self.config.padding == "counted":  # a query that is padding is compared too, a key that is counts as equal
            real, positions = positions, torch.ones_like(positions)
            pairs = pairs | (~real[:, :, None] & real[:, None, :])
        layers = [_squared(self.fit_dense(own), shown[of]) for own, of in zip(states, (0, *following.blocks), strict=True)]  # (B, T) each
        sums = {"embedding": (layers[0] * positions).sum(), "hidden": (torch.stack(layers[1:]).sum(0) * positions).sum()}
        if following.heads != "off":
            blockwise = [(self._scores_apart(states, n, shown, of) * pairs).sum() for n, of in enumerate(following.blocks, 1)]
            sums["attention"] = torch.stack(blockwise).sum()
        counts = self.differences(batch)
        return Loss.of({name: (total, counts[name]) for name, total in sums.items()})

    def _scores_apart(self, states: list[Tensor], block: int, shown: list[Tensor], of: int) -> Float[Tensor, "B T T"]:
        """The mean squared differences of the heads' scores in a block from those in the teacher's."""
        following, own = self._following, self.scores(states, block)
        with torch.no_grad():
            theirs = following.teacher.scores(shown, of)
        if following.heads == "averaged":
            own, theirs = own.mean(1, keepdim=True), theirs.mean(1, keepdim=True)
        return _squared(own.movedim(1, -1), theirs.movedim(1, -1))

    def layers(self) -> list[Layer]:
        """The embeddings, the blocks, then the pooler, the map to the teacher's states, and the head that there may be."""
        bottom, *blocks, _ = super().layers()
        read_by_scores = [block._replace(called=None) for block in blocks]
        return [bottom, *read_by_scores, layer(self, "top", "pooler", "fit_dense", "masked_head")]

    def check_fills(self) -> None:
        """UsageError where it imitated its teacher alone, and has no head for masked tokens."""
        if not self.config.masked_loss:
            wrong = "the student imitated its teacher's layers, and learnt no head for masked tokens"
            mend = "distil it with --set model.masked_loss=1 --set objective.mask_share=0.15, or let the teacher fill"
            raise UsageError(wrong, "a run with that head", mend)
        super().check_fills()


def block_map(config: Config, depth: int) -> tuple[int, ...]:
    """The block of a teacher of `depth` blocks that each of the student's imitates, 1 being the lowest (Jiao 2019, section 3.1).

    Uniform is g(m) = m N / M, the nearest block where that is no whole number, the upper one of two.

    >>> block_map(Config(depth=4), 12), block_map(Config(depth=5), 12), block_map(Config(depth=4, mapping="top"), 12)
    ((3, 6, 9, 12), (2, 5, 7, 10, 12), (9, 10, 11, 12))
    """
    own = config.depth
    if config.teacher_blocks:
        if len(config.teacher_blocks) != own or max(config.teacher_blocks) > depth:
            named = f"model.teacher_blocks = {list(config.teacher_blocks)}"
            wrong = f"{named} with model.depth = {own} and a teacher of {counted(depth, 'block')}"
            raise UsageError(wrong, f"{own} of the blocks 1 to {depth}", "name one for each block, or drop it for an even map")
        return config.teacher_blocks
    if config.mapping == "uniform":
        return tuple(max(1, (2 * block * depth + own) // (2 * own)) for block in range(1, own + 1))
    if own > depth:
        wrong = f'model.mapping = "{config.mapping}" with model.depth = {own} and a teacher of {counted(depth, "block")}'
        raise UsageError(wrong, "no more blocks than the teacher has", 'set model.mapping to "uniform", or lower model.depth')
    return tuple(range(1, own + 1)) if config.mapping == "bottom" else tuple(range(depth - own + 1, depth + 1))


def compared(batch: Mapping[str, Tensor]) -> tuple[Bool[Tensor, "B T"], Bool[Tensor, "B T T"]]:
    """Which positions are real, and which queries and keys stand in one segment."""
    segments = batch.get("segments", torch.ones_like(batch["ids"]))
    real = segments > 0
    return real, (segments[:, :, None] == segments[:, None, :]) & real[:, :, None]


def _squared(own: Float[Tensor, "*shape D"], theirs: Float[Tensor, "*shape D"]) -> Float[Tensor, "*shape"]:
    """The mean squared difference over the last axis, in float32."""
    return (own.float() - theirs.float()).square().mean(-1)
