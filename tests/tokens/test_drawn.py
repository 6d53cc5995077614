"""The drawn part of a store: of all the text, the same whatever the tokenizer, and a greater one holds each smaller one."""

import shutil
from collections import Counter

import numpy as np
import pytest

from stemma.corpus.document import Document
from stemma.tokens.build import build
from stemma.tokens.drawn import chosen_sentences, drawn, how_much, passages, spelt_in_part
from stemma.tokens.settings import special_ids
from stemma.tokens.tokenizer import Config, train

RNG = np.random.default_rng(5)
ENGLISH = [" ".join(RNG.choice(["the", "miller", "saw", "a", "red", "kite", "above", "mills"], RNG.integers(3, 9))) for _ in range(300)]
CHINESE = ["".join(RNG.choice(list("我喜欢看书他们去学校今天下雨"), RNG.integers(4, 12))) for _ in range(300)]
SHARE = 0.3


def corpus(sentences, per_document):
    cuts = range(0, len(sentences), per_document)
    return [Document(tuple(sentences[i : i + per_document]), f"made:{i}") for i in cuts]


def stores(documents, tmp_path):
    """The same documents under three tokenizers of very different lengths."""
    texts = [sentence for document in documents for sentence in document.sentences]
    configs = (Config(kind="word", vocab_size=0), Config(kind="char", vocab_size=0), Config(kind="bpe", vocab_size=300))
    return [build(documents, train(iter(texts), c), tmp_path / f"{i}", fingerprint="f") for i, c in enumerate(configs)]


@pytest.mark.parametrize("sentences", [ENGLISH, CHINESE], ids=["english", "chinese"])
@pytest.mark.parametrize("per_document", [1, 7, 300], ids=["lines", "documents", "one"])
def test_the_same_sentences_are_drawn_whatever_the_tokenizer(tmp_path, sentences, per_document):
    taken = []
    for store in stores(corpus(sentences, per_document), tmp_path):
        chosen = chosen_sentences(store, int(SHARE * len(store.ids)), seed=3)
        assert 0 < np.diff(store.sentence_starts)[chosen].sum() <= SHARE * len(store.ids)
        assert chosen[:150].mean() == pytest.approx(SHARE, abs=0.13) and chosen[150:].mean() == pytest.approx(SHARE, abs=0.13)
        taken.append(chosen)
    for other in taken[1:]:  # the same order of passages, left at about the same place
        assert (taken[0] != other).mean() < 0.04 and ((taken[0] <= other).all() or (taken[0] >= other).all())


@pytest.mark.parametrize("per_document", [1, 11, 300])
def test_a_greater_budget_reads_all_that_a_smaller_one_does(tmp_path, per_document):
    store = stores(corpus(ENGLISH, per_document), tmp_path)[0]
    before = np.zeros(store.sentences, bool)
    for tokens in range(1, len(store.ids), 37):
        chosen = chosen_sentences(store, tokens, seed=0)
        read = np.diff(store.sentence_starts)[chosen].sum()
        assert (before <= chosen).all() and chosen.any() and (read <= tokens or chosen.sum() == 1)
        before = chosen
    assert (chosen_sentences(store, 500, 0) != chosen_sentences(store, 500, 1)).any()


def test_the_drawn_store_is_the_chosen_text_in_its_order(tmp_path, monkeypatch):
    monkeypatch.setattr("stemma.tokens.drawn.BLOCK", 97)  # of many blocks
    for store in stores(corpus(ENGLISH + CHINESE, 13), tmp_path):
        chosen = np.flatnonzero(chosen_sentences(store, 1234, seed=1))
        part = drawn(store, 1234, seed=1)
        part.verify()
        np.testing.assert_array_equal(part.ids, np.concatenate([store.sentence(i) for i in chosen]))
        np.testing.assert_array_equal(part.sentence_starts, np.cumsum([0, *(len(store.sentence(i)) for i in chosen)]))
        words = np.concatenate([store.word_starts(*store.sentence_starts[[i, i + 1]]) for i in chosen])
        np.testing.assert_array_equal(part.word_starts(), words)
        np.testing.assert_array_equal(part.counts, np.bincount(part.ids, minlength=store.vocab_size))
        begins = [k for k, i in enumerate(chosen) if i in store.document_starts or k == 0 or chosen[k - 1] != i - 1]
        np.testing.assert_array_equal(part.document_starts, [*begins, len(chosen)])
        assert part.ids.dtype == store.ids.dtype
        unknown = special_ids(store.header["kind"]).get("unk", -1)
        assert part.unknown == (part.ids == unknown).sum() and store.unknown == (store.ids == unknown).sum()
        assert part.characters is None and part.bytes_utf8 is None and store.bytes_utf8 > store.characters > 0
        facts = how_much(part)
        documents = np.searchsorted(store.document_starts, chosen, side="right") - 1
        assert (facts["documents"], facts["of_documents"]) == (len(set(documents)), store.documents)
        assert (facts["tokens"], facts["of_tokens"]) == (len(part.ids), len(store.ids)) and facts["passages"] <= facts["of_passages"]


def test_a_whole_pass_reads_the_store_itself_and_a_part_is_made_once(tmp_path):
    store = stores(corpus(ENGLISH, 5), tmp_path)[0]
    assert drawn(store, 0, 0) is store and drawn(store, len(store.ids), 0) is store and how_much(store) == {}
    part = drawn(store, 100, 0)
    written = (part.path / "header.json").stat().st_mtime_ns
    assert (drawn(store, 100, 0).path / "header.json").stat().st_mtime_ns == written
    assert drawn(store, 100, 1).path != part.path != drawn(store, 99, 0).path
    assert not [path for path in part.path.parent.iterdir() if path.name.startswith(".")]


def test_long_documents_are_cut_into_passages_and_short_ones_stay_whole(tmp_path):
    documents = [Document(tuple(f"a b {i}" for i in range(100)), "long"), *(Document(("c d", "e"), f"short {k}") for k in range(1000))]
    store = build(documents, train(iter(["a b c d e"]), Config(kind="char", vocab_size=0)), tmp_path / "s")
    borders, document, part = passages(store)
    assert np.diff(borders[:51]).tolist() == [2] * 50 and np.diff(borders[50:]).tolist() == [2] * 1000
    assert document[:50].tolist() == [0] * 50 and part[:50].tolist() == list(range(50)) and not part[50:].any()


def test_what_a_killed_process_left_beside_it_goes(tmp_path):
    store = stores(corpus(ENGLISH, 7), tmp_path)[0]
    tokens = int(SHARE * len(store.ids))
    place = drawn(store, tokens, seed=3).path
    shutil.rmtree(place)
    left = place.with_name(f".{place.name}-killed")
    left.mkdir()
    (left / "ids.bin").write_bytes(b"half")
    assert drawn(store, tokens, seed=3).path == place and not (place / ".lock").exists()
    assert not [path for path in place.parent.iterdir() if path.name.startswith(f".{place.name}")]


def spellings_of(tokenizer):
    return dict(zip(tokenizer.outside.spellings, tokenizer.outside.counts, strict=True))


@pytest.mark.parametrize("kind", ["word", "whitespace", "char", "wordpiece"])
@pytest.mark.parametrize("sentences", [ENGLISH, CHINESE], ids=["english", "chinese"])
def test_a_part_spells_unknown_words_by_what_was_read(tmp_path, monkeypatch, kind, sentences):
    """What the rest of the text leaves out is not known; a part of all of it knows all."""
    monkeypatch.setattr("stemma.tokens.outside.LEAST", 6)
    sentences = [*sentences[:150], "\u200b\u200b", *sentences[150:], *(f"{sentence} late{n}" for n, sentence in enumerate(sentences[:40]))]
    documents = corpus(sentences, 7)
    config = Config(kind=kind, vocab_size=6 if kind != "wordpiece" else 60, words="auto")
    tokenizer = train(iter(sentences), config)
    store = build(documents, tokenizer, tmp_path / "s", fingerprint="f")
    for tokens in (len(store.ids) // 4, len(store.ids) - 1):
        chosen, part = chosen_sentences(store, tokens, 3), drawn(store, tokens, 3)
        found = spelt_in_part(part, store, chosen, tokenizer, lambda: documents)
        if kind == "wordpiece":  # its vocabulary tells how its unknown words are spelt
            assert found is tokenizer
            continue
        held = [sentence for sentence in sentences if len(tokenizer.encode(sentence))]
        read = [sentence for sentence, taken in zip(held, chosen, strict=True) if taken]
        expected = Counter(tokenizer.spellings(read, tokenizer.encode_flat(read)[0] == tokenizer.specials["unk"]))
        spelt = spellings_of(found)
        assert expected and part.unknown == expected.total() and {word: spelt[word] for word in expected} == expected
        rest = set(spelt) - set(expected)
        assert {spelt[word] for word in rest} <= {1} and all(tokenizer.id("▁" if word == " " else word) for word in rest)
        again = spelt_in_part(part, store, chosen, tokenizer, lambda: pytest.fail("read again"))
        assert again.outside == found.outside != tokenizer.outside and found.encode(held[0]).tolist() == tokenizer.encode(held[0]).tolist()
        part.verify()
    everything = spelt_in_part(
        build(documents, tokenizer, tmp_path / "all"), store, np.ones(store.sentences, bool), tokenizer, lambda: documents
    )
    assert spellings_of(everything) == spellings_of(tokenizer)
