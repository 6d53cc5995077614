# ruff: noqa: F722 (axis names stand in annotations)
"""LSTM whose output is projected and clipped (Sak 2014; Peters 2018): the state h is narrower than the cells.

The gates are those of `layers.recurrent`; the cells are clipped to +-`clip` after each update, and so is h = project(o * tanh(c)).
torch's own `proj_size` has neither clip, and no fast way on a CPU. Here the inputs' part of all steps is one product, a step is two
products with one compiled pass between them (`kernels.gates`), and each weight's gradient is one product over all steps.

Parameters and what goes in are float32; under autocast the products are computed in its type.

Axes: B rows, T positions, D width of the input, C cells, P width of the projection.
"""

from collections.abc import Callable
from typing import Any, no_type_check

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from stemma.layers.fast import dense, product_type
from stemma.layers.recurrent import State

FEW = 64  # rows; of fewer a step's products are in float32


class ProjectedLSTM(nn.Module):
    """One layer, from the left to the right."""

    def __init__(self, width: int, cells: int, projection: int, clip: float) -> None:
        super().__init__()
        self.cells, self.projection, self.clip = cells, projection, clip
        self.inputs = nn.Parameter(torch.empty(4 * cells, width))
        self.recurrent = nn.Parameter(torch.empty(4 * cells, projection))
        self.bias = nn.Parameter(torch.zeros(4 * cells))
        self.project = nn.Parameter(torch.empty(projection, cells))
        for weight in (self.inputs, self.recurrent, self.project):
            nn.init.xavier_uniform_(weight)
        nn.init.ones_(self.bias.data[cells : 2 * cells])  # forget gates begin open

    def forward(self, x: Float[Tensor, "B T D"], state: State | None = None) -> tuple[Float[Tensor, "B T P"], State]:
        """The outputs h_1 .. h_T and the state after them, having begun from `state` (None: from zeros)."""
        dtype = product_type(x)
        h, c = state or (x.new_zeros(x.shape[0], self.projection), x.new_zeros(x.shape[0], self.cells))
        steps = dense(x.transpose(0, 1), self.inputs, self.bias).float()  # (T B 4C): the inputs' part of all steps
        if torch.compiler.is_exporting():
            outputs, h, c = self._scanned(steps, h, c)
            return outputs.transpose(0, 1), State(h, c)
        outputs, h, c = _Steps.apply(steps, self.recurrent, self.project, h.float(), c.float(), self.clip, dtype)
        return outputs.transpose(0, 1), State(h, c)

    def _scanned(self, steps: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The same steps as a loop that other programs know."""
        from torch._higher_order_ops.scan import scan

        @no_type_check  # shapes are checked by what a traced loop must not have in it
        def step(before: tuple[Tensor, Tensor], gates: Tensor) -> tuple[tuple[Tensor, Tensor], Tensor]:
            h, c = before
            i, f, g, o = (gates + h @ self.recurrent.t()).chunk(4, 1)
            c = (f.sigmoid() * c + i.sigmoid() * g.tanh()).clamp(-self.clip, self.clip)
            h = ((o.sigmoid() * c.tanh()) @ self.project.t()).clamp(-self.clip, self.clip)
            return (h, c), h.clone()

        (h, c), outputs = scan(step, (h, c), steps)
        return outputs, h, c


class _Steps(torch.autograd.Function):
    """The steps from the inputs' part of all gates (T B 4C, float32, used up) and the state before (h, c)."""

    @staticmethod
    def forward(ctx, gates, recurrent, project, h, c, clip, dtype):  # type: ignore[no-untyped-def]
        gates = gates.contiguous()
        length, rows, size = len(gates), len(c), c.shape[1]
        cells, states = gates.new_empty(length + 1, rows, size), gates.new_empty(length + 1, rows, h.shape[1])
        squashed, read = gates.new_empty(length, rows, size), gates.new_empty(length, rows, size)
        cells[0], states[0] = c, h
        within = _within(gates, dtype)
        across, down, (step, _, view) = recurrent.to(within).t(), project.to(within).t(), _pass(gates.device)
        sums, h_of, read_of = gates.unbind(), states.unbind(), read.unbind()  # views of all steps: taking one at a time costs
        for t, numbers in enumerate(zip(*map(view, (gates, cells[:-1], cells[1:], squashed, read)), strict=True)):
            _add_product(sums[t], h_of[t], across)
            step(*numbers, clip)
            _product(read_of[t], down, h_of[t + 1]).clamp_(-clip, clip)
        ctx.save_for_backward(gates, cells, squashed, read, states, recurrent, project)
        ctx.clip, ctx.dtype = clip, dtype
        return states[1:], states[-1].clone(), cells[-1].clone()

    @staticmethod
    @once_differentiable
    def backward(ctx, d_outputs, d_h, d_c):  # type: ignore[no-untyped-def]
        gates, cells, squashed, read, states, recurrent, project = ctx.saved_tensors
        length, inside = len(gates), (states[1:].abs() < ctx.clip).float()
        d_gates, d_states, d_read, d_h, d_c = torch.empty_like(gates), d_outputs * inside, torch.empty_like(read), d_h.clone(), d_c.clone()
        within = _within(gates, ctx.dtype)
        across, down, (_, step_back, view) = recurrent.to(within), project.to(within), _pass(gates.device)
        sums, d_h_of, d_read_of, kept = d_gates.unbind(), d_states.unbind(), d_read.unbind(), inside.unbind()
        parts = gates, cells[:-1], cells[1:], squashed, d_read, d_c.expand(length, *d_c.shape), d_gates
        numbers = list(zip(*map(view, parts), strict=True))
        for t in reversed(range(length)):
            d_h_of[t].addcmul_(d_h, kept[t])
            _product(d_h_of[t], down, d_read_of[t])
            step_back(*numbers[t], ctx.clip)
            _product(sums[t], across, d_h)
        slopes = d_gates.flatten(0, 1).to(ctx.dtype).t()  # (4C TB)
        d_recurrent = slopes @ states[:-1].flatten(0, 1).to(ctx.dtype)
        d_project = d_states.flatten(0, 1).to(ctx.dtype).t() @ read.flatten(0, 1).to(ctx.dtype)
        return d_gates, d_recurrent.to(recurrent.dtype), d_project.to(project.dtype), d_h, d_c, None, None


def _within(gates: Float[Tensor, "T B G"], dtype: torch.dtype) -> torch.dtype:
    """The type of a step's products: of few rows on a CPU they are sooner done than turned into a shorter one."""
    return gates.dtype if gates.device.type == "cpu" and gates.shape[1] < FEW else dtype


def _product(x: Tensor, weight: Tensor, out: Tensor) -> Tensor:
    """`out`, float32, which becomes x weight, computed in the weight's type."""
    return torch.mm(x, weight, out=out) if weight.dtype == out.dtype else out.copy_(x.to(weight.dtype) @ weight)


def _add_product(total: Tensor, x: Tensor, weight: Tensor) -> Tensor:
    """As `_product`, added to what `total` holds."""
    return total.addmm_(x, weight) if weight.dtype == total.dtype else total.add_(x.to(weight.dtype) @ weight)


def _pass(device: torch.device) -> tuple[Callable[..., None], Callable[..., None], Callable[[Tensor], Any]]:
    """What stands between a step's products, there and back, and how it takes the parts of all steps: compiled on a CPU, as arrays."""
    if device.type != "cpu":
        return _step, _step_back, Tensor.unbind
    from stemma.kernels import gates  # compiled code: only where it is used

    return gates.step, gates.step_back, Tensor.numpy


def _step(gates: Tensor, before: Tensor, cells: Tensor, squashed: Tensor, read: Tensor, clip: float) -> None:
    """`kernels.gates.step` by PyTorch."""
    i, f, g, o = gates.chunk(4, 1)
    for gate, squash in ((i, torch.sigmoid), (f, torch.sigmoid), (g, torch.tanh), (o, torch.sigmoid)):
        gate.copy_(squash(gate))
    cells.copy_((f * before + i * g).clamp_(-clip, clip))
    squashed.copy_(cells.tanh())
    torch.mul(o, squashed, out=read)


def _step_back(
    gates: Tensor, before: Tensor, cells: Tensor, squashed: Tensor, d_read: Tensor, d_cells: Tensor, d_gates: Tensor, clip: float
) -> None:
    """`kernels.gates.step_back` by PyTorch."""
    i, f, g, o = gates.chunk(4, 1)
    d_c = (d_cells + d_read * o * (1 - squashed**2)) * (cells.abs() < clip)
    d_gates.copy_(torch.cat([d_c * g * i * (1 - i), d_c * before * f * (1 - f), d_c * i * (1 - g**2), d_read * squashed * o * (1 - o)], 1))
    torch.mul(d_c, f, out=d_cells)
