"""LSTM language-model training beside a plain loop: torch.nn.LSTM, the whole softmax, AdamW, all in float32.

    python bench/recurrent.py [--widths 256 512] [--vocab 8192] [--columns 64] [--window 64] [--rounds 5] [--outputs full adaptive sampled]

Both sides read the same columns of the same made-up stream, 4,096 tokens a step, on one thread, and carry their state. They take turns
of one step; a turn is measured in CPU seconds of the process, a ratio is the median over rounds. Losses are of the last step's batch
after as many steps on each side, exact and in float32.
"""

import os

os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

import argparse
import statistics
import time
from collections.abc import Iterator
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from stemma.layers.allocator import keep_freed_memory
from stemma.lineage.lstm import LSTM, Config
from stemma.objectives.streams import Config as Columns
from stemma.objectives.streams import Streams
from stemma.tokens.facts import TokenFacts

RATE = 1e-3
DROPPED = {"dropout": 0.0, "dropout_input": 0.0, "dropout_hidden": 0.0}


class Plain(nn.Module):
    """What a tutorial would write."""

    def __init__(self, width: int, vocab_size: int) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocab_size, width)
        self.lstm = nn.LSTM(width, width, batch_first=True)
        self.output = nn.Linear(width, vocab_size)

    def loss(self, batch: dict[str, torch.Tensor], state: Any) -> tuple[torch.Tensor, Any]:
        """The mean loss, and the state to go on from."""
        y, (h, c) = self.lstm(self.tokens(batch["ids"]), state)
        return F.cross_entropy(self.output(y).flatten(0, 1), batch["labels"].flatten()), (h.detach(), c.detach())


def stream(vocab_size: int, tokens: int) -> SimpleNamespace:
    """Documents of words as often as Zipf says, a word in two repeating what followed the word before it: something can be learnt."""
    rng = np.random.default_rng(0)
    chances = 1 / np.arange(1, vocab_size)
    ids = rng.choice(np.arange(1, vocab_size), tokens, p=chances / chances.sum())
    follows = rng.permutation(vocab_size - 1) + 1
    again = rng.random(tokens) < 0.5
    for place in range(1, tokens):
        if again[place]:
            ids[place] = follows[ids[place - 1] - 1]
    starts = np.append(np.arange(0, tokens, 500), tokens)
    return SimpleNamespace(ids=ids, sentence_starts=starts, document_starts=np.arange(len(starts)))


def batches(store: SimpleNamespace, facts: TokenFacts, columns: int, window: int) -> Iterator[dict[str, torch.Tensor]]:
    """The epoch's batches, as tensors."""
    data = Streams(store, facts, Columns(window), seed=0, batch_tokens=columns * window)  # type: ignore[arg-type]
    for step in range(data.steps_in_epoch(0)):
        yield {name: torch.from_numpy(array) for name, array in data.batch(step).items()}


class Contestant:
    """A network in training, a step at a time."""

    def __init__(self, name: str, network: nn.Module) -> None:
        self.name, self.network, self.speeds = name, network, list[float]()
        self._optimiser = torch.optim.AdamW(network.parameters(), lr=RATE, fused=True)
        self._carried: Any = None

    def step(self, batch: dict[str, torch.Tensor]) -> None:
        """One update, timed."""
        began = time.process_time()
        if isinstance(self.network, LSTM):
            with torch.autocast("cpu", torch.bfloat16) if self.name.endswith("bf16") else nullcontext():
                loss = self.network.loss(batch, self._carried)
            mean, self._carried = loss.mean, loss.carried
        else:
            assert isinstance(self.network, Plain)
            mean, self._carried = self.network.loss(batch, self._carried)
        mean.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self._optimiser.step()
        self._optimiser.zero_grad(set_to_none=True)
        self.speeds.append(batch["labels"].numel() / (time.process_time() - began))

    @torch.no_grad()
    def exact(self, batch: dict[str, torch.Tensor]) -> float:
        """The mean loss in float32."""
        self.network.eval()
        found = self.network.loss(batch, self._carried)  # type: ignore[operator]
        return float(found.mean if isinstance(self.network, LSTM) else found[0])


def race(width: int, options: argparse.Namespace) -> None:
    """Prints a line a contestant."""
    columns, window = options.columns, options.window
    store = stream(options.vocab, columns * window * (options.rounds + 3))
    facts = TokenFacts(options.vocab, {"eos": 0}, np.bincount(store.ids, minlength=options.vocab))
    torch.manual_seed(0)
    contestants = [Contestant("plain fp32", Plain(width, options.vocab))]
    for output in options.outputs:
        for precision in ("bf16", "fp32") if output == "full" else ("bf16",):
            network = LSTM(Config(width=width, depth=1, output=output, **DROPPED), facts)  # type: ignore[arg-type]
            contestants.append(Contestant(f"stemma {output} {precision}", network.train()))
    *steps, last = [batch for batch in batches(store, facts, columns, window) if batch["ids"].shape[1] == window]
    for number, batch in enumerate(steps[: options.rounds + 1]):
        for contestant in contestants:
            contestant.step(batch)
            if not number:
                contestant.speeds.clear()  # the first step compiles kernels
    plain = contestants[0]
    for contestant in contestants:
        ratio = statistics.median(a / b for a, b in zip(contestant.speeds, plain.speeds, strict=True))
        speed, loss = statistics.median(contestant.speeds), contestant.exact(last)
        line = f"{speed:>9,.0f} tokens/s  {ratio:5.2f} x plain  loss {loss:.3f}"
        print(f"width {width}, vocabulary {options.vocab:,}  {contestant.name:22} {line}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--widths", type=int, nargs="+", default=[256, 512])
    parser.add_argument("--vocab", type=int, default=8192)
    parser.add_argument("--columns", type=int, default=64)
    parser.add_argument("--window", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--outputs", nargs="+", default=["full", "adaptive", "sampled"], choices=["full", "adaptive", "sampled"])
    options = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()  # to the good of both sides
    for width in options.widths:
        race(width, options)


if __name__ == "__main__":
    main()
