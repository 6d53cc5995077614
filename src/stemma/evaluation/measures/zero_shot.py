"""Zero-shot: a task posed as text to a pre-trained run that has learnt nothing of it (Radford 2019).

- `classify`, and `pair` with a template or words for its labels: each label's word is put into a template after the text, and the
  likeliest label is given (`measures.choosing`).
- `choice`: the likeliest candidate, as what follows the context, or in the blank `____` that it has (a cloze with candidates).
- `pair` and `regress`: how alike two texts are, the cosine of their vectors; of a run without vectors how much likelier the first
  text makes the second. Of pairs with two labels, that is the share of pairs of unlike labels that it puts in the right order.
- `generate` and `translate`: what is written after a prompt (`measures.prompted`).

Every answer is held against what needs no language model, on the same examples: always the commonest label, choosing by lot, the
source copied or cut. Small runs are often no better, and `doubt` says so.

N examples, K answers.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from stemma.corpus.choices import Choice
from stemma.corpus.task import Example
from stemma.errors import DataError, UsageError
from stemma.evaluation.measures.chance import Found, beside, judged
from stemma.evaluation.measures.choosing import Normalise, chances, likelihood_of, way, worth
from stemma.evaluation.measures.intervals import Interval, area_effects, interval_of
from stemma.evaluation.measures.judge import Judge
from stemma.evaluation.measures.posed import Posed, label_words
from stemma.evaluation.measures.prompted import prompt, summaries, translations
from stemma.evaluation.measures.templates import Slot, Template, behind, between
from stemma.nouns import counted
from stemma.runs.run import Run
from stemma.tasks.task import Metric, Targets, Task
from stemma.tasks.translate import is_chinese
from stemma.transfer.selection import drawn

TEMPLATES = ("{text} This is about {label}.", "{text}这是关于{label}的。")  # for English and for Chinese texts, where none is given
OF_PAIRS = ("{text} {label}, {text_b}", "{text}{label}，{text_b}")
AREA = Metric("area", "area under the ROC curve", digits=3)
BLANK = re.compile(r"_{3,}|\[MASK\]")  # in a context, where the candidate stands


def zero_shot(run: Run, task: Task, examples: Sequence[Any], posed: Posed) -> Found:
    """What the run is worth on the task without learning, JSON-able, beside what needs no language model.

    UsageError for a task that cannot be posed as text, a run that cannot answer it so, and an option that would be ignored.
    """
    way = way_of(task)
    form = way.form(task, examples, posed)  # of all examples: a draw may lack a label
    return {"task": task.name, **way.answer(run, task, drawn(examples, posed.limit), form, posed.normalise)}


def check_posed(task: Task, examples: Sequence[Any], posed: Posed) -> None:
    """UsageError where no run could be asked so: before any is trained."""
    way_of(task).form(task, examples, posed)


class Way(NamedTuple):
    """How a task is posed, and answered."""

    form: Callable[[Any, Any, Posed], Any]  # (task, examples, posed); UsageError for what it has no use for
    answer: Callable[[Run, Any, Any, Any, Normalise], Found]  # (run, task, examples, form, …)


def way_of(task: Task) -> Way:
    """How the task is put to a run that has not learnt it; UsageError where it cannot be."""
    if task.name not in _WAYS:
        raise UsageError(f"the task {task.name} without training", f"one of {', '.join(_WAYS)}", "choose one of these, or finetune the run")
    return _WAYS[task.name]


class _LabelForm(NamedTuple):
    targets: Targets
    words: list[str]  # one a label, in their order
    template: Template


def _label_form(task: Task, examples: Sequence[Example], posed: Posed) -> _LabelForm:
    posed.check(task, "template", "verbalise", "normalise")
    targets = task.targets(examples)
    if targets["several"]:
        raise UsageError("texts with several labels or none", "one label a text: the likeliest is given", "finetune the run for them")
    default = (OF_PAIRS if targets["pairs"] else TEMPLATES)[is_chinese(example.text for example in examples)]
    template = Template.of(posed.template or default, ["text", "text_b"] if targets["pairs"] else ["text"])
    return _LabelForm(targets, label_words(targets["labels"], posed.verbalise), template)


def _labels(run: Run, task: Task, examples: Sequence[Example], form: _LabelForm, normalise: Normalise) -> Found:
    """The likeliest label of each text or pair."""
    (targets, words, template), ability = form, likelihood_of(run)
    known = [run.tokenizer.encode(word) for word in words]
    for name, word, ids in zip(targets["labels"], words, known, strict=True):
        if not len(ids):
            mend = f"give it another: --verbalise {name}=WORD"
            raise DataError(f"the run's tokenizer makes nothing of {word!r}", "a word that it reads for each label", mend)
    slots = [template.filled(word, text=example.text, text_b=example.text_b) for example in examples for word in words]
    without = [template.filled(word, text="", text_b="") for word in words] * len(examples)
    worths = worth(run, slots, without, normalise).reshape(len(examples), len(words))
    gold = task.gold(examples, targets)
    given = task.decode([chances(row) for row in worths], targets)
    commonest = int(np.bincount(gold).argmax())
    how = f"always {targets['labels'][commonest]!r}"
    found = judged(task, targets, gold, given, np.full(len(gold), commonest), how)
    found["chance"]["by_lot"] = 1 / len(words)
    if found["doubt"] and len(set(given.tolist())) == 1 < len(given):
        found["doubt"] += f"; it answers {targets['labels'][given[0]]!r} whatever the text is"
    return {
        "way": way(ability, normalise),
        "template": f"{template.before}{{label}}{template.after}",
        "words": dict(zip(targets["labels"], words, strict=True)),
        "unknown": [word for word, ids in zip(words, known, strict=True) if run.lacks(ids).any()],
        **found,
        "classes": task.breakdown(gold, given, targets),
    }


def _choice_form(task: Task, examples: Sequence[Choice], posed: Posed) -> Template | None:
    posed.check(task, "template", "normalise")
    return Template.of(posed.template, ["text"]) if posed.template else None


def _choices(run: Run, task: Task, examples: Sequence[Choice], template: Template | None, normalise: Normalise) -> Found:
    """The likeliest candidate of each context."""
    ability = likelihood_of(run)
    slots = [slot for example in examples for slot in _candidates(example, template)]
    bare = [slot for example in examples for slot in _alone(example, template)]
    worths = worth(run, slots, bare, normalise)
    borders = np.cumsum([len(example.candidates) for example in examples])
    targets = task.targets(examples)
    gold = task.gold(examples, targets)
    given = task.decode([chances(row) for row in np.split(worths, borders[:-1])], targets)
    found = judged(task, targets, gold, given, None, "choosing by lot", task.floor(gold, gold, task.texts(examples), targets)["value"])
    blanks = sum(bool(BLANK.search(example.context)) for example in examples)
    posed = f"{template.before}{{label}}{template.after}" if template else ""
    return {"way": way(ability, normalise), "template": posed, "in_blanks": blanks, **found}


def _candidates(example: Choice, template: Template | None) -> list[Slot]:
    """The example with each of its candidates; DataError for a context of several blanks, or one that a template would break."""
    blanks = BLANK.split(example.context)
    if len(blanks) > 2 or (len(blanks) > 1 and template):
        wrong = f"{', line '.join(example.source.rsplit(':', 1)) or 'an example'}: {counted(len(blanks) - 1, 'blank')} in the context"
        raise DataError(wrong, "one blank, or none where there is a template", "leave one, or drop --template")
    if len(blanks) == 2:
        return [between(candidate, *blanks) for candidate in example.candidates]
    if template:
        return [template.filled(candidate, text=example.context)._replace(whole=False) for candidate in example.candidates]
    return [behind(example.context, candidate) for candidate in example.candidates]


def _alone(example: Choice, template: Template | None) -> list[Slot]:
    """Each candidate without the context, asked for as it is with it."""
    if BLANK.search(example.context):
        return [between(candidate, "", "") for candidate in example.candidates]
    if template:
        return [template.filled(candidate, text="")._replace(whole=False) for candidate in example.candidates]
    return [behind("", candidate) for candidate in example.candidates]


def _pair_form(task: Task, examples: Sequence[Example], posed: Posed) -> _LabelForm | Targets:
    if posed.template or posed.verbalise:
        return _label_form(task, examples, posed)
    posed.check(task)
    targets = task.targets(examples)
    if targets["several"] or len(targets["labels"]) > 2:
        wrong = "several labels a pair" if targets["several"] else counted(len(targets["labels"]), "label")
        raise UsageError(f"{wrong}, and no words for them", "two labels, of which likeness tells one", "add --verbalise LABEL=WORD …")
    return targets


def _pairs(run: Run, task: Task, examples: Sequence[Example], form: _LabelForm | Targets, normalise: Normalise) -> Found:
    """The likeliest label where words or a template say how labels read; else how well likeness tells two labels apart."""
    if isinstance(form, _LabelForm):
        return _labels(run, task, examples, form, normalise)
    how, likeness = _likeness(run, examples)
    gold = task.gold(examples, form)
    if gold.min() == gold.max():
        raise DataError("all pairs drawn have the same label", "pairs of both labels to rank", "raise the limit")
    area = interval_of(area_effects(likeness, gold == 1))
    above = Interval(area.value - 0.5, area.low - 0.5, area.high - 0.5)
    return {
        "way": how,
        "alike": form["labels"][1],
        "examples": len(examples),
        **beside({AREA.name: area}, AREA, "ranking by lot", 0.5, above),
    }


def _number_form(task: Task, examples: Sequence[Example], posed: Posed) -> Targets:
    posed.check(task)
    if not all(example.text_b for example in examples):
        raise UsageError("numbers for single texts", "pairs: how alike two texts are needs no training", "finetune the run for them")
    return task.targets(examples)


def _numbers(run: Run, task: Task, examples: Sequence[Example], targets: Targets, normalise: Normalise) -> Found:
    """How far likeness goes with the pairs' numbers."""
    how, likeness = _likeness(run, examples)
    judge = Judge(task, targets, task.gold(examples, targets))
    found = judge.intervals([task.decode(likeness.tolist(), targets)])
    kept = {metric.name: found[metric.name] for metric in judge.metrics if metric.higher_is_better}  # likeness has a scale of its own
    first = judge.metrics[0]
    return {"way": how, "examples": len(examples), **beside(kept, first, "always the mean", 0.0, found[first.name])}


def _likeness(run: Run, examples: Sequence[Example]) -> tuple[str, np.ndarray]:
    """How alike the two texts of each pair (N) are, and how that is found; UsageError where the run has neither vectors nor chances."""
    first, second = [example.text for example in examples], [example.text_b for example in examples]
    if "embed" in run.row.abilities:
        ours, theirs = (run.embed(texts, normalise=True) for texts in (first, second))
        return "cosine of the two texts' vectors", (ours * theirs).sum(1).astype(np.float64)
    run.require("score")
    (given, tokens), (alone, _) = (
        run.nats_from([slot.text for slot in slots], [slot.start for slot in slots])
        for slots in ([behind(a, b) for a, b in zip(first, second, strict=True)], [behind("", b) for b in second])
    )
    return "how much likelier the first text makes each token of the second", (alone - given) / np.maximum(tokens, 1)


_WAYS = {
    "classify": Way(_label_form, _labels),
    "pair": Way(_pair_form, _pairs),
    "regress": Way(_number_form, _numbers),
    "choice": Way(_choice_form, _choices),
    "generate": Way(prompt, summaries),
    "translate": Way(prompt, translations),
}
