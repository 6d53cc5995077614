"""The report page: offline, complete without scripts, with the numbers of report.json and no others."""

import builtins
import dataclasses
import json
import re
from html.parser import HTMLParser
from types import SimpleNamespace

import made_up
import numpy as np
import pytest

from stemma.config import to_plain
from stemma.errors import DataError
from stemma.evaluation.comparison.results import Results, read
from stemma.evaluation.measures.intervals import Interval
from stemma.evaluation.measures.judge import Judge
from stemma.evaluation.report import headline as headline_module
from stemma.evaluation.report import standings as standings_module
from stemma.evaluation.report import tables
from stemma.evaluation.report.charts import charts
from stemma.evaluation.report.error_section import errors
from stemma.evaluation.report.page import render, write
from stemma.evaluation.report.standings import Standings
from stemma.evaluation.report.wording import (
    CONTROLS,
    MODES,
    count,
    duration,
    gap,
    in_mode,
    listed,
    metric_title,
    metric_value,
    mode_title,
    percent,
    size,
    times,
)
from stemma.lineage.table import TABLE, find
from stemma.tasks.table import make_task
from stemma.tasks.task import Metric


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
def results(report):
    return made_up.results(report)


@pytest.fixture(scope="module")
def page(results):
    return Page(render(results))


def shown(report):
    """The page of a changed report, as text and parsed."""
    text = render(made_up.results(report))
    return text, Page(text)


def findings(report):
    """What the headline of a changed report says, by theme."""
    by_theme = {}
    for finding in made_up.results(report).headline.findings:
        by_theme[finding.about] = f"{by_theme.get(finding.about, '')} {finding.text}".strip()
    return by_theme


def numbers(value):
    """Every number in a nested dictionary."""
    if isinstance(value, dict):
        return [n for part in value.values() for n in numbers(part)]
    if isinstance(value, list):
        return [n for part in value for n in numbers(part)] + [float(len(value))]
    return [float(value)] if isinstance(value, int | float) and not isinstance(value, bool) else []


def test_page_needs_nothing_of_the_network(page, results):
    assert all(link.startswith(("#", "data:")) or link == "report.json" for _, link in page.links)
    assert not {"link", "iframe", "img", "object", "embed"} & set(page.tags) or ("link", "data:,") in page.links
    style = re.search(r"<style>(.*?)</style>", render(results), re.S).group(1)
    assert "url(" not in style and "@import" not in style


def test_every_number_on_the_page_stands_in_report_json(page, results, tmp_path):
    kept, _ = write(results, tmp_path)
    known = sorted(numbers(json.loads(kept.read_text(encoding="utf-8"))))
    gaps = [probe.gap for g in results.generations for probe in g.senses.probes]
    for value in page.values:
        assert any(abs(value - number) <= 1e-12 * max(1, abs(number)) for number in [*known, *gaps]), value
    assert len(page.values) > 150


def test_tables_are_readable_without_scripts(page, results):
    for generation in results.generations:
        for result in generation.modes.values():
            assert all(percent(measure.value) in page.text for measure in result.measures.values())
            assert result.head in page.text
    assert "TF-IDF + logistic regression" in page.text and "majority class" in page.text
    assert "体育" in page.text and "包文档" in page.text
    assert page.tags.count("table") >= 6 and page.tags.count("svg") > 10


def with_glove(report):
    """The same with a second generation that has word vectors, better than the first, and a loss of its own unit."""
    row = find("glove")
    own = {"name": row.name, "short": row.short, "colour": row.colour, "loss_unit": row.loss_unit, "words": made_up.judged(0.45)}
    other = {**next(g for g in report["generations"] if g["name"] == "word2vec"), **own}
    return {**report, "generations": [*report["generations"], other], "words": made_up.maps("word2vec", "glove")}


def test_word_maps_stand_side_by_side_without_scripts(report):
    text, page = shown(with_glove(report))
    assert text.count('class="map"') == 2 and text.count(">包</text>") == 2
    assert "The 7 most frequent words that tell of a subject, in every generation with word vectors, placed by t-SNE" in page.text
    assert "array, index" in page.text and "Each map is turned to match the first." in page.text
    alone = shown(report)[1].text
    assert "Words and their neighbours" in alone and "turned to match" not in alone
    fallback = shown({**report, "words": {**report["words"], "method": "PCA", "asked": True, "missing": ["unicorn"]}})[1].text
    assert "The words you named, placed by PCA" in fallback and 'pip install "stemma-nlp[eval]"' in fallback
    assert "Without a vector in one of them: unicorn." in fallback
    few = shown({**report, "words": {**report["words"], "maps": {}}})[1].text
    assert "Too few of the words have a vector for a map." in few
    assert "Words and their neighbours" not in shown({**report, "words": None})[1].text


def test_word_tests_are_tables_with_what_is_missing_named(report):
    text = shown(report)[1].text
    assert "0.410 ± 0.100" in text and "265 of 353" in text and "Arafat, FBI, OPEC, Maradona, Freud and 2 more" in text
    assert "only 0 of 240 pairs" in text and "questions-words.txt" in text and "306 of 526" in text and "城市" in text
    assert "47.1" in text and "41.5" in text


def test_the_task_without_training_is_a_table_and_tells_who_cannot(report):
    assert "The task without training" not in shown(report)[1].text
    made = json.loads(json.dumps(report))
    by_name = {generation["name"]: generation for generation in made["generations"]}
    chance = {"how": "always 'graph 图'", "measure": "accuracy", "title": "accuracy", "share": True, "value": 0.413, "by_lot": 0.25}
    for name, accuracy, doubt in (("ngram", 0.397, "at chance at this scale"), ("bert", 0.731, "")):
        found = {"task": "classify", "way": f"how {name} answers", "examples": 1234, "doubt": doubt, "template": "{text}: {label}"}
        found |= {"measures": {"accuracy": made_up.measure(accuracy, 0.02)}, "above_chance": made_up.measure(accuracy - 0.413, 0.03)}
        by_name[name]["zero_shot"] = {"found": {**found, "chance": chance}, "seconds": 88.0}
    by_name["word2vec"]["zero_shot"] = {"why_not": "word2vec gives no likelihood to an answer"}
    page = shown(made)[1]
    text = page.text[page.text.index("examples of the dev file") :]
    assert "always 'graph 图', gets 41.3 (choosing by lot gets 25.0)" in text and "{text}: {label}" in text
    assert "39.7 ± 2.0" in text and "-1.6 ± 3.0" in text and "73.1 ± 2.0" in text and "31.8 ± 3.0" in text
    assert "gives no likelihood to an answer" in text and "how bert answers" in text
    assert tables.costs(made_up.results(made)).count(">task without training<") == 2


def test_minimal_pairs_are_a_table_and_tell_who_cannot(report, tmp_path):
    assert "Which sentence is likelier?" not in shown(report)[1].text
    made = json.loads(json.dumps(report))
    by_name = {generation["name"]: generation for generation in made["generations"]}
    for name, (right, ties) in {"ngram": (30, 7), "bert": (41, 0)}.items():
        part = {"pairs": 50, "right": right, "ties": ties, "share": made_up.measure(right / 50, 0.12)}
        phenomena = {"agreement": part, "语序": {**part, "share": made_up.measure(right / 50 - 0.003, 0.12)}}
        found = {
            "way": f"how {name} weighs",
            "given": 6700,
            "total": {**part, "pairs": 100},
            "mean": made_up.measure(right / 50 + 0.004, 0.09),
        }
        by_name[name]["minimal"] = {"found": {**found, "phenomena": phenomena, "paradigms": {}, "same": 3, "unknown": 12}, "seconds": 77.0}
    by_name["word2vec"]["minimal"] = {"why_not": "it asks the text for its neighbours, and gives no likelihood to a sentence"}
    page = shown(made)[1]
    text = page.text[page.text.index("100 pairs of sentences") :]
    assert "drawn by lot from 6,700," in text and "60.4 ± 9.0" in text and "82.4 ± 9.0" in text and "82.0 ± 12.0" in text
    assert "gives no likelihood to a sentence" in text and "语序" in text and "59.7 ± 12.0" in text and "how bert weighs" in text
    results = made_up.results(made)
    costs = tables.costs(results)
    assert costs.count(">minimal pairs<") == 2 and ">77\u00a0s<" in costs  # a stage like any other; what was not made costs nothing
    assert {g.name: g.minimal_share and g.minimal_share.value for g in results.generations} == {
        "ngram": 0.604,
        "word2vec": None,
        "gpt": None,
        "bert": 0.824,
    }
    kept, _ = write(results, tmp_path)
    known = numbers(json.loads(kept.read_text(encoding="utf-8")))
    assert all(any(abs(value - number) < 1e-12 for number in known) for value in Page(render(results)).values if 0.59 < value < 0.61)


def test_the_shares_of_the_layers_are_drawn_and_stand_in_the_json(report, tmp_path):
    """Of who has several layers alone; each bar's parts are as wide as their shares, and the JSON has the same numbers."""
    made = json.loads(json.dumps(report))
    for generation, shares in zip(made["generations"], ([0.2, 0.55, 0.25], [1.0]), strict=False):
        generation["modes"]["frozen-network"] = {**next(iter(generation["modes"].values())), "layers": shares}
    results = made_up.results(made)
    body = render(results)
    assert body.count('class="mix"') == 1
    assert [float(share) for share in re.findall(r"flex-grow:([\d.]+)", body)] == [0.2, 0.55, 0.25]
    assert 'title="embeddings: 20.0 %"' in body and 'title="layer 2: 25.0 %"' in body
    kept, _ = write(results, tmp_path)
    assert json.loads(kept.read_text(encoding="utf-8"))["generations"][0]["modes"]["frozen-network"]["layers"] == [0.2, 0.55, 0.25]


def test_analogies_have_intervals_of_wilson(results):
    answered = next(g for g in results.generations if g.name == "word2vec").words.analogies[0].sections
    add, mul = answered["family"].intervals()
    assert (add.low, add.value, add.high) == pytest.approx((0.4154, 144 / 306, 0.5265), abs=1e-3) and mul.value == 127 / 306
    assert answered["城市"].intervals() == (None, None)


def test_the_headline_tells_whose_word_vectors_agree_best_with_people(report):
    assert "Word vectors" not in findings(report)
    sentence = findings(with_glove(report))["Word vectors"]
    assert sentence.startswith("GloVe's word vectors agree best with people's judgement of wordsim353.tsv: rho 0.45, and word2vec's 0.41")
    assert sentence.endswith("and word2vec's 0.41.")  # their intervals overlap, for some pairs are hard for both
    other = with_glove(report)
    found = other["generations"][-1]["words"]["similarity"][0]["found"]
    found |= {"each": made_up.cosines(0.45, own=1.0)}
    assert findings(other)["Word vectors"].endswith("; compared pair by pair, the difference may be chance.")
    found |= {"used": 99, "rho": made_up.measure(0.9, 0.02), "each": made_up.cosines(0.9, used=99)}
    sentence = findings(other)["Word vectors"]
    assert sentence.endswith("0.41, each on the pairs it has vectors for.")


def test_vectors_that_agree_alike_on_the_pairs_that_both_have_are_not_told_apart(report):
    """Their intervals lie apart, for one of them was spared the hard pairs."""
    other = with_glove(report)
    first = next(g for g in other["generations"] if g["name"] == "word2vec")["words"]["similarity"][0]["found"]
    easy = {"used": 99, "rho": made_up.measure(0.9, 0.02), "each": [*first["each"][:99], *[None] * (353 - 99)]}
    other["generations"][-1]["words"]["similarity"][0]["found"] |= easy
    assert findings(other)["Word vectors"].endswith("; compared pair by pair, the difference may be chance.")
    none = [*[None] * 350, *[(0.1, 0.2)] * 3]
    other["generations"][-1]["words"]["similarity"][0]["found"] |= {"each": none}
    assert findings(other)["Word vectors"].endswith("may be chance.")


def predicted(report, bits, *each):
    """The finding on bits per character where generations have such blocks, each with an interval of `bits` around it."""
    made = json.loads(json.dumps(report))
    scored = [g for g in made["generations"] if g["score"] and "found" in g["score"]]
    scored += [{**json.loads(json.dumps(scored[0])), "name": f"more {n}"} for n in range(len(each) - len(scored))]
    for generation, (value, blocks) in zip(scored, each, strict=True):
        generation["score"]["found"] |= {"bits_per_character": made_up.measure(value, bits), "each": blocks}
    others = [g for g in made["generations"] if not (g["score"] and "found" in g["score"])]
    return findings({**made, "generations": [*scored, *others]})["Predicting your text"]


def test_bits_are_compared_block_by_block(report):
    """Blocks that are hard for all make wide intervals, and leave the difference what it is."""
    sentence = predicted(report, 0.03, (2.18, made_up.blocks(2.18)), (2.21, made_up.blocks(2.21)))
    assert "at 2.18 bits a character" in sentence and sentence.endswith("follows with 2.21.")
    sentence = predicted(report, 0.03, (2.18, made_up.blocks(2.18, own=0.2)), (2.21, made_up.blocks(2.21, own=0.2)))
    assert sentence.endswith("; compared block by block, the difference may be chance.")


def test_blocks_that_are_hard_for_the_one_and_easy_for_the_other_tell_less_than_their_intervals(report):
    """Of eight, the best one was chosen: two intervals that lie apart are no proof of it."""
    half = made_up.interval_of_blocks(made_up.blocks(2.18, alike=1.0))
    apart = 2.18 + 2.1 * half
    worse = [(apart + 0.001 * n, made_up.blocks(apart + 0.001 * n, alike=-1.0)) for n in range(7)]
    sentence = predicted(report, half, (2.18, made_up.blocks(2.18)), *worse)
    assert sentence.endswith("; compared block by block, the difference may be chance.")
    assert predicted(report, half, (2.18, made_up.blocks(2.18)), (apart, worse[0][1])).endswith("follows with 2.24.")


def test_senses_are_compared_case_by_case(report):
    made = json.loads(json.dumps(report))

    def sentence(best, other):
        for generation in made["generations"]:
            for probe in generation["senses"].get("probes", ()):
                probe["accuracy"], probe["hits"] = made_up.measure(0.4, 0.03), made_up.hits(0.4)
        inside = made["generations"][-1]["senses"]["probes"][1]  # BERT, in context
        still = made["generations"][1]["senses"]["probes"][0]  # word2vec, static
        inside["accuracy"], inside["hits"] = made_up.measure(0.75, 0.03), best
        still["accuracy"], still["hits"] = made_up.measure(0.72, 0.03), other
        return findings(made)["One word, several senses"]

    assert sentence(made_up.hits(0.75, own=0.01), made_up.hits(0.72, own=0.01)).endswith(" does in 72.0\u00a0%.")
    mixed = sentence(made_up.hits(0.75, own=3.0), made_up.hits(0.72, own=3.0))
    assert mixed.endswith("; compared case by case, the difference may be chance.")
    lost = [None if k % 2 else hit for k, hit in enumerate(made_up.hits(0.75, own=0.01))]
    alike_where_both_judge = [hit if k % 2 else lost[k] for k, hit in enumerate(made_up.hits(0.2))]
    assert sentence(lost, alike_where_both_judge).endswith("may be chance.")
    assert sentence([None] * len(lost), made_up.hits(0.72)).endswith("may be chance.")


def test_a_loss_curve_has_its_own_unit(report):
    specs = charts(Standings(made_up.results(with_glove(report))))
    assert "loss, nats" in json.dumps(specs["curve-word2vec"]) and "loss, weighted squared error" in json.dumps(specs["curve-glove"])


def test_a_word_model_with_unknown_words_has_no_bits_and_the_page_says_why(report):
    word2vec = next(g for g in report["generations"] if g["name"] == "word2vec")
    score = {
        **next(g for g in report["generations"] if g["name"] == "ngram")["score"]["found"],
        "bits_per_character": None,
        "perplexity_per_token": 201.5,
        "perplexity_per_word": None,
        "perplexity_per_token_without_oov": 180.2,
        "oov": 512,
        "why_not_bits": "512 tokens are not in its vocabulary, and their spelling was never predicted",
    }
    nnlm = {**word2vec, "name": "nnlm", "short": "NNLM", "score": {"found": score}}
    text = shown({**report, "generations": [*report["generations"], nnlm], "words": made_up.maps("word2vec", "nnlm")})[1].text
    assert "201.5" in text and "512" in text and "their spelling was never predicted" in text
    assert "has no bits per character" not in shown(report)[1].text


def test_bits_of_a_single_block_stand_without_an_interval(report):
    made = json.loads(json.dumps(report))
    score = next(g for g in made["generations"] if g["name"] == "ngram")["score"]["found"]
    score["bits_per_character"] = made_up.measure(1.7654, 0.0)
    text = shown(made)[1].text
    assert "1.765" in text and "± 0.000" not in text and "± 0.00 " not in text


def test_every_generation_of_the_lineage_has_its_own_colour():
    assert len({row.colour for row in TABLE}) == len({row.short for row in TABLE}) == len(TABLE)
    assert all(re.fullmatch("#[0-9a-f]{6}", row.colour) for row in TABLE)


def test_charts_follow_the_numbers(results):
    specs = charts(Standings(results))
    assert set(specs) == {"modes", "bits", "senses", "layers", "curve-word2vec", "curve-gpt", "curve-bert"}
    assert all(spec["width"] == "container" for spec in specs.values())
    drawn = json.dumps(specs["modes"])
    for generation in results.generations:
        for result in generation.modes.values():
            assert repr(result.measures["accuracy"].value * 100) in drawn


def test_a_script_end_in_the_data_does_not_end_the_script(report):
    text, _ = shown({**report, "title": "</script><b>x"})
    assert "</script><b>x" not in text


def test_without_the_extra_the_page_has_its_tables_and_says_what_to_install(results, monkeypatch):
    real = builtins.__import__

    def without(name, *rest, **more):
        if name == "altair":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    page = Page(render(results))
    assert 'pip install "stemma-nlp[report]"' in page.text
    assert page.tags.count("table") >= 6 and "chart-specs" not in page.text


def test_written_whole_and_json_can_be_read_again(results, tmp_path):
    kept, page = write(results, tmp_path)
    assert read(Results, json.loads(kept.read_text(encoding="utf-8")), "report.json") == results
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.html", "report.json"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda made: made["environment"].pop("cpu"), "environment.cpu"),
        (lambda made: made["generations"][1]["modes"]["frozen"].update(accuracy=0.5), "generations.1.modes.frozen.accuracy"),
        (lambda made: made["baselines"][0]["measures"]["accuracy"].update(middle=1), "baselines.0.measures.accuracy.middle"),
        (lambda made: made.update(title=3), "title"),
    ],
)
def test_a_missing_or_unknown_key_is_reported_and_not_guessed(change, message):
    made = made_up.report()
    change(made)
    with pytest.raises(DataError, match=f"report.json: {message}: .*make it again with stemma compare"):
        read(Results, made, "report.json")


def set_accuracy(report, name, mode, accuracy, seed):
    generation = next(g for g in report["generations"] if g["name"] == name)
    answers = made_up.answers(accuracy, seed)
    generation["modes"][mode] |= {"answers": answers}
    generation["modes"][mode]["measures"] = {"accuracy": made_up.measure(made_up.share(answers)), "macro_f1": made_up.measure(accuracy)}


def test_differences_inside_the_interval_are_ties(results):
    standings = Standings(results)
    place = {contender.place: contender for contender in standings.contenders}
    bert, gpt, ngram = place["bert", "finetune"], place["gpt", "finetune"], place["ngram", "frozen"]
    assert standings.ranked[0] == bert
    assert not standings.lead(bert, gpt).excludes_zero and standings.lead(bert, ngram).excludes_zero
    assert standings.ties(bert, [bert, gpt, ngram]) == [gpt]
    same = standings.lead(bert, bert)
    assert same.value == 0 and not same.excludes_zero  # not of no width: seeds are drawn for each by itself
    assert standings.lead(bert, ngram).value == pytest.approx(bert.quality.value - ngram.quality.value, abs=1e-9)


def test_the_first_pays_for_its_choice_and_a_row_named_beforehand_does_not(results):
    """Its lead over another generation was as narrow as if nobody had chosen."""
    standings = Standings(results)
    place = {contender.place: contender for contender in [*standings.contenders, *standings.baselines]}
    first, others = standings.ranked[0], [*standings.ranked[1:], *standings.baselines]
    for other in others:
        plain = standings.judge.difference(first.answers, other.answers)
        assert standings.lead(first, other).half > plain.half and standings.lead(first, other).value == pytest.approx(plain.value)
        assert standings.lead(other, first) == -standings.lead(first, other)
    ours, control = place["bert", "finetune"], place["bert", "scratch"]
    assert standings.lead(ours, control) == standings.judge.difference(ours.answers, control.answers)
    assert [(lead.first, lead.first_mode) for lead in standings.leads] == [("bert", "finetune")] * len(others)
    assert [(lead.other, lead.other_mode, lead.by) for lead in standings.leads] == [
        (*other.place, standings.lead(first, other)) for other in others
    ]
    kept = read(Results, to_plain(results) | {"leads": to_plain(standings.leads)}, "report.json")
    assert kept.leads == standings.leads and results.budget.seeds and all(lead.by.seeds == 3 for lead in kept.leads)


def test_headline_calls_a_tie_a_tie_and_a_winner_a_winner():
    tied = made_up.report()
    for name, seed in (("gpt", 40), ("bert", 41)):
        set_accuracy(tied, name, "finetune", 0.9, seed)
    assert "BERT and GPT do best, too close to call" in made_up.results(tied).headline.title
    won = made_up.report()
    set_accuracy(won, "bert", "finetune", 0.97, 42)
    title = made_up.results(won).headline.title
    assert re.fullmatch(r"On your text fine-tuned BERT does best: accuracy 9\d\.\d %", title)
    second = made_up.results(won).headline.second
    assert second.startswith(
        "Pre-training on your text paid for 3 of 3 generations; fine-tuned BERT costs 4 min 33 s".replace(
            "4 min 33 s", "4\u00a0min 33\u00a0s"
        )
    )
    assert re.search(r"fine-tuned word2vec 35\u00a0% of that for \d+\.\d points less\.$", second)


def test_a_tie_of_few_seeds_proposes_five_with_its_command(report):
    def proposed(accuracy, seeds, command="stemma compare a.txt --title 'my text' --seeds 3 --out out"):
        made = json.loads(json.dumps(report))
        made["budget"]["seeds"], made["command"] = list(range(1, seeds + 1)), command
        set_accuracy(made, "gpt", "finetune", accuracy, 55)
        return [f.text for f in made_up.results(made).headline.findings if "--seeds" in f.text]

    sentence = (
        "3 seeds left this open; 5 may tell, and what was pre-trained is kept: stemma compare a.txt --title 'my text' --out out --seeds 5"
    )
    assert proposed(0.871, 3) == [sentence]
    assert proposed(0.871, 1, "stemma compare a.txt --seeds 1")[0].startswith("1 seed left this open; 5 may tell")
    assert proposed(0.871, 3, "stemma compare a.txt")[0].endswith("stemma compare a.txt --seeds 5")
    assert proposed(0.871, 5) == proposed(0.2, 3) == []  # enough of them; a certain first


def test_headline_admits_that_a_plain_baseline_won():
    report = made_up.report()
    report["baselines"][1] |= {
        "measures": dict.fromkeys(("accuracy", "macro_f1"), made_up.measure(0.99)),
        "answers": made_up.answers(0.99, 50, 1),
    }
    title = made_up.results(report).headline.title
    assert title.startswith("On your text plain TF-IDF + logistic regression beats every generation: accuracy 99.0 % against 8")


def test_headline_admits_that_pretraining_did_not_pay():
    report = made_up.report()
    set_accuracy(report, "gpt", "scratch", 0.846, 6)
    set_accuracy(report, "bert", "scratch", 0.95, 60)
    sentence = findings(report)["Does pre-training pay?"]
    assert "Fine-tuned: GPT does neither clearly better nor worse" in sentence and "Fine-tuned: BERT does clearly worse than" in sentence


def test_headline_holds_frozen_vectors_against_random_ones(report):
    sentence = findings(report)["Does pre-training pay?"]
    random = sentence[sentence.index("Frozen: ") :]
    assert re.search(r"word2vec does clearly better than the same network that never read your text \(9\.7 ± 2\.\d points\)", random)
    assert "GPT does neither clearly better nor worse" in random and "BERT" not in random


class Wrongs:
    """A task judged by its wrong answers, so that fewer are better."""

    def metrics(self, targets):
        return (WRONGS,)

    def terms(self, gold, decoded, targets):
        return np.stack([gold != decoded, np.ones(len(gold))], -1)

    def measures(self, sums, targets):
        return {"wrongs": 10 * sums[..., 0] / sums[..., 1]}

    def named(self, decoded, targets):
        return [targets["labels"][k] for k in decoded]


WRONGS = Metric("wrongs", "wrong answers in ten", higher_is_better=False, share=False)


def test_the_metric_and_its_direction_come_from_the_task(monkeypatch):
    monkeypatch.setattr(standings_module, "make_task", lambda kind: Wrongs())
    report = made_up.report()
    report["task"]["metrics"] = [to_plain(WRONGS)]
    for row in [*report["baselines"], *(mode for g in report["generations"] for mode in g["modes"].values())]:
        right = made_up.share(row["answers"])
        row["measures"] = {"wrongs": made_up.measure(10 * (1 - right), 0.1)}
    results = made_up.results(report)
    assert [contender.name for contender in Standings(results).ranked] == ["bert", "gpt", "word2vec", "ngram"]
    sentence = findings(report)["Plain methods beside it"]
    assert re.search(r"TF-IDF \+ logistic regression gets 1\.9, 0\.4 ± 0\.\d points worse than fine-tuned BERT", sentence)
    text, page = shown(report)
    assert "wrong answers in ten (less is better)" in page.text and "Up is better, left is cheaper" in page.text
    assert "ccuracy, %" not in text[text.index('id="generations"') : text.index('id="words"')] and "Macro" not in page.text
    assert metric_title(WRONGS) in json.dumps(charts(Standings(results))["modes"])


def test_metrics_are_worded_by_what_they_are():
    accuracy = Metric("accuracy", "accuracy")
    assert (metric_title(accuracy), metric_value(accuracy, 0.8412)) == ("accuracy, %", "84.1")
    assert (metric_title(WRONGS), metric_value(WRONGS, 1.26)) == ("wrong answers in ten (less is better)", "1.3")
    assert gap(accuracy, Interval(-0.073, -0.087, -0.059)) == "7.3 ± 1.4 points"


def test_modes_are_worded_round_the_name():
    worded = [in_mode(mode, "BERT") for mode in ("finetune", "frozen-network", "scratch")]
    assert worded == ["fine-tuned BERT", "frozen BERT under a task network", "BERT from scratch"]
    titles = [mode_title(mode) for mode in MODES]
    assert len(set(titles)) == len(MODES) and not any("," in title for title in titles)  # they stand in lists


def test_controls_are_spoken_of_where_there_are_any(report):
    assert "Does pre-training pay?" in shown(report)[1].text and "Each has its control" in shown(report)[1].text
    bare = made_up.report()
    bare["budget"]["modes"] = [mode for mode in bare["budget"]["modes"] if mode not in CONTROLS.values()]
    for generation in bare["generations"]:
        generation["modes"] = {mode: found for mode, found in generation["modes"].items() if mode not in CONTROLS.values()}
    text = shown(bare)[1].text
    assert "Does pre-training pay?" not in text and "Each has its control" not in text


def test_words_that_nobody_read_are_reported():
    report = made_up.report()
    assert "Left unread" not in findings(report)
    report["task"]["gold"] = [[label, label] for label in report["task"]["gold"]]
    report["generations"][2]["modes"]["finetune"]["cut"] |= {"units": 60, "dev_units": 31}
    found = headline_module._unread(read(Results, report, "made up"))
    assert found[0].text.startswith("GPT had to guess words") and found[0].text.endswith("31 of 1,600.") and found[0].rows == ("gpt",)


def test_a_generation_that_cannot_learn_the_task_says_why():
    report = made_up.report()
    report["generations"][0] |= {"modes": {}, "refusal": "ngram has no states <of words>"}
    text, page = shown(report)
    assert "none: ngram has no states <of words>" in page.text and "<of words>" not in text


def test_a_failed_generation_is_reported_as_a_failure():
    _, page = shown(made_up.with_failure(made_up.report()))
    assert "GPT failed at the stage gpt.finetune" in page.text and "Lower training.rate." in page.text
    nothing = made_up.report()
    for generation in nothing["generations"]:
        generation |= {
            "modes": {},
            "pretrain": None,
            "score": None,
            "senses": None,
            "failures": [{"stage": "x", "error": "E", "message": "broke."}],
        }
    text = shown(nothing)[1].text
    assert "No generation finished" in text and "failed at the stage x: broke." in text


@pytest.mark.parametrize(
    ("worded", "text"),
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
def test_numbers_are_worded_for_reading(worded, text):
    assert worded.replace("\u00a0", " ") == text


def test_errors_are_shown_by_label_and_by_example():
    """The counts of the confusion matrix are those of the first generation's answers; the examples are those that most get wrong."""
    results = made_up.results()
    standings = Standings(results)
    html = errors(standings)
    first, task = standings.ranked[0], results.task
    counts = [int(count.replace(",", "")) for count in re.findall(r'<td class="number"[^>]*>([^<]*)</td>', html)]
    expected = np.zeros((len(task.labels),) * 2, int)
    for seed in first.answers:
        np.add.at(expected, (np.array(task.gold), np.array(seed)), 1)
    assert counts == expected.ravel().tolist()
    right = np.mean([np.array(c.answers[0]) == np.array(task.gold) for c in standings.ranked], 0)
    worst = np.argsort(right, kind="stable")[:10]
    places = [int(number) for number in re.findall(r"the dev example (\d+) &amp; &lt;its&gt; text 例", html)]
    assert places == worst.tolist()
    assert errors(Standings(dataclasses.replace(results, task=dataclasses.replace(task, gold=())))) == ""


@pytest.mark.parametrize("kind", ["regress", "span"])
def test_errors_of_tasks_without_labels(kind):
    """Numbers and answers are shown in words; there is no confusion matrix."""
    task = make_task(kind)
    if kind == "regress":
        gold, answers, targets = [1.0, 2.0, 4.0], [1.0, 3.5, 4.0], {"labels": [], "mean": 2.0, "scale": 1.0, "pairs": False}
    else:
        gold = [{"first": 0, "last": 0, "texts": texts} for texts in (["a", "b"], ["x"], [])]
        answers = [{"first": 0, "last": 0, "texts": texts} for texts in (["b"], [], [])]
        targets = {"labels": [], "null": True}
    results = made_up.results()
    files = dataclasses.replace(
        results.task, kind=kind, targets=targets, metrics=task.metrics(targets), gold=tuple(gold), texts=("one", "two", "three")
    )
    standings = SimpleNamespace(
        judge=Judge(task, targets, gold),
        results=SimpleNamespace(task=files),
        ranked=[SimpleNamespace(short="X", colour="#123456", answers=(tuple(answers),))],
    )
    html = errors(standings)
    assert "Confusion" not in html and html.index("two") < html.index("one")
    assert ("3.50" if kind == "regress" else "(no answer)") in html
