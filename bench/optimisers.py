"""Muon beside AdamW: what the same CPU seconds teach, over seeds, generations and texts.

python bench/optimisers.py novels.txt=novels-dev.txt articles.txt=articles-dev.txt --preset tiny --seconds 60

AdamW is given the best of its rates, found on the first seed; Muon has the preset's. Both learn on one thread, in turns, the same network
from the same text; the held-out loss is that of the whole objective (masked tokens and pairs for BERT). The optimiser's share is that of
the seconds of learning which its updates take.
"""

import argparse
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, process_time
from unittest import mock

import stemma
from stemma.training.facts import HeldOut, Update
from stemma.training.optimisers import Optimiser


@dataclass(frozen=True)
class Learnt:
    """What one run came to."""

    loss: float  # held out, nats
    tokens: int
    cpu_seconds: float
    share: float  # of the seconds of learning: the optimiser's


def learnt(generation: str, text: Path, dev: Path, preset: str, settings: dict[str, float | str]) -> Learnt:
    """One run in a folder of its own, which is thrown away."""
    losses: list[float] = []
    updates: list[Update] = []
    inside, update = [0.0], Optimiser.update

    def keep(event: object) -> None:
        if isinstance(event, HeldOut):
            losses.append(event.loss)
        if isinstance(event, Update):
            updates.append(event)

    def timed(optimiser: Optimiser, rate: float) -> None:
        began = perf_counter()
        update(optimiser, rate)
        inside[0] += perf_counter() - began

    with tempfile.TemporaryDirectory() as folder, mock.patch.object(Optimiser, "update", timed):
        began = process_time()
        own = {"training.threads": 1, **settings}
        stemma.pretrain(generation, text, dev=dev, out=Path(folder) / "run", preset=preset, settings=own, progress=keep)
        return Learnt(losses[-1], updates[-1].tokens, process_time() - began, inside[0] / updates[-1].seconds)


def beside(generation: str, text: Path, dev: Path, preset: str, seconds: float, seeds: Sequence[int], rates: Sequence[float]) -> None:
    """Prints a line for each optimiser."""
    budget: dict[str, float | str] = {"training.tokens": 0, "training.seconds": seconds, "training.evaluations": 1}
    adamw: dict[str, float | str] = {"training.optimiser": "adamw", **budget}

    def one(settings: dict[str, float | str], seed: int) -> Learnt:
        return learnt(generation, text, dev, preset, {**settings, "training.seed": seed})

    first = {rate: one({**adamw, "training.rate": rate}, seeds[0]) for rate in rates}
    rate = min(first, key=lambda rate: first[rate].loss)
    muon = [one(budget, seed) for seed in seeds]
    plain = [first[rate], *(one({**adamw, "training.rate": rate}, seed) for seed in seeds[1:])]
    for name, runs in ("muon", muon), (f"adamw at {rate:g}", plain):
        losses = [run.loss for run in runs]
        print(
            f"{generation:9} {text.stem:14} {preset:6} {name:16} held out {statistics.mean(losses):.3f} nats "
            f"({' '.join(f'{loss:.3f}' for loss in losses)}), {statistics.mean(run.tokens for run in runs) / 1e6:.2f} M tokens, "
            f"{statistics.mean(run.cpu_seconds for run in runs):.0f} s of CPU, reading included; the optimiser takes "
            f"{statistics.mean(run.share for run in runs):.0%} of learning",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("texts", nargs="+", metavar="TEXT=DEV", help="a corpus and its held-out text")
    parser.add_argument("--generations", nargs="+", default=["bert", "gpt"])
    parser.add_argument("--preset", default="tiny")
    parser.add_argument("--seconds", type=float, default=60, help="of learning, for each run")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--rates", type=float, nargs="+", default=[1e-3, 3e-3], help="AdamW's, of which the first seed chooses")
    asked = parser.parse_args()
    for pair in asked.texts:
        text, _, dev = pair.partition("=")
        for generation in asked.generations:
            beside(generation, Path(text), Path(dev), asked.preset, asked.seconds, asked.seeds, asked.rates)


if __name__ == "__main__":
    main()
