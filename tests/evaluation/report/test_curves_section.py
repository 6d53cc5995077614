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


def test_each_curve_has_a_small_chart_a_generation(results):
    drawn = charts(Standings(results))
    named = ("curve-labels-ngram", "curve-labels-bert", "curve-layers-gpt", "curve-updates-bert", "curve-probes0-gpt", "curve-probes1-bert")
    assert set(named) <= drawn.keys() and "curve-layers-ngram" not in drawn
    labels = json.dumps(drawn["curve-labels-bert"], ensure_ascii=False)
    assert '"at": 30' in labels and '"type": "log"' in labels
    assert "from scratch" in json.dumps(drawn["curve-updates-bert"])
    colour = results.generations[3].colour
    assert all(colour in json.dumps(drawn[name]) for name in drawn if name.startswith("curve-l") and name.endswith("bert"))


def test_the_tables_say_what_the_charts_show(page, results):
    text = " ".join(page.text.split())
    for words in ("Fewer labels", "Fewer updates", "Which layers to load", "Which layer knows what", "Senses of task/词义.tsv"):
        assert words in text
    assert "never reached with 2 seeds of 2" in text and "13" in text
    assert "30 labels" in text and "300 labels" in text and "up to block 2" in text


def test_every_number_stands_in_the_json(page, results, tmp_path):
    kept, _ = write(results, tmp_path)
    known = {*numbers(json.loads(kept.read_text(encoding="utf-8")))}
    gaps = [probe.gap for generation in results.generations for probe in generation.senses.probes]
    for value in page.values:
        assert any(abs(value - number) <= 1e-12 * max(1, abs(number)) for number in [*known, *gaps]), value


def test_without_curves_there_is_no_section():
    assert "Fewer labels" not in Page(render(made_up.results(made_up.report()))).text
