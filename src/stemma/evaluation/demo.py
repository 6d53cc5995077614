"""The demonstration: the comparison on the embedded default, the docstrings of the installed packages."""

from pathlib import Path
from typing import Any

from stemma.corpus.docstrings import write_docstrings
from stemma.evaluation.compare import compare
from stemma.evaluation.plan import Config
from stemma.training.order import Report
from stemma.training.settings import Fact

SECONDS = 40.0  # of pre-training for each generation, so that the whole ends within six minutes on two cores


def demo(out: str | Path, *, seconds: float = SECONDS, progress: Report | None = None) -> dict[str, Any]:
    """The report of the comparison on the embedded default, written to `out`; the same call again goes on."""
    place = Path(out) / "text"
    if progress:
        progress(Fact("note", 0, 0, message="reading the docstrings of the installed packages"))
    found = write_docstrings(place)
    config = Config(
        preset="tiny",
        budget_seconds=seconds,
        seeds=2,
        trials=2,
        train_limit=2000,
        dev_text=(str(found.dev),),
        senses=str(found.senses),
        senses_limit=100,
        held_out_characters=100_000,
        workers=2,
    )
    return compare(found.train, train=found.task_train, dev=found.task_dev, out=out, config=config, progress=progress)
