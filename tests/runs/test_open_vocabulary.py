"""Words that no vocabulary has, read by their spelling wherever a run is used; and texts read from their end to their start."""

import numpy as np
import pytest
import torch
from tests.transfer.conftest import make_run

from stemma.corpus.document import Document
from stemma.errors import UsageError
from stemma.runs.framing import collate, frame
from stemma.runs.open_vocabulary import OpenVocabulary
from stemma.tasks.task import Text

PAIRS = [("the zorbel film was good", "the quandle film was good"), ("这部 魑魅 好", "这部 魍魉 好"), ("🦭", "🐋")]


@pytest.fixture(scope="module")
def elmo():
    run = make_run("elmo")
    run.network.eval()
    return run


def test_unseen_words_differ_by_their_spelling_alone_and_among_others(elmo):
    texts = [text for pair in PAIRS for text in pair]
    assert all((elmo.tokenizer.encode(text) == elmo.tokenizer.specials["unk"]).any() for text in texts)
    together = elmo.vectors([*texts, "the plain film", *texts[::-1]])
    for number, text in enumerate(texts):
        (alone,) = elmo.vectors([text])
        np.testing.assert_allclose(together[number].layers, alone.layers, atol=1e-6)
        np.testing.assert_allclose(together[-1 - number].layers, alone.layers, atol=1e-6)
    for first, second in zip(together[0:6:2], together[1:6:2], strict=True):
        assert np.abs(first.layers[0] - second.layers[0]).max() > 1e-3
    assert elmo.knows([*texts, "", " "]).tolist() == [True] * 6 + [False, False]


def test_the_context_of_a_score_is_spelled_and_the_unknown_word_is_priced_by_the_rule(elmo):
    for first, second in PAIRS[:2]:
        a, b = elmo.score_tokens(first), elmo.score_tokens(second)
        place = next(number for number, token in enumerate(a) if token.unknown)
        assert a[place].nats == pytest.approx(b[place].nats)  # before it, all is the same
        assert [token.id for token in a] == [token.id for token in b]
        assert [token.nats for token in a[place + 1 :]] != [token.nats for token in b[place + 1 :]]
        (whole,) = elmo.score([first])
        assert whole.unknown == sum(token.unknown for token in a) and whole.spelling > 0
        assert whole.nats == pytest.approx(sum(token.nats for token in a), rel=1e-6)


def test_from_its_end_a_text_costs_what_the_states_that_read_so_say(elmo):
    """States of `encode` at a word have read all after it and the word; the border's own, which stands first, has read nothing."""
    texts = ["the zorbel film was good", "好 quandle", "", "film " * 70]
    net, end = elmo.network, elmo.tokenizer.specials["eos"]
    found = elmo.backward_nats([Document((text,), "") for text in texts], ends=True)
    open_ended = elmo.backward_nats([Document((text,), "") for text in texts])
    for text, nats, without in zip(texts, found, open_ended, strict=True):
        framed = frame(net, elmo.tokenizer, [Text(text)], 99, net)
        with torch.no_grad():
            states = net.encode({name: torch.from_numpy(array) for name, array in collate(framed, [0]).items()})[-1][
                0, :, net.config.width :
            ]
            logs = (states @ net.table.t() + net.bias).log_softmax(-1)
        predicted = np.where(net.lacks(framed.ids[0]), 0, framed.ids[0])[1:]
        order = [0, *range(len(predicted), 0, -1)]  # the states, and beneath what each of them is to predict
        paid = [-float(logs[place, word]) for place, word in zip(order, [*predicted[::-1], end], strict=True)]
        assert nats == pytest.approx(sum(paid), rel=1e-5) and without == pytest.approx(sum(paid[:-1]), rel=1e-5)
    with pytest.raises(UsageError, match="reads both ways"):
        make_run("gpt").backward_nats([])
    assert elmo.backward_nats([]) == []


def test_framed_texts_carry_their_spellings(elmo):
    texts = [Text("the zorbel film", "a quandle zorbel"), Text("zorbel good")]
    framed = frame(elmo.network, elmo.tokenizer, texts, 20, elmo.network)
    size = elmo.tokenizer.vocab_size
    assert [ids[ids >= size].tolist() for ids in framed.ids] == [[size, size + 1, size], [size]]
    assert np.array_equal(collate(framed, [1])["spelled"], elmo.network.spell(["zorbel", "quandle"]))
    assert "spelled" not in collate(frame(elmo.network, elmo.tokenizer, texts, 20), [0])


def test_other_networks_see_the_tokenizers_ids(elmo):
    closed = OpenVocabulary(elmo.tokenizer, None)
    (ids,) = closed.encode_batch(["the zorbel film"])
    assert np.array_equal(ids, elmo.tokenizer.encode("the zorbel film")) and closed.beside == {}
    assert closed.known_of(closed.encode_batch(["zorbel", "film"])).tolist() == [False, True]
