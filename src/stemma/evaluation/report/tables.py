"""The report's tables as plain HTML, readable without scripts; every number carries its exact value in `<data>`."""

from collections.abc import Callable, Sequence
from html import escape

from stemma.evaluation.report.charts import colour
from stemma.evaluation.report.headline import baselines, best_of_each, contenders, difference
from stemma.evaluation.report.wording import CONTROLS, MODES, count, duration, half_width, mode_title, percent, size, title

DASH = '<span class="none" title="not measured">–</span>'


def figure(value: float | None, show: Callable[[float], str] = count) -> str:
    """One number for reading, with the exact one behind it; a dash where there is none."""
    return DASH if value is None else f'<data class="value" value="{value!r}">{show(value)}</data>'


def measure(value: dict | None, show: Callable[[float], str] = percent) -> str:
    """A number with half its interval: `84.1 ± 1.2`."""
    return DASH if not value else f'{figure(value["value"], show)} <span class="plus">± {show(half_width(value))}</span>'


def table(head: Sequence[str], rows: Sequence[str], label: str) -> str:
    """A table in its own box, which scrolls sideways when the window is narrow. Heads that start with `#` are of numbers."""
    glued = [escape(h).replace("-", "\u2011").replace(", %", ",\u00a0%") for h in head]
    heads = "".join(f'<th scope="col" class="number">{h[1:]}</th>' if h.startswith("#") else f'<th scope="col">{h}</th>' for h in glued)
    box = f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(label)}">'
    return f"{box}<table><thead><tr>{heads}</tr></thead><tbody>\n{chr(10).join(rows)}\n</tbody></table></div>"


def name_cell(name: str, span: int = 1) -> str:
    """A generation's name behind its colour."""
    rows = f' rowspan="{span}"' if span > 1 else ""
    dot = f'<span class="dot" style="background:{colour(name)}"></span>'
    return f'<th scope="{"rowgroup" if span > 1 else "row"}"{rows}>{dot}{escape(title(name))}</th>'


def number_cell(inner: str, span: int = 1, kind: str = "") -> str:
    """A right-aligned cell."""
    rows = f' rowspan="{span}"' if span > 1 else ""
    return f'<td class="number {kind}"{rows}>{inner}</td>'


def summary(report: dict) -> str:
    """One row a generation and mode, then the baselines: quality, then cost."""
    whisker, marks = _whisker_scale(report), _marks(report)
    rows = []
    for generation in report["generations"]:
        modes = [mode for mode in MODES if mode in generation.get("modes", {})]
        for place, mode in enumerate(modes or [""]):
            rows.append(_summary_row(generation, mode, place, max(len(modes), 1), whisker, marks))
    rows += [_baseline_row(baseline, whisker) for baseline in report.get("baselines", [])]
    head = [
        "Representation",
        "Transfer",
        "#Accuracy, %",
        "#Macro-F1, %",
        "#Transfer",
        "#Bits per character",
        "#Pre-training",
        "#Peak memory",
        "#On disk",
        "#Parameters",
    ]
    return table(head, rows, "Summary of the comparison")


def _baseline_row(baseline: dict, whisker: Callable[[dict, str], str]) -> str:
    name = f'<th scope="row" colspan="2">{escape(baseline["title"])}</th>'
    if not baseline.get("accuracy"):
        return f'<tr class="baseline">{name}<td colspan="8" class="none">{escape(baseline["missing"])}</td></tr>'
    quality = number_cell(measure(baseline["accuracy"]) + whisker(baseline["accuracy"], "")) + number_cell(measure(baseline["macro_f1"]))
    return f'<tr class="baseline">{name}{quality}{number_cell(figure(baseline["seconds"], duration))}{number_cell(DASH) * 5}</tr>'


def _summary_row(
    generation: dict, mode: str, place: int, span: int, whisker: Callable[[dict, str], str], marks: dict[tuple[str, str], str]
) -> str:
    name, result = generation["name"], generation.get("modes", {}).get(mode)
    inner = "inner" if place < span - 1 else ""
    cells = name_cell(name, span) if place == 0 else ""
    if result:
        mark = marks.get((name, mode), "")
        control = ' <span class="control">(control)</span>' if mode in CONTROLS.values() else ""
        shown = measure(result["accuracy"])
        quality = f'<span class="{"best" if mark else ""}">{shown}</span>{mark}{whisker(result["accuracy"], name)}'
        cells += f'<td class="{inner}">{mode_title(mode)}{control}</td>{number_cell(quality, kind=inner)}'
        cells += number_cell(measure(result["macro_f1"]), kind=inner) + number_cell(figure(result["seconds"], duration), kind=inner)
    else:
        cells += f'<td class="none">{"failed" if generation["status"] == "failed" else "not run"}</td>' + number_cell(DASH) * 3
    if place == 0:
        cells += "".join(number_cell(cell, span) for cell in _costs(generation))
    return f"<tr>{cells}</tr>"


def _costs(generation: dict) -> list[str]:
    trained, score = generation.get("pretrain", {}), generation.get("score") or {}
    bits = measure(score.get("bits_per_character"), lambda b: f"{b:.2f}")
    peak, disk = figure(trained.get("peak_bytes"), size), figure(trained.get("bytes"), size)
    return [bits, figure(trained.get("seconds"), duration), peak, disk, figure(trained.get("parameters"))]


def _marks(report: dict) -> dict[tuple[str, str], str]:
    """`best` beside the best pre-trained row, `tie` beside those whose difference from it may be chance."""
    ranked = best_of_each(report)
    if not ranked:
        return {}
    first = ranked[0]
    pretrained = [c for c in contenders(report) if c.mode not in CONTROLS.values()]
    rivals = [c for c in pretrained if (c.name, c.mode) != (first.name, first.mode)]
    marks = {(c.name, c.mode): '<span class="tag">tie</span>' for c in rivals if difference(first, c).tie}
    return marks | {(first.name, first.mode): f'<span class="tag">{"best" if not marks else "first"}</span>'}


def _whisker_scale(report: dict) -> Callable[[dict, str], str]:
    """A maker of small interval pictures that share one scale over the whole table."""
    measures = [c.accuracy for c in contenders(report)] + [b.accuracy for b in baselines(report) if b.name != "majority class"]
    low, high = min((m["low"] for m in measures), default=0.0), max((m["high"] for m in measures), default=1.0)
    spread = (high - low) or 1.0

    def draw(accuracy: dict, name: str) -> str:
        left, middle, right = (4 + 110 * min(max((accuracy[key] - low) / spread, 0), 1) for key in ("low", "value", "high"))
        if accuracy["high"] < low:
            return ""
        line = f'<line x1="{left:.1f}" x2="{right:.1f}" y1="5" y2="5" stroke="{colour(name)}" stroke-width="2" opacity=".55"/>'
        point = f'<circle cx="{middle:.1f}" cy="5" r="3.6" fill="{colour(name)}"/>'
        return f'<svg class="whisker" viewBox="0 0 118 10" aria-hidden="true">{line}{point}</svg>'

    return draw


def predictions(report: dict) -> str:
    """Bits per character and the perplexities, with the reason where a generation has none."""
    rows = []
    for generation in report["generations"]:
        score = generation.get("score")
        if not score:
            continue
        cells = name_cell(generation["name"])
        if score.get("why_not"):
            cells += f'<td colspan="7" class="none">{escape(score["why_not"])}</td>'
        else:
            bits = measure(score.get("bits_per_character"), lambda b: f"{b:.3f}")
            kept = [
                figure(score.get(key), lambda p: f"{p:,.1f}")
                for key in ("perplexity_per_word", "perplexity_per_token", "perplexity_per_token_without_oov")
            ]
            cells += "".join(
                map(
                    number_cell,
                    [bits, *kept, figure(score["tokens"], _whole), figure(score["oov"], _whole), figure(score["seconds"], duration)],
                )
            )
        rows.append(f"<tr>{cells}</tr>")
    head = [
        "Representation",
        "#Bits per character",
        "#Perplexity per word",
        "#per token",
        "#per token without OOV",
        "#Tokens",
        "#OOV",
        "#Scoring time",
    ]
    return table(head, rows, "Predicting the held-out text")


def _whole(value: float) -> str:
    return f"{value:,.0f}"


def senses(report: dict) -> str:
    """Every probe's average over the words, and how far apart the senses lie."""
    rows = []
    for generation in report["generations"]:
        probe = generation.get("senses") or {}
        probes = probe.get("probes", [])
        for place, entry in enumerate(probes):
            gap = figure(
                entry["within"] - entry["across"] if entry.get("within") is not None else None, lambda g: f"{round(g, 3) + 0.0:.3f}"
            )
            inner = "inner" if place < len(probes) - 1 else ""
            name = name_cell(generation["name"], len(probes)) if place == 0 else ""
            cells = number_cell(measure(entry["accuracy"]), kind=inner) + number_cell(gap, kind=inner)
            rows.append(f'<tr>{name}<td class="{inner}">{escape(entry["title"])}</td>{cells}</tr>')
        if probe.get("why_not"):
            rows.append(f'<tr>{name_cell(generation["name"])}<td colspan="3" class="none">{escape(probe["why_not"])}</td></tr>')
    commonest = number_cell(measure(report["senses"]["majority"])) + number_cell(DASH)
    rows.append(f'<tr class="baseline"><th scope="row" colspan="2">always the commonest sense</th>{commonest}</tr>')
    head = ["Representation", "Vector of a word's occurrence", "#Senses told apart, %", "#Cosine within − across senses"]
    return table(head, rows, "Senses probe")


def senses_by_word(report: dict) -> str:
    """The probes shown in the chart, word by word."""
    probes = [(g["name"], p) for g in report["generations"] for p in (g.get("senses") or {}).get("probes", []) if p.get("shown")]
    words = sorted({word for _, probe in probes for word in probe["words"]})
    rows = [
        f'<tr><th scope="row">{escape(word)}</th>'
        + "".join(number_cell(figure(probe["words"].get(word), percent)) for _, probe in probes)
        + "</tr>"
        for word in words
    ]
    return table(["Word", *(f"#{title(name)}, {probe['short']}" for name, probe in probes)], rows, "Senses probe by word")


def lineage(report: dict) -> str:
    """What each compared generation is, from the lineage table."""
    rows = []
    for g in report["generations"]:
        trained = g.get("pretrain", {})
        cut = trained.get("tokenizer", {})
        tokens = f"{escape(cut['kind'])}, {figure(cut['vocab_size'], _whole)}" if cut else DASH
        learns = "counting" if g["learns"] == "count" else "descent"
        what = f'<td class="long">{escape(g["title"])} <span class="none">({escape(g["paper"])})</span></td>'
        cells = f"{what}<td>{learns}, asking for {escape(g['asks'])}</td><td>{tokens}</td>"
        rows.append(f"<tr>{name_cell(g['name'])}{cells}</tr>")
    return table(["Representation", "What it is", "Learns by", "Tokens"], rows, "The compared generations")


def costs(report: dict) -> str:
    """Time, memory and reading of every stage."""
    rows = []
    for generation in report["generations"]:
        trained = generation.get("pretrain", {})
        reading = {"seconds": trained["reading_seconds"]} if trained.get("reading_seconds") is not None else None
        stages = [("reading and tokenizing", reading), ("pre-training", trained), ("scoring", generation.get("score"))]
        stages += [(f"transfer, {mode_title(mode)}", generation.get("modes", {}).get(mode)) for mode in MODES]
        done = [(stage, result) for stage, result in stages if result and result.get("seconds") is not None]
        for place, (stage, result) in enumerate(done):
            passes = figure(result.get("passes"), lambda p: f"{p:.1f}")
            read = figure(result.get("tokens") if stage == "pre-training" else None)
            cells = [
                figure(result["seconds"], duration),
                figure(result.get("cpu_seconds"), duration),
                figure(result.get("peak_bytes"), size),
                read,
                passes,
            ]
            inner = "inner" if place < len(done) - 1 else ""
            name = name_cell(generation["name"], len(done)) if place == 0 else ""
            rows.append(f'<tr>{name}<td class="{inner}">{stage}</td>{"".join(number_cell(cell, kind=inner) for cell in cells)}</tr>')
    return table(
        ["Representation", "Stage", "#Time", "#CPU time", "#Peak memory", "#Tokens read", "#Passes over the text"],
        rows,
        "What each stage cost",
    )


def protocol(report: dict) -> str:
    """Head, seeds, trials and chosen settings of every transfer."""
    rows = []
    for generation in report["generations"]:
        done = [(mode, generation["modes"][mode]) for mode in MODES if mode in generation.get("modes", {})]
        for place, (mode, result) in enumerate(done):
            inner = "inner" if place < len(done) - 1 else ""
            name = name_cell(generation["name"], len(done)) if place == 0 else ""
            chosen = ", ".join(f"{key} = {value:g}" for key, value in result["settings"].items())
            seeds = " · ".join(percent(accuracy) for accuracy in result["seeds"])
            counts = "".join(number_cell(figure(result[key]), kind=inner) for key in ("trained_parameters", "trials"))
            cells = f'<td class="{inner}">{mode_title(mode)}</td><td class="long {inner}">{escape(result["head"])}</td>{counts}'
            rows.append(f'<tr>{name}{cells}<td class="{inner}">{escape(chosen) or DASH}</td><td class="{inner}">{seeds}</td></tr>')
    head = ["Representation", "Transfer", "Head", "#Trained parameters", "#Trials", "Chosen", "Accuracy of each seed, %"]
    return table(head, rows, "How each transfer was made")
