"""Framing, cutting, aligning units with tokens, grouping under a budget, collating."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.transfer.conftest import make_run

from stemma.lineage.gpt import InputTransformation
from stemma.runs.framing import align, collate, collate_halves, collate_units, frame, lengths, under_budget
from stemma.tasks.task import Text

lengths_and_size = st.tuples(st.lists(st.integers(0, 60), min_size=1, max_size=300), st.integers(1, 40))


@pytest.fixture(scope="module")
def bert():
    return make_run("bert")


@pytest.fixture(scope="module")
def gpt():
    return make_run("gpt")


@settings(max_examples=50, deadline=None)
@given(lengths_and_size)
def test_the_token_budget_holds(given_):
    lengths, budget = np.array(given_[0]), given_[1] * 10
    groups = list(under_budget(lengths, np.arange(len(lengths)), budget))
    assert sorted(np.concatenate(groups)) == list(range(len(lengths)))
    for rows in groups:
        assert len(rows) == 1 or len(rows) * max(lengths[rows].max(), 1) <= budget


def test_frames_and_cuts_are_counted(bert):
    texts = [Text("good film"), Text(""), Text("好 " * 100), Text("🙂")]
    framed = frame(bert.network, bert.tokenizer, texts, 16)
    cls, sep = bert.tokenizer.specials["cls"], bert.tokenizer.specials["sep"]
    assert all(row[0] == cls and row[-1] == sep for row in framed.ids)
    assert framed.lengths.tolist()[1:3] == [2, 16]
    assert framed.cut == 1 and framed.tokens_cut == 100 - 14


def test_lengths_are_those_of_texts_that_nothing_cuts(bert, gpt):
    texts = [Text("the film was good"), Text("这部 film"), Text(""), Text("the film", "was good 😀")]
    for run, frames in ((bert, bert.network), (gpt, gpt.network), (gpt, gpt.network.task_input())):
        whole = frame(frames, run.tokenizer, texts, 48)
        assert whole.cut == 0 and lengths(frames, run.tokenizer, texts).tolist() == whole.lengths.tolist()
        short = frame(frames, run.tokenizer, texts, 5)
        assert short.cut == sum(lengths(frames, run.tokenizer, texts) > 5) > 0


def test_a_long_pair_is_cut_at_the_end_of_its_longer_half(bert):
    words = "good bad film story"
    framed = frame(bert.network, bert.tokenizer, [Text("the film", " ".join([words] * 20))], 20)
    plain = bert.tokenizer.encode_batch(["the film", " ".join([words] * 20)])
    ids = framed.ids[0].tolist()
    sep = bert.tokenizer.specials["sep"]
    assert ids[1 : ids.index(sep)] == list(plain[0])  # the short half whole
    assert len(ids) == 20 and ids[ids.index(sep) + 1 : -1] == list(plain[1])[: 20 - 3 - len(plain[0])]
    assert framed.types[0].tolist() == [0] * (len(plain[0]) + 2) + [1] * (18 - len(plain[0]))


def test_gpt_gets_its_input_transformation(gpt):
    assert isinstance(gpt.network.task_input(), InputTransformation)
    V = gpt.network.vocab_size
    assert gpt.network.task_input().frame([5, 6])[0] == [V, 5, 6, V + 2]
    assert gpt.network.task_input().frame([5], [6])[0] == [V, 5, V + 1, 6, V + 2]


def test_collate_marks_padding(bert):
    framed = frame(bert.network, bert.tokenizer, [Text("good"), Text("the film was good")], 16)
    batch = collate(framed, [0, 1])
    assert batch["ids"].shape == (2, 6)
    assert batch["segments"].tolist() == [[1, 1, 1, 0, 0, 0], [1] * 6]


def units_of(text):
    """The characters of each word."""
    found, start = [], 0
    for word in text.split(" "):
        found.append((start, start + len(word)))
        start += len(word) + 1
    return tuple(found)


@pytest.mark.parametrize("name", ["bert", "gpt", "word2vec"])
@pytest.mark.parametrize("text", ["the film was unheardof bad", "的 电影 好", "good", "a 🙂 film"])
def test_a_word_is_read_at_its_first_piece(name, text):
    run = make_run(name)
    framed = frame(run.network, run.tokenizer, [Text(text, units=units_of(text))], 48)
    ids, spans = run.tokenizer.encode_offsets(text)
    columns, places = framed.units[0]
    assert len(columns) == len(text.split(" ")) and not places.any()
    for (start, end), column in zip(units_of(text), columns, strict=True):
        covering = [k for k, (first, last) in enumerate(spans) if first < end and last > start]
        lead = run.network.frame([-1])[0].index(-1)
        assert column == (covering[0] + lead if covering else -1)
        if covering:
            assert framed.ids[0][column] == ids[covering[0]]


def test_characters_share_their_words_vector_and_keep_their_places():
    columns, places = align([(k, k + 1) for k in range(5)], [(0, 2), (2, 5)])
    assert columns.tolist() == [0, 0, 1, 1, 1] and places.tolist() == [0, 1, 0, 1, 2]
    assert align([(k, k + 1) for k in range(20)], [(0, 20)])[1].tolist() == [0, 1, 2, 3, 4, 5, 6, *[7] * 13]


def test_what_was_cut_off_or_not_seen_has_no_token():
    columns, _ = align([(0, 1), (2, 3), (4, 5)], [(0, 1), (4, 4), (4, 5)])
    assert columns.tolist() == [0, -1, 2]
    assert align([], [(0, 1)])[0].tolist() == [] and align([(0, 1)], [])[0].tolist() == [-1]


def test_units_are_padded_and_counted_through_the_windows(bert):
    texts = [Text("the film was good", units=units_of("the film was good")), Text("bad", units=((0, 3),))]
    framed = frame(bert.network, bert.tokenizer, texts, 4)  # [CLS] the film [SEP] · [CLS] was good [SEP] · [CLS] bad [SEP]
    assert framed.windows == ((4, 4), (3,)) and framed.cut == framed.unread == 0
    batch = collate(framed, [1, 0]) | collate_units(framed, [1, 0])
    assert batch["ids"].shape == (3, 4) and batch["segments"].sum(1).tolist() == [3, 4, 4]
    assert batch["columns"].tolist() == [[1, -1, -1, -1], [5, 6, 9, 10]]
    assert batch["sites"].tolist() == [[True, False, False, False], [True] * 4]


@pytest.mark.parametrize("name", ["bert", "gpt", "word2vec"])
@given(words=st.lists(st.sampled_from(["the", "film", "unheardof", "🙂", "好", "bad"]), min_size=1, max_size=60), room=st.integers(3, 40))
@settings(max_examples=40, deadline=None)
def test_every_unit_of_a_long_text_is_read_at_its_first_piece_with_its_neighbours(name, words, room):
    run = make_run(name)
    text = " ".join(words)
    specials = len(run.network.frame([])[0])
    framed = frame(run.network, run.tokenizer, [Text("bad", units=((0, 3),)), Text(text, units=units_of(text))], room + specials)
    whole = frame(run.network, run.tokenizer, [Text(text, units=units_of(text))], 10_000)
    batch, plain = (collate(found, rows) | collate_units(found, rows) for found, rows in ((framed, [0, 1]), (whole, [0])))
    flat, one = batch["ids"].ravel(), plain["ids"].ravel()
    columns, expected = batch["columns"][1], plain["columns"][0]
    assert max(framed.windows[1]) <= room + specials
    assert ((columns < 0) == (expected < 0)).all()
    assert (flat[columns[columns >= 0]] == one[expected[expected >= 0]]).all()
    near, margin = batch["ids"].shape[1], (room // 4) // 2  # tokens of context that every unit has, where the text has them
    lead = run.network.frame([-1])[0].index(-1)
    for column, place in zip(columns[columns >= 0], expected[expected >= 0], strict=True):
        before = min(margin, place - lead)
        at = column % near
        assert at - lead >= before
        assert (flat[column - before : column + 1] == one[place - before : place + 1]).all()


@pytest.mark.parametrize(("passage", "question"), [("the film was good", "bad " * 40), ("好", "这部电影" * 10)])
def test_what_a_long_question_loses_is_counted(bert, passage, question):
    framed = frame(bert.network, bert.tokenizer, [Text(passage, question, units=units_of(passage))], 21)
    asked = len(bert.tokenizer.encode(question))
    assert framed.cut == 1 and framed.tokens_cut == asked - (21 - 3) // 2


@pytest.mark.parametrize(("stride", "starts"), [(0, [0, 6, 12]), (3, [0, 3, 6, 9, 12]), (8, [0, 8, 12]), (99, [0, 8, 12])])
def test_windows_begin_a_stride_apart_and_none_is_left_out(bert, stride, starts):
    text = " ".join(["the film was good bad"] * 4)
    framed = frame(bert.network, bert.tokenizer, [Text(text, units=units_of(text))], 8 + 2, stride=stride)
    ids = bert.tokenizer.encode(text)
    assert len(ids) == 20 and framed.windows == ((10,) * len(starts),)
    windows = framed.ids[0].reshape(-1, 10)[:, 1:-1]
    assert [row.tolist() for row in windows] == [ids[start : start + 8].tolist() for start in starts]
    columns = framed.units[0][0]
    assert framed.ids[0][columns].tolist() == ids.tolist()  # every word is read once, in its own window


@pytest.mark.parametrize("name", ["bert", "gpt", "word2vec"])
def test_halves_are_those_of_the_text_and_no_special_is_in_one(name):
    run = make_run(name)
    texts = [Text("the film", "was good bad"), Text("bad", "film"), Text("good"), Text("", "好")]
    framed = frame(run.network, run.tokenizer, texts, 30)
    order = [1, 0, 2, 3]
    batch = collate(framed, order) | collate_halves(framed, order)
    for row, ids, halves in zip(order, batch["ids"], batch["halves"], strict=True):
        for half, part in ((1, texts[row].text), (2, texts[row].other)):
            assert ids[halves == half].tolist() == run.tokenizer.encode(part).tolist()
    assert batch["halves"].shape == batch["ids"].shape and not batch["halves"][batch["segments"] == 0].any()
