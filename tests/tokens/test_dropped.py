"""What a tokenizer drops is counted by kind: for every kind of tokenizer, what it says of a character is what it does with it."""

import unicodedata
from collections import Counter

import numpy as np
import pytest

from stemma.corpus.document import Ledger
from stemma.corpus.read import Config as CorpusConfig
from stemma.tokens.dropped import Dropped
from stemma.tokens.settings import Config
from stemma.tokens.tokenizer import train
from stemma.training.ingest import Source, ingest

TEXT = "The old mill turns by the river, and nobody minds it. 老磨坊在河边慢慢地转动，没有人看着它。"
STRANGE = "soft\u00adhyphen zero\u200bwidth pri\ue000vate \ufffd\ufffd mark\u0301 老\u200b磨\u00ad坊 👩\u200d🦰 \U000e0041"
KINDS = ["word", "whitespace", "char", "wordpiece", "bpe", "unigram"]


def learnt(kind: str, **settings):
    return train(iter([TEXT] * 40), Config(kind=kind, vocab_size=400, **settings))


@pytest.mark.parametrize(
    ("kind", "settings"), [*((kind, {}) for kind in KINDS), ("wordpiece", {"lowercase": True}), ("word", {"phrases": 1})]
)
def test_a_character_is_dropped_that_becomes_no_token(kind, settings):
    tokenizer, draws = learnt(kind, **settings), np.random.default_rng(0)
    codes = {*range(0xA0, 0x3000), *draws.integers(0x3000, 0x110000, 3000).tolist(), 0xFFFD, 0xE000, 0xE0041}
    for character in map(chr, sorted(codes - set(range(0xD800, 0xE000)) - {0xFEFF, 0xFFFE, 0xFFFF})):
        counts = tokenizer.dropped.counts(character.encode())
        lost = not len(tokenizer.encode(character)) and not character.isspace()
        assert sum(counts.values()) == lost, (kind, hex(ord(character)), unicodedata.category(character))


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("word", {"format controls": 5}),
        ("whitespace", {}),
        ("char", {}),
        ("bpe", {}),
        ("unigram", {}),
        ("wordpiece", {"U+FFFD": 2, "format controls": 6, "private use": 1}),
    ],
)
def test_what_is_dropped_is_reported_by_its_kind(kind, names):
    expected = {f"{name} that the tokenizer drops": count for name, count in names.items()}
    assert learnt(kind).dropped.counts(STRANGE.encode()) == expected


def test_each_character_is_looked_up_once():
    calls = Counter()

    def drops(character: str) -> bool:
        calls[character] += 1
        return character == "水"

    dropped = Dropped(drops)
    for _ in range(3):
        assert dropped.counts("水 river 水山".encode()) == {"others that the tokenizer drops": 2}
    assert calls == {"水": 1, "山": 1} and dropped.counts(b"") == dropped.counts(b"plain") == {}


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("kind", ["word", "wordpiece", "bpe"])
def test_the_ledger_ends_at_the_tokens(tmp_path, kind, workers):
    (tmp_path / "corpus.txt").write_text("\n\n".join([STRANGE, TEXT] * 60), encoding="utf-8")
    source = Source((str(tmp_path / "corpus.txt"),), (), CorpusConfig(), 0.2, 3, workers)
    done, read = ingest(source, Config(kind, 400), tmp_path / "root", lambda _: None), Ledger()
    list(source.parts(read))
    dropped = {name: 60 * count for name, count in done.tokenizer.dropped.counts(STRANGE.encode()).items()}
    assert done.ledger["rejected"] == dict(+read.rejected + Counter(dropped)) and done.ledger["balances"]
    assert done.ledger["characters_used"] == read.characters_used - sum(dropped.values())
    assert Counter(done.train.dropped) + Counter(done.dev.dropped) == Counter(dropped)
    assert bool(dropped) == (kind != "bpe")
