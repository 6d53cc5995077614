"""The output layer of a language model with 50,000 words: the sampled softmax beside the whole one, there and back, in turns.

    python bench/sampled.py [--rounds 5]

One thread, fp32, words drawn as often as Zipf's law has them; a turn is measured in CPU seconds of the process, a ratio is the median
over rounds. The whole softmax is PyTorch's (`F.linear`, `F.cross_entropy`) and ours, which keeps no table of predictions by words.
"""

import os

os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from stemma.layers.allocator import keep_freed_memory
from stemma.layers.loss import cross_entropy
from stemma.layers.sampled import Proposal, sampled_cross_entropy

WORDS = 50_000
SHAPES = ((128, 2560, 2048), (512, 2560, 8192))  # numbers in a state, predictions, draws: ELMo's preset small, the paper's


def turn(loss: Callable[[], Tensor], leaves: list[Tensor]) -> float:
    """CPU seconds of the loss and of all its gradients."""
    began = time.process_time()
    loss().backward()
    spent = time.process_time() - began
    for leaf in leaves:
        leaf.grad = None
    return spent


def main() -> None:
    """Prints a line a shape."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    keep_freed_memory()
    print(f"{'width, predictions, draws':<28}{'sampled s':>12}{'over torch':>12}{'over ours':>12}")
    for width, predictions, draws in SHAPES:
        torch.manual_seed(0)
        counts = 1e6 / torch.arange(1, WORDS + 1)
        labels, proposal = torch.multinomial(counts, predictions, replacement=True), Proposal(counts, 1.0)
        hidden, table, bias = torch.randn(predictions, width), torch.randn(WORDS, width) * 0.05, torch.zeros(WORDS)
        leaves = [x.requires_grad_() for x in (hidden, table, bias)]

        def sampled(h=hidden, w=table, b=bias, y=labels, q=proposal, size=draws) -> Tensor:  # type: ignore[no-untyped-def]
            return sampled_cross_entropy(h, w, b, y, q, size)

        def torchs(h=hidden, w=table, b=bias, y=labels) -> Tensor:  # type: ignore[no-untyped-def]
            return F.cross_entropy(F.linear(h, w, b), y, reduction="sum")

        def ours(h=hidden, w=table, b=bias, y=labels) -> Tensor:  # type: ignore[no-untyped-def]
            return cross_entropy(h, w, b, y)

        turns = [[turn(loss, leaves) for loss in (sampled, torchs, ours)] for _ in range(rounds + 1)][1:]
        over = [statistics.median(row[k] / row[0] for row in turns) for k in (1, 2)]
        own = statistics.median(row[0] for row in turns)
        print(f"{f'{width}, {predictions}, {draws}':<28}{own:12.3f}{over[0]:12.1f}{over[1]:12.1f}", flush=True)


if __name__ == "__main__":
    main()
