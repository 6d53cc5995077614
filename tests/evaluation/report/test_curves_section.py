"""The section on what pre-training buys: charts, plain tables with the same numbers, and what was never reached is said."""

import json

import made_up
import pytest
from tests.evaluation.report.test_report import Page, numbers

from stemma.evaluation.report.charts import charts
from stemma.evaluation.report.page import render, write
from stemma.evaluation.report.standings import Standings


@pytest.fixture(scope="module")
def results():
    return made_up.results(made_up.with_curves(made_up.report()))


@pytest.fixture(scope="module")
def page(results):
    return Page(render(results))


def rows_in(chart) -> list[dict]:
    """The points of a chart, wherever its layers keep them."""
    if isinstance(chart, dict):
        return [chart] if "series" in chart and "at" in chart else [row for part in chart.values() for row in rows_in(part)]
    return [row for part in chart for row in rows_in(part)] if isinstance(chart, list) else []


def test_each_curve_has_a_small_chart_a_generation(results):
    drawn = charts(Standings(results))
    named = ("curve-labels-ngram", "curve-labels-bert", "curve-layers-gpt", "curve-updates-bert", "curve-probes0-gpt", "curve-probes1-bert")
    assert {*named, "curve-tokens-ngram", "curve-tokens-bert"} <= drawn.keys() and "curve-layers-ngram" not in drawn
    labels = json.dumps(drawn["curve-labels-bert"], ensure_ascii=False)
    assert '"at": 30' in labels and '"type": "log"' in labels
    assert "from scratch" in json.dumps(drawn["curve-updates-bert"])
    level = [row for row in rows_in(drawn["curve-tokens-bert"]) if row["series"] == "from scratch"]
    assert {row["at"] for row in level} == {25_000, 1_600_000} and len({row["value"] for row in level}) == 1 and level[0]["new"]
    colour = results.generations[3].colour
    assert all(colour in json.dumps(drawn[name]) for name in drawn if name.startswith("curve-l") and name.endswith("bert"))


def test_the_tables_say_what_the_charts_show(page, results):
    text = " ".join(page.text.split())
    for words in (
        "Fewer labels",
        "Fewer updates",
        "Fewer tokens of pre-training",
        "Which layers to load",
        "Which layer knows what",
        "Senses of task/词义.tsv",
    ):
        assert words in text
    assert "never reached with 2 seeds of 2" in text and "13" in text
    assert "30 labels" in text and "300 labels" in text and "up to block 2" in text
    assert "1/64 of the tokens" in text and "25,000" in text and "4.18" in text


def test_every_number_stands_in_the_json(page, results, tmp_path):
    kept, _ = write(results, tmp_path)
    known = {*numbers(json.loads(kept.read_text(encoding="utf-8")))}
    gaps = [probe.gap for generation in results.generations for probe in generation.senses.probes]
    for value in page.values:
        assert any(abs(value - number) <= 1e-12 * max(1, abs(number)) for number in [*known, *gaps]), value


def test_without_curves_there_is_no_section():
    assert "Fewer labels" not in Page(render(made_up.results(made_up.report()))).text
