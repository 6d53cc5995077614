"""What is seen first: the chart, two sentences, one row a generation, the family tree, and what was learnt; for four and for fifteen."""

import re
from itertools import combinations, pairwise

import made_up
import numpy as np
import pytest

from stemma.evaluation.comparison import extras
from stemma.evaluation.comparison.compare import run_comparison
from stemma.evaluation.comparison.plan import Comparison, Config
from stemma.evaluation.report import page as page_module
from stemma.evaluation.report import rows, tables
from stemma.evaluation.report.cost_chart import NARROW, WIDE, cost_chart
from stemma.evaluation.report.family_tree import family_tree
from stemma.evaluation.report.headline import headline
from stemma.evaluation.report.label_places import Box, label_places, text_width
from stemma.evaluation.report.page import render
from stemma.evaluation.report.standings import Standings
from stemma.evaluation.report.wording import listed_few
from stemma.lineage.table import TABLE


@pytest.fixture(scope="module")
def four():
    return Standings(made_up.results())


@pytest.fixture(scope="module")
def fifteen():
    return Standings(made_up.results(made_up.fifteen()))


def headline_of(report):
    """The findings of a changed report, one string a theme, and its headline."""
    found = made_up.results(report).headline
    return {about: " ".join(f.text for f in found.findings if f.about == about) for about in {f.about for f in found.findings}}, found


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("form", [WIDE, NARROW])
def test_names_cover_neither_each_other_nor_points_nor_the_border(form, seed):
    rng = np.random.default_rng(seed)
    frame, names = form.frame, [row.short for row in TABLE]
    spread = 0.12 if seed % 2 else 0.9  # all in a corner, or all over
    middle = np.array([frame.left, frame.top]) + rng.uniform(0.3, 0.7, 2) * [frame.right - frame.left, frame.bottom - frame.top]
    size = spread * np.array([frame.right - frame.left, frame.bottom - frame.top])
    points = np.clip(middle + size * rng.uniform(-0.5, 0.5, (15, 2)), [frame.left, frame.top], [frame.right, frame.bottom]).tolist()
    sizes = [(text_width(name, form.font) + 4, form.font + 3.0) for name in names]
    boxes = label_places([tuple(point) for point in points], sizes, frame)
    assert len(boxes) == 15 and all(frame.holds(box) for box in boxes)
    for (width, height), box in zip(sizes, boxes, strict=True):
        assert (box.right - box.left, box.bottom - box.top) == pytest.approx((width, height))
    if form is WIDE or seed % 2 == 0:
        assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
        assert not any(box.overlaps(Box.round(x, y, 4, 4)) for box in boxes for x, y in points)


def test_a_name_stands_beside_its_point_where_there_is_room():
    (box,) = label_places([(50.0, 50.0)], [(30.0, 10.0)], Box(0, 0, 200, 100))
    assert box.left - 50 < 15 and box.top < 50 < box.bottom
    (box,) = label_places([(195.0, 50.0)], [(30.0, 10.0)], Box(0, 0, 200, 100))
    assert 0 < 195 - box.right < 15
    assert text_width("红帽", 10) == 20 > text_width("GPT", 10)


def test_the_chart_names_every_generation_and_the_plain_baseline_once_a_format(fifteen):
    drawn = cost_chart(fifteen)
    for contender in fifteen.ranked:
        assert drawn.count(f">{contender.short}</text>") == 2, contender.short
    assert drawn.count(">TF-IDF + LR</text>") == 2 and "majority class, which does not read, gets 19.0" in drawn
    assert drawn.count('class="frontier"') == 2 and drawn.count('<svg class="wide"') == drawn.count('<svg class="narrow"') == 1
    assert not re.search(r"\b(nan|inf|None)\b", drawn)


def test_the_frontier_holds_what_nothing_cheaper_beats(fifteen):
    assert fifteen.frontier
    for cheaper, dearer in pairwise(fifteen.frontier):
        assert cheaper.cost < dearer.cost and fifteen.worth(cheaper) < fifteen.worth(dearer)
    for contender in [*fifteen.ranked, *fifteen.readers]:
        assert any(fifteen.worth(best) >= fifteen.worth(contender) and best.cost <= contender.cost for best in fifteen.frontier)


def test_costs_are_cpu_seconds_of_reading_training_and_transfer(four):
    bert, fine = next(c for c in four.ranked if c.name == "bert"), four.results.generations[3]
    assert bert.cost == pytest.approx(fine.pretrain.cpu_seconds + fine.modes["finetune"].cpu_seconds)
    assert four.by_place["bert", "scratch"].cost == pytest.approx(fine.modes["scratch"].cpu_seconds)


def test_one_row_a_generation_with_every_cell_under_its_head(fifteen):
    table = rows.generations(fifteen)
    found = dict(re.findall(r'<tr id="row-([^"]+)"[^>]*>(.*?)</tr>', table, re.S))
    assert list(found) == [*(row.name for row in TABLE), "majority", "tfidf"]
    heads = re.findall(r'<th scope="col"[^>]*>(.*?)</th>', table)
    for row in TABLE:
        cells = re.findall(r'data-head="([^"]+)"', found[row.name])
        assert len(cells) == len(heads) == 8
    assert "minimal pairs" in table.lower() and '<data class="value" value="0.5">50.0</data>' in found["ngram"]
    assert "budget too small" in found["albert"] and "harms" not in found["albert"] and "31.0" in found["ngram"]
    assert "word2vec, GloVe: it asks the text for" not in table and "it weighs no sentences" in table  # each reason under its head


def test_a_row_tells_gain_and_verdict_as_the_standings_have_them(four):
    table = rows.generations(four)
    gain = four.gain("word2vec", "frozen")
    assert f"+{100 * gain.value:.1f} " in table and four.verdict(four.results.generations[1], "frozen") == "pays"
    assert four.gain("bert", "frozen") is None and four.verdict(four.results.generations[3], "frozen") is None


def test_every_cell_carries_the_head_of_its_column_whatever_spans_it():
    body = [
        '<tr><th scope="rowgroup" rowspan="2">GPT</th><td class="inner">frozen</td><td>1</td></tr>',
        "<tr><td>fine-tuned</td><td>2</td></tr>",
        '<tr><th colspan="2">TF-IDF</th><td>3</td></tr>',
    ]
    table = tables.table(["Who", "How", "#How <well>"], body, "spans")
    heads = [re.sub(r"<[^>]+>", "", cell) for cell in re.findall(r'data-head="[^"]*">[^<]*', table)]
    assert [cell.removeprefix('data-head="').split('">') for cell in heads] == [
        ["Who", "GPT"],
        ["How", "frozen"],
        ["How &lt;well&gt;", "1"],
        ["How", "fine-tuned"],
        ["How &lt;well&gt;", "2"],
        ["Who", "TF-IDF"],
        ["How &lt;well&gt;", "3"],
    ]


def test_the_tree_has_all_fifteen_and_greys_those_not_compared(four, fifteen):
    for standings, compared in ((four, 4), (fifteen, 15)):
        tree = family_tree(standings)
        assert all(tree.count(f">{row.short}<") == 2 for row in TABLE)
        assert tree.count('<a href="#row-') == 2 * compared and tree.count('<g class="absent">') == 2 * (15 - compared)
        assert tree.count('class="branch') == 2 * 14
    drawn = family_tree(four)
    for contender in four.ranked:
        assert f"{100 * contender.quality.value:.1f}\u00a0%</text>" in drawn and f'fill="{contender.colour}"' in drawn


def test_every_finding_leads_to_rows_that_stand_on_the_page(fifteen):
    found = headline(fifteen)
    names = {g.name for g in fifteen.results.generations} | {b.name for b in fifteen.results.baselines}
    assert found.findings and all(finding.rows and set(finding.rows) <= names for finding in found.findings)
    for finding in found.findings:  # no paragraph of numbers
        bare = re.sub(r"[A-Za-z]+-?\d+[a-z]*", "", finding.text)  # names such as word2vec
        assert len(re.findall(r"\d+(?:\.\d+)?", bare)) <= 6 and len(finding.text) < 260, finding.text
    assert found.title.count(".") <= 2 and found.second.endswith(".")


def test_a_loss_at_its_baseline_is_a_budget_too_small_and_no_harm():
    report = made_up.report()
    gpt = report["generations"][2]
    answers = made_up.answers(0.6, 31)
    gpt["modes"]["finetune"] |= {"answers": answers}
    gpt["modes"]["finetune"]["measures"]["accuracy"] = made_up.measure(made_up.share(answers))
    assert "Fine-tuned: GPT does clearly worse" in headline_of(report)[0]["Does pre-training pay?"]
    gpt["pretrain"] |= {"left_baseline": False}
    text = headline_of(report)[0]["Does pre-training pay?"]
    assert "Fine-tuned: the budget was too small for GPT" in text and "worse than the same" not in text


def test_a_cheaper_baseline_that_is_better_is_never_called_worse():
    report = made_up.report()
    report["generations"] = report["generations"][-1:]
    tfidf = report["baselines"][1]
    tfidf["answers"] = made_up.answers(0.97, 31)[:1]
    tfidf["measures"]["accuracy"] = made_up.measure(made_up.share(tfidf["answers"]))
    findings, found = headline_of(report)
    choice = findings["Which one to use"]
    assert "does best of the generations" in choice and choice.endswith(" points better.") and "worse" not in choice
    assert re.search(r"TF-IDF \+ logistic regression .* for [\d.]+ points more\.$", found.second)
    assert "points better than" in findings["Plain methods beside it"] and "beats every generation" in found.title


def test_what_a_baseline_exceeds_by_chance_does_not_do_best():
    report = made_up.report()
    (only,) = report["generations"] = report["generations"][-1:]
    tfidf = report["baselines"][1]
    tfidf["answers"] = made_up.answers(0.885, 31)[:1]
    tfidf["measures"]["accuracy"] = made_up.measure(made_up.share(tfidf["answers"]))
    own = max(mode["measures"]["accuracy"]["value"] for mode in only["modes"].values())
    assert 0 < tfidf["measures"]["accuracy"]["value"] - own < 0.03
    findings, found = headline_of(report)
    assert found.title.startswith("On your text no generation is clearly better than plain TF-IDF + logistic regression: accuracy 8")
    assert "does best of the generations" in findings["Which one to use"]


def test_the_senses_line_names_the_best_row_of_its_own_table():
    report = made_up.report()
    report["generations"][1]["senses"]["probes"][0] |= {"accuracy": made_up.measure(0.95, 0.02), "hits": made_up.hits(0.95)}
    text = headline_of(report)[0]["One word, several senses"]
    assert text.startswith("word2vec (static vector) tells the senses of a word apart best, in 95.0\u00a0% of cases")
    assert "the best vector of the word in its context (BERT, word in context) does in 79.0\u00a0%." in text


def test_what_does_not_read_never_ties():
    report = made_up.report()
    few = {"gold": report["task"]["gold"][:24]}
    report["task"] |= few | {"dev_examples": 24}
    for row in [*report["baselines"], *(m for g in report["generations"] for m in g["modes"].values())]:
        row["answers"] = [seed[:24] for seed in row["answers"]]
    majority = report["baselines"][0]
    majority["answers"] = [[gold if k % 2 else (gold + 1) % 7 for k, gold in enumerate(few["gold"])]]
    for g in report["generations"]:
        for mode in g["modes"].values():  # ten of 24 right: 41.7 %
            mode["answers"] = [[gold if k % 12 < 5 else (gold + 2) % 7 for k, gold in enumerate(few["gold"])]]
            mode["measures"]["accuracy"] = made_up.measure(10 / 24, 0.2)
    majority["measures"]["accuracy"] = made_up.measure(0.5, 0.2)
    title = headline_of(report)[1].title
    assert title == "No generation is clearly better than the majority class, which does not read: accuracy 50.0 %"


def test_a_clear_lead_of_another_over_the_floor_is_not_passed_over():
    report = made_up.report()
    first = max(
        ((g, name) for g in report["generations"] for name in ("frozen", "finetune") if name in g["modes"]),
        key=lambda found: found[0]["modes"][found[1]]["measures"]["accuracy"]["value"],
    )
    answers = report["task"]["gold"]
    wrong = [(gold + 1) % 7 for gold in answers]
    mode = first[0]["modes"][first[1]]  # best on average, since one of its seeds was lucky: its lead over anything is uncertain
    mode["answers"] = [list(answers), wrong, list(answers)][: len(mode["answers"])]
    mode["measures"]["accuracy"] = made_up.measure(0.99, 0.4)
    found = headline_of(report)[1]
    assert "which does not read" not in found.title


def test_a_perplexity_per_word_of_text_without_spaces_is_not_shown():
    report = made_up.report()
    found = report["generations"][0]["score"]["found"]
    assert "402.0" in tables.predictions(made_up.results(report))
    found |= {"perplexity_per_word": 44_296_324_457_922_400.0, "words": 22_000}
    shown = tables.predictions(made_up.results(report))
    assert "44,296" not in shown and "61.4" in shown


def test_passes_beyond_use_are_reported():
    report = made_up.report()
    assert "How often the text was read" not in headline_of(report)[0]
    report["generations"][1]["pretrain"]["passes"] = 270.2
    text, _ = headline_of(report)
    assert text["How often the text was read"].startswith("word2vec read the text 270 times over: more text")
    assert "270.2" in rows.generations(Standings(made_up.results(report)))


def without_extras(monkeypatch, *missing):
    real = extras.find_spec
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name in missing else real(name))


def test_a_plain_installation_says_what_the_page_will_lack(monkeypatch):
    without_extras(monkeypatch, "sklearn", "altair")
    without_eval, without_report = extras.lacks("classify")
    assert "TF-IDF" in without_eval and 'pip install "stemma-nlp[eval]"' in without_eval
    assert "charts of its folded parts" in without_report and 'pip install "stemma-nlp[report]"' in without_report
    assert "TF-IDF" not in extras.lacks("tag")[0]
    without_extras(monkeypatch)
    monkeypatch.setattr(extras, "find_spec", lambda name: True)
    assert extras.lacks("classify") == ()


def test_the_start_of_a_run_says_so_too(monkeypatch, tmp_path):
    without_extras(monkeypatch, "sklearn")
    for name in ("train", "dev"):
        (tmp_path / f"{name}.tsv").write_text("label\ttext\n" + "a\tx y\nb\ty z\n" * 3, encoding="utf-8")
    (tmp_path / "corpus.txt").write_text("x y z .\n" * 50, encoding="utf-8")
    files = (str(tmp_path / "train.tsv"), str(tmp_path / "dev.tsv"), str(tmp_path / "out"))
    plan = Comparison((str(tmp_path / "corpus.txt"),), "classify", *files, ("ngram",), Config(preset="tiny"))
    heard = []

    class AtOnce(Exception):
        """The first fact was heard."""

    def progress(fact):
        heard.append(fact.message)
        raise AtOnce

    with pytest.raises(AtOnce):
        run_comparison(plan, progress, None)
    assert heard[0].startswith("Without the extra `eval` this page lacks the plain baseline TF-IDF")


def test_the_page_says_in_its_head_what_it_lacks_and_what_failed(monkeypatch):
    monkeypatch.setattr(page_module, "charts", lambda standings: {})
    monkeypatch.setattr(page_module, "_bundle", lambda: "")
    report = made_up.with_failure(made_up.report())
    report["lacks"] = ["Without the extra `eval` this page lacks <TF-IDF>."]
    page = render(made_up.results(report))
    head = page[page.index("<header>") : page.index("</header>")]
    assert "this page lacks &lt;TF-IDF&gt;." in head and "GPT failed at the stage gpt.finetune" in head
    assert head.count("<svg") == 2 and head.count("<h1>") == 1 and "<table" not in head


def test_long_lists_of_names_stay_short():
    assert listed_few(list("abc")) == "a, b and c"
    assert listed_few(list("abcdef")) == "a, b, c and 3 others"
