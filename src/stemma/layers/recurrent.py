# ruff: noqa: F722 (axis names stand in annotations)
"""Recurrent layers: long short-term memory and gated recurrent units, and what keeps them from learning by heart.

LSTM (Hochreiter & Schmidhuber 1997; with the forget gate of Gers 2000):

    i, f, o = sigmoid(W x_t + U h_t-1 + b),    g = tanh(W x_t + U h_t-1 + b),    c_t = f * c_t-1 + i * g,    h_t = o * tanh(c_t)

each gate with its own rows of W, U and b, in PyTorch's order i, f, g, o. GRU (Cho 2014, the reset applied after the product):

    r, z = sigmoid(W x_t + U h_t-1 + b),    n = tanh(W x_t + b + r * (U h_t-1)),    h_t = (1 - z) * n + z * h_t-1

in the order r, z, n. The loop over time is torch's fused one, which reaches most of a core's peak in float32 and, under autocast,
in bfloat16.

Axes: B rows, T positions, D width of the input, H cells, G rows of all gates, S segments, M the longest segment.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from stemma.layers.fast import dropout, keep_mask

SHORT_LSTM = torch.ops.mkldnn._is_mkldnn_bf16_supported()  # does oneDNN have one in bfloat16 for this processor


class State(NamedTuple):
    """What a layer knows of all that it has read."""

    h: Float[Tensor, "B H"]
    c: Float[Tensor, "B C"]  # C = H; 0 where a layer keeps nothing beside h


class LSTMLayer(nn.Module):
    """One layer, from the left to the right.

    While training, `weight_drop` is the share of U's elements that are 0 for the whole of a call (Merity 2017, section 2).
    """

    zeros: Tensor  # (4H): torch's loop wants a second bias

    def __init__(self, width: int, cells: int, weight_drop: float = 0.0) -> None:
        super().__init__()
        self.cells, self.weight_drop = cells, weight_drop
        self.inputs = nn.Parameter(torch.empty(4 * cells, width))  # W
        self.recurrent = nn.Parameter(torch.empty(4 * cells, cells))  # U
        self.bias = nn.Parameter(torch.zeros(4 * cells))  # b
        self.register_buffer("zeros", torch.zeros(4 * cells), persistent=False)
        for weight in (self.inputs, self.recurrent):
            nn.init.uniform_(weight, -(cells**-0.5), cells**-0.5)
        nn.init.ones_(self.bias.data[cells : 2 * cells])  # forget gates begin open (Jozefowicz 2015)

    def forward(self, x: Float[Tensor, "B T D"], state: State | None = None) -> tuple[Float[Tensor, "B T H"], State]:
        """The outputs h_1 .. h_T and the state after them, having begun from `state` (None: from zeros)."""
        h, c = state or (x.new_zeros(x.shape[0], self.cells),) * 2
        if torch.compiler.is_exporting():
            return loop_of_onnx("LSTM", x, (h, c), self.inputs, self.recurrent, self.bias, self.zeros)
        recurrent = dropout(self.recurrent, self.weight_drop, self.training)
        weights = (self.inputs, recurrent, self.bias, self.zeros)
        begin = (h[None].contiguous(), c[None].contiguous())
        with _runnable():
            y, h, c = torch.lstm(x, begin, weights, True, 1, 0.0, self.training, False, True)  # biases, layers, dropout, .., batch first
        return y, State(h[0], c[0])


class GRULayer(nn.Module):
    """One layer of gated recurrent units, from the left to the right."""

    zeros: Tensor  # (3H): torch's loop wants a second bias

    def __init__(self, width: int, cells: int) -> None:
        super().__init__()
        self.cells = cells
        self.inputs = nn.Parameter(torch.empty(3 * cells, width))  # W
        self.recurrent = nn.Parameter(torch.empty(3 * cells, cells))  # U
        self.bias = nn.Parameter(torch.zeros(3 * cells))  # b
        self.register_buffer("zeros", torch.zeros(3 * cells), persistent=False)
        for weight in (self.inputs, self.recurrent):
            nn.init.uniform_(weight, -(cells**-0.5), cells**-0.5)

    def forward(self, x: Float[Tensor, "B T D"], state: State | None = None) -> tuple[Float[Tensor, "B T H"], State]:
        """The outputs h_1 .. h_T and the state after them, having begun from `state` (None: from zeros)."""
        h = x.new_zeros(x.shape[0], self.cells) if state is None else state.h
        if torch.compiler.is_exporting():
            return loop_of_onnx("GRU", x, (h,), self.inputs, self.recurrent, self.bias, self.zeros)
        weights = (self.inputs, self.recurrent, self.bias, self.zeros)
        y, h = torch.gru(x, h[None].contiguous(), weights, True, 1, 0.0, self.training, False, True)  # as torch.lstm has them
        return y, State(h[0], h[0, :, :0])


def loop_of_onnx(
    kind: Literal["LSTM", "GRU"],
    x: Float[Tensor, "B T D"],
    begin: tuple[Tensor, ...],
    inputs: Float[Tensor, "G D"],
    recurrent: Float[Tensor, "G H"],
    bias: Float[Tensor, " G"],
    recurrent_bias: Float[Tensor, " G"],
) -> tuple[Float[Tensor, "B T H"], State]:
    """A layer as the operator that ONNX has for it, in a graph that is being exported; `begin` is the state before, h and perhaps c.

    Its gates stand in the order i, o, f, g, or z, r, n.
    """
    order = (0, 3, 1, 2) if kind == "LSTM" else (1, 0, 2)
    (B, T, _), H = x.shape, recurrent.shape[1]

    def ordered(weight: Tensor) -> Tensor:
        return torch.cat([weight.chunk(len(order))[gate] for gate in order])

    weights = ordered(inputs)[None], ordered(recurrent)[None], torch.cat([ordered(bias), ordered(recurrent_bias)])[None]
    attributes: dict[str, Any] = {"hidden_size": H} | ({} if kind == "LSTM" else {"linear_before_reset": 1})
    states = [part[None] for part in begin]
    y, *after = torch.onnx.ops.symbolic_multi_out(
        kind,
        (x.transpose(0, 1), *weights, None, *states),
        attributes,
        dtypes=(x.dtype,) * (1 + len(states)),
        shapes=((T, 1, B, H), *[(1, B, H)] * len(states)),
    )
    h, c = (after[0][0], after[1][0]) if kind == "LSTM" else (after[0][0], after[0][0, :, :0])
    return y[:, 0].transpose(0, 1), State(h, c)


def _runnable() -> AbstractContextManager[None]:
    """PyTorch's own loop where oneDNN's LSTM is not made for bfloat16, as on x86 processors without AVX-512."""
    short = torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.bfloat16
    return torch.backends.mkldnn.flags(enabled=False) if short and not SHORT_LSTM else nullcontext()


def locked_dropout(x: Float[Tensor, "B T D"], rate: float, training: bool) -> Float[Tensor, "B T D"]:
    """Dropout whose mask is drawn once for a row and holds at all its positions (Gal & Ghahramani 2016)."""
    if not training or rate == 0.0:
        return x
    return x * keep_mask((x.shape[0], 1, x.shape[2]), rate, x.dtype, x.device)


class Apart:
    """The segments of a batch's rows as rows of their own, so that a state never runs from one to another; `real` is where they stand."""

    def __init__(self, segments: Int[Tensor, "B T"]) -> None:
        before = nn.functional.pad(segments[:, :-1], (1, 0))
        starts = ((segments > 0) & (segments != before)).flatten()
        lengths = torch.bincount((starts.cumsum(0) - 1)[segments.flatten() > 0], minlength=int(starts.sum()))  # (S)
        columns = torch.arange(int(lengths.max()) if len(lengths) else 0, device=segments.device)
        self.real: Bool[Tensor, "S M"] = columns < lengths[:, None]
        self._place = (starts.nonzero() + columns).where(self.real, torch.zeros_like(columns))  # (S M) in the flattened batch
        self._shape = segments.shape

    def turned(self) -> Int[Tensor, "S M"]:
        """Where each place of a segment stands read from its end, its first token staying first; its own inverse."""
        lengths = self.real.sum(1, keepdim=True)
        place = torch.arange(self.real.shape[1], device=lengths.device).expand(self.real.shape)
        return (lengths - place).where(self.real & (place > 0), place)

    def backwards(self) -> Int[Tensor, "S M"]:
        """Where each place of a segment stands read from its end; its own inverse."""
        lengths = self.real.sum(1, keepdim=True)
        place = torch.arange(self.real.shape[1], device=lengths.device).expand(self.real.shape)
        return (lengths - 1 - place).where(self.real, place)

    def last(self) -> Int[Tensor, " S"]:
        """The place of each segment's last token in its row."""
        return self.real.sum(1) - 1

    def rows(self, x: Float[Tensor, "B T D"]) -> Float[Tensor, "S M D"]:
        """Each segment at the beginning of a row."""
        return x.flatten(0, 1)[self._place]

    def back(self, y: Float[Tensor, "S M H"]) -> Float[Tensor, "B T H"]:
        """The segments' rows where they stood in the batch; zeros at padding."""
        flat = y.new_zeros(self._shape.numel(), y.shape[2])
        return flat.index_put((self._place[self.real],), y[self.real]).view(*self._shape, -1)


class OneEach(Apart):
    """The same of rows that hold one text each, at their beginnings: nothing is moved, and no shape depends on what the rows hold."""

    def __init__(self, segments: Int[Tensor, "B T"]) -> None:
        self.real = segments > 0

    def rows(self, x: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
        """The rows as they are."""
        return x

    def back(self, y: Float[Tensor, "B T H"]) -> Float[Tensor, "B T H"]:
        """The rows with zeros at padding."""
        return y * self.real[..., None]


def apart(segments: Int[Tensor, "B T"]) -> Apart:
    """What sets the segments of the rows apart; a graph that is being exported reads one text a row."""
    return OneEach(segments) if torch.compiler.is_exporting() else Apart(segments)
