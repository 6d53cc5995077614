"""What each of one process or several does in `test_learners.py`: six updates, with a state saved and taken up on the way."""

import sys
from pathlib import Path

import torch

from recurrent import Columns, drawn
from stemma.checkpoint import map_tensors, write_tensors
from stemma.training.backprop import Backprop, evaluate
from stemma.training.ranks import Ranks, join
from stemma.training.settings import Config

CONFIG = Config(optimiser="asgd", precision="fp32", rate=0.5, weight_decay=0.0)
WORSE = [3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 4.0]  # held-out losses after which weights are averaged


COLUMNS = (4, 1)  # of one text, and of another that gives the second of two processes none


def saved_and_taken_up(folder: Path) -> None:
    """Leaves the last state of each text in a folder of its own, a file for each of its groups."""
    with join() as ranks:
        for columns in COLUMNS:
            _learnt(Columns(columns=columns), folder / str(columns), ranks)


def _learnt(text: Columns, folder: Path, ranks: Ranks) -> None:
    folder.mkdir(exist_ok=True)
    first, second = (Backprop(drawn(seed), CONFIG, torch.device("cpu"), "fp32", ranks) for seed in (0, 1))
    _step(first, text, range(2), ranks)
    for loss in WORSE:
        first.judge(loss)
    _step(first, text, range(2, 4), ranks)
    _save(first, folder, ranks)
    second.restore({path.stem: map_tensors(path) for path in folder.glob("*.safetensors")})
    _step(second, text, range(4, 6), ranks)
    mean, _ = evaluate(second, text, CONFIG, ranks)
    assert ranks.agree(mean) == mean
    _save(second, folder, ranks)


def _step(learner: Backprop, text: Columns, steps: range, ranks: Ranks) -> None:
    for step in steps:
        learner.step([text.batch(2 * step + part, ranks.rank, ranks.count) for part in range(2)], 0.5, step)


def _save(learner: Backprop, folder: Path, ranks: Ranks) -> None:
    arrays = learner.state()
    assert bool(arrays) == ranks.first
    for group, tensors in arrays.items():
        write_tensors(folder / f"{group}.safetensors", tensors)
    ranks.wait()


if __name__ == "__main__":
    saved_and_taken_up(Path(sys.argv[1]))
