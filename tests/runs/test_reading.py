"""Texts of any length are read in windows, a group of them at a time: memory does not grow with the text."""

import numpy as np
import pytest
import torch

from stemma.runs import reading


class Echo:
    """Its states are the ids themselves; an id costs itself plus a thousandth of what its window shows before it."""

    def __init__(self, max_length: int | None) -> None:
        self.max_length, self.shapes = max_length, []

    def frame(self, ids: list[int]) -> tuple[list[int], list[int]]:
        return [0, *ids], [0] * (len(ids) + 1)

    def encode(self, batch: dict[str, torch.Tensor]) -> list[torch.Tensor]:
        self.shapes.append(tuple(batch["ids"].shape))
        return [batch["ids"][..., None].float()]

    def score(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        self.shapes.append(tuple(batch["ids"].shape))
        return batch["ids"] + 0.001 * torch.arange(batch["ids"].shape[1])


class Unframed(Echo):
    """The same, with nothing before a text."""

    def frame(self, ids: list[int]) -> tuple[list[int], list[int]]:
        return [*ids, 0], [0] * (len(ids) + 1)


TEXTS = [np.arange(1, 101), np.array([], np.int64), np.array([7]), np.arange(1, 8)]


@pytest.mark.parametrize("max_length", [None, 9])
def test_every_token_is_read_once_within_bounds(monkeypatch: pytest.MonkeyPatch, max_length: int | None) -> None:
    for name, bound in {"LONGEST": 8, "GATHERED": 20, "BATCH_POSITIONS": 18}.items():
        monkeypatch.setattr(reading, name, bound)
    network, window = Echo(max_length), max_length or 8
    found = {number: np.zeros(len(text)) for number, text in enumerate(TEXTS)}
    for piece, states in reading.states(network, TEXTS, -1):
        found[piece.text][piece.first : piece.first + len(piece.ids)] += states[0, :, 0]
    assert all((found[number] == text).all() for number, text in enumerate(TEXTS))
    nats = reading.surprises(network, TEXTS)
    assert [np.floor(own).tolist() for own in nats] == [text.tolist() for text in TEXTS]
    context = np.round(1000 * (nats[0] % 1)).astype(int)  # tokens of the window before each
    assert (context[window:] >= window // 2 - 1).all() and context[0] == 1
    assert max(rows * length for rows, length in network.shapes) <= 18 and max(length for _, length in network.shapes) <= window


def test_a_text_that_nothing_stands_before_is_scored_after_the_end_of_another() -> None:
    network = Unframed(None)
    nats = reading.surprises(network, TEXTS, end=900)
    assert [np.floor(own).tolist() for own in nats] == [text.tolist() for text in TEXTS]
    assert np.allclose([own[0] % 1 for own in nats if len(own)], 0.001, atol=1e-5)  # one token before each
