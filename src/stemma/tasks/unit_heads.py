# ruff: noqa: F722 (axis names stand in annotations)
"""What the heads on the units of a text have in common. Axes: B batch, U units, L layers, D width, H twice the LSTM's cells."""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from stemma.layers.fast import Dropout
from stemma.layers.scalar_mix import ScalarMix
from stemma.tasks.task import PLACES, Seat


def placed(states: Float[Tensor, "B U *shape"], batch: Mapping[str, Tensor]) -> Tensor:
    """The states, and beside each the place of its unit in its token, one of PLACES."""
    return torch.cat([states, F.one_hot(batch["places"], PLACES).to(states.dtype)], -1)


class UnitReader(nn.Module):
    """A learned mix of the layers of a fixed network and one LSTM in both directions over it (Peters 2018; Devlin 2018)."""

    def __init__(self, seat: Seat, width: int) -> None:
        super().__init__()
        self.mix, self.dropout = ScalarMix(seat.layers), Dropout(seat.dropout)
        self.lstm = nn.LSTM(seat.width + PLACES, width, batch_first=True, bidirectional=True)

    def layer_weights(self) -> list[float]:
        """The shares of the layers in the mix."""
        return self.mix.shares()

    def read(self, states: Float[Tensor, "B U L D"], batch: Mapping[str, Tensor]) -> Float[Tensor, "B U H"]:
        """The LSTM's states at the units; zeros at padding."""
        if states.shape[1] == 0:
            return states.new_zeros(states.shape[0], 0, 2 * self.lstm.hidden_size)
        mixed = placed(self.dropout(self.mix(states)), batch)
        lengths = batch["sites"].sum(1).clamp(min=1).cpu()
        packed = pack_padded_sequence(mixed, lengths, batch_first=True, enforce_sorted=False)
        return pad_packed_sequence(self.lstm(packed)[0], batch_first=True, total_length=states.shape[1])[0]
