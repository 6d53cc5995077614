"""The report page: one offline HTML file made from the results, and the JSON beside it.

Its first screen, its tables and its family tree are plain HTML and SVG. The charts of the folded parts stand there as drawn pictures
and become interactive when scripts may run. Without the extra `report` those charts are missing and the page says so.
"""

import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from html import escape
from importlib import resources
from pathlib import Path
from string import Template
from typing import NamedTuple

from stemma.config import to_plain
from stemma.errors import MissingExtra
from stemma.evaluation.comparison.results import Budget, Finding, Results, SenseFiles
from stemma.evaluation.report import rows, tables
from stemma.evaluation.report.charts import PROBE_SHAPES, SHAPES, Spec, charts
from stemma.evaluation.report.cost_chart import cost_chart
from stemma.evaluation.report.curves_section import curves
from stemma.evaluation.report.error_section import errors
from stemma.evaluation.report.family_tree import family_tree
from stemma.evaluation.report.keys import dot_keys, shape_keys
from stemma.evaluation.report.layer_section import layers
from stemma.evaluation.report.minimal_section import minimal
from stemma.evaluation.report.standings import Standings
from stemma.evaluation.report.word_section import words
from stemma.evaluation.report.wording import BASELINE_COLOUR, CONTROLS, capital, count, duration, listed, mode_title, size, whole
from stemma.evaluation.report.zero_shot_section import zero_shot
from stemma.nouns import counted, noun
from stemma.tokens.files import write_bytes

STATIC_WIDTH = 1000  # of the drawn pictures, in pixels; they shrink with the window

_EMBED = """
const specs = JSON.parse(document.getElementById("chart-specs").textContent);
const dark = matchMedia("(prefers-color-scheme: dark)").matches;
function embed(part) {
  for (const box of part.querySelectorAll("[data-chart]:not(.vega-embed)")) {
    const drawn = box.innerHTML;
    const shown = {mode: "vega-lite", renderer: "svg", actions: false, tooltip: {theme: dark ? "dark" : "light"}};
    vegaEmbed(box, specs[box.dataset.chart], shown).catch(() => { box.innerHTML = drawn; });
  }
}
document.addEventListener("toggle", event => { if (event.target.open) embed(event.target); }, true);
"""
_REVEAL = """
function reveal() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  const part = target && target.closest("details");
  if (part) { part.open = true; target.scrollIntoView(); }
}
addEventListener("hashchange", reveal);
reveal();
"""


def write(results: Results, out: Path) -> tuple[Path, Path]:
    """Writes `report.json` and `report.html` into `out`, each as a whole or not at all; their paths."""
    paths = (out / "report.json", out / "report.html")
    for path, text in zip(paths, (dumped(results), render(results)), strict=True):
        write_bytes(path, text.encode("utf-8", "backslashreplace"))  # file names may hold what is not UTF-8
    return paths


def dumped(results: Results) -> str:
    """The results as JSON, one part a line."""
    parts = (f"{json.dumps(name)}: {json.dumps(part, ensure_ascii=False)}" for name, part in to_plain(results).items())
    return "{\n" + ",\n".join(parts) + "\n}\n"


def render(results: Results) -> str:
    """The whole page as text."""
    standings = Standings(results)
    try:
        specs = charts(standings)
        drawn, script = _drawn(specs), _bundle()
        missing = ""
    except MissingExtra as error:
        specs, drawn, script, missing = {}, {}, "", str(error)
    parts = [part for part in _parts(standings, _Figures(drawn)) if part.body]
    room = resources.files("stemma.evaluation.report")
    return Template((room / "report.html").read_text(encoding="utf-8")).substitute(
        title=escape(f"Stemma: {results.headline.title}"),
        style=(room / "report.css").read_text(encoding="utf-8"),
        version=escape(results.made.stemma),
        commit=escape(results.made.commit or "no commit"),
        date=escape(results.made.date),
        subject=escape(results.title),
        headline=_glued(results.headline.title),
        second=_glued(results.headline.second),
        cautions="".join(f'<p class="caution">{_glued(caution)}</p>' for caution in _cautions(results, missing)),
        chart=cost_chart(standings),
        facts=_facts(results),
        generations=_generations(standings),
        learnt=_learnt(results),
        tree=family_tree(standings),
        details="\n".join(map(_folded, parts)),
        scripts=_scripts(specs, script),
    )


def _cautions(results: Results, missing: str) -> list[str]:
    """What must be known first; that this machine cannot draw the folded charts is said unless the comparison said it already."""
    cautions = list(results.headline.cautions)
    if missing and not results.lacks:
        cautions.append(f"This page lacks the charts of its folded parts: {missing}")
    return cautions


class _Part(NamedTuple):
    """A folded part of the page; one without a body is left out."""

    anchor: str
    title: str
    body: str


def _folded(part: _Part) -> str:
    return f'<details class="part"><summary><h3>{escape(part.title)}</h3></summary><div id="{part.anchor}">{part.body}</div></details>'


class _Figures:
    """Makes the box of a chart: its legend, and the drawn picture, which the script replaces."""

    def __init__(self, drawn: dict[str, str]) -> None:
        self.drawn = drawn

    def __call__(self, name: str, label: str, caption: str = "", legend: Sequence[str] = ()) -> str:
        """The figure, or nothing when the numbers or the libraries do not allow it."""
        if name not in self.drawn:
            return ""
        keys = f'<p class="legend">{"".join(f"<span>{key}</span>" for key in legend)}</p>' if legend else ""
        words = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
        picture = f'<div class="chart" data-chart="{name}" role="img" aria-label="{escape(label)}">{self.drawn[name]}</div>'
        return f"<figure>{keys}{picture}{words}</figure>"


def _drawn(specs: dict[str, Spec]) -> dict[str, str]:
    try:
        import vl_convert
    except ImportError as error:
        raise MissingExtra("vl-convert-python", "report") from error
    widths = {name: 320 if name.startswith("curve-") else STATIC_WIDTH if name in ("cost", "modes", "bits") else 460 for name in specs}
    padded = {"autosize": {"type": "pad"}}  # not fitted to a width: labels measured with other fonts would be cut
    return {
        name: vl_convert.vegalite_to_svg({**spec, "width": widths[name], "padding": 12, "config": {**spec["config"], **padded}})
        for name, spec in specs.items()
    }


@cache
def _bundle() -> str:
    """Vega, Vega-Lite and vega-embed as one script, from the installed package."""
    import vl_convert

    bundle: str = vl_convert.javascript_bundle()  # type: ignore[call-arg]
    return bundle.replace("</script", "<\\/script")


def _scripts(specs: dict[str, Spec], bundle: str) -> str:
    if not specs:
        return f'<script type="module">{_REVEAL}</script>'
    data = json.dumps(
        {name: {key: part for key, part in spec.items() if key != "$schema"} for name, spec in specs.items()}, ensure_ascii=False
    )
    held = data.replace("</", "<\\/")
    return f'<script type="application/json" id="chart-specs">{held}</script>\n<script type="module">\n{bundle}\n{_EMBED}{_REVEAL}</script>'


def _generations(standings: Standings) -> str:
    lead = (
        "Every generation was pre-trained on the same text and judged on the same examples. Behind ± stands half of a 95 % interval; "
        "a tie differs from the first by no more than chance would explain. Fewer bits a character are better."
    )
    return f'<p class="lead">{lead}</p>{rows.generations(standings)}'


def _learnt(results: Results) -> str:
    """The findings, theme by theme, each sentence with links to the rows that are its evidence."""
    named = {g.name: (g.short, g.colour) for g in results.generations} | {b.name: (b.short, BASELINE_COLOUR) for b in results.baselines}
    themes: dict[str, list[Finding]] = {}
    for finding in results.headline.findings:
        themes.setdefault(finding.about, []).append(finding)
    boxes = []
    for about, findings in themes.items():
        paragraphs = "".join(f"<p>{_glued(finding.text)}{_evidence(finding, named)}</p>" for finding in findings)
        boxes.append(f"<div><h3>{escape(about)}</h3>{paragraphs}</div>")
    return f'<div class="learnt">{"".join(boxes)}</div>' if boxes else '<p class="note">Nothing can be said yet.</p>'


def _evidence(finding: Finding, named: Mapping[str, tuple[str, str]]) -> str:
    links = (f'<a href="#row-{name}">{tables.dot(named[name][1])}{escape(named[name][0])}</a>' for name in finding.rows)
    return f'<span class="evidence">{"".join(links)}</span>' if finding.rows else ""


def _glued(text: str) -> str:
    """The text with its figures kept together with their units and intervals when a line breaks."""
    return re.sub(r"(?<=\d) (?=%|±|points|times)|(?<=±) ", "\u00a0", escape(text))


def _facts(results: Results) -> str:
    corpus, task, machine = results.corpus, results.task, results.environment
    number, seeds = tables.figure, len(results.budget.seeds)
    budget = f"preset {escape(results.budget.preset)}, {counted(seeds, 'seed')}"
    held = [f"{number(n)} {noun(n, kind)}" for n, kind in ((corpus.documents, "document"), (corpus.sentences, "sentence"))]
    labels = f", {number(len(task.labels))} {noun(len(task.labels), 'label')}" if task.labels else ""
    facts = [
        ("Text", f"{number(corpus.characters)} {noun(corpus.characters, 'character')}", ", ".join(held)),
        (
            "Task",
            escape(task.kind) + labels,
            f"{number(task.train_examples, whole)} to learn from, {number(task.dev_examples, whole)} to judge by",
        ),
        ("Budget", _budget(results.budget), budget),
        ("Machine", counted(machine.cores or 1, "core"), f"{escape(machine.cpu)}; {duration(machine.wall_seconds)} in all"),
    ]
    return (
        '<dl class="facts">'
        + "".join(f"<div><dt>{name}</dt><dd>{value}<small>{more}</small></dd></div>" for name, value, more in facts)
        + "</dl>"
    )


def _budget(budget: Budget) -> str:
    if budget.seconds:
        return f"{duration(budget.seconds)} each"
    return f"{count(budget.tokens)} tokens each" if budget.tokens else "the preset's own"


def _parts(standings: Standings, draw: _Figures) -> list[_Part]:
    """What stands folded at the end of the page."""
    results = standings.results
    return [
        _Part("modes", "Every way of transfer, with its control", _modes(standings, draw)),
        _Part("curves", "What pre-training buys: labels, updates, tokens, layers", curves(results, draw)),
        _Part("errors", "What was answered wrong", errors(standings)),
        _Part("costs", "What each stage cost", tables.costs(results)),
        _Part("text", "Predicting the text", _text(results, draw)),
        _Part("words", "Words and their neighbours", words(results)),
        _Part("mix", "Which layers the task read", layers(results)),
        _Part("senses", "One word, several senses", _senses(results, results.senses, draw) if results.senses else ""),
        _Part("grammar", "Which sentence is likelier?", minimal(results)),
        _Part("zero-shot", "The task without training", zero_shot(results)),
        _Part("learning", "Learning curves", _learning(results, draw)),
        _Part("lineage", "What was compared", tables.lineage(results)),
        _Part("protocol", "Protocol, and what to keep in mind", _protocol(results)),
        _Part("again", "Make each number again", _again(results)),
    ]


def _modes(standings: Standings, draw: _Figures) -> str:
    caption = (
        "Frozen: the pre-trained layers stay as they are and only the head learns, a linear one, or a small task network of the same size "
        "for every generation. Fine-tuned: everything moves."
    )
    if _controlled(standings.results):
        caption += (
            " Each has its control, the same network without pre-training: randomly drawn and frozen, or learnt from scratch. "
            "The gap between the two is what pre-training on your text was worth."
        )
    used = [mode_title(mode) for mode in _used(standings.results)]
    keys = shape_keys({m: s for m, s in SHAPES.items() if m in used})
    picture = draw("modes", f"{capital(standings.metric.title)} by generation and mode of transfer", caption, keys)
    return f"{picture}{tables.summary(standings)}"


def _used(results: Results) -> list[str]:
    """The ways of transfer that were chosen, but for those that no generation has for the task."""
    made = {mode for generation in results.generations for mode in generation.modes}
    failed = {failure.stage.rpartition(".")[2] for generation in results.generations for failure in generation.failures}
    return [mode for mode in results.budget.modes if mode in made | failed]


def _controlled(results: Results) -> bool:
    """True when a mode was made without pre-training too."""
    return any(mode in CONTROLS.values() for mode in _used(results))


def _text(results: Results, draw: _Figures) -> str:
    scored = results.corpus.held_out.scored
    lead = (
        f"Held-out text that no generation has seen: {tables.figure(scored.characters)} characters in "
        f"{tables.figure(scored.blocks, whole)} {noun(scored.blocks, 'block')} of whole sentences. Bits per character do not depend on "
        "how a generation cuts its tokens; perplexities per token do, and are not comparable between rows. All are asked for "
        "the same characters, those of the raw text, and no generation pays for ends of sentences; white space that its tokens "
        "do not tell is charged."
    )
    reasons = "".join(
        f'<p class="note">{escape(g.title)} has no bits per character: {escape(g.surprise.why_not_bits)}.</p>'
        for g in results.generations
        if g.surprise and g.surprise.why_not_bits
    )
    return f'<p class="lead">{lead}</p>' + draw("bits", "Bits per character by generation") + tables.predictions(results) + reasons


def _senses(results: Results, files: SenseFiles, draw: _Figures) -> str:
    lead = (
        f"{tables.figure(files.words)} {noun(files.words, 'word has', 'words have')} {tables.figure(files.senses)} senses between them, "
        f"{tables.figure(files.train, whole)} {noun(files.train, 'occurrence')} to learn from "
        f"and {tables.figure(files.test, whole)} to judge by. "
        "The sense of an occurrence is that of the nearest average vector; the senses of a word count equally, however common. "
        "A static vector is the same in every sentence, so by itself it can only ever name one sense."
    )
    layered = [g for g in results.generations if g.senses and g.senses.layers]
    left = draw("senses", "Accuracy of the senses probe", "Static vectors against vectors in context.", shape_keys(PROBE_SHAPES))
    right = draw(
        "layers", "Accuracy of the senses probe by layer", "Which layer knows the sense, from the embeddings upwards.", dot_keys(layered)
    )
    by_word = f"<details><summary>Word by word</summary>{tables.senses_by_word(results)}</details>"
    return f'<p class="lead">{lead}</p><div class="pair">{left}{right}</div>{tables.senses(results, files)}{by_word}'


def _learning(results: Results, draw: _Figures) -> str:
    boxes = []
    for g in results.generations:
        if picture := draw(f"curve-{g.name}", f"Loss of {g.short} over seconds"):
            boxes.append(f"<div><h3>{tables.dot(g.colour)}{escape(g.short)}</h3>{picture}</div>")
    if not boxes:
        return ""
    uncurved = [g.short for g in results.generations if g.learns == "count"]
    tail = f" {listed(uncurved)} counts and has no curve." if uncurved else ""
    lead = (
        "Training loss over time. Each generation asks something else of the text, so the heights are not comparable, "
        "even where the units are alike; the shapes are: "
        f"a curve that still falls at its end would use a bigger budget.{tail}"
    )
    return f'<p class="lead">{escape(lead)}</p><div class="curves">{"".join(boxes)}</div>'


def _protocol(results: Results) -> str:
    corpus, ledger, task = results.corpus, results.corpus.ledger, results.task
    rejects = listed([f"{reason} {amount:,}" for reason, amount in ledger.rejected.items()]) or "nothing"
    settled = "balances" if ledger.balances else "DOES NOT BALANCE"
    budget, machine = results.budget, results.environment
    seeds, modes = listed([str(seed) for seed in budget.seeds]), listed([mode_title(mode) for mode in _used(results)])
    memory = f"{size(machine.memory_bytes)} of memory" if machine.memory_bytes else "memory unknown"
    software = f"Python {machine.python}, PyTorch {machine.torch} on {counted(machine.threads, 'thread')}"
    labels = f"; labels {listed(list(task.labels))}" if task.labels else ""
    signed = "".join(f"; {metric.title} is {task.signatures[metric.name]}" for metric in task.metrics if metric.name in task.signatures)
    facts = [
        f"Text: {listed(list(corpus.paths))}. The ledger {settled}: {counted(ledger.characters_in, 'character')} in, "
        f"{ledger.characters_used:,} used, left out: {rejects}.",
        f"Held out: {corpus.held_out.how}.",
        f"Task: {task.kind}, {task.train} against {task.dev}{labels}{signed}.",
        f"Budget of pre-training: {_budget(budget)}, preset {budget.preset}; seeds {seeds}; modes {modes}.",
        *results.notes,
        f"Machine: {machine.cpu}, {counted(machine.cores or 1, 'core')}, {memory}, {machine.system}, {software}.",
    ]
    points = "".join(f"<li>{escape(fact)}</li>" for fact in facts)
    return f'<ul class="honest">{points}</ul><h3>How each transfer was made</h3>{tables.protocol(results)}'


def _again(results: Results) -> str:
    commands = [("The whole comparison", results.command)]
    for g in results.generations:
        commands += [(f"{g.short}, pre-training", g.pretrain.command)] if g.pretrain else []
        commands += [(f"{g.short}, {mode_title(mode)}", result.command) for mode, result in g.modes.items()]
    return "".join(f"<h3>{escape(name)}</h3><pre>{escape(command)}</pre>" for name, command in commands if command)
