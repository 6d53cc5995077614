# ruff: noqa: F722 (axis names stand in annotations)
"""Pieces that are there for speed alone: read one as the plain operation that it is named for, to which a test holds it.

- `dense`: the affine map, without the copy that a CPU makes of its bias.
- `activate`: ReLU, or GELU (Hendrycks & Gimpel 2016), its tanh form with the slope computed on the way.
- `dropout`: zeroes at random (Srivastava 2014; "inverted" scaling, so that evaluation does nothing). `F.dropout` draws one
  Bernoulli number after another on a CPU, ten times slower than a layer norm; here one bulk draw of 16 random bits an
  element is compared with a threshold, all in vector instructions.
- `Positions`: some positions of a batch, the only ones that the last layer is computed at where nothing else of it is read. A
  masked language model predicts at 15 positions in 100: of its last layer, the keys and values are needed everywhere, all else
  only there. The results are those of the whole layer, exactly.

Deviates: dropout's rate is moved (by 1e-5 in float32, by up to 0.002 in bfloat16) to where rate and scale,
as the type can hold it, leave the expectation what it was; `F.dropout` keeps the rate and moves the mean.

Axes: B rows, T positions, D width, E output width, N chosen positions in all, M the most in one row, P positions picked.
"""

import math
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

Activation = Literal["gelu", "gelu_tanh", "relu"]

LEVELS = 1 << 16  # thresholds that 16 bits can tell apart
SLOPE, CUBIC = 2 * math.sqrt(2 / math.pi), 0.044715  # 0.5 (1 + tanh(u)) = sigmoid(2 u), u = sqrt(2 / pi) (x + 0.044715 x^3)
CHUNK = 1 << 17  # numbers at a time: their float32 copies stay in a core's cache


def product_type(x: torch.Tensor) -> torch.dtype:
    """Autocast's type on `x`'s device where autocast is on, else the type of `x`."""
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype


def dense(x: Float[Tensor, "*shape D"], weight: Float[Tensor, "E D"], bias: Float[Tensor, " E"]) -> Float[Tensor, "*shape E"]:
    """The product x weight' + bias.

    In bfloat16 on a CPU the bias is added to the finished product: `F.linear` first fills the whole result with the
    bias and lets the product add to it, a tenth slower. In float32, where it is not slower, and on a GPU: `F.linear`.
    """
    if x.device.type == "cpu" and product_type(x) == torch.bfloat16:
        return F.linear(x, weight).add_(bias.to(torch.bfloat16))
    return F.linear(x, weight, bias)


class Dense(nn.Linear):
    """`dense` with its own weight (E D) and bias (E); `parts` matrices of equal size may stand one above the other in it."""

    def __init__(self, width: int, outputs: int, parts: int = 1) -> None:
        super().__init__(width, outputs)
        self.parts = parts

    def forward(self, x: Float[Tensor, "*shape D"]) -> Float[Tensor, "*shape E"]:
        """The map of every state."""
        return dense(x, self.weight, self.bias)


def activate(x: Float[Tensor, "*shape"], activation: Activation) -> Float[Tensor, "*shape"]:
    """ReLU, or GELU in its exact form (`gelu`, by erf) or in the tanh form of Google's and OpenAI's code (`gelu_tanh`)."""
    if activation == "relu":
        return F.relu(x)
    if activation == "gelu":
        return F.gelu(x)
    if x.device.type == "cpu" and x.dtype in (torch.float32, torch.bfloat16) and x.requires_grad:
        return _GeluTanh.apply(x)
    return F.gelu(x, approximate="tanh")


class _GeluTanh(torch.autograd.Function):
    """gelu_tanh(x) = x sigmoid(z), z = SLOPE (x + CUBIC x^3), with its slope computed on the way.

    A CPU's sigmoid is four times as fast as its tanh, and the backward pass is one product: 1.7x in all.
    """

    @staticmethod
    def forward(ctx, x):  # type: ignore[no-untyped-def]
        x = x.contiguous()
        y, slope = torch.empty_like(x), torch.empty_like(x)
        for some, y_some, slope_some in zip(*(t.view(-1).split(CHUNK) for t in (x, y, slope)), strict=True):
            exact = some.float()
            square = exact * exact
            turn = (square * (3 * SLOPE * CUBIC)).add_(SLOPE).mul_(exact)  # x dz/dx
            share = square.mul_(SLOPE * CUBIC).add_(SLOPE).mul_(exact).sigmoid_()
            y_some.copy_(exact.mul_(share))
            turn.mul_(share)
            slope_some.copy_(turn.addcmul_(turn, share, value=-1).add_(share))  # share + x dz/dx share (1 - share)
        ctx.save_for_backward(slope)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx, d_y):  # type: ignore[no-untyped-def]
        return d_y * ctx.saved_tensors[0]


def keep_mask(shape: torch.Size | tuple[int, ...], rate: float, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Random factors of `dtype`: 0 with probability `rate`, else 1 / (1 - rate), from torch's global generator."""
    if device.type != "cpu":
        return torch.empty(shape, dtype=dtype, device=device).bernoulli_(1 - rate).div_(1 - rate)
    size = torch.Size(shape).numel()
    scale = torch.tensor(1 / (1 - rate), dtype=dtype)
    dropped = round((1 - 1 / scale.item()) * LEVELS)
    # NumPy's SFC64, seeded by one draw of torch's generator, is twice as fast as that generator itself.
    seed = int(torch.randint(2**62, ()))
    bits = torch.from_numpy(np.random.SFC64(seed).random_raw(size // 4 + 1)).view(torch.int16)[:size]
    keep = bits.ge_(dropped - LEVELS // 2)  # in place, so still int16: 0 or 1
    if dtype in (torch.bfloat16, torch.float16):  # 0 or the bits of the scale, without a conversion
        return keep.mul_(int(scale.view(torch.int16))).view(dtype).view(shape)
    return keep.to(dtype).mul_(scale).view(shape)


def dropout(x: Float[Tensor, "*shape"], rate: float, training: bool) -> Float[Tensor, "*shape"]:
    """`x` with a share `rate` of its elements zeroed and the others scaled by 1 / (1 - rate)."""
    if not training or rate == 0.0:
        return x
    if x.device.type != "cpu":
        return F.dropout(x, rate)
    return x * keep_mask(x.shape, rate, x.dtype, x.device)


class Dropout(nn.Module):
    """`dropout` at one `rate` in 0 <= rate < 1, while training."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """`x`, thinned out while training."""
        return dropout(x, self.rate, self.training)

    def extra_repr(self) -> str:
        """The rate, for `print`."""
        return f"rate={self.rate}"


class Positions:
    """The places where `chosen` is true, row by row."""

    def __init__(self, chosen: Bool[Tensor, "B T"]) -> None:
        counts = chosen.sum(1)
        most = int(counts.max())
        # A stable sort puts the chosen columns first and leaves them in order; short rows are filled up.
        self.columns = chosen.byte().argsort(dim=1, descending=True, stable=True)[:, :most]  # (B, M)
        self.real = torch.arange(most, device=chosen.device) < counts[:, None]  # (B, M)
        self._flat = chosen.flatten().nonzero().squeeze(1)  # (N,)
        self._rank = chosen.flatten().cumsum(0) - 1  # (B T,) of each chosen position among them

    def rows(self, x: Float[Tensor, "B T D"]) -> Float[Tensor, "B M D"]:
        """The states at the chosen columns of each row, filled up where a row has fewer than M (`real` tells)."""
        return x.gather(1, self.columns[:, :, None].expand(-1, -1, x.shape[2]))

    def states(self, x: Float[Tensor, "B T D"]) -> Float[Tensor, "N D"]:
        """The states at all chosen positions."""
        return x.flatten(0, 1)[self._flat]

    def pick(self, states: Float[Tensor, "N D"], flat: Int[Tensor, " P"]) -> Float[Tensor, "P D"]:
        """Of such states, those at the flat positions row * T + column, each of which must be chosen."""
        return states[self._rank[flat]]
