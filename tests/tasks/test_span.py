"""The task `span`: SQuAD's form, units, decoding, the threshold of no answer, scores against SQuAD's own rules, baselines."""

import json
import re
import string
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stemma.corpus.questions import Question, units_of
from stemma.errors import DataError
from stemma.tasks.span import Config, Found, Quote, Span, best_spans, plain
from stemma.tasks.task import PLACES, Seat

TASK = Span(Config())
PASSAGE = "The old mill stands by the river. It was built in 1848 by Ann Lee."
CHINESE = "春眠不觉晓，处处闻啼鸟。作者是孟浩然。"


def answers_of(head, states, batch):
    return head.answers(head.scores(states, batch), batch)


def squad(*questions, context=PASSAGE):
    qas = [{"id": str(n), "question": q, "answers": [{"text": t, "answer_start": at} for t, at in a]} for n, (q, a) in enumerate(questions)]
    return {"version": "1", "data": [{"title": "x", "paragraphs": [{"context": context, "qas": qas}]}]}


def read(folder, content, **options):
    path = folder / "q.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content, ensure_ascii=False), encoding="utf-8")
    return TASK.read(path, **options)


def test_questions_with_and_without_answers(tmp_path):
    found = read(tmp_path, squad(("When?", [("1848", 50), ("in 1848", 47)]), ("Why?", [])))
    assert [one.answers for one in found] == [((50, "1848"), (47, "in 1848")), ()]
    targets = TASK.targets(found)
    assert targets == {"labels": [], "longest": 1, "usual": 1, "null": True, "threshold": 0.0}
    gold, units = TASK.gold(found, targets), units_of(PASSAGE)
    assert gold[0]["texts"] == ["1848", "in 1848"] and PASSAGE[slice(*units[gold[0]["first"]])] == "1848"
    assert TASK.labels(gold).tolist() == [[gold[0]["first"]] * 2, [len(units)] * 2]
    (text, _) = TASK.texts(found)
    assert text.other == "When?" and text.units == (*units, (len(PASSAGE),) * 2)
    assert TASK.strata(gold).tolist() == [1, 0]


def test_version_two_marks_what_has_no_answer(tmp_path):
    content = squad(("When?", [("1848", 50)]), ("Why?", [("river", 27)]))
    content["data"][0]["paragraphs"][0]["qas"][1] |= {"is_impossible": True, "plausible_answers": []}
    assert read(tmp_path, content)[1].answers == ()


def test_an_answer_that_stands_elsewhere_is_moved_and_told(tmp_path):
    with pytest.warns(UserWarning, match="1 answer did not stand where answer_start says"):
        (found,) = read(tmp_path, squad(("When?", [("1848", 3)])))
    assert found.answers == ((50, "1848"),)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "q.json: .*JSON in the form of SQuAD"),
        ({"data": 3}, "no list `data`"),
        ({"data": [{"x": 1}]}, r"data\[0\]: no list `paragraphs`"),
        (squad(("When?", [("1849", 50)])), r"qas\[0\]: the answer '1849' is not in its passage.*word for word"),
        (squad((" ", [("1848", 50)])), r"qas\[0\]: the question is ' '"),
        (squad(("When?", [("1848", "50")])), r"`answer_start`"),
        (squad(), "no question"),
        (squad(("Why?", [])), "no question has an answer"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(tmp_path, content, message):
    with pytest.raises(DataError, match=message):
        read(tmp_path, content)


@pytest.mark.parametrize(("passage", "answer"), [(PASSAGE, "1848"), (CHINESE, "孟浩然"), ("a 🙂", "🙂")])
def test_answers_may_stand_in_two_columns(tmp_path, passage, answer):
    content, start = squad(("When?", [(answer, 0)]), context=passage), passage.index(answer)
    content["data"][0]["paragraphs"][0]["qas"][0]["answers"] = {"text": [answer], "answer_start": [start]}
    assert read(tmp_path, content)[0].answers == ((start, answer),)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"answers": {"text": "1848", "answer_start": 50}}, r"answers are \{'text': '1848'.*two columns of equal length"),
        ({"answers": {"text": ["1848"], "answer_start": []}}, "two columns of equal length.*give each text its first character"),
        ({"answers": {"text": ["1848"]}}, "two columns of equal length"),
        ({"answers": "1848"}, "answers are '1848'.*put them into a list"),
        ({"is_impossible": "false"}, "is_impossible is 'false'.*true or false"),
    ],
)
def test_answers_of_another_form_are_refused_and_not_guessed(tmp_path, entry, message):
    content = squad(("When?", [("1848", 50)]))
    content["data"][0]["paragraphs"][0]["qas"][0] |= entry
    with pytest.raises(DataError, match=message):
        read(tmp_path, content)


ROWS = [
    {"id": "a", "question": "When?", "context": PASSAGE, "answers": {"text": ["1848"], "answer_start": [50]}},
    {"id": "b", "question": "为什么？", "context": CHINESE, "answers": {"text": [], "answer_start": []}},
    {"id": "c", "question": "谁？", "context": CHINESE, "answers": {"text": ["孟浩然"], "answer_start": [15]}},
]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\n\n"])
def test_json_lines_hold_a_question_each_as_the_library_datasets_writes_them(tmp_path, end):
    found = read(tmp_path, end.join(json.dumps(row, ensure_ascii=False) for row in ROWS))
    assert [one.answers for one in found] == [((50, "1848"),), (), ((15, "孟浩然"),)]
    assert found[0].source == f"{tmp_path / 'q.json'}:1" and found == [
        replace(one, source=row.source) for one, row in zip(TASK.given(ROWS), found, strict=True)
    ]


def test_a_line_that_is_none_is_told_with_its_number(tmp_path):
    lines = [json.dumps(row, ensure_ascii=False) for row in ROWS]
    with pytest.raises(DataError, match=r"q.json, line 2: .*mend the line"):
        read(tmp_path, "\n".join([lines[0], "{", lines[2]]))
    with pytest.raises(DataError, match=r"q.json, line 3: the context is None.*fill it in"):
        read(tmp_path, "\n".join([*lines[:2], '{"question": "Who?", "answers": []}']))


@pytest.mark.parametrize("column", [list, tuple, np.array])
def test_columns_of_answers_may_be_arrays_as_a_data_frame_has_them(column):
    rows = [{**row, "answers": {name: column(values) for name, values in row["answers"].items()}} for row in ROWS]
    assert TASK.given(rows) == TASK.given(ROWS)
    assert TASK.given([{**ROWS[0], "answers": np.array([])}])[0].answers == ()


def test_another_encoding_is_told_once(tmp_path):
    path = tmp_path / "q.json"
    path.write_bytes(json.dumps(squad(("谁？", [("孟浩然", 15)]), context=CHINESE), ensure_ascii=False).encode("gb18030"))
    with pytest.raises(DataError, match=r"is not UTF-8.*gb18030") as refused:
        TASK.read(path)
    assert "JSON" not in str(refused.value)


def test_units_are_chinese_characters_and_other_words():
    assert [CHINESE[a:b] for a, b in units_of(CHINESE)][:6] == list("春眠不觉晓，")
    assert units_of("") == units_of(" \n") == []
    with pytest.warns(UserWarning, match="1 answer of 1 begin or end inside a word"):
        TASK.targets([Question("q", "a preheated oven", ((5, "heated"),))])


def test_the_best_spans_are_those_of_a_search_of_all():
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(13, 2)) * 3
    found = best_spans(scores, longest=4, most=9)
    logs = scores - np.log(np.exp(scores).sum(0))
    every = [(logs[a, 0] + logs[b, 1], a, b) for a in range(12) for b in range(a, min(a + 4, 12))]
    expected = sorted(every, reverse=True)[:9]
    assert [(quote.first, quote.last) for quote in found.quotes] == [(a, b) for _, a, b in expected]
    np.testing.assert_allclose([quote.log_prob for quote in found.quotes], [log for log, _, _ in expected])
    assert found.null == pytest.approx(logs[-1].sum())
    assert best_spans(scores[-1:], 4, 9).quotes == () and len(best_spans(scores[-3:], 9, 20).quotes) == 3


def official(text: str) -> list[str]:
    """`normalize_answer` of SQuAD's evaluate-v1.1, as its paper and README describe it: lower case, no ASCII marks, no articles."""
    text = "".join(character for character in text.lower() if character not in set(string.punctuation))
    return re.sub(r"\b(a|an|the)\b", " ", text).split()


@given(st.text(alphabet="aAnth eTX.,'-$%()3 \n", max_size=30))
def test_english_is_compared_as_the_evaluation_of_squad_does(text):
    assert plain(text) == official(text)


def run_in_common(ours: list[str], theirs: list[str]) -> int:
    """The length of the longest run that stands in both, as the evaluation of CMRC counts (`find_lcs`)."""
    runs = {tuple(theirs[a:b]) for a in range(len(theirs)) for b in range(a + 1, len(theirs) + 1)}
    return max((b - a for a in range(len(ours)) for b in range(a + 1, len(ours) + 1) if tuple(ours[a:b]) in runs), default=0)


@pytest.mark.parametrize(
    ("said", "right", "alike"),
    [
        ("孟浩然", "作者孟浩然", True),
        ("海淀区", "北京海淀", True),
        ("北京大学在海淀", "北京的海淀", False),
        ("GPT-2 模型", "模型 GPT-2", False),
    ],
)
def test_f1_is_that_of_cmrc_where_what_is_common_is_one_run_and_above_it_elsewhere(said, right, alike):
    """Deviates: what is common counts wherever it stands."""
    gold, answer = TASK.gold([Question("q", right, ((0, right),))], {}), np.array([{"texts": [said]}], dtype=object)
    ((f1, exact, _),) = TASK.terms(gold, answer, {}).tolist()
    ours, theirs = plain(said), plain(right)
    cmrc = 2 * run_in_common(ours, theirs) / (len(ours) + len(theirs))
    assert exact == 0 and (f1 == pytest.approx(cmrc) if alike else f1 > cmrc)


def test_comparison_is_that_of_squad_and_of_characters():
    assert plain("The  U.S.-led, 42nd “mill”") == ["usled", "42nd", "mill"]
    assert plain("don't (a) 3,000 Vitamin A.") == ["dont", "3000", "vitamin"] and plain("A—B") == ["b"]
    assert plain("甲A联赛") == ["甲", "a", "联", "赛"]  # an article stands by itself
    assert plain("") == plain("The") == plain("。") == [] and plain("🙂") == []
    assert plain("《孟浩然》，1848年") == ["孟", "浩", "然", "1848", "年"]
    gold = TASK.gold(
        [Question("q", PASSAGE, ((4, "old mill"), (0, "The old mill"))), Question("q", CHINESE, ((15, "孟浩然"),)), Question("q", PASSAGE)],
        {},
    )
    said = [{"texts": ["an old mill"]}, {"texts": ["是孟浩"]}, {"texts": []}]
    table = TASK.terms(gold, np.array(said, dtype=object), {})
    np.testing.assert_allclose(table, [[1, 1, 1], [2 / 3, 0, 1], [1, 1, 1]])
    rows = TASK.breakdown(gold, np.array(said, dtype=object), {})
    assert [(row["label"], row["examples"], row["exact"]) for row in rows] == [("with an answer", 2, 0.5), ("without one", 1, 1.0)]


def found(doubt, text="x"):
    return Found((Quote(0, 0, -1.0, text),), doubt - 1.0)


def test_the_threshold_is_the_best_on_what_was_held_out():
    right, none = {"texts": ["x"]}, {"texts": []}
    gold = np.array([right, right, none, right, none], dtype=object)
    answers = [found(-3), found(-2), found(-1), found(0.5), found(2)]
    targets = {"labels": [], "null": True, "threshold": 0.0}
    settled = TASK.settled(gold, answers, targets)
    assert -2 < settled["threshold"] < -1 and TASK.score(gold, answers, settled)["f1"] == 0.8
    assert TASK.score(gold, answers, targets)["f1"] == 0.6
    assert TASK.settled(gold[:2], answers[:2], targets)["threshold"] > -2
    assert TASK.settled(gold, answers, targets | {"null": False}) == targets | {"null": False}
    assert TASK.readable(answers[-1:], targets)[0] == [""] and TASK.readable(answers[-1:], targets | {"null": False})[0] == ["x"]


@pytest.mark.parametrize("kind", ["head", "network"])
def test_heads_never_answer_outside_the_passage_and_padding_changes_nothing(kind):
    torch.manual_seed(0)
    targets = {"labels": [], "longest": 3, "usual": 1, "null": True, "threshold": 0.0}
    module = getattr(Span(Config(width=4)), kind)(Seat(5, layers=2), targets).eval()
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter)
    sites = torch.arange(7)[None] < torch.tensor([7, 4, 1])[:, None]
    states = torch.randn((3, 7, 5) if kind == "head" else (3, 7, 2, 5))
    batch = {"sites": sites, "places": torch.randint(PLACES, (3, 7)), "labels": torch.tensor([[1, 2], [3, 3], [0, 0]])}
    with torch.no_grad():
        answers, loss = answers_of(module, states, batch), module.loss(states, batch)
        alone = 0.0
        for row, count in enumerate((7, 4, 1)):
            own = {name: value[row : row + 1, :count] if name != "labels" else value[row : row + 1] for name, value in batch.items()}
            (same,) = answers_of(module, states[row : row + 1, :count], own)
            assert [(q.first, q.last) for q in same.quotes] == [(q.first, q.last) for q in answers[row].quotes]
            assert all(q.first <= q.last < min(q.first + 3, count - 1) for q in same.quotes)
            alone += float(module.loss(states[row : row + 1, :count], own).mean)
    assert loss.count == 3 and float(loss.mean) * 3 == pytest.approx(alone, rel=1e-4)
    assert answers[2].quotes == () and answers[2].null == pytest.approx(0, abs=1e-5)


def test_baselines_need_no_learning():
    examples = [Question("When was the mill built?", PASSAGE, ((50, "1848"),)), Question("作者是谁？", CHINESE, ((15, "孟浩然"),))]
    targets = TASK.targets(examples)
    least = TASK.floor(TASK.gold(examples, targets), TASK.gold(examples, targets), TASK.texts(examples), targets)
    assert set(least["ways"]) == {"a sliding window", "a random span"} and least["value"] == max(least["ways"].values())
    assert (
        TASK.floor(
            TASK.gold(examples[:1], targets),
            TASK.gold([Question("q", "a b")], targets),
            TASK.texts([Question("q", "a b")]),
            targets | {"null": True},
        )["how"]
        == "never answering"
    )


def test_answer_rows_tell_characters():
    example = TASK.example(("作者是谁？", CHINESE), {})
    found = Found((Quote(15, 17, -0.5), Quote(0, 0, -2.0), Quote(11, 11, -2.5), Quote(18, 18, -2.6)), -3.0)
    quotes = TASK.quoted([found], TASK.texts([example]))  # of the two full stops the likelier one
    assert [(quote.text, quote.start) for quote in quotes[0].quotes] == [("孟浩然", 15), ("春", 0), ("。", 11)]
    (row,) = TASK.answer_rows([example], quotes, {"null": True, "threshold": 0.0})
    assert (row["answer"], row["start"], row["end"]) == ("孟浩然", 15, 18) and row["no_answer"] == -3.0
    assert [best["answer"] for best in row["best"]] == ["孟浩然", "春", "。"] and list(TASK.shown(row)) == ["孟浩然"]
