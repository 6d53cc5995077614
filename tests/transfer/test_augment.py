"""New texts from labelled ones: which words are replaced, by what, how often, and that nothing else changes."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from tests.transfer.conftest import make_examples

from stemma.errors import UsageError
from stemma.runs.run import Run
from stemma.tasks.task import Text
from stemma.tokens.function_words import is_content
from stemma.tokens.tokenizer import Config as TokenizerConfig
from stemma.tokens.tokenizer import train
from stemma.transfer import augment
from stemma.transfer.augment import Augmenter

TEXTS = [
    Text("The lovely film was a fine story, and the awful story was poor."),
    Text("这个 电影 非常 好 的 故事 ，2014 年"),
    Text("a good film of 故事 and it was very bad", "Film! 电影 was lovely"),
    Text(""),
    Text("the of and 🦭 42"),
]


def augmenter(masked, vectors=None, **changed) -> Augmenter:
    options = {"copies": 6, "share": 0.4, "candidates": 5, "seed": 1} | changed
    return Augmenter(masked, vectors, **options)


def pieces(run, text: str) -> list[str]:
    """The words and marks of a text as the run's tokenizer parts them."""
    ids, spans = run.tokenizer.encode_offsets(text)
    starts = [*np.flatnonzero(run.tokenizer.encode_words([text])[2]).tolist(), len(ids)]
    return [text[spans[a][0] : spans[b - 1][1]] for a, b in pairwise(starts)]


def test_function_words_marks_and_the_rest_stay_where_they_are(bert, word2vec) -> None:
    made = augmenter(bert, word2vec).all_of(TEXTS)
    assert {owner for owner, _ in made} == {0, 1, 2}
    for owner, new in made:
        for before, after in ((TEXTS[owner].text, new.text), (TEXTS[owner].other, new.other)):
            kept = [word for word in pieces(bert, before) if not is_content(word)]
            rest = after
            for word in kept:  # in their order
                assert word in rest
                rest = rest[rest.index(word) + len(word) :]
        assert (new.text, new.other) != (TEXTS[owner].text, TEXTS[owner].other)
        assert "[MASK]" not in new.text and "##" not in new.text


def test_no_text_is_made_twice_and_never_more_than_wanted(bert) -> None:
    made = augmenter(bert, copies=4).all_of(TEXTS)
    for owner in range(3):
        own = [(text.text, text.other) for number, text in made if number == owner]
        assert 0 < len(own) == len(set(own)) <= 4


def test_it_is_the_same_again_and_other_by_another_seed(still_bert, monkeypatch) -> None:
    first = augmenter(still_bert).all_of(TEXTS)
    assert first != augmenter(still_bert, seed=2).all_of(TEXTS)
    monkeypatch.setattr(augment, "TEXTS", 2)
    monkeypatch.setattr(augment, "POSITIONS", 60)
    assert first == augmenter(still_bert).all_of(TEXTS)


@pytest.mark.parametrize("share", [0.2, 0.4])
def test_the_share_of_words_is_replaced(bert, share: float, monkeypatch) -> None:
    """Counted over all tries, those that came out as before included: their words had the same chance."""
    asked, changed = 0, 0
    draw = Augmenter._changes

    def counting(self, words, rng):
        nonlocal asked, changed
        found = draw(self, words, rng)
        asked, changed = asked + sum(bool(others) for _, others in words), changed + len(found)
        return found

    monkeypatch.setattr(Augmenter, "_changes", counting)
    made = augmenter(bert, share=share, copies=400).all_of(TEXTS[:1] * 3)
    assert asked > 4000 and changed / asked == pytest.approx(share, abs=0.02) and made


def test_candidates_are_so_many_words_of_one_script_and_never_the_word_itself(bert, word2vec) -> None:
    maker = augmenter(bert, word2vec, candidates=3)
    halves = [(text, maker._words_of(text, ())) for text in ("the lovely film", "非常 好 的 电影")]
    maker._look_up(halves)
    words = {word.spelling: word.candidates for _, words in halves for word in words}
    assert {"lovely", "film", "电影"} <= words.keys() and "the" not in words
    for spelling, others in words.items():
        assert len(others) <= 3 and spelling.lower() not in [other.lower() for other in others]
    assert words["film"] and all(other.isascii() and is_content(other) for other in words["film"])
    assert maker._cased("Lovely", ["fine", "lovely", "poor"]) == ["Fine", "Poor"]
    assert words["电影"] and all(len(other) == 2 and not other.isascii() for other in words["电影"])


def test_pieces_that_hold_the_space_before_them_are_words_too(bert) -> None:
    """ALBERT's and XLNet's kind of tokens, whose Chinese words may be one piece."""
    tokenizer = train(iter(example.text for example in make_examples(300, 9)), TokenizerConfig(kind="unigram", vocab_size=120))
    torch.manual_seed(5)
    run = Run(None, bert.row, tokenizer, bert.row.load_network()(bert.network.config, tokenizer.facts()).eval())
    for text, kept in (("the awful film was a story", "the {} {} was a {}"), ("好 的 电影 故事", "好 的 {} {}")):
        made = augmenter(run, share=1.0).all_of([Text(text)])
        assert made
        for _, new in made:
            pairs = [pair for pair in zip(text.split(" "), new.text.split(" "), strict=True) if is_content(pair[0])]
            assert new.text == kept.format(*(after for _, after in pairs))
            assert all(after.isalpha() and after != before for before, after in pairs)  # of a share of 1, every one


def test_units_keep_their_words_and_move_with_them(bert, word2vec) -> None:
    sentence = "the lovely film was fine"
    spans = [(0, 3), (4, 10), (11, 15), (16, 19), (20, 24)]
    made = augmenter(bert, word2vec).all_of([Text(sentence, units=tuple(spans))])
    assert made
    for _, new in made:
        words = [new.text[start:end] for start, end in new.units]
        assert " ".join(words) == new.text and words[0] == "the" and words[3] == "was"
    characters = Text("好的 电影", units=((0, 1), (1, 2), (3, 4), (4, 5)))
    varied = augmenter(bert).all_of([characters])
    assert varied and all(new.units == characters.units and new.text.startswith("好的 ") and len(new.text) == 5 for _, new in varied)


def test_a_text_longer_than_the_network_reads_is_varied_in_what_it_reads(bert) -> None:
    long = Text(" ".join(["film"] * 100))
    for _, new in augmenter(bert, copies=2).all_of([long]):
        words = new.text.split()
        assert words[46:] == ["film"] * 54 and words != ["film"] * 100  # 48 positions, two of them specials


def test_runs_that_name_no_words_are_refused(bert, gpt, word2vec) -> None:
    with pytest.raises(UsageError, match="which names no words"):
        augmenter(gpt)
    with pytest.raises(UsageError, match="which names no words"):
        augmenter(bert, gpt)
