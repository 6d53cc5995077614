"""The task `tag`: texts and units, label space, heads, lawful answers, scores in both readings."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from stemma.corpus.columns import Tagged
from stemma.errors import DataError
from stemma.objectives.batch import IGNORE
from stemma.tasks.entities import follows
from stemma.tasks.tag import Config, Sentence, Tag
from stemma.tasks.task import PLACES, Seat

GOLDEN = json.loads((Path(__file__).parent / "golden" / "seqeval.json").read_text(encoding="utf-8"))
NAMES = "Ann\tB-PER\nLee\tI-PER\nlikes\tO\nParis\tB-LOC\n😀\tO\n\nYes\tO\n"
CHINESE = "张\tB-PER\n三\tI-PER\n去\tO\nG\tB-ORG\nE\tI-ORG\n。\tO\n"
PARTS = "Dogs\tNOUN\nbark\tVERB\n.\tPUNCT\n\nBark\tVERB\n!\tPUNCT\n"
D, L = 5, 3


def answers_of(head, states, batch):
    return head.answers(head.scores(states, batch), batch)


def read(folder: Path, text: str, config: Config | None = None, learning: bool = True) -> tuple[Tag, list[Sentence]]:
    path = folder / "t.txt"
    path.write_text(text, encoding="utf-8")
    task = Tag(config or Config())
    return task, task.read(path, learning)


def bare(*tags: list[str]) -> list[Sentence]:
    """Sentences of which only the tags matter."""
    return [Sentence("", ((0, 0),) * len(row), Tagged(("x",) * len(row), tuple(row))) for row in tags]


def batch_of(lengths: list[int], tags: int, seed: int = 0) -> dict[str, torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)
    sites = torch.arange(max(lengths))[None] < torch.tensor(lengths)[:, None]
    labels = torch.randint(tags, sites.shape, generator=rng).masked_fill(~sites, IGNORE)
    places = torch.randint(PLACES, sites.shape, generator=rng).masked_fill(~sites, 0)
    return {"sites": sites, "labels": labels, "places": places}


def test_texts_and_units(tmp_path):
    task, examples = read(tmp_path, NAMES)
    first = task.texts(examples)[0]
    assert first.text == "Ann Lee likes Paris 😀"
    assert [first.text[start:end] for start, end in first.units] == ["Ann", "Lee", "likes", "Paris", "😀"]
    assert task.targets(examples) == {"labels": ["O", "B-LOC", "I-LOC", "B-PER", "I-PER"], "types": ["LOC", "PER"], "units": "words"}
    assert task.gold(examples, task.targets(examples)).tolist() == [[3, 4, 0, 1, 0], [0]]
    assert task.written(examples[1]) == "Yes/O"


def test_chinese_characters_are_joined_without_spaces(tmp_path):
    task, examples = read(tmp_path, CHINESE)
    assert examples[0].text == "张三去GE。"
    assert task.targets(examples)["units"] == "characters"


def test_spans_that_begin_with_i_are_learnt_as_they_are_answered(tmp_path):
    """The files of CoNLL 2003 write IOB1: a model that is sure of every tag must have all spans right."""
    path = tmp_path / "iob1.txt"
    path.write_text("Ada I-PER\nmet O\nBob I-PER\nLee I-PER\n\n小 I-LOC\n城 I-LOC\n我 B-PER\n们 O\n", encoding="utf-8")
    task = Tag(Config())
    examples = task.read(path)
    targets = task.targets(examples)
    gold = task.gold(examples, targets)
    sure = np.eye(len(targets["labels"]))[task.rows(gold)]
    scores = task.score(gold, task.from_rows(sure, np.array([0, 4, 8]), targets), targets)
    assert scores["f1"] == scores["f1_strict"] == scores["accuracy"] == 1.0
    unread = Tag(Config(lawful=False)).read(path)
    assert [example.tagged.tags[0] for example in unread] == ["I-PER", "I-LOC"]


def test_parts_of_speech_are_plain_tags(tmp_path):
    task, examples = read(tmp_path, PARTS)
    targets = task.targets(examples)
    assert targets == {"labels": ["NOUN", "PUNCT", "VERB"], "types": [], "units": "words"}
    assert [metric.name for metric in task.metrics(targets)] == ["accuracy", "macro_f1"]


def test_one_tag_cannot_be_learnt_but_measured_on(tmp_path):
    with pytest.raises(DataError, match=r"every token has the tag 'O'"):
        read(tmp_path, "Yes\tO\n")
    assert len(read(tmp_path, "Yes\tO\n", learning=False)[1]) == 1


@pytest.mark.parametrize(("reading", "key"), [("lenient", "f1"), ("strict", "f1_strict")])
def test_scores_are_those_of_seqeval(reading, key):
    task = Tag(Config())
    targets = {"labels": ["O", *(f"{mark}-{name}" for name in GOLDEN["types"] for mark in "BI")], "types": GOLDEN["types"]}
    gold = task.gold(bare(*GOLDEN["gold"]), targets)
    answers = task.gold(bare(*GOLDEN["answers"]), targets)
    found = task.score(gold, [np.array(row) for row in answers], targets)
    assert found[key] == pytest.approx(GOLDEN[reading]["micro"][2], abs=1e-12)
    if reading == "lenient":
        assert [found["span_precision"], found["span_recall"]] == pytest.approx(GOLDEN[reading]["micro"][:2], abs=1e-12)
        rows = [[row["precision"], row["recall"], row["f1"]] for row in task.breakdown(gold, answers, targets)]
        np.testing.assert_allclose(rows, GOLDEN["lenient"]["types"], atol=1e-12)
    assert set(found) == {metric.name for metric in task.metrics(targets)}


def test_plain_tags_are_judged_by_their_share():
    task, targets = Tag(Config()), {"labels": ["A", "B", "C"], "types": []}
    gold, answers = task.gold(bare(["A", "B"], [], ["B"]), targets), [np.array([0, 0]), np.array([], dtype=int), np.array([1])]
    # A: 1 right of 1, answered 2: F1 2/3; B: 1 right of 2, answered 1: F1 2/3; C is nowhere
    assert task.score(gold, answers, targets) == pytest.approx({"accuracy": 2 / 3, "macro_f1": 2 / 3})


def test_terms_add_up_to_the_scores_of_any_resample():
    task = Tag(Config())
    targets = {"labels": ["O", *(f"{mark}-{name}" for name in GOLDEN["types"] for mark in "BI")], "types": GOLDEN["types"]}
    gold, answers = (task.gold(bare(*GOLDEN[key]), targets) for key in ("gold", "answers"))
    terms = task.terms(gold, answers, targets)
    drawn = np.array([[0, 1, 2, 2, 5], [7, 7, 7, 3, 4]])
    many = task.measures(terms[drawn].sum(1), targets)
    for row, chosen in enumerate(drawn):
        alone = task.score(gold[chosen], list(answers[chosen]), targets)
        assert {name: value[row] for name, value in many.items()} == pytest.approx(alone)


def test_tags_that_training_did_not_have_count_as_missed():
    task, targets = Tag(Config()), {"labels": ["O", "B-X", "I-X"], "types": ["X"]}
    with pytest.warns(UserWarning, match="never answered: B-Y, I-Y"):
        gold = task.gold(bare(["B-X", "B-Y", "I-Y"]), targets)
    found = task.score(gold, [np.array([1, 0, 0])], targets)
    assert (found["span_precision"], found["span_recall"]) == (1, 0.5)
    assert found["accuracy"] == pytest.approx(1 / 3)
    assert task.labels(gold).tolist() == [[1, IGNORE, IGNORE]]
    with pytest.warns(UserWarning, match="Z"):
        gold = task.gold(bare(["A", "Z"]), {"labels": ["A", "B"], "types": []})
    assert task.score(gold, [np.array([0, 0])], {"labels": ["A", "B"], "types": []})["accuracy"] == 0.5


def test_labels_are_padded():
    task, targets = Tag(Config()), {"labels": ["A", "B"], "types": []}
    gold = task.gold(bare(["A", "B"], [], ["B"]), targets)
    assert task.labels(gold).tolist() == [[0, 1], [IGNORE, IGNORE], [1, IGNORE]]
    assert task.rows(gold).tolist() == [0, 1, 1]
    assert task.decode([np.array([0, 1]), np.array([1, 0])], targets).tolist() == [[0, 1], [1, 0]]


def test_the_linear_loss_is_cross_entropy_a_unit():
    targets, batch = {"labels": list("ABCD"), "types": []}, batch_of([4, 1, 2], 4)
    head = Tag(Config()).head(Seat(D), targets).eval()
    states = torch.randn(3, 4, D)
    joined = torch.cat([states, F.one_hot(batch["places"], PLACES).float()], -1)
    expected = F.cross_entropy(head.linear(joined)[batch["sites"]], batch["labels"][batch["sites"]])
    loss = head.loss(states, batch)
    torch.testing.assert_close(loss.mean, expected)
    assert loss.count == 7


BIO = {"labels": ["O", "B-X", "I-X", "B-Y", "I-Y"], "types": ["X", "Y"], "units": "words"}


def made(kind: str, config: Config) -> tuple[torch.nn.Module, torch.Tensor, dict[str, torch.Tensor]]:
    """A head or task network, states of five rows (one without units), their batch."""
    torch.manual_seed(4)
    module = getattr(Tag(config), kind)(Seat(D, layers=L), BIO).eval()
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter)
    batch = batch_of([6, 1, 0, 3, 5], 5)
    shape = (*batch["sites"].shape, D) if kind == "head" else (*batch["sites"].shape, L, D)
    return module, torch.randn(shape), batch


KINDS = [(kind, decoder) for kind in ("head", "network") for decoder in ("linear", "crf")]


@pytest.mark.parametrize(("kind", "decoder"), KINDS)
def test_answers_are_lawful_and_padding_and_batch_mates_change_nothing(kind, decoder):
    module, states, batch = made(kind, Config(decoder=decoder, width=4))
    with torch.no_grad():
        answers = answers_of(module, states, batch)
        loss = module.loss(states, batch)
        alone = 0.0
        for row, answer in enumerate(answers):
            units = int(batch["sites"][row].sum())
            own = {name: tensor[row : row + 1, : max(units, 1)] for name, tensor in batch.items()}
            assert answers_of(module, states[row : row + 1, : max(units, 1)], own)[0].tolist() == answer.tolist()
            assert len(answer) == units
            part = module.loss(states[row : row + 1, : max(units, 1)], own)
            alone += float(part.mean) * part.count
            tags = [BIO["labels"][k] for k in answer]
            assert all(follows(before, tag) for before, tag in zip([None, *tags], tags, strict=False))
    assert float(loss.mean) * loss.count == pytest.approx(alone, rel=1e-4)


@pytest.mark.parametrize(("kind", "decoder"), KINDS)
def test_answers_may_be_left_unlawful(kind, decoder):
    module, states, batch = made(kind, Config(decoder=decoder, lawful=False, width=4))
    with torch.no_grad():
        tags = [[BIO["labels"][k] for k in answer] for answer in answers_of(module, states, batch)]
    assert not all(follows(before, tag) for row in tags for before, tag in zip([None, *row], row, strict=False))


@pytest.mark.parametrize(("kind", "decoder"), KINDS)
def test_heads_learn_what_states_and_places_tell(kind, decoder):
    torch.manual_seed(0)
    module = getattr(Tag(Config(decoder=decoder, width=8)), kind)(Seat(D, layers=L, dropout=0.0, zeros=True), BIO)
    batch = batch_of([5, 2, 4, 1], 5)
    # One vector for a whole span, as where a word covers characters: only the place tells B from I.
    batch["labels"] = torch.tensor([[1, 2, 2, 0, 0], [3, 4, -100, -100, -100], [0, 1, 2, 0, -100], [3, -100, -100, -100, -100]])
    batch["places"] = torch.tensor([[0, 1, 2, 0, 1], [0, 1, 0, 0, 0], [0, 0, 1, 0, 0], [0, 0, 0, 0, 0]])
    kinds = torch.tensor([0, 1, 1, 2, 2])[batch["labels"].clamp(min=0)]
    states = F.one_hot(kinds, D).float()
    states = states if kind == "head" else states[:, :, None].expand(-1, -1, L, -1)
    optimiser = torch.optim.Adam(module.parameters(), lr=0.1)
    for _ in range(80):
        optimiser.zero_grad()
        module.loss(states, batch).mean.backward()
        optimiser.step()
    found = answers_of(module.eval(), states, batch)
    assert [row.tolist() for row in found] == [[1, 2, 2, 0, 0], [3, 4], [0, 1, 2, 0], [3]]


def test_the_network_says_how_it_weights_the_layers():
    module, _, _ = made("network", Config(width=4))
    assert len(module.layer_weights()) == L
    assert sum(module.layer_weights()) == pytest.approx(1)


@pytest.mark.parametrize(("kind", "decoder"), KINDS)
def test_a_batch_without_any_unit(kind, decoder):
    module, states, batch = made(kind, Config(decoder=decoder, width=4))
    for units in (0, 1):
        empty = {name: tensor[:2, :units] for name, tensor in batch.items()}
        empty["sites"] = torch.zeros_like(empty["sites"])
        assert [len(answer) for answer in answers_of(module, states[:2, :units], empty)] == [0, 0]


def test_answers_of_a_linear_model_are_the_best_lawful_ones():
    task = Tag(Config())
    rows = np.array([[0.1, 0.3, 0.6, 0, 0], [0.2, 0.1, 0.7, 0, 0], [0.0, 0.0, 0.0, 0.4, 0.6]], dtype=np.float32)
    found = task.from_rows(rows, np.array([0, 2, 2, 3]), BIO)
    assert [row.tolist() for row in found] == [[1, 2], [], [3]]
    assert task.from_rows(rows[:0], np.array([0]), BIO) == []
    free = Tag(Config(lawful=False)).from_rows(rows, np.array([0, 2, 2, 3]), BIO)
    assert [row.tolist() for row in free] == [[2, 2], [], [4]]


def answered(text: str, numbers: list[int], units: str, config: Config | None = None) -> dict:
    task, targets = Tag(config or Config()), {**BIO, "units": units}
    return task.answer_rows([task.example((text,), targets)], [np.array(numbers, dtype=int)], targets)[0]


def test_answer_rows_tell_words_and_entities_with_their_characters():
    row = answered("Ann Lee met 张三, 😀!", [1, 2, 0, 3, 0, 0, 0], "words")
    assert [word["word"] for word in row["words"]] == ["Ann", "Lee", "met", "张三", ",", "😀", "!"]
    assert row["words"][1] == {"word": "Lee", "tag": "I-X", "start": 4, "end": 7}
    assert row["entities"] == [
        {"type": "X", "text": "Ann Lee", "start": 0, "end": 7},
        {"type": "Y", "text": "张三", "start": 12, "end": 14},
    ]


def test_answer_rows_of_characters():
    row = answered(" 张三 去GE", [1, 2, 0, 3, 4], "characters")
    assert [word["word"] for word in row["words"]] == list("张三去GE")
    assert row["entities"] == [{"type": "X", "text": "张三", "start": 1, "end": 3}, {"type": "Y", "text": "GE", "start": 5, "end": 7}]


def test_texts_that_are_spaced_already_and_empty_ones():
    row = answered("do n't  stop.", [0, 0, 0], "words", Config(spaced=True))
    assert [(word["word"], word["start"]) for word in row["words"]] == [("do", 0), ("n't", 3), ("stop.", 8)]
    assert answered(" ", [], "words") == {"text": " ", "words": [], "entities": []}


def test_plain_tags_have_no_entities():
    task, targets = Tag(Config()), {"labels": ["A", "B"], "types": [], "units": "words"}
    examples = [task.example(("go on",), targets)]
    assert "entities" not in task.answer_rows(examples, [np.array([0, 1])], targets)[0]
    assert task.readable([np.array([0, 1])], targets) == ([["A", "B"]], [[0, 1]])
