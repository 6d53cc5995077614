"""Framing, cutting, grouping by length, collating."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from stemma.corpus.task import Example
from stemma.transfer.batches import collate, frame, padding_share, shuffled, under_budget
from stemma.transfer.heads import InputTransformation, framer

lengths_and_size = st.tuples(st.lists(st.integers(0, 60), min_size=1, max_size=300), st.integers(1, 40))


@settings(max_examples=50, deadline=None)
@given(lengths_and_size)
def test_an_epoch_is_a_partition(given_):
    lengths, size = np.array(given_[0]), given_[1]
    batches = shuffled(lengths, np.arange(len(lengths)), size, np.random.default_rng(0))
    assert sorted(np.concatenate(batches)) == list(range(len(lengths)))
    assert all(len(batch) <= size for batch in batches)
    assert len(batches) == -(-len(lengths) // size)


@settings(max_examples=50, deadline=None)
@given(lengths_and_size)
def test_the_token_budget_holds(given_):
    lengths, budget = np.array(given_[0]), given_[1] * 10
    groups = list(under_budget(lengths, np.arange(len(lengths)), budget))
    assert sorted(np.concatenate(groups)) == list(range(len(lengths)))
    for rows in groups:
        assert len(rows) == 1 or len(rows) * max(lengths[rows].max(), 1) <= budget


def test_like_lengths_stand_together():
    rng = np.random.default_rng(3)
    lengths = rng.integers(1, 60, 3000)
    batches = shuffled(lengths, np.arange(3000), 32, rng)
    padded = sum(len(rows) * lengths[rows].max() for rows in batches)
    assert 1 - lengths.sum() / padded < 0.04  # at random it would be half


def test_frames_and_cuts_are_counted(bert):
    examples = [Example("good film", "pos"), Example("", "neg"), Example("好 " * 100, "pos"), Example("🙂", "neg")]
    framed = frame(bert.network, bert.tokenizer, examples, 16)
    cls, sep = bert.tokenizer.specials["cls"], bert.tokenizer.specials["sep"]
    assert all(row[0] == cls and row[-1] == sep for row in framed.ids)
    assert framed.lengths.tolist()[1:3] == [2, 16]
    assert framed.cut == 1 and framed.tokens_cut == 100 - 14


def test_a_long_pair_is_cut_at_the_end_of_its_longer_half(bert):
    words = "good bad film story"
    framed = frame(bert.network, bert.tokenizer, [Example("the film", "a", " ".join([words] * 20))], 20)
    plain = bert.tokenizer.encode_batch(["the film", " ".join([words] * 20)])
    ids = framed.ids[0].tolist()
    sep = bert.tokenizer.specials["sep"]
    assert ids[1 : ids.index(sep)] == list(plain[0])  # the short half whole
    assert len(ids) == 20 and ids[ids.index(sep) + 1 : -1] == list(plain[1])[: 20 - 3 - len(plain[0])]
    assert framed.types[0].tolist() == [0] * (len(plain[0]) + 2) + [1] * (18 - len(plain[0]))


def test_gpt_gets_its_input_transformation(gpt):
    assert isinstance(framer(gpt.network), InputTransformation)
    V = gpt.network.vocab_size
    assert framer(gpt.network).frame([5, 6])[0] == [V, 5, 6, V + 2]
    assert framer(gpt.network).frame([5], [6])[0] == [V, 5, V + 1, 6, V + 2]


def test_collate_marks_padding(bert):
    framed = frame(bert.network, bert.tokenizer, [Example("good", "pos"), Example("the film was good", "pos")], 16)
    batch = collate(framed, [0, 1])
    assert batch["ids"].shape == (2, 6)
    assert batch["segments"].tolist() == [[1, 1, 1, 0, 0, 0], [1] * 6]
    assert padding_share(framed, [np.array([0, 1])]) == 0.25
