"""The stages of a comparison that show what pre-training buys: by labels, by loaded layers, by updates, by the tokens it read.

Each is made of many transfers, every one kept by itself. What the ordinary stages have made already is not made again: all labels
are the ordinary figure, no layer loaded is learning from scratch, all layers loaded is fine-tuning.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from stemma.evaluation.comparison.results import (
    LabelPoint,
    LayerPoint,
    Pretraining,
    SeedUpdates,
    TokenBudget,
    TokenPoint,
    Transferred,
    Watched,
)
from stemma.evaluation.measures.intervals import Interval, mean_of
from stemma.evaluation.report.wording import CONTROLS
from stemma.training.facts import Note
from stemma.transfer.loss_curves import Saved, loss_curve, saved

if TYPE_CHECKING:
    from stemma.evaluation.comparison.stages import Stages

FEWEST = 2  # examples that a share leaves at least
TOKEN_SHARES = (1 / 64, 1 / 16, 1 / 4)  # of the tokens of pre-training, beside all of them


def labels_for(share: float, examples: int) -> int:
    """How many of the training examples a share of them is."""
    return min(examples, max(FEWEST, round(share * examples)))


def labels(stages: "Stages") -> dict[str, Any]:
    """Each way of transfer with each share of the labels, the same examples for all, fewer ones among the more."""
    made: list[Transferred] = []
    found: dict[str, list[LabelPoint]] = {}
    whole = len(stages.examples[0])
    for way in stages.modes():
        for share in sorted({*stages.comparison.config.label_shares, 1.0}):
            part = labels_for(share, whole)
            if part == whole:
                result = _ordinary(stages, "labels", way)
            else:
                stages.progress(Note(f"labels, {way}: {part:,} of {whole:,}"))
                result = stages.carried(f"labels.{way}.{part}", way, f"transfer.train_limit={part}")
                made.append(result)
            found.setdefault(way, []).append(LabelPoint(part / whole, part, stages.quality(result), result.seeds))
    return {"ways": found, **_together(made)}


def layers(stages: "Stages") -> dict[str, Any]:
    """Fine-tuned with the lower k layers loaded and the others drawn anew, for every k (Yosinski 2014)."""
    named = [layer.name for layer in stages.run().module().layers() if layer.parameters]
    made: list[Transferred] = []
    points = []
    for loaded in range(len(named) + 1):
        if loaded in (0, len(named)):
            result = _ordinary(stages, "layers", "finetune" if loaded else "scratch")
        else:
            stages.progress(Note(f"layers: {loaded} of {len(named)} loaded"))
            result = stages.carried(f"layers.{loaded}", "finetune", f'transfer.load_layers="0-{loaded - 1}"')
            made.append(result)
        points.append(LayerPoint(loaded, named[loaded - 1] if loaded else "", stages.quality(result), result.seeds))
    return {"points": points, **_together(made)}


def updates(stages: "Stages") -> dict[str, Any]:
    """The loss on the dev examples while the run is fine-tuned and while a new network learns, each at the rate that was chosen for it."""
    config = stages.comparison.transfer_config("finetune")
    watched: dict[str, list[Watched]] = {}
    for way in ("finetune", "scratch"):
        (rate,) = _ordinary(stages, "updates", way).settings.values()
        for seed in config.seeds:
            stages.progress(Note(f"updates, {way}: seed {seed}"))
            settings, make = [*stages.comparison.transfer(way), rate], partial(_watch, stages, way, rate, seed)
            watched.setdefault(way, []).append(stages.part(f"updates.{way}.{seed}", settings, Watched, make))
    seeds = [
        SeedUpdates(seed, ours.points, theirs.points, saved(ours.points, theirs.points))
        for seed, ours, theirs in zip(config.seeds, watched["finetune"], watched["scratch"], strict=True)
    ]
    made = [*watched["finetune"], *watched["scratch"]]
    return {"seeds": seeds, "times": times_fewer([seed.saved for seed in seeds]), **_together(made)}


def tokens(stages: "Stages") -> dict[str, Any]:
    """Each way of transfer after pre-trainings on fewer tokens, each of which is a run of its own, its rate falling to its own end."""
    carried = [way for way in stages.modes() if way not in CONTROLS.values()]
    whole, made = stages.pretrained(), list[Pretraining | Transferred]()
    budgets, ways = list[TokenBudget](), dict[str, list[TokenPoint]]()
    for share in (*TOKEN_SHARES, 1.0):
        fewer = stages if share == 1 else stages.on_tokens(max(1, round(share * whole.tokens)))
        if fewer is not stages:
            stages.progress(Note(f"tokens: {fewer.tokens:,} of {whole.tokens:,}"))
        trained = fewer.pretrained()
        budgets.append(TokenBudget(share, trained.tokens, trained.held_out_loss))
        results = [
            _ordinary(stages, "tokens", way) if fewer is stages else fewer.carried(f"tokens.{fewer.tokens}.{way}", way) for way in carried
        ]
        for way, result in zip(carried, results, strict=True):
            ways.setdefault(way, []).append(TokenPoint(stages.quality(result), result.seeds))
        made += [] if fewer is stages else [trained, *results]
    controls = {way: CONTROLS[way] for way in carried if CONTROLS[way] in stages.modes()}
    without = {way: stages.quality(_ordinary(stages, "tokens", control)) for way, control in controls.items()}
    return {"budgets": budgets, "ways": ways, "without": without, **_together(made)}


def times_fewer(seeds: Sequence[Saved]) -> Interval | None:
    """How many times fewer updates, the geometric mean over seeds; None where a seed has no ratio. Of one seed it has no width."""
    ratios = [seed.ratio for seed in seeds]
    if not all(ratios):
        return None
    found = mean_of(np.log(np.array(ratios, np.float64)))
    value, low, high = np.exp([found.value, found.low, found.high]).tolist()
    return Interval(value, low, high, found.seeds)


CURVES: dict[str, Callable[["Stages"], dict[str, Any]]] = {"labels": labels, "layers": layers, "updates": updates, "tokens": tokens}


def _ordinary(stages: "Stages", stage: str, way: str) -> Transferred:
    """What the way's own stage gave; where it was not asked for, it is made as a part of this one."""
    result: Transferred | None = stages.kept(way) if way in stages.modes() else None
    return result or stages.carried(f"{stage}.{way}", way)


def _watch(stages: "Stages", way: str, rate: float, seed: int) -> dict[str, Any]:
    config, (train, dev) = stages.comparison.transfer_config(way), stages.examples
    with stages.measured() as meter:
        task = stages.comparison.made_task()
        points = loss_curve(stages.run(), train=train, dev=dev, task=task, config=config, value=rate, seed=seed)
    return {"points": points, **meter.spent(), "costs": stages.costs(meter, training=meter.working)}


def _together(made: Sequence[Pretraining | Transferred | Watched]) -> dict[str, Any]:
    """What the parts took."""
    costs = [part.costs for part in made]

    def total(name: str) -> dict[str, float]:
        parts = [getattr(cost, name) for cost in costs]
        return {"seconds": sum(part.seconds for part in parts), "cpu_seconds": sum(part.cpu_seconds for part in parts)}

    spent: dict[str, Any] = {name: total(name) for name in ("training", "measuring", "compiling", "lost")}
    return {
        "seconds": sum(part.seconds for part in made),
        "cpu_seconds": sum(part.cpu_seconds or 0.0 for part in made),
        "peak_bytes": max((part.peak_bytes for part in made), default=0),
        "costs": spent | {"made": costs[-1].made if costs else None},
    }
