# ruff: noqa: F722 (axis names stand in annotations)
"""Drawing the next token: temperature, top-k (Fan 2018) and nucleus (Holtzman 2020) sampling."""

import torch
from jaxtyping import Float
from torch import Tensor

from stemma.errors import UsageError


def sample(logits: Float[Tensor, " V"], temperature: float, top_k: int, top_p: float, generator: torch.Generator | None) -> int:
    """A token drawn from softmax(logits / temperature), cut to the `top_k` likeliest (0: all) and to the
    smallest set that holds `top_p` of the mass; temperature 0 takes the likeliest."""
    if temperature < 0 or top_k < 0 or not 0 < top_p <= 1:
        told = f"temperature {temperature}, top_k {top_k}, top_p {top_p}"
        raise UsageError(told, "temperature >= 0, top_k >= 0 and 0 < top_p <= 1", "mend the one out of range")
    if temperature == 0:
        return int(logits.argmax())
    chances, tokens = torch.softmax(logits.float() / temperature, -1).sort(descending=True)
    if top_k:
        chances = chances[:top_k]
    if top_p < 1:
        before = chances.cumsum(-1) - chances  # mass of the likelier ones: the first token always stays
        chances = chances[before < top_p * chances.sum()]
    return int(tokens[torch.multinomial(chances, 1, generator=generator)])
