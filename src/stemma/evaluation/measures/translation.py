"""How well a run translates: BLEU and chrF with intervals, BLEU by the length of the source, and whether the source is read at all.

A decoder can learn to write likely targets and never look at its source. So the loss of the targets is measured twice, given their
own sources and given those of other pairs, and it is counted how many of the outputs differ.

N pairs, G groups of pairs whose losses are computed together.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from stemma.evaluation.measures.intervals import effects, interval_of, ratio_effects
from stemma.evaluation.measures.judge import Judge
from stemma.layers.weights import to_tensors
from stemma.nouns import counted
from stemma.objectives.batch import generator
from stemma.runs.assignment import Assignment
from stemma.runs.fitted import FittedRun
from stemma.runs.run import Run
from stemma.runs.settings import InUse
from stemma.runs.writing import TokenPairs, Writer
from stemma.tasks.bleu import signatures
from stemma.tasks.table import make_task
from stemma.tasks.translate import Translated, is_chinese

BUCKETS = 4  # of source lengths, with about as many pairs in each
TOGETHER = 16  # pairs whose losses are computed together at most
FEWEST_GROUPS = 32  # where the pairs suffice: their spread gives the intervals
LEAST_GAP = 0.01  # of the loss: what the right source must save for it to count as read
LEAST_DISTINCT = 0.05  # outputs that differ, for each source that does


def writer_of(run: Run | FittedRun, examples: Sequence[Translated]) -> Writer:
    """What writes the run's targets; UsageError where it learnt no pairs. The examples tell how BLEU is counted where no task did."""
    if isinstance(run, FittedRun):
        return run.writer
    run.check_translates()
    task = make_task("translate")
    settings = InUse(max_length=run.network.max_length or InUse.max_length)
    return Writer(Assignment(run.row, run.tokenizer, run.network, task, task.targets(examples), settings), run.network, {})


def translation(writer: Writer, examples: Sequence[Translated]) -> dict[str, Any]:
    """The measures of the examples, JSON-able; `doubt` says in words that the source is ignored, or is empty."""
    task, targets = writer.assignment.task, writer.assignment.targets
    gold, pairs = task.gold(examples, targets), writer.prepare(task.texts(examples))
    decoded = task.decode(writer.answers(pairs), targets)
    judge = Judge(task, targets, gold)
    terms = judge.terms([decoded])
    found = {metric.title: _interval(judge, terms, metric.name) for metric in judge.metrics}
    sources = [example.source for example in examples]
    read = heeding(writer.writes, pairs, sources, decoded.tolist())
    signed = signatures(targets["tokenize"], [right.split("\n") for right in gold])
    return {
        "pairs": len(examples),
        **found,
        "metrics": [metric.title for metric in judge.metrics],
        "signatures": {metric.title: signed[metric.name] for metric in judge.metrics if metric.name in signed},
        "lengths": by_length(judge, terms, sources),
        "cut": pairs.cut,
        **read,
    }


def by_length(judge: Judge, terms: np.ndarray, sources: Sequence[str]) -> list[dict[str, Any]]:
    """The primary metric of the pairs (terms: 1 N C) in BUCKETS of source lengths: words, or characters of Chinese sources."""
    unit = "characters" if is_chinese(sources) else "words"
    lengths = np.array([len("".join(source.split())) if unit == "characters" else len(source.split()) for source in sources])
    borders = np.unique(np.quantile(lengths, np.arange(1, BUCKETS) / BUCKETS, method="higher"))
    bucket, metric = np.searchsorted(borders, lengths), judge.metrics[0]
    rows = []
    for number in np.unique(bucket):
        inside = bucket == number
        value = _interval(judge, terms[:, inside], metric.name)
        span = f"{lengths[inside].min()} to {lengths[inside].max()} {unit}"
        rows.append({"source": span, "pairs": int(inside.sum()), metric.title: value})
    return rows


def heeding(network: Any, pairs: TokenPairs, sources: Sequence[str], written: Sequence[str]) -> dict[str, Any]:
    """Nats a token of the right targets, given their own sources and given others', the share of outputs that differ, and the doubt."""
    terms = _nats(network, pairs)
    own, others = (ratio_effects(terms[:, [column, 2]]) for column in (0, 1))
    gap = interval_of(ratio_effects(np.stack([terms[:, 1] - terms[:, 0], terms[:, 2]], -1)))
    distinct, different = len(set(written)), len(set(sources))
    losses = {"loss": interval_of(own).as_dict(), "loss_with_other_sources": interval_of(others).as_dict()}
    saved = f"with the sources of other pairs its loss is {others.value:.3f} nats a token, with the right ones {own.value:.3f}"
    doubt = ""
    if different > 1 and not (gap.low > 0 and gap.value >= LEAST_GAP * own.value):
        doubt = f"it ignores its source: {saved}"
    elif different >= 1 / LEAST_DISTINCT and distinct <= LEAST_DISTINCT * different:
        doubt = f"it ignores its source: it writes {counted(distinct, 'different target')} for {counted(different, 'different source')}"
    return {**losses, "distinct_outputs": distinct, "distinct_sources": different, "doubt": doubt}


def _interval(judge: Judge, terms: np.ndarray, name: str) -> dict[str, float]:
    """The metric's interval, JSON-able, within what it can be."""
    found = interval_of(effects(terms, judge.measure(name)))
    return replace(found, low=max(0.0, found.low), high=min(100.0, found.high)).as_dict()


@torch.inference_mode()
def _nats(network: Any, pairs: TokenPairs) -> np.ndarray:
    """(G 3): nats of the targets given their own sources, and given those of other pairs of the file, and how many tokens that is."""
    network.eval()
    number, device = len(pairs.ids), next(network.parameters()).device
    drawn = generator("other sources").permutation(number)
    other = np.empty(number, np.int64)
    other[drawn] = np.roll(drawn, 1)  # each pair's comes from another one
    size = max(1, min(TOGETHER, number // FEWEST_GROUPS))
    order = np.argsort(pairs.lengths, kind="stable")
    groups = [order[first : first + size] for first in range(0, number, size)]
    terms = np.zeros((len(groups), 3))
    for place, rows in enumerate(groups):
        for column, sources in enumerate((rows, other[rows])):
            loss = network.loss(to_tensors(pairs.batch(rows, sources), device))
            terms[place, column], terms[place, 2] = float(loss.mean) * loss.count, loss.count
    return terms
