"""What a finished network costs in use: operations and seconds to read a text, which its number of parameters does not tell.

ALBERT's layers share their weights and compute as much as BERT's; a table of a million words costs nothing to look up.
"""

import math
import statistics
import time
from typing import Any, cast

import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from stemma.lineage.table import Network
from stemma.training.precision import autocast

LENGTH = 128  # tokens of the text that is read, or as many as the network has positions for
REPEATS = 5


def _attention(query: tuple[int, ...], key: tuple[int, ...], value: tuple[int, ...], *_: Any, **__: Any) -> int:
    """What PyTorch counts for attention on a GPU alone."""
    return int(sdpa_flop_count(query, key, value))


def _lstm(x: tuple[int, ...], inward: tuple[int, ...], onward: tuple[int, ...], *_: Any, **__: Any) -> int:
    """What PyTorch does not count of oneDNN's LSTM: each step's products with the gates' matrices, of the input and of the state."""
    return 2 * math.prod(x[:-1]) * (math.prod(inward) + math.prod(onward))


ALSO = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    torch.ops.aten.mkldnn_rnn_layer: _lstm,
}


def reading_cost(network: torch.nn.Module, precision: str) -> dict[str, float]:
    """`reading_flops_per_token` and `reading_ms` of one text of `reading_tokens`, its states computed in all layers.

    Counted are the products of matrices, a multiplication and an addition as two, as PyTorch counts them; the time is the median of
    a few, on the device and with the threads that the network was trained with.
    """
    device, encoder = next(network.parameters()).device, cast(Network, network)
    length = min(LENGTH, encoder.max_length or LENGTH)
    ids = torch.arange(length, device=device)[None] % encoder.vocab_size
    network.eval()
    with torch.inference_mode(), autocast(device, precision):
        with FlopCounterMode(display=False, custom_mapping=ALSO) as counter:
            encoder.encode({"ids": ids})
        seconds = [_seconds(encoder, ids) for _ in range(REPEATS)]
    flops = counter.get_total_flops() / length
    return {"reading_tokens": length, "reading_flops_per_token": flops, "reading_ms": 1000 * statistics.median(seconds)}


def _seconds(encoder: Network, ids: torch.Tensor) -> float:
    begun = time.perf_counter()
    encoder.encode({"ids": ids})
    if ids.device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - begun
