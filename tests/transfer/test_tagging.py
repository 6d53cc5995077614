"""Tagging through the whole of transfer on tiny runs: every head, saved and opened, words and characters."""

import numpy as np
import pytest
from tests.transfer.conftest import FILLERS, make_run

from stemma.corpus.columns import Tagged
from stemma.errors import UsageError
from stemma.layers.uniform import uniform
from stemma.lineage.table import find
from stemma.runs.fitted import FittedRun
from stemma.runs.run import Run
from stemma.tasks.entities import follows
from stemma.tasks.tag import Config as TagConfig
from stemma.tasks.tag import Sentence, Tag
from stemma.tokens.chinese import rejoined
from stemma.tokens.tokenizer import Config as TokenizerConfig
from stemma.tokens.tokenizer import train as train_tokenizer
from stemma.transfer.finetune import finetune
from stemma.transfer.settings import Config

FIRST = {"NEG": ["bad", "坏"], "POS": ["good", "好"]}  # words that begin a span, and those that go on with it
SECOND = {"NEG": ["awful", "差"], "POS": ["lovely", "棒"]}
MOVING = {"bert": 3e-3, "gpt": 3e-3, "word2vec": 3e-2}


def sentence(tokens, tags, characters=False) -> Sentence:
    text, units = rejoined(tokens, characters)
    return Sentence(text, tuple(units), Tagged(tuple(tokens), tuple(tags)))


def made_up(count: int, seed: int) -> list[Sentence]:
    """Fillers with a span of one or two words among them; some without."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        tokens = list(rng.choice(FILLERS, rng.integers(1, 7)))
        tags = ["O"] * len(tokens)
        if rng.random() < 0.8:
            kind, at = str(rng.choice(list(FIRST))), int(rng.integers(len(tokens) + 1))
            long = rng.random() < 0.5
            tokens[at:at] = [rng.choice(FIRST[kind]), *([rng.choice(SECOND[kind])] if long else [])]
            tags[at:at] = [f"B-{kind}", *([f"I-{kind}"] if long else [])]
        found.append(sentence([str(token) for token in tokens], tags))
    return found


TRAIN, DEV = made_up(240, 1), made_up(60, 2)


@pytest.mark.parametrize("head", ["linear", "network"])
def test_fixed_networks_are_tagged_from(run, head, tmp_path):
    grid = (1e-2,) if head == "network" else ()
    config = Config(mode="frozen", head=head, precision="fp32", seeds=(1,), budget=1, updates=100, grid=grid)
    result = finetune(run, train=TRAIN, dev=DEV, task="tag", config=config, out=tmp_path / "run")
    assert result.facts["f1"]["mean"] > 0.8
    check_saved(result, tmp_path / "run")


@pytest.mark.parametrize("decoder", ["linear", "crf"])
def test_networks_move_with_either_decoder(run, decoder, tmp_path):
    config = Config(precision="fp32", seeds=(1,), budget=1, updates=60, grid=(MOVING[run.row.name],))
    result = finetune(run, train=TRAIN, dev=DEV, task=Tag(TagConfig(decoder=decoder)), config=config, out=tmp_path / "run")
    assert result.facts["f1"]["mean"] > 0.8
    assert ("CRF" in result.facts["head"]) == (decoder == "crf")
    check_saved(result, tmp_path / "run")


def check_saved(result, folder):
    """The run of the folder answers as the result does, in lawful tags, with entities that stand in the text."""
    texts = [example.text for example in DEV[:10]] + ["", "好", "😀 good film"]
    rows = result.answer_rows(texts)
    assert FittedRun.load(folder).answer_rows(texts) == rows
    for row in rows:
        tags = [word["tag"] for word in row["words"]]
        assert all(follows(before, tag) for before, tag in zip([None, *tags], tags, strict=False))
        assert all(row["text"][entity["start"] : entity["end"]] == entity["text"] for entity in row["entities"])


def test_counts_have_no_states_to_tag_with(ngram):
    for config in (Config(mode="frozen"), Config(mode="frozen", head="network"), Config()):
        with pytest.raises(UsageError, match="ngram"):
            finetune(ngram, train=TRAIN, task="tag", config=config)


def test_characters_are_tagged_from_the_vectors_of_words():
    """All characters of a word read one vector: their place in it tells them apart."""
    texts = ["我们看电影", "他们讲故事", "电影很好", "故事很长", "我们", "北京很远", "他去北京"] * 20
    tokenizer = train_tokenizer(iter(texts), TokenizerConfig(kind="word", words="rjieba", min_count=1))
    row = find("word2vec")
    facts = tokenizer.facts(np.ones(tokenizer.vocab_size, dtype=np.int64))
    network = row.load_network().drawn(row.model_config()(width=20), facts, uniform(7))
    spans = {"电影": "B-ART I-ART", "故事": "B-ART I-ART", "北京": "B-LOC I-LOC"}
    examples = []
    for text in texts[:70]:
        tags = ["O"] * len(text)
        for word, own in spans.items():
            if word in text:
                tags[text.index(word) : text.index(word) + 2] = own.split()
        examples.append(sentence(list(text), tags, characters=True))
    config = Config(mode="frozen", precision="fp32", seeds=(1,), budget=1, grid=(10.0,))
    result = finetune(Run(None, row, tokenizer, network), train=examples, dev=examples, task="tag", config=config)
    assert result.facts["f1"]["mean"] == 1.0
    entities = result.answer_rows(["他们在北京看电影"])[0]["entities"]
    assert [(entity["type"], entity["text"], entity["start"]) for entity in entities] == [("LOC", "北京", 3), ("ART", "电影", 6)]


def test_a_text_longer_than_the_network_reads_is_tagged_whole():
    run = make_run("bert")
    long = [sentence(["the", "film"] * 40, ["O", "B-POS"] * 40), *TRAIN[:60]]
    result = finetune(run, train=long, dev=long[:1], task="tag", config=Config(mode="frozen", precision="fp32", seeds=(1,), budget=1))
    assert result.facts["cut"] == {"examples": 0, "tokens": 0, "units": 0, "dev_units": 0}
    assert len(result.answers(long[:1])[0]) == 80
    predictions = np.array(result.facts["seeds"][0]["predictions"][0])
    assert (predictions == [0, 3] * 40).mean() > 0.8  # O, B-POS
    assert (predictions[-20:] == 3).sum() >= 8


def test_units_that_the_tokenizer_does_not_see_are_answered_and_counted():
    run = make_run("bert")
    unseen = [sentence(["the", "\ue000", "film"], ["O", "B-POS", "O"]), *TRAIN[:60]]
    result = finetune(run, train=unseen, dev=unseen[:1], task="tag", config=Config(mode="frozen", precision="fp32", seeds=(1,), budget=1))
    assert result.facts["cut"]["units"] == result.facts["cut"]["dev_units"] == 1
    with pytest.warns(UserWarning, match="1 unit had no token"):
        assert len(result.answers(unseen[:1])[0]) == 3
