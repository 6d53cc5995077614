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
from dataclasses import dataclass, replace
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
from stemma.lineage.table import Generation
from stemma.objectives.batch import Batch
from stemma.runs.prefixed import Prefixed
from stemma.runs.run import Run

Axes = tuple[str | int, ...]  # a name where the size may differ from call to call
Tensors = dict[str, Tensor]
KEPT = "kept_"  # stands before the names of what was kept, where it goes in
UNBOUNDED = 512  # positions that a network without a window of its own is checked at
BEYOND = ("rainy", "雨", "🌧")  # words that are spelled, in the batches that a graph is checked by
SOME = 5  # positions that were kept before, in the batches that a graph is checked by
AXES: dict[str, Axes] = {
    "ids": ("batch", "length"), "segments": ("batch", "length"), "types": ("batch", "length"), "halves": ("batch", "length"),
    "spelled": ("words", LONGEST),
    "windows": ("examples", "own"), "columns": ("examples", "units"), "places": ("examples", "units"), "sites": ("examples", "units"),
}  # fmt: skip


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


class Never(nn.Module):
    """Adds minus infinity to the scores of what is never written."""

    def __init__(self, vocab_size: int, unwritten: Sequence[int]) -> None:
        super().__init__()
        never = torch.zeros(vocab_size)
        never[list(unwritten)] = -torch.inf
        self.register_buffer("never", never)

    never: Tensor  # (V)

    def forward(self, scores: Tensor) -> Tensor:
        """The scores that are left."""
        return scores + self.never


class Attending(nn.Module):
    """One step of a one-way Transformer, of any number of tokens."""

    def __init__(self, network: GPT, unwritten: Sequence[int]) -> None:
        super().__init__()
        self.network, self.never = network, Never(network.vocab_size, unwritten)

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
        return states, self.never(scores), *joined.now


class Recurring(nn.Module):
    """One step of a recurrent language model, of any number of tokens; a state runs through padding, so rows that go on have none."""

    def __init__(self, network: LSTM) -> None:
        super().__init__()
        self.network, self.never = network, Never(network.vocab_size, network.unwritten)

    def forward(self, ids: Int[Tensor, "B T"], h: Float[Tensor, "B S"], c: Float[Tensor, "B S"]) -> tuple[Tensor, ...]:
        """States (B T D), log-probabilities (B V) of the next token, and the state of all layers after the last position."""
        states, scores, after = self.network.read_on(ids, Memory(h, c))
        return states, self.never(scores), after.h, after.c


def graph_of(run: Run) -> Graph:
    """The graph of a pre-trained run; of one that translates see `stemma.export.onnx_translation`."""
    network = run.network
    if isinstance(network, Prefixed):
        return replace(_attending(network.network, network.unwritten), frames=network)
    if isinstance(network, GPT):
        return _attending(network)
    if isinstance(network, LSTM):
        return _recurring(network)
    names = ["ids", "segments"]
    if run.row.updates == "by hand":
        vectors = network.vectors_of(np.arange(network.vocab_size))
        module: nn.Module = Looking(torch.from_numpy(np.ascontiguousarray(vectors, np.float32)))
    else:
        names = text_inputs(network, network, run.row)
        module = Encoding(network, names)
    inputs = {name: AXES[name] for name in names}
    outputs: dict[str, Axes] = {"states": ("batch", "length", network.width), "summary": ("batch", network.width)}
    return Graph("encode", module, inputs, outputs, lambda rows, length: [drawn(names, rows, length, network)], network, longest(network))


def text_inputs(network: Any, frames: Frames, row: Generation) -> list[str]:
    """What the network reads of texts, by name; a vocabulary that is spelled is put into the graph as a table."""
    names = ["ids", "segments"]
    if any(frames.frame([0], [0])[1]):
        names.append("types")
    if row.reads_spelling:
        network.tabulate()
        names.append("spelled")
    return names


def longest(frames: Frames) -> int:
    """Positions that a graph is checked at, at most."""
    return frames.max_length or UNBOUNDED


def drawn(names: Sequence[str], rows: int, length: int, network: Any) -> Tensors:
    """A batch of random ids, of which the second row has about half."""
    draws = np.random.default_rng((rows, length))
    segments = np.ones((rows, length), np.int64)
    segments[1:2, length // 2 + 1 :] = 0
    batch = {"segments": segments, "types": (np.arange(length) > length // 3).astype(np.int64) * segments}
    words = network.spell(BEYOND) if "spelled" in names else ()
    batch["ids"], batch["spelled"] = draws.integers(0, network.vocab_size + len(words), (rows, length)), np.asarray(words)
    return to_tensors({name: batch[name] for name in names if name in batch}, torch.device("cpu"))


def fed(names: Sequence[str], batch: Mapping[str, np.ndarray], network: Any) -> Batch:
    """What a graph reads of the batch: where it has no types, the first; where no word is beyond the vocabulary, one that none means."""
    absent = {"types": lambda: np.zeros_like(batch["ids"]), "spelled": lambda: network.spell([""])}
    return {name: batch[name] if name in batch else absent[name]() for name in names}


def _attending(network: GPT, unwritten: Sequence[int] = ()) -> Graph:
    config, V = network.config, network.vocab_size
    heads, size = config.heads, config.width // config.heads
    kept = [f"{part}_{layer}" for layer in range(config.depth) for part in ("keys", "values")]
    inputs: dict[str, Axes] = {"ids": AXES["ids"], "segments": ("batch", "all")}
    inputs |= {KEPT + name: ("batch", heads, "before", size) for name in kept}
    outputs: dict[str, Axes] = {"states": ("batch", "length", config.width), "scores": ("batch", V)}
    outputs |= dict.fromkeys(kept, ("batch", heads, "all", size))

    def batches(rows: int, length: int) -> list[Tensors]:
        found = []
        for before in (SOME, 0) if length + SOME <= network.max_length else (0,):
            draws = torch.Generator().manual_seed(length + before)
            batch = drawn(("ids", "segments"), rows, length, network)
            earlier = torch.ones(rows, before, dtype=torch.long)
            earlier[1:, 1:2] = 0  # of a row that was padded when it was read
            batch["segments"] = torch.cat([earlier, batch["segments"]], 1)
            own = {KEPT + name: torch.randn(rows, heads, before, size, generator=draws) for name in kept}
            found.append(batch | own)
        return found

    return Graph("advance", Attending(network, unwritten), inputs, outputs, batches, network, longest(network))


def _recurring(network: LSTM) -> Graph:
    cells, V = sum(network.config.sizes), network.vocab_size
    inputs: dict[str, Axes] = {"ids": AXES["ids"], KEPT + "h": ("batch", cells), KEPT + "c": ("batch", cells)}
    outputs: dict[str, Axes] = {"states": ("batch", "length", network.width), "scores": ("batch", V)}
    outputs |= {"h": ("batch", cells), "c": ("batch", cells)}

    def batches(rows: int, length: int) -> list[Tensors]:
        draws = torch.Generator().manual_seed(length)
        own = {name: 0.5 * torch.randn(rows, cells, generator=draws) for name in (KEPT + "h", KEPT + "c")}
        return [drawn(("ids",), rows, length, network) | own]

    return Graph("advance", Recurring(network), inputs, outputs, batches, network, longest(network))
