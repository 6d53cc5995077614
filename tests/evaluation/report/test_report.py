"""The report page: offline, complete without scripts, with the numbers of report.json and no others."""

import builtins
import json
import re
from html.parser import HTMLParser

import made_up
import pytest

from stemma.evaluation.report.charts import COLOURS, charts
from stemma.evaluation.report.headline import Contender, difference, headline
from stemma.evaluation.report.page import render, write
from stemma.evaluation.report.wording import count, duration, listed, percent, size, times
from stemma.lineage.table import TABLE


class Page(HTMLParser):
    """What a page refers to, the numbers it shows, and its text outside scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links, self.values, self.words, self.tags = [], [], [], []
        self._hidden = 0
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        named = dict(attributes)
        self.tags.append(tag)
        self.links += [(tag, named[key]) for key in ("src", "href", "srcset", "action", "data") if named.get(key)]
        if tag == "data":
            self.values.append(float(named["value"]))
        self._hidden += tag in ("script", "style")

    def handle_endtag(self, tag):
        self._hidden -= tag in ("script", "style")

    def handle_data(self, data):
        if not self._hidden:
            self.words.append(data)

    @property
    def text(self):
        return "".join(self.words).replace("\u00a0", " ")


@pytest.fixture(scope="module")
def report():
    return made_up.report()


@pytest.fixture(scope="module")
def page(report):
    return Page(render(report))


def numbers(value):
    """Every number in a nested dictionary."""
    if isinstance(value, dict):
        return [n for part in value.values() for n in numbers(part)]
    if isinstance(value, list):
        return [n for part in value for n in numbers(part)] + [float(len(value))]
    return [float(value)] if isinstance(value, int | float) and not isinstance(value, bool) else []


def test_page_asks_nothing_of_the_network(page, report):
    assert all(link.startswith(("#", "data:")) or link == "report.json" for _, link in page.links)
    assert not {"link", "iframe", "img", "object", "embed"} & set(page.tags) or ("link", "data:,") in page.links
    style = re.search(r"<style>(.*?)</style>", render(report), re.S).group(1)
    assert "url(" not in style and "@import" not in style


def test_every_number_on_the_page_stands_in_report_json(page, report, tmp_path):
    kept, _ = write(report, tmp_path)
    known = sorted(numbers(json.loads(kept.read_text(encoding="utf-8"))))
    gaps = [p["within"] - p["across"] for g in report["generations"] for p in g["senses"]["probes"]]
    for value in page.values:
        assert any(abs(value - number) <= 1e-12 * max(1, abs(number)) for number in [*known, *gaps]), value
    assert len(page.values) > 150


def test_tables_are_readable_without_scripts(page, report):
    for generation in report["generations"]:
        for result in generation["modes"].values():
            assert percent(result["accuracy"]["value"]) in page.text
            assert result["head"] in page.text
    assert "TF-IDF + logistic regression" in page.text and "majority class" in page.text
    assert "体育" in page.text and "包文档" in page.text
    assert page.tags.count("table") >= 6 and page.tags.count("svg") > 10


def with_glove(report):
    """The same with a second generation that has word vectors, better than the first, and a loss of its own unit."""
    other = {**next(g for g in report["generations"] if g["name"] == "word2vec"), "name": "glove", "words": made_up.judged(0.45)}
    return {**report, "generations": [*report["generations"], other], "words": made_up.maps("word2vec", "glove")}


def test_word_maps_stand_side_by_side_without_scripts(report):
    two = with_glove(report)
    text = render({**two, "headline": headline(two)})
    page = Page(text)
    assert text.count('class="map"') == 2 and text.count(">包</text>") == 2
    assert "The 7 most frequent words that tell of a subject, in every generation with word vectors, placed by t-SNE" in page.text
    assert "array, index" in page.text and "Each map is turned to match the first." in page.text
    alone = Page(render(report)).text
    assert "Words and their neighbours" in alone and "turned to match" not in alone
    fallback = Page(render({**report, "words": {**report["words"], "method": "PCA", "asked": True, "missing": ["unicorn"]}})).text
    assert "The words you named, placed by PCA" in fallback and 'pip install "stemma-nlp[eval]"' in fallback
    assert "Without a vector in one of them: unicorn." in fallback
    few = Page(render({**report, "words": {**report["words"], "maps": {}}})).text
    assert "Too few of the words have a vector for a map." in few
    assert "Words and their neighbours" not in Page(render({**report, "words": None})).text


def test_word_tests_are_tables_with_what_is_missing_named(report):
    text = Page(render(report)).text
    assert "0.410 ± 0.100" in text and "265 of 353" in text and "Arafat, FBI, OPEC, Maradona, Freud and 2 more" in text
    assert "only 0 of 240 pairs" in text and "questions-words.txt" in text and "306 of 526" in text and "城市" in text
    assert "47.1" in text and "41.5" in text


def test_the_headline_tells_whose_word_vectors_agree_best_with_people(report):
    assert not any(f["about"] == "Word vectors" for f in headline(report)["findings"])
    told = next(f["text"] for f in headline(with_glove(report))["findings"] if f["about"] == "Word vectors")
    assert told.startswith("GloVe's word vectors agree best with people's judgement of wordsim353.tsv, at rho 0.45 against 0.41 (word2vec)")
    assert told.endswith("(word2vec); the intervals overlap, so call it a tie.")
    other = with_glove(report)
    found = other["generations"][-1]["words"]
    found["similarity"][0] |= {"used": 99, "rho": made_up.measure(0.9, 0.02)}
    told = next(f["text"] for f in headline(other)["findings"] if f["about"] == "Word vectors")
    assert told.endswith("(word2vec), each on the pairs it has vectors for.")


def test_a_loss_curve_has_its_own_unit(report):
    specs = charts(with_glove(report))
    assert "loss, nats" in json.dumps(specs["curve-word2vec"]) and "loss, weighted squared error" in json.dumps(specs["curve-glove"])


def test_a_word_model_with_unknown_words_has_no_bits_and_the_page_says_why(report):
    word2vec = next(g for g in report["generations"] if g["name"] == "word2vec")
    score = {
        "bits_per_character": None,
        "perplexity_per_token": 201.5,
        "perplexity_per_word": None,
        "perplexity_per_token_without_oov": 180.2,
    }
    nnlm = {**word2vec, "name": "nnlm", "score": {**score, "tokens": 40_000, "oov": 512, "seconds": 2.0}}
    text = Page(render({**report, "generations": [*report["generations"], nnlm], "words": made_up.maps("word2vec", "nnlm")})).text
    assert "201.5" in text and "512" in text and "its spelling was never paid for" in text
    assert "its spelling was never paid for" not in Page(render(report)).text


def test_every_generation_of_the_lineage_has_its_own_colour():
    assert {row.name for row in TABLE} == set(COLOURS) and len(set(COLOURS.values())) == len(COLOURS)


def test_charts_follow_the_numbers(report):
    specs = charts(report)
    assert set(specs) == {"cost", "modes", "bits", "senses", "layers", "curve-word2vec", "curve-gpt", "curve-bert"}
    assert all(spec["width"] == "container" for spec in specs.values())
    shown = json.dumps(specs["modes"])
    for generation in report["generations"]:
        for result in generation["modes"].values():
            assert repr(result["accuracy"]["value"] * 100) in shown


def test_a_script_end_in_the_data_does_not_end_the_script(report):
    text = render({**report, "title": "</script><b>x"})
    assert "</script><b>x" not in text


def test_without_the_extra_the_page_has_its_tables_and_says_what_to_install(report, monkeypatch):
    real = builtins.__import__

    def without(name, *rest, **more):
        if name == "altair":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    page = Page(render(report))
    assert 'pip install "stemma-nlp[report]"' in page.text
    assert page.tags.count("table") >= 6 and "chart-specs" not in page.text


def test_written_whole_and_json_can_be_read_again(report, tmp_path):
    kept, page = write(report, tmp_path)
    assert json.loads(kept.read_text(encoding="utf-8"))["headline"] == report["headline"]
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.html", "report.json"]


def contender(name, mode, accuracy, seconds, seed, half=0.013):
    return Contender(
        name, mode, made_up.measure(accuracy, half), seconds, tuple(made_up.answers(accuracy, seed)), " ".join(map(str, made_up.GOLD)), 7
    )


def test_differences_inside_the_interval_are_ties():
    bert, near, far = (
        contender("bert", "finetune", 0.85, 9, 1),
        contender("gpt", "finetune", 0.846, 9, 2),
        contender("ngram", "frozen", 0.70, 9, 3),
    )
    assert difference(bert, near).tie and not difference(bert, far).tie
    assert difference(bert, bert).value == 0 and difference(bert, bert).tie
    unpaired = difference(Contender("a", "", made_up.measure(0.8, 0.02), 1), Contender("b", "", made_up.measure(0.81, 0.02), 1))
    assert unpaired.tie and unpaired.value == pytest.approx(-0.01)


def set_accuracy(report, name, mode, accuracy, seed):
    generation = next(g for g in report["generations"] if g["name"] == name)
    generation["modes"][mode] |= {"accuracy": made_up.measure(accuracy), "predictions": made_up.answers(accuracy, seed)}


def test_headline_calls_a_tie_a_tie_and_a_winner_a_winner():
    tied = made_up.report()
    for name, seed in (("gpt", 40), ("bert", 41)):
        set_accuracy(tied, name, "finetune", 0.9, seed)
    assert "tie for first" in headline(tied)["title"]
    won = made_up.report()
    set_accuracy(won, "bert", "finetune", 0.97, 42)
    found = headline(won)
    assert re.fullmatch(r"On your text BERT is the most accurate generation: 9\d\.\d % right when fine-tuned", found["title"])
    assert "costs 22 times frozen n-gram and gains" in next(f["text"] for f in found["findings"] if f["about"] == "Cost and gain")


def test_headline_admits_that_a_plain_baseline_won():
    report = made_up.report()
    report["baselines"][1] |= {"accuracy": made_up.measure(0.99), "predictions": made_up.answers(0.99, 50, 1)}
    assert headline(report)["title"].startswith("On your text TF-IDF + logistic regression beats every representation")


def test_headline_admits_that_pretraining_did_not_pay():
    report = made_up.report()
    set_accuracy(report, "gpt", "scratch", 0.846, 6)
    set_accuracy(report, "bert", "scratch", 0.95, 60)
    told = next(f["text"] for f in headline(report)["findings"] if f["about"] == "Does pre-training pay?")
    assert "ties for GPT" in told and "harms BERT" in told


def test_headline_holds_frozen_vectors_against_random_ones():
    told = next(f["text"] for f in headline(made_up.report())["findings"] if f["about"] == "Does pre-training pay?")
    random = told[told.index("Frozen, against the same network randomly drawn") :]
    assert "pays for word2vec: 79.8 against 70.2 %" in random and "ties for GPT" in random and "BERT" not in random


def test_a_failed_generation_is_told_as_a_failure():
    page = Page(render(made_up.with_failure(made_up.report())))
    assert "GPT failed at the stage gpt.finetune" in page.text and "Lower training.rate." in page.text
    nothing = made_up.report()
    for generation in nothing["generations"]:
        generation |= {
            "modes": {},
            "pretrain": {},
            "score": None,
            "senses": None,
            "status": "failed",
            "failures": [{"stage": "x", "error": "E", "message": "broke."}],
        }
    nothing["headline"] = headline(nothing)
    text = Page(render(nothing)).text
    assert "No generation finished" in text and "broke." in text


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (duration(0.42), "0.4 s"),
        (duration(48), "48 s"),
        (duration(200), "3 min 20 s"),
        (duration(7500), "2 h 5 min"),
        (size(12_300_000), "12.3 MB"),
        (size(950), "950 B"),
        (count(12_345), "12.3 k"),
        (count(7), "7"),
        (times(1.44), "1.4"),
        (times(350), "350"),
        (times(0.04), "0.04"),
        (listed(["a", "b", "c"]), "a, b and c"),
    ],
)
def test_numbers_are_worded_for_reading(shown, text):
    assert shown.replace("\u00a0", " ") == text
