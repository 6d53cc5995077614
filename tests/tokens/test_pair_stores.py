"""Pairs on their way through shards, stores and drawn parts: two sentences each, never parted, half of none kept."""

import numpy as np
import pytest

from stemma.corpus.document import Document
from stemma.tokens.build import build
from stemma.tokens.drawn import drawn
from stemma.tokens.shards import HALVED, shards
from stemma.tokens.tokenizer import Config, train

RNG = np.random.default_rng(8)
PAIRS = [
    (" ".join(RNG.choice(["the", "mill", "turns"], RNG.integers(1, 9))), "".join(RNG.choice(list("磨坊转动"), RNG.integers(1, 15))))
    for _ in range(200)
]
DOCUMENTS = [Document(pair, f"made:{at}", pair=True) for at, pair in enumerate(PAIRS)]
KINDS = ["word", "char", "wordpiece", "bpe", "unigram"]


@pytest.fixture(scope="module", params=KINDS)
def tokenizer(request):
    size = 300 if request.param in ("wordpiece", "bpe", "unigram") else 0
    return train((sentence for pair in PAIRS for sentence in pair), Config(kind=request.param, vocab_size=size))


def test_a_store_of_pairs_says_so_whatever_its_shards(tokenizer, tmp_path):
    store = build(DOCUMENTS, tokenizer, tmp_path / "a", shard_characters=37)
    assert store.pairs == store.documents == len(PAIRS) and (np.diff(store.document_starts) == 2).all()
    sides = [tokenizer.encode(side) for pair in PAIRS for side in pair]
    assert all((store.sentence(at) == side).all() for at, side in enumerate(sides))
    assert (build(DOCUMENTS, tokenizer, tmp_path / "b").ids == store.ids).all()


def test_pairs_stand_in_one_shard_each():
    for shard in shards(DOCUMENTS, 25):
        assert not shard.continues and all(map(len, shard.documents)) and len(shard.pairs) == len(shard.documents) and all(shard.pairs)


def test_text_beside_pairs_is_told_apart(tokenizer, tmp_path):
    store = build([*DOCUMENTS[:3], Document(("No", "pair."), "made")], tokenizer, tmp_path / "a")
    assert store.pairs == 3 and store.documents == 4


@pytest.mark.parametrize("budget", [1, 40, 300, 1000])
def test_a_drawn_part_holds_whole_pairs(tokenizer, tmp_path, budget):
    part = drawn(build(DOCUMENTS, tokenizer, tmp_path / "a"), budget, seed=1)
    assert part.pairs == part.documents and (np.diff(part.document_starts) == 2).all()
    assert len(part.ids) <= budget or part.documents == 1


def test_a_pair_with_a_side_that_holds_no_token_is_left_out_whole_and_counted(tmp_path):
    wordpiece = train((side for pair in PAIRS for side in pair), Config(kind="wordpiece", vocab_size=300))
    gone = [Document(("the mill", "\u200b"), "made", pair=True), Document(("\u200b\u200b", "磨坊"), "made", pair=True)]
    alone = build([*DOCUMENTS[:9], *gone, *DOCUMENTS[9:]], wordpiece, tmp_path / "a")
    assert alone.pairs == alone.documents == len(PAIRS) and (alone.ids == build(DOCUMENTS, wordpiece, tmp_path / "b").ids).all()
    assert alone.dropped == {HALVED: len("the mill磨坊"), "format controls that the tokenizer drops": 3}
