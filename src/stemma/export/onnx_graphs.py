# ruff: noqa: F722 (axis names stand in annotations)
"""What of a run an ONNX file computes: modules to be traced, what goes in and out of them, and batches to check them by.

Three kinds of graph, and every run of a network has one of them:

    encode    ids, segments (and types, or spelled) -> states of the last layer, one summary a text
    advance   ids (and segments) and what was kept of the tokens before -> states, log-probabilities of the next token, what to keep
    answer    ids, segments, types (and where windows or units stand) -> the scores of a task, as its head gives them

Rows are padded at their ends, where `segments` is 0; elsewhere it is 1. Axes: B batch, T positions, P positions kept, A = P + T,
D width, V vocabulary, H heads, K width of a head, S cells of all layers, U words that are spelled, L characters of one.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from stemma.layers.attention import Mask
from stemma.layers.pooling import last_state, mean_state
from stemma.layers.spelling import LONGEST
from stemma.layers.weights import to_tensors
from stemma.lineage.gpt import GPT
from stemma.lineage.lstm import LSTM, Memory
from stemma.lineage.network import Frames
from stemma.runs.run import Run

Axes = tuple[str | int, ...]  # a name where the size may differ from call to call
Tensors = dict[str, Tensor]
UNBOUNDED = 512  # positions that a network without a window of its own is checked at
WORDS_AT_ONCE = 4096  # that are spelled together
SOME = 5  # positions that were kept before, in the batches that a graph is checked by


@dataclass(frozen=True)
class Graph:
    """A module to be traced and how to call it."""

    kind: Literal["encode", "advance", "answer"]
    module: nn.Module  # called with the inputs in their order; gives a tuple of the outputs in theirs
    inputs: dict[str, Axes]
    outputs: dict[str, Axes]
    batches: Callable[[int, int], list[Tensors]]  # of so many rows and positions: what a call reads, its ways one after the other
    frames: Frames  # what stands round a text
    longest: int  # positions that it is checked at, at most


class Encoding(nn.Module):
    """Texts -> the last layer's states, and the summary."""

    def __init__(self, network: Any, names: Sequence[str]) -> None:
        super().__init__()
        self.network, self.names = network, tuple(names)

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        """States (B T D) and summary (B D)."""
        batch = dict(zip(self.names, inputs, strict=True))
        states = self.network.encode(batch)
        return states[-1], self.network.summary(states, batch)


class Spelling(nn.Module):
    """As `Encoding`, of a network that reads spelling: words of the vocabulary are a table here, others are read as they are spelled."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network
        with torch.no_grad():
            parts = [network.words(some.long()) for some in network.spelled.split(WORDS_AT_ONCE)]
        self.register_buffer("table", torch.cat(parts))

    table: Tensor  # (V D)

    def forward(self, ids: Int[Tensor, "B T"], segments: Int[Tensor, "B T"], spelled: Int[Tensor, "U L"]) -> tuple[Tensor, Tensor]:
        """States (B T D) and summary (B D); the ids from V on stand for the spelled words."""
        vectors = torch.cat([self.table, self.network.words(spelled)])
        states = self.network.read(F.embedding(ids, vectors), F.embedding(self.network.read_forward(ids), vectors), segments)
        return states[-1], self.network.summary(states, {"segments": segments})


class Looking(nn.Module):
    """Words -> their vectors."""

    def __init__(self, vectors: Float[Tensor, "V D"]) -> None:
        super().__init__()
        self.register_buffer("vectors", vectors)

    vectors: Tensor

    def forward(self, ids: Int[Tensor, "B T"], segments: Int[Tensor, "B T"]) -> tuple[Tensor, Tensor]:
        """Vectors (B T D), and the mean of each text's (B D)."""
        states = F.embedding(ids, self.vectors)
        return states, mean_state(states, segments)


class Joined:
    """Keys and values as tensors that go into a graph and come out of it: what a graph has in place of a `Cache`."""

    def __init__(self, kept: Sequence[Tensor]) -> None:
        self._before, self.now = kept, list[Tensor]()

    def extend(self, layer: int, k: Float[Tensor, "B H T K"], v: Float[Tensor, "B H T K"]) -> tuple[Tensor, Tensor]:
        """All keys and values of the layer, (B H A K)."""
        joined = torch.cat([self._before[2 * layer], k], 2), torch.cat([self._before[2 * layer + 1], v], 2)
        self.now += joined
        return joined


class Attending(nn.Module):
    """One step of a one-way Transformer, of any number of tokens."""

    def __init__(self, network: GPT) -> None:
        super().__init__()
        self.network = network

    def forward(self, ids: Int[Tensor, "B T"], segments: Int[Tensor, "B A"], *kept: Tensor) -> tuple[Tensor, ...]:
        """States (B T D), log-probabilities (B V) after each row's last real token, then keys and values (B H A K) of each layer."""
        T, P = ids.shape[1], kept[0].shape[2]
        places, own = torch.arange(P + T, device=ids.device), torch.arange(T, device=ids.device) + P
        real = segments.index_select(1, places) > 0  # says that there are P + T
        earlier = places <= own[:, None]  # (T A): what stands before each token, and itself
        allowed = earlier & real[:, None, None, :] | (places == own[:, None])  # padding sees itself, so that no softmax is empty
        positions = (real.long().cumsum(1) - 1).clamp(min=0).index_select(1, own)
        joined = Joined(kept)
        states = self.network.read_on(ids, positions, Mask(allowed), joined)
        scores = self.network.logits(last_state(states, segments.index_select(1, own))).float().log_softmax(-1)
        return states, scores, *joined.now


class Recurring(nn.Module):
    """One step of a recurrent language model, of any number of tokens; a state runs through padding, so rows that go on have none."""

    def __init__(self, network: LSTM) -> None:
        super().__init__()
        self.network = network
        never = torch.zeros(network.vocab_size)
        never[network.unwritten] = -torch.inf
        self.register_buffer("never", never)

    never: Tensor  # (V)

    def forward(self, ids: Int[Tensor, "B T"], h: Float[Tensor, "B S"], c: Float[Tensor, "B S"]) -> tuple[Tensor, ...]:
        """States (B T D), log-probabilities (B V) of the next token, and the state of all layers after the last position."""
        states, scores, after = self.network.read_on(ids, Memory(h, c))
        return states, scores + self.never, after.h, after.c


def graph_of(run: Run) -> Graph:
    """The graph of a pre-trained run."""
    network, longest = run.network, run.network.max_length or UNBOUNDED
    if run.row.updates == "by hand":
        vectors = network.vectors_of(np.arange(network.vocab_size))
        return _encoding(Looking(torch.from_numpy(np.ascontiguousarray(vectors, np.float32))), network, longest)
    if run.row.reads_spelling:
        return _spelling(network, longest)
    if isinstance(network, GPT):
        return _attending(network, longest)
    if isinstance(network, LSTM):
        return _recurring(network, longest)
    typed = any(network.frame([0], [0])[1])
    names = ("ids", "segments", "types") if typed else ("ids", "segments")
    return _encoding(Encoding(network, names), network, longest, typed)


def _encoding(module: nn.Module, network: Any, longest: int, typed: bool = False) -> Graph:
    inputs: dict[str, Axes] = dict.fromkeys(("ids", "segments", "types") if typed else ("ids", "segments"), ("batch", "length"))

    def batches(rows: int, length: int) -> list[Tensors]:
        return [drawn(inputs, rows, length, network.vocab_size)]

    return Graph("encode", module, inputs, _encoded(network.width), batches, network, longest)


def _spelling(network: Any, longest: int) -> Graph:
    inputs: dict[str, Axes] = {"ids": ("batch", "length"), "segments": ("batch", "length"), "spelled": ("words", LONGEST)}
    words = torch.from_numpy(network.spell(["rainy", "雨", "🌧"]))

    def batches(rows: int, length: int) -> list[Tensors]:
        batch = drawn(inputs, rows, length, network.vocab_size + len(words))
        return [batch | {"spelled": words}]

    return Graph("encode", Spelling(network), inputs, _encoded(network.width), batches, network, longest)


def _attending(network: GPT, longest: int) -> Graph:
    config, V = network.config, network.vocab_size
    heads, size = config.heads, config.width // config.heads
    kept = [f"{part}_{layer}" for layer in range(config.depth) for part in ("keys", "values")]
    inputs: dict[str, Axes] = {"ids": ("batch", "length"), "segments": ("batch", "all")}
    inputs |= {f"kept_{name}": ("batch", heads, "before", size) for name in kept}
    outputs: dict[str, Axes] = {"states": ("batch", "length", config.width), "scores": ("batch", V)}
    outputs |= {name: ("batch", heads, "all", size) for name in kept}

    def batches(rows: int, length: int) -> list[Tensors]:
        found = []
        for before in (0, SOME) if length + SOME <= longest else (0,):
            draws = torch.Generator().manual_seed(length + before)
            batch = drawn({"ids": ("batch", "length"), "segments": ("batch", "length")}, rows, length, V)
            earlier = torch.ones(rows, before, dtype=torch.long)
            earlier[1:, 1:2] = 0  # of a row that was padded when it was read
            batch["segments"] = torch.cat([earlier, batch["segments"]], 1)
            own = {f"kept_{name}": torch.randn(rows, heads, before, size, generator=draws) for name in kept}
            found.append(batch | own)
        return found[::-1]

    return Graph("advance", Attending(network), inputs, outputs, batches, network, longest)


def _recurring(network: LSTM, longest: int) -> Graph:
    cells, V = sum(network.config.sizes), network.vocab_size
    inputs: dict[str, Axes] = {"ids": ("batch", "length"), "kept_h": ("batch", cells), "kept_c": ("batch", cells)}
    outputs: dict[str, Axes] = {"states": ("batch", "length", network.width), "scores": ("batch", V)}
    outputs |= {"h": ("batch", cells), "c": ("batch", cells)}

    def batches(rows: int, length: int) -> list[Tensors]:
        draws = torch.Generator().manual_seed(length)
        own = {name: 0.5 * torch.randn(rows, cells, generator=draws) for name in ("kept_h", "kept_c")}
        return [drawn({"ids": ("batch", "length")}, rows, length, V) | own]

    return Graph("advance", Recurring(network), inputs, outputs, batches, network, longest)


def _encoded(width: int) -> dict[str, Axes]:
    return {"states": ("batch", "length", width), "summary": ("batch", width)}


def drawn(inputs: Mapping[str, Axes], rows: int, length: int, vocab_size: int) -> Tensors:
    """Random ids, of which the second row has about half, and segments and types where they are read."""
    draws = np.random.default_rng((rows, length))
    ids, segments = draws.integers(0, vocab_size, (rows, length)), np.ones((rows, length), np.int64)
    segments[1:2, length // 2 + 1 :] = 0
    types = (np.arange(length) > length // 3).astype(np.int64) * segments
    batch = {"ids": ids, "segments": segments, "types": types}
    return to_tensors({name: batch[name] for name in inputs if name in batch}, torch.device("cpu"))
