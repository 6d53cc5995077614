# ruff: noqa: F722 (axis names stand in annotations)
"""ALBERT: "A Lite BERT" (Lan 2019).

Parent: BERT. It added a token table narrower than the states, blocks that share their weights, and the question whether two
sentences stand in their order; it gave up BERT's question whether they stand together, which their topics answer.

Axes: B batch, T positions, D width, E width of the embeddings, V vocabulary, N chosen positions.
`width` is the paper's H, `embedding` its E. Tokens, positions and types are embedded and normalised at width E, then one dense
layer makes states of them; the head for masked tokens comes back to E. Blocks are BERT's, post-norm, with the tanh form of GELU
(google-research/albert, modeling.py). Sharing saves memory, not arithmetic: each block is computed as often as in BERT.

Deviates: the dense layer after the embeddings is there where E = H too, as in transformers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from stemma.bounds import BelowOne, Depth, Width
from stemma.config import ReadIf
from stemma.errors import UsageError
from stemma.layers.attention import Mask, Path, SelfAttention
from stemma.layers.blocks import FeedForward, Layer, layer
from stemma.layers.fast import Dropout, Positions
from stemma.layers.frequencies import begin_with_bias
from stemma.lineage import bert
from stemma.lineage.bert import BERT, EPS, MaskedHead, Tensors, begin_as_waves, check, initialise
from stemma.tokens.facts import TokenFacts

SHARED = ReadIf("sharing", "all", "attention", "feedforward")


@dataclass(frozen=True)
class Config(bert.Config):
    """ALBERT-base; the other sizes of the paper, and `small` and `tiny`, are in presets/albert.toml."""

    embedding: Width = 128  # numbers in an embedding (E), of tokens, positions and types
    sharing: Literal["all", "attention", "feedforward", "none"] = "all"  # what the layers of a group have in common
    groups: Annotated[Depth, SHARED] = 1  # runs of layers, each with weights of its own; where none are shared each layer has its own
    blocks_in_layer: Depth = 1  # different blocks that each layer passes through (inner_group_num of published models)
    factorised: Literal["embeddings", "tokens"] = "embeddings"  # what has the width E: all embeddings, or tokens alone (albert_zh)
    dropout: BelowOne = 0.0  # on embeddings, attention weights and both sub-layers' outputs; the paper's first models: 0.1
    activation: Literal["gelu", "gelu_tanh"] = "gelu_tanh"  # exact, or Google's code

    @property
    def different(self) -> int:
        """Runs of layers with attention or feed-forward weights of their own."""
        return self.groups if self.sharing == "all" else self.depth


class AttentionHalf(nn.Module):
    """Self-attention, added and normalised: the first half of a block."""

    def __init__(self, config: Config, path: Path) -> None:
        super().__init__()
        self.attention = SelfAttention(config.width, config.heads, config.dropout, path)
        self.norm = nn.LayerNorm(config.width, eps=EPS)
        self.dropout = Dropout(config.dropout)

    def forward(self, x: Float[Tensor, "B T D"], mask: Mask) -> Float[Tensor, "B T D"]:
        """The states after it."""
        return self.norm(x + self.dropout(self.attention(x, mask)))

    def at(self, chosen: Positions, x: Float[Tensor, "B T D"], mask: Mask) -> Float[Tensor, "N D"]:
        """What `forward` gives at the chosen positions, at their cost alone."""
        return self.norm(chosen.states(x) + self.dropout(self.attention.at(chosen, x, mask)))


class FeedForwardHalf(nn.Module):
    """The feed-forward network, added and normalised: the second half of a block."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.feedforward = FeedForward(config.width, config.inner, config.activation)
        self.norm = nn.LayerNorm(config.width, eps=EPS)
        self.dropout = Dropout(config.dropout)

    def forward(self, x: Float[Tensor, "*shape D"]) -> Float[Tensor, "*shape D"]:
        """The states after it."""
        return self.norm(x + self.dropout(self.feedforward(x)))


class Block(NamedTuple):
    """A block of the tower: two halves, each of which may stand in other blocks too."""

    first: AttentionHalf
    second: FeedForwardHalf

    @property
    def attention(self) -> SelfAttention:
        """The block's attention."""
        return self.first.attention

    def __call__(self, x: Float[Tensor, "B T D"], mask: Mask) -> Float[Tensor, "B T D"]:
        """The states after this block."""
        return self.second(self.first(x, mask))  # type: ignore[no-any-return]

    def at(self, chosen: Positions, x: Float[Tensor, "B T D"], mask: Mask) -> Float[Tensor, "N D"]:
        """What a call gives at the chosen positions, at their cost alone."""
        return self.second(self.first.at(chosen, x, mask))  # type: ignore[no-any-return]


class ALBERT(BERT):
    """BERT with a factorised table, shared blocks, and a head for the order of two sentences."""

    config: Config
    shaped_by = (*BERT.shaped_by, "embedding", "sharing", "groups", "blocks_in_layer", "factorised")

    def __init__(self, config: Config, tokens: TokenFacts) -> None:
        nn.Module.__init__(self)  # BERT's parts have other sizes
        check(config, tokens)
        _check_groups(config)
        path: Path = "sdpa" if config.attention == "auto" else config.attention
        self.config, self.specials = config, dict(tokens.specials)
        narrow, whole = config.embedding, config.factorised == "embeddings"
        placed = narrow if whole else config.width  # what positions are added at
        self.tokens = nn.Embedding(tokens.vocab_size, narrow)
        self.positions = nn.Embedding(config.max_length, placed)
        self.types = nn.Embedding(2, placed)
        self.norm = nn.LayerNorm(placed, eps=EPS)
        self.dropout = Dropout(config.dropout)
        self.widen = nn.Linear(narrow, config.width, bias=whole)
        uses = places(config)
        self.attentions = nn.ModuleList(AttentionHalf(config, path) for _ in {first for first, _ in uses})
        self.feedforwards = nn.ModuleList(FeedForwardHalf(config) for _ in {second for _, second in uses})
        self.pooler = nn.Linear(config.width, config.width)
        self.masked_head = MaskedHead(config.width, placed, config.activation, tokens.vocab_size)
        self.next_head = nn.Linear(config.width, 2)  # 0: the sentences stand in their order, 1: they were swapped
        self.apply(initialise)
        begin_as_waves(self.positions, config.waves)
        if config.frequencies:
            begin_with_bias(self.masked_head.bias, tokens.counts)

    @property
    def tower(self) -> Sequence[Block]:  # type: ignore[override]
        """The blocks in the order in which states pass through them, many of them the same."""
        return [Block(self.attentions[first], self.feedforwards[second]) for first, second in places(self.config)]  # type: ignore[arg-type]

    def layers(self) -> list[Layer]:
        """The embeddings, the different blocks (a half that is shared stands where it is first used), then the pooler and the heads."""
        blocks, seen = list[Layer](), set[str]()
        for first, second in places(self.config):
            new = [half for half in (f"attentions.{first}", f"feedforwards.{second}") if half not in seen]
            seen.update(new)
            if new:
                blocks.append(layer(self, f"block {len(blocks) + 1}", *new, block=True))
        bottom = layer(self, "embeddings", "tokens", "positions", "types", "norm", "dropout", "widen")
        return [bottom, *blocks, layer(self, "top", "pooler", "masked_head", "next_head")]

    def _embed(self, batch: Tensors) -> Tensor:
        if self.config.factorised == "embeddings":
            return self.widen(super()._embed(batch))
        return self._placed(self.widen(self.tokens(batch["ids"])), batch)

    def _compared(self, hidden: Tensor) -> Tensor:
        compared = super()._compared(hidden)
        return compared if self.config.factorised == "embeddings" else F.linear(compared, self.widen.weight.t())


def places(config: Config) -> list[tuple[int, int]]:
    """Which attention half and which feed-forward half each block of the tower is made of, from the bottom up."""
    shared = {"all": (True, True), "attention": (True, False), "feedforward": (False, True), "none": (False, False)}[config.sharing]
    inner = range(config.blocks_in_layer)
    found = list[tuple[int, int]]()
    for depth in range(config.depth):
        group = depth * config.groups // config.depth
        first, second = (config.blocks_in_layer * (group if same else depth) for same in shared)
        found += [(first + n, second + n) for n in inner]
    return found


def _check_groups(config: Config) -> None:
    if config.groups > config.depth:
        wrong = f"model.groups = {config.groups} with model.depth = {config.depth}"
        raise UsageError(wrong, "as many layers as groups, or more", "lower model.groups")
