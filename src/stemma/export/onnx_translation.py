# ruff: noqa: F722 (axis names stand in annotations)
"""What the second ONNX file of a run that translates computes: one token more of each target.

The first file is the encoder's, which also gives all that the second reads of a source, under names that begin with `source_`, and for
a recurrent decoder where it begins. Axes: R rows, S source positions, P target positions kept, V vocabulary, H heads, K width of a head,
L layers, C cells.
"""

from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor, nn

from stemma.export.onnx_graphs import AXES, KEPT, SOME, Axes, Graph, Joined, Never, Tensors, drawn, longest
from stemma.layers.attention import KeysValues, Mask, cross_mask
from stemma.layers.soft_attention import Source
from stemma.lineage.seq2seq import Past, Seq2Seq
from stemma.lineage.transformer import Transformer

SOURCE = "source_"  # stands before the names of what is kept of a source for all steps


class TransformerSources(nn.Module):
    """Sources -> the encoder's states, the summary, and the keys and values that each decoder block keeps of them."""

    def __init__(self, network: Transformer) -> None:
        super().__init__()
        self.network = network

    def forward(self, ids: Int[Tensor, "R S"], segments: Int[Tensor, "R S"]) -> tuple[Tensor, ...]:
        """States (R S D), summary (R D), then keys and values (R H S K) of each block."""
        batch = {"ids": ids, "segments": segments}
        states = self.network.encode(batch)
        kept = [part for both in self.network.remember(states[-1]) for part in both]
        return states[-1], self.network.summary(states, batch), *kept


class TransformerWriting(nn.Module):
    """One token more of each target."""

    def __init__(self, network: Transformer) -> None:
        super().__init__()
        self.network, self.never = network, Never(network.vocab_size, network.unwritten)

    def forward(self, ids: Int[Tensor, "R 1"], segments: Int[Tensor, "R S"], *parts: Tensor) -> tuple[Tensor, ...]:
        """Log-probabilities (R V) of the next token, then keys and values (R H P+1 K) of each block.

        `parts` are the sources' keys and values, then those that were kept.
        """
        half = len(parts) // 2
        sources = [KeysValues(*parts[place : place + 2]) for place in range(0, half, 2)]
        joined = Joined(parts[half:])
        positions = torch.zeros_like(ids) + parts[half].shape[2]
        x = self.network.write_on(ids, positions, Mask(None), sources, cross_mask(None, segments), joined)
        return self.never(self.network.next_scores(x[:, -1])), *joined.now


class RecurrentSources(nn.Module):
    """Sources -> the encoder's states, the summary, what attention keeps of them, and where the decoder begins."""

    def __init__(self, network: Seq2Seq) -> None:
        super().__init__()
        self.network = network

    def forward(self, ids: Int[Tensor, "R S"], segments: Int[Tensor, "R S"]) -> tuple[Tensor, ...]:
        """States (R S D), summary (R D), remembered keys and values of the sources, and the decoder's state."""
        batch = {"ids": ids, "segments": segments}
        states = self.network.encode(batch)
        source, _, past = self.network.read_source(ids, segments)
        return states[-1], self.network.summary(states, batch), *source, *_parts(self.network, past)


class RecurrentWriting(nn.Module):
    """One token more of each target."""

    def __init__(self, network: Seq2Seq) -> None:
        super().__init__()
        self.network, self.never = network, Never(network.vocab_size, network.unwritten)

    def forward(
        self, ids: Int[Tensor, "R 1"], segments: Int[Tensor, "R S"], keys: Tensor, values: Tensor, *past: Tensor
    ) -> tuple[Tensor, ...]:
        """Log-probabilities (R V) of the next token, then the decoder's state."""
        whole = Past(*past) if len(past) > 2 else Past(past[0], past[0][:, :0], past[1])
        _, after, _ = self.network.write_on(self.network.target(ids), Source(keys, values), (segments > 0)[:, None], whole)
        return self.never(self.network.next_scores(after)), *_parts(self.network, after)


def translating(network: Transformer | Seq2Seq) -> tuple[Graph, Graph]:
    """The graph that reads sources, and the one that writes targets."""
    return _transformer(network) if isinstance(network, Transformer) else _recurrent(network)


def _transformer(network: Transformer) -> tuple[Graph, Graph]:
    heads, size = network.config.heads, network.width // network.config.heads
    names = [f"{part}_{layer}" for layer in range(len(network.decoder_blocks)) for part in ("keys", "values")]
    sources: dict[str, Axes] = {SOURCE + name: ("batch", heads, "length", size) for name in names}
    kept: dict[str, Axes] = {KEPT + name: ("batch", heads, "before", size) for name in names}
    after: dict[str, Axes] = dict.fromkeys(names, ("batch", heads, "all", size))
    reading = _reading(network, TransformerSources(network), sources)
    return reading, _writing(network, TransformerWriting(network), sources, kept, after)


def _recurrent(network: Seq2Seq) -> tuple[Graph, Graph]:
    config = network.config
    cells: Axes = ("batch", config.cells * config.depth)
    state: dict[str, Axes] = {"h": cells, **({"c": cells} if config.cell == "lstm" else {}), "fed": ("batch", config.width)}
    with torch.no_grad():
        source, _, _ = network.read_source(torch.zeros(1, 1, dtype=torch.long), torch.ones(1, 1, dtype=torch.long))
    widths = {"keys": source.keys.shape[2], "values": source.values.shape[2]}
    sources: dict[str, Axes] = {SOURCE + name: ("batch", "length", width) for name, width in widths.items()}
    reading = _reading(network, RecurrentSources(network), sources | state)
    kept = {KEPT + name: axes for name, axes in state.items()}
    return reading, _writing(network, RecurrentWriting(network), sources, kept, state)


def _reading(network: Any, module: nn.Module, more: dict[str, Axes]) -> Graph:
    names = ("ids", "segments")
    outputs: dict[str, Axes] = {"states": ("batch", "length", network.width), "summary": ("batch", network.width), **more}
    inputs = {name: AXES[name] for name in names}
    return Graph("encode", module, inputs, outputs, lambda rows, length: [drawn(names, rows, length, network)], network, longest(network))


def _writing(network: Any, module: nn.Module, sources: dict[str, Axes], kept: dict[str, Axes], after: dict[str, Axes]) -> Graph:
    inputs: dict[str, Axes] = {"ids": ("batch", 1), "segments": AXES["segments"], **sources, **kept}
    outputs: dict[str, Axes] = {"scores": ("batch", network.vocab_size), **after}

    def batches(rows: int, length: int) -> list[Tensors]:
        found = []
        for before in (SOME, 0, network.max_length - 1):
            draws = torch.Generator().manual_seed(length + before)
            sizes = {"batch": rows, "length": length, "before": before}
            shapes = {name: [sizes[axis] if isinstance(axis, str) else axis for axis in axes] for name, axes in (sources | kept).items()}
            batch = drawn(("segments",), rows, length, network) | drawn(("ids",), rows, 1, network)
            found.append(batch | {name: torch.randn(shape, generator=draws) for name, shape in shapes.items()})
        return found

    return Graph("advance", module, inputs, outputs, batches, network, longest(network))


def _parts(network: Seq2Seq, past: Past) -> tuple[Tensor, ...]:
    """What there is of the decoder's state: a gated recurrent unit has no cells beside."""
    return tuple(past) if network.config.cell == "lstm" else (past.h, past.fed)
