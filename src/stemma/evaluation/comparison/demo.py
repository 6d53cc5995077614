"""The demonstration: the comparison on the embedded default, the docstrings of the installed packages."""

from pathlib import Path

from stemma.bounds import real
from stemma.corpus.docstrings import write_docstrings
from stemma.evaluation.comparison.compare import compare
from stemma.evaluation.comparison.plan import Config
from stemma.evaluation.comparison.results import Results
from stemma.training.facts import Note, Report

SECONDS = 40.0  # of pre-training for each generation, so that the whole takes minutes, not hours, on two cores
TITLE = "docstrings of the installed Python packages"
WINDOWED = ("gpt", "gpt2", "bert", "bert-wwm", "albert", "tinybert", "xlnet")
_FILES = ("train.jsonl", "dev.jsonl", "task_train.tsv", "task_dev.tsv", "senses.tsv")


def demo(out: str | Path, *, seconds: float = SECONDS, progress: Report | None = None) -> Results:
    """The results of the comparison on the embedded default, written to `out`; the same call again goes on."""
    real("seconds", seconds, above=True, default=SECONDS)
    place = Path(out) / "text"
    if not all((place / name).exists() for name in _FILES):
        if progress:
            progress(Note("reading the docstrings of the installed packages"))
        write_docstrings(place)
    text, held_out, train, dev, senses = (place / name for name in _FILES)
    config = Config(
        preset="tiny",
        budget_seconds=seconds,
        title=TITLE,
        modes=("frozen", "random", "finetune", "scratch"),  # the time goes to pre-training
        seeds=3,  # of two, nearly nothing can be said for certain
        trials=2,
        train_limit=1000,
        dev_text=(str(held_out),),
        senses=str(senses),
        senses_limit=100,
        held_out_characters=100_000,
        workers=2,
        parallel=2,
        threads=1,  # two networks on a core each learn more than one network on two cores
        settings=(
            *(f"{name}.model.max_length=128" for name in WINDOWED),  # no text is longer
            "transfer.updates=80",
        ),
    )
    return compare(text, train=train, dev=dev, out=out, config=config, progress=progress)
