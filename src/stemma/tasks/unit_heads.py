# ruff: noqa: F722 (axis names stand in annotations)
"""What the heads on the units of a text have in common. Axes: B batch, U units, L layers, D width, H twice the LSTM's cells."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from stemma.layers.fast import Dropout
from stemma.layers.loss import Loss
from stemma.layers.recurrent import loop_of_onnx
from stemma.layers.scalar_mix import ScalarMix
from stemma.tasks.task import PLACES, Seat


def placed(states: Float[Tensor, "B U *shape"], batch: Mapping[str, Tensor]) -> Tensor:
    """The states, and beside each the place of its unit in its token, one of PLACES."""
    return torch.cat([states, F.one_hot(batch["places"], PLACES).to(states.dtype)], -1)


LSTM_WEIGHTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")  # of a layer and direction, in PyTorch's order


class UnitNetwork(nn.Module):
    """A learned mix of the layers of a fixed network, one LSTM in both directions over it, and a head (Peters 2018; Devlin 2018)."""

    def __init__(self, seat: Seat, width: int, head: Callable[[Seat], Any]) -> None:
        super().__init__()
        self.mix, self.dropout = ScalarMix(seat.layers), Dropout(seat.dropout)
        self.lstm = nn.LSTM(seat.width + PLACES, width, batch_first=True, bidirectional=True)
        self.top = head(Seat(2 * width, dropout=seat.dropout))
        self.top.linear.reset_parameters()  # on an LSTM that is new too, the small start of a fine-tuned head would only cost time

    @property
    def words(self) -> str:
        """What it is made of."""
        return f"scalar mix of all layers, one LSTM of {self.lstm.hidden_size} in both directions, {self.top.words}"

    def loss(self, states: Float[Tensor, "B U L D"], batch: Mapping[str, Tensor]) -> Loss:
        """The head's."""
        return self.top.loss(self.read(states, batch), batch)

    def predictions(self, batch: Mapping[str, Tensor]) -> dict[str, int]:
        """The head's."""
        return self.top.predictions(batch)

    def scores(self, states: Float[Tensor, "B U L D"], batch: Mapping[str, Tensor]) -> Tensor:
        """The head's."""
        return self.top.scores(self.read(states, batch), batch)

    def answers(self, scores: Tensor, batch: Mapping[str, Tensor]) -> list[Any]:
        """The head's."""
        return self.top.answers(scores, batch)

    def layer_weights(self) -> list[float]:
        """The shares of the layers in the mix."""
        return self.mix.shares()

    def read(self, states: Float[Tensor, "B U L D"], batch: Mapping[str, Tensor]) -> Float[Tensor, "B U H"]:
        """The LSTM's states at the units; zeros at padding."""
        if states.shape[1] == 0:
            return states.new_zeros(states.shape[0], 0, 2 * self.lstm.hidden_size)
        mixed = placed(self.dropout(self.mix(states)), batch)
        if torch.compiler.is_exporting():  # rows are packed by their lengths, which no graph knows
            return self._both_ways(mixed, batch["sites"])
        lengths = batch["sites"].sum(1).clamp(min=1).cpu()
        packed = pack_padded_sequence(mixed, lengths, batch_first=True, enforce_sorted=False)
        return pad_packed_sequence(self.lstm(packed)[0], batch_first=True, total_length=states.shape[1])[0]

    def _both_ways(self, x: Float[Tensor, "B U D"], sites: Tensor) -> Float[Tensor, "B U H"]:
        """The same, each direction by itself: padding stands where neither has to read it first."""
        places = torch.arange(x.shape[1], device=x.device)
        turn = (sites.sum(1, keepdim=True) - 1 - places).where(sites, places)[..., None]  # each row from its end; its own inverse
        begin = x.new_zeros(x.shape[0], self.lstm.hidden_size)
        found = list[Tensor]()
        for suffix, row in (("", x), ("_reverse", x.gather(1, turn.expand(-1, -1, x.shape[2])))):
            weights = (self.lstm.get_parameter(f"{name}_l0{suffix}") for name in LSTM_WEIGHTS)
            found.append(loop_of_onnx("LSTM", row, (begin, begin), *weights)[0])
        forward, backward = found
        return torch.cat([forward, backward.gather(1, turn.expand(-1, -1, backward.shape[2]))], 2) * sites[..., None]
