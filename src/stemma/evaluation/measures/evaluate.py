"""`stemma evaluate`: the measures that fit a run, on the user's own files."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from stemma.bounds import whole
from stemma.config import restore
from stemma.corpus import read as corpus_read
from stemma.corpus.clean import UNSEEN
from stemma.corpus.document import Document, Ledger
from stemma.corpus.given import warn_of
from stemma.errors import DataError, UsageError
from stemma.evaluation.measures import senses
from stemma.evaluation.measures.cloze import Units, cloze
from stemma.evaluation.measures.judge import Judge
from stemma.evaluation.measures.minimal_files import read_minimal_pairs
from stemma.evaluation.measures.minimal_pairs import ABILITIES, minimal_pairs
from stemma.evaluation.measures.perplexity import backward, blocks, perplexity
from stemma.evaluation.measures.posed import Posed
from stemma.evaluation.measures.similarity import analogies, odd_words, similarity
from stemma.evaluation.measures.word_files import read_analogies, read_group, read_pairs
from stemma.evaluation.measures.zero_shot import way_of, zero_shot
from stemma.lineage.table import Ability, able
from stemma.runs.fitted import FittedRun
from stemma.runs.run import Run
from stemma.tasks.table import make_task

Measured = Callable[[Run, Sequence[str]], Any]  # (run, paths) -> what is found
MEASURES: dict[str, tuple[Ability, ...]] = {  # -> the ability it needs, or one of several
    "perplexity": ("score",),
    "translation": ("translate",),
    "similarity": ("nearest",),
    "analogies": ("nearest",),
    "outliers": ("nearest",),
    "senses": ("embed",),
    "minimal_pairs": ABILITIES,
    "cloze": ("fill",),
    "probe": ("embed",),
}


def evaluate_run(run: Run, files: Mapping[str, Sequence[str]], restrict: int = 0, limit: int = 0, units: Units = "words") -> dict[str, Any]:
    """The measures of a pre-trained run: of each name in `files`, what it says on those files.

    `restrict` keeps that many of the most frequent words as answers to analogies, `limit` draws that many minimal pairs of
    each phenomenon, and examples of each file that layers are probed with; 0 all. `units` are what a cloze hides.
    """
    restrict, limit = whole("restrict", restrict, default=0), whole("limit", limit, default=0)
    for measure in files:
        needed = MEASURES[measure]
        if not set(needed) & set(run.row.abilities):
            fitting = [name for name, abilities in MEASURES.items() if set(abilities) & set(run.row.abilities)]
            wrong = f"{_option(measure)} asks for the ability {' or '.join(needed)}, which {run.row.name} lacks"
            others = " or ".join(map(_option, fitting))
            mend = f"name {others}, or a run of {able(*needed)}" if others else f"fine-tune it first, or name a run of {able(*needed)}"
            raise UsageError(wrong, f"a measure that suits {run.row.name}", mend)
    own: dict[str, Measured] = {
        "analogies": partial(_analogies, restrict=restrict),
        "minimal_pairs": partial(_minimal_pairs, limit=limit),
        "cloze": partial(_cloze, units=units),
        "probe": partial(_probes, limit=limit),
    }
    measured = _MEASURED | own
    return {measure: measured[measure](run, paths) for measure, paths in files.items()}


def _option(measure: str) -> str:
    """What the command line calls the measure."""
    return {"perplexity": "a text", "translation": "a table of pairs"}.get(measure, f"--{measure.replace('_', '-')}")


def of_text(run: Run | FittedRun) -> str:
    """The measure that a file named alone is for: of a pre-trained run its own loss or its translations, of a fine-tuned one its task."""
    if isinstance(run, FittedRun):
        return "translation" if run.task.per == "target" else "task"
    return "translation" if "translate" in run.row.abilities else "perplexity"


def evaluate_fitted(run: FittedRun, path: str | Path) -> dict[str, Any]:
    """What a fine-tuned run is worth on a file of its task."""
    measured = {"task": evaluate_task, "translation": lambda run, path: _translation(run, [str(path)])}
    name = of_text(run)
    return {name: measured[name](run, path)}


def evaluate_task(run: FittedRun, path: str | Path) -> dict[str, Any]:
    """The task's metrics, with 95 % intervals, of a fine-tuned run on a file of the task, and label by label."""
    task, targets = run.task, run.targets
    examples = task.read(path, learning=False)
    gold = task.gold(examples, targets)
    decoded = task.decode(run.answers(examples), targets)
    measures = {name: found.as_dict() for name, found in Judge(task, targets, gold).intervals([decoded]).items()}
    least = task.floor(gold, gold, task.texts(examples), targets)
    how = least.get("how") or f"always {least['answer']}"
    plain = {"how": how, task.metrics(targets)[0].name: least["value"], **least.get("ways", {})}
    classes = task.breakdown(gold, decoded, targets)
    return {"examples": len(examples), **measures, "without_learning": plain, **({"classes": classes} if classes else {})}


def evaluate_zero_shot(run: Run | FittedRun, data: str | Path | Sequence[Any], task: str, posed: Posed) -> dict[str, Any]:
    """What a pre-trained run gets on a task that it has not learnt: on a file of it, or on examples as `Task.given` takes them."""
    if isinstance(run, FittedRun):
        wrong, mend = f"the run is fine-tuned on the task {run.task.name}", "name the run that it was made from, or drop --zero-shot"
        raise UsageError(wrong, "a pre-trained run", mend)
    made = make_task(task)
    way_of(made)  # a task that cannot be posed is refused before its file is read
    examples = made.read(data, learning=False) if isinstance(data, (str, Path)) else made.given(data)
    return {"zero_shot": zero_shot(run, made, examples, posed)}


def _perplexity(run: Run, paths: Sequence[str]) -> dict[str, Any]:
    texts = _texts(run, paths)
    found = perplexity(run, texts)
    found |= backward(run, texts, found["tokens"]) if run.row.backward else {}
    return {name: value for name, value in found.items() if name != "each"}


def _texts(run: Run, paths: Sequence[str]) -> list[Document]:
    """The text of the files, read as the run's own was, in blocks; a warning counts what no reader sees."""
    config = restore(corpus_read.Config, run.config.get("corpus", {}), str(run.path))  # an imported run has read none
    ledger = Ledger()
    try:
        found = blocks(corpus_read.read(paths, config, ledger))
    except DataError as error:
        if "corpus." not in error.mend:
            raise
        cure = "give it the form and the encoding of the text that the run learnt from (config.json, section corpus)"
        raise DataError(error.wrong, error.expected, cure) from error  # nobody can set here what corpora are read by
    warn_of(Counter({reason: count for reason, count in ledger.rejected.items() if reason in UNSEEN}))
    return found


def _cloze(run: Run, paths: Sequence[str], units: Units) -> dict[str, Any]:
    return {"files": list(paths), **cloze(run, _texts(run, paths), units).as_dict()}


def _translation(run: Run | FittedRun, paths: Sequence[str]) -> dict[str, Any]:
    from stemma.evaluation.measures.translation import translation, writer_of  # torch: other measures do without

    task = run.task if isinstance(run, FittedRun) else make_task("translate")
    examples = [example for path in paths for example in task.read(path, learning=False)]
    if isinstance(run, Run) and run.config["objective"].get("reverse"):  # it writes the first text of a pair
        examples = [replace(example, source=example.target, target=example.source) for example in examples]
    return translation(writer_of(run, examples), examples)


def _similarity(run: Run, paths: Sequence[str]) -> list[dict[str, Any]]:
    results = [(path, similarity(run.words, read_pairs(path)).as_dict()) for path in paths]
    return [{"file": path, **{name: value for name, value in found.items() if name != "each"}} for path, found in results]


def _analogies(run: Run, paths: Sequence[str], restrict: int) -> list[dict[str, Any]]:
    return [{"file": path, **analogies(run.words, read_analogies(path), restrict).as_dict()} for path in paths]


def _outliers(run: Run, paths: Sequence[str]) -> dict[str, Any]:
    return odd_words(run.words, map(read_group, paths)).as_dict()


def _senses(run: Run, paths: Sequence[str]) -> dict[str, Any]:
    train, test = senses.split_half([occurrence for path in paths for occurrence in senses.read_senses(Path(path))])
    found = senses.probe(run, train, test, in_context=run.row.in_context)
    probes = {result["title"]: result["accuracy"] for result in found["probes"]}
    layers = {f"layer {n}": accuracy for n, accuracy in enumerate(found["layers"])}
    counts = {"occurrences": len(test), "left_out": found["without_vector"]}
    return {"majority": senses.majority(train, test), "probes": probes, "layers": layers, **counts}


def _minimal_pairs(run: Run, paths: Sequence[str], limit: int) -> dict[str, Any]:
    return {"files": list(paths), **minimal_pairs(run, read_minimal_pairs(paths), limit).as_dict()}


def _probes(run: Run, paths: Sequence[str], limit: int) -> list[dict[str, Any]]:
    from stemma.evaluation.measures.probe_files import read_probe  # with all of transfer behind it
    from stemma.evaluation.measures.probes import probe

    return [probe(run, file).as_dict() for file in [read_probe(path, limit) for path in paths]]


_MEASURED: dict[str, Measured] = {
    "perplexity": _perplexity,
    "translation": _translation,
    "similarity": _similarity,
    "outliers": _outliers,
    "senses": _senses,
}
