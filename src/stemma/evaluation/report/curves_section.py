"""The report's section on what pre-training buys: fewer labels, updates or tokens, which layers to load, which layer knows what."""

from collections.abc import Callable, Iterator, Sequence
from html import escape
from typing import Protocol

from stemma.evaluation.comparison.results import GenerationResults, LabelPoint, Results, UpdatesSaved
from stemma.evaluation.measures.probes import LayerProbes
from stemma.evaluation.report import tables
from stemma.evaluation.report.charts import SHAPES
from stemma.evaluation.report.curve_charts import NEW, TRAINED
from stemma.evaluation.report.keys import line_keys, shape_keys
from stemma.evaluation.report.wording import CONTROLS, MODES, capital, metric_title, mode_title, percent, times, whole
from stemma.nouns import counted


class Draw(Protocol):
    """Makes the box of a chart, or nothing where it cannot be drawn."""

    def __call__(self, name: str, label: str, caption: str = "", legend: Sequence[str] = ()) -> str:
        """The figure's HTML."""


def curves(results: Results, draw: Draw) -> str:
    """The section's HTML; nothing where no curve was asked for."""
    return "".join(part(results, draw) for part in (_labels, _updates, _tokens, _layers, _probes))


def _labels(results: Results, draw: Draw) -> str:
    having = [generation for generation in results.generations if generation.labels]
    if not having:
        return ""
    lead = (
        "The same transfer with a part of the labels: the same examples for every generation, fewer ones among the more. The gap between a "
        "solid line and its dashed control is what pre-training is worth at so many labels. Settings are chosen anew on a part of the few."
    )
    shown = tables.of_metric(results.task.metric)
    first: tuple[LabelPoint, ...] = next(iter(having[0].labels.ways.values())) if having[0].labels else ()
    rows = []
    for generation in having:
        ways = {way: points for way in MODES if generation.labels and (points := generation.labels.ways.get(way))}
        for place, (way, points) in enumerate(ways.items()):
            name = tables.name_cell(generation, len(ways)) if place == 0 else ""
            cells = "".join(tables.number_cell(tables.measure(point.quality, shown)) for point in points)
            rows.append(f"<tr>{name}<td>{mode_title(way)}</td>{cells}</tr>")
    head = ["Representation", "Transfer", *(f"#{counted(point.examples, 'label')}" for point in first)]
    title = f"{capital(metric_title(results.task.metric))} by labels"
    boxes = _boxes(having, draw, "labels", f"{capital(results.task.metric.title)} by labelled examples")
    used = {mode_title(way) for generation in having if generation.labels for way in generation.labels.ways}
    shapes = shape_keys({way: shape for way, shape in SHAPES.items() if way in used})
    keys = _legend([*shapes, *line_keys({TRAINED: False, "without pre-training": True})])
    return _section("Fewer labels", lead, keys + boxes, tables.table(head, rows, title))


def _updates(results: Results, draw: Draw) -> str:
    having = [(generation, generation.updates) for generation in results.generations if generation.updates]
    if not having:
        return ""
    lead = (
        "How many updates fine-tuning needs to come down to the lowest loss on the dev examples that the same network from scratch comes "
        "down to, each at the learning rate that was chosen for it. Losses are taken ever more rarely, so the numbers are rough."
    )
    rows = [f"<tr>{tables.name_cell(generation)}{''.join(map(tables.number_cell, _saved(found)))}</tr>" for generation, found in having]
    head = ["Representation", "#Lowest loss from scratch, nats", "#Updates from scratch", "#Updates fine-tuned", "#Times fewer"]
    keys = _legend(line_keys({"fine-tuned": False, "from scratch": True}))
    boxes = _boxes([generation for generation, _ in having], draw, "updates", "Dev loss by updates")
    return _section("Fewer updates", lead, keys + boxes, tables.table(head, rows, "Updates saved"))


def _saved(found: UpdatesSaved) -> Iterator[str]:
    """Loss, updates from scratch, updates fine-tuned (the means over seeds), and how many times fewer."""
    seeds = [seed.saved for seed in found.seeds]
    yield _figures([seed.loss for seed in seeds], lambda loss: f"{loss:.3f}")
    yield _figures([seed.scratch for seed in seeds], whole)
    yield _figures([seed.finetuned for seed in seeds], whole)
    if found.times:
        low, high = (tables.figure(bound, times) for bound in (found.times.low, found.times.high))
        yield tables.figure(found.times.value, times) + (f" ({low} to {high})" if found.times.seeds > 1 else "")
    else:
        never = len(seeds) - found.reached
        yield f"never reached with {counted(never, 'seed')} of {len(seeds)}" if never else "nothing was learnt from scratch"


def _figures(values: Sequence[float | None], show: Callable[[float], str]) -> str:
    """Each seed's figure; what was never reached is a dash."""
    return " · ".join(tables.figure(value, show) for value in values)


def _tokens(results: Results, draw: Draw) -> str:
    having = [(generation, generation.tokens) for generation in results.generations if generation.tokens]
    if not having:
        return ""
    lead = (
        "The same transfer after pre-training on fewer tokens, each time a run of its own whose rate falls to its own end. The dashed "
        "level is the control, which read none. Where a line still rises at its end, more pre-training would teach it more of this task."
    )
    shown = tables.of_metric(results.task.metric)
    rows = []
    for generation, found in having:
        read = [tables.figure(budget.tokens, whole) for budget in found.budgets]
        losses = [tables.figure(budget.held_out_loss, lambda loss: f"{loss:.2f}") for budget in found.budgets]
        lines = [("tokens read", [tables.figure(0, whole), *read])]
        lines += [("held-out loss, nats", [tables.DASH, *losses])] if {*losses} != {tables.DASH} else []
        for way in (way for way in MODES if way in found.ways):
            figures = [found.without.get(way), *(point.quality for point in found.ways[way])]
            lines.append((mode_title(way), [tables.measure(figure, shown) for figure in figures]))
        for place, (name, cells) in enumerate(lines):
            first = tables.name_cell(generation, len(lines)) if place == 0 else ""
            rows.append(f"<tr>{first}<td>{escape(name)}</td>{''.join(map(tables.number_cell, cells))}</tr>")
    shares = [f"#1/{round(1 / budget.share)} of the tokens" if budget.share < 1 else "#All" for budget in having[0][1].budgets]
    head = ["Representation", "Transfer", "#Without pre-training", *shares]
    boxes = _boxes(
        [generation for generation, _ in having], draw, "tokens", f"{capital(results.task.metric.title)} by tokens of pre-training"
    )
    used = {mode_title(way) for _, found in having for way in (*found.ways, *map(CONTROLS.get, found.without)) if way}
    shapes = shape_keys({way: shape for way, shape in SHAPES.items() if way in used})
    keys = _legend([*shapes, *line_keys({TRAINED: False, "without pre-training": True})])
    title = f"{capital(metric_title(results.task.metric))} by tokens of pre-training"
    return _section("Fewer tokens of pre-training", lead, keys + boxes, tables.table(head, rows, title))


def _layers(results: Results, draw: Draw) -> str:
    having = [(generation, generation.layers.points) for generation in results.generations if generation.layers]
    if not having:
        return ""
    lead = (
        "Fine-tuned with the lower layers loaded and those above them newly drawn (Yosinski 2014): none is learning from scratch, all is "
        "fine-tuning. Where the line stops rising, the layers above hold nothing that this task can use."
    )
    shown = tables.of_metric(results.task.metric)
    rows = []
    for generation, points in having:
        for place, point in enumerate(points):
            name = tables.name_cell(generation, len(points)) if place == 0 else ""
            reach = f"up to {point.layer}" if point.layer else "none"
            reach = "all" if place == len(points) - 1 else reach
            cells = tables.number_cell(tables.figure(point.loaded, whole)) + f"<td>{escape(reach)}</td>"
            rows.append(f"<tr>{name}{cells}{tables.number_cell(tables.measure(point.quality, shown))}</tr>")
    head = ["Representation", "#Layers loaded", "Which", f"#{capital(metric_title(results.task.metric))}"]
    boxes = _boxes([generation for generation, _ in having], draw, "layers", f"{capital(results.task.metric.title)} by layers loaded")
    return _section("Which layers to load", lead, boxes, tables.table(head, rows, "Scores by layers loaded"))


def _probes(results: Results, draw: Draw) -> str:
    having = [(generation, generation.probes.files) for generation in results.generations if generation.probes]
    if not having:
        return ""
    lead = (
        "What a linear model reads off the states of one layer of the fixed network, beside the same model on networks newly drawn: the "
        "difference is what pre-training put there. The best layer was chosen on examples that no figure is of."
    )
    parts = [f'<h3>Which layer knows what</h3><p class="lead">{lead}</p>']
    for place, first in enumerate(having[0][1]):
        rows = [f"<tr>{tables.name_cell(generation)}{_best(files[place])}</tr>" for generation, files in having]
        unit = ", %" * first.share
        head = ["Representation", "#Layers", "#Best layer", f"#{capital(first.metric)}{unit}", f"#Newly drawn{unit}", f"#Gained{unit}"]
        title = f"{capital(first.about)} of {first.file}"
        learnt, judged = (tables.figure(first.examples[part], whole) for part in ("learning", "judged"))
        floor = f"{tables.figure(first.floor, _shown(first))}{' %' * first.share}"
        told = f"examples: {learnt} to learn from, {judged} to judge by; without reading {floor}."
        boxes = _boxes([generation for generation, _ in having], draw, f"probes{place}", f"{title} by layer")
        keys = _legend(line_keys({TRAINED: False, NEW: True}))
        parts.append(f"<h3>{escape(title)}</h3><p>{told}</p>{tables.table(head, rows, title)}{keys}{boxes}")
    return "".join(parts)


def _best(file: LayerProbes) -> str:
    best, show = file.layers[file.best_layer], _shown(file)
    counts = [str(len(file.layers)), tables.figure(file.best_layer, whole)]
    return "".join(map(tables.number_cell, [*counts, *(tables.measure(figure, show) for figure in (best.value, best.random, best.gain))]))


def _shown(file: LayerProbes) -> Callable[[float], str]:
    return percent if file.share else lambda value: f"{value:.3f}"


def _boxes(generations: Sequence[GenerationResults], draw: Draw, name: str, label: str) -> str:
    """The small charts side by side; nothing where they cannot be drawn."""
    drawn = [(g, draw(f"curve-{name}-{g.name}", f"{label}, {g.short}")) for g in generations]
    boxes = "".join(f"<div><h3>{tables.dot(g.colour)}{escape(g.short)}</h3>{picture}</div>" for g, picture in drawn if picture)
    return f'<div class="curves">{boxes}</div>' if boxes else ""


def _legend(keys: Sequence[str]) -> str:
    return f'<p class="legend">{"".join(f"<span>{key}</span>" for key in keys)}</p>'


def _section(title: str, lead: str, charts: str, table: str) -> str:
    return f'<h3>{title}</h3><p class="lead">{lead}</p>{charts}<details><summary>In figures</summary>{table}</details>'
