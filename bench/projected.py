"""ELMo's layer, an LSTM with a projection, beside `torch.nn.LSTM(proj_size=…)`, which does not clip: there and back, in turns.

    python bench/projected.py [--rounds 15]

One thread, 20 steps of 64 or 32 rows; a turn is measured in CPU seconds of the process, a ratio is the median over rounds.
"""

import os

os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

import argparse
import statistics
import time
import warnings
from contextlib import nullcontext

import torch
from torch import nn

from stemma.layers.allocator import keep_freed_memory
from stemma.layers.projected import ProjectedLSTM

STEPS = 20
SHAPES = ((64, 64, 256), (64, 128, 512), (64, 256, 1024), (32, 512, 4096))  # rows, projection, cells: tiny, small, between, the paper's


def turn(layer: nn.Module, x: torch.Tensor, half: bool) -> float:
    """CPU seconds of the layer and of all its gradients."""
    began = time.process_time()
    with torch.autocast("cpu", torch.bfloat16) if half else nullcontext():
        y = layer(x)[0]
    y.sum().backward()
    return time.process_time() - began


def main() -> None:
    """Prints a line a shape and precision."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    keep_freed_memory()
    warnings.filterwarnings("ignore", "LSTM with projections")
    print(f"{'rows, projection, cells':<26}{'':<6}{'stemma':>12}{'torch':>12}{'ratio':>8}   words a second of one direction")
    for rows, projection, cells in SHAPES:
        torch.manual_seed(0)
        own, peer = ProjectedLSTM(projection, cells, projection, 3.0), nn.LSTM(projection, cells, proj_size=projection, batch_first=True)
        x = torch.randn(rows, STEPS, projection, requires_grad=True)
        for half in (False, True):
            pairs = [(turn(own, x, half), turn(peer, x, half)) for _ in range(rounds + 2)][2:]
            ours, theirs = (rows * STEPS / statistics.median(column) for column in zip(*pairs, strict=True))
            ratio = statistics.median(b / a for a, b in pairs)
            print(
                f"{f'{rows}, {projection}, {cells}':<26}{'bf16' if half else 'fp32':<6}{ours:12,.0f}{theirs:12,.0f}{ratio:8.2f}", flush=True
            )


if __name__ == "__main__":
    main()
