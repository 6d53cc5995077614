"""The demonstration: the comparison on the embedded default, the docstrings of the installed packages."""

from pathlib import Path

from stemma.bounds import real
from stemma.corpus.docstrings import write_docstrings
from stemma.evaluation.comparison.compare import compare
from stemma.evaluation.comparison.plan import Config
from stemma.evaluation.comparison.results import Results
from stemma.lineage.table import TABLE
from stemma.training.facts import Note, Report

SECONDS = 40.0  # of pre-training for each generation, so that the whole takes minutes, not hours, on two cores
TITLE = "docstrings of the installed Python packages"
_FILES = ("train.jsonl", "dev.jsonl", "task_train.tsv", "task_dev.tsv", "senses.tsv")

JUDGED_ON_THE_WAY = [row for row in TABLE if row.ready and row.learns == "descend" and row.updates == "backprop"]
IN_PIECES = [row for row in JUDGED_ON_THE_WAY if row.tokenizer in ("bpe", "wordpiece", "unigram") and not row.teacher]
READING_WHOLE = [row for row in TABLE if row.ready and row.blocks and "translate" not in row.abilities]  # windows of 64 in `tiny`


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
            *(f"{row.name}.model.max_length=128" for row in READING_WHOLE),  # no text is longer
            *(f"{row.name}.training.evaluation_tokens=10000" for row in JUDGED_ON_THE_WAY),  # of 50,000, judging took as long as learning
            *(f"{row.name}.tokenizer.vocab_size=2048" for row in IN_PIECES),  # of 4,096; so small a budget learns no rare pieces
            "transformer.model.width=64",  # neither of the two that translate learns much of one language: they are small at least
            "transformer.model.inner=256",
            "seq2seq.model.width=64",
            "seq2seq.model.cells=128",
            "transfer.updates=60",
            "transfer.epochs=2",
        ),
    )
    return compare(text, train=train, dev=dev, out=out, config=config, progress=progress)
