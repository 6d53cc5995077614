"""Every kind: round trips, offsets, files that other programs open, and refusals."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokens_texts import CHINESE, ENGLISH, KINDS, ODD, TEXTS, config

from stemma.errors import DataError, UsageError
from stemma.tokens.long_texts import parts_of
from stemma.tokens.settings import SPACED
from stemma.tokens.tokenizer import Config, Tokenizer, train

SPECIALS = {
    "word": {"unk": 0, "bos": 1, "eos": 2},
    "whitespace": {"unk": 0, "bos": 1, "eos": 2},
    "char": {"unk": 0, "bos": 1, "eos": 2},
    "wordpiece": {"pad": 0, "unk": 1, "cls": 2, "sep": 3, "mask": 4},
    "bpe": {"eos": 0, "bos": 0},
    "unigram": {"pad": 0, "unk": 1, "cls": 2, "sep": 3, "mask": 4, "eos": 5, "bos": 6},
}
any_text = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
    st.text("the mill 'don’t ran 语言模型预测，。2019 👨‍👩‍👧❤️\u3000\t", max_size=40),
    st.sampled_from(ENGLISH + CHINESE + ODD),
)


@pytest.mark.parametrize("kind", KINDS)
def test_specials_have_the_first_ids(tokenizers, kind):
    tokenizer = tokenizers[kind]
    assert tokenizer.specials == SPECIALS[kind]
    assert tokenizer.facts().vocab_size == tokenizer.vocab_size == len(tokenizer.tokens)
    assert all(tokenizer.id(tokenizer.token(i)) == i for i in range(tokenizer.vocab_size))
    assert tokenizer.id("no such token") is None


@pytest.mark.parametrize("kind", KINDS)
def test_text_cannot_forge_a_special(tokenizers, kind):
    tokenizer = tokenizers[kind]
    hidden = {i for role, i in tokenizer.specials.items() if role != "unk"}
    written = [tokenizer.token(i) for i in sorted({*tokenizer.specials.values()})]
    for text in (*written, " ".join(written), "the " + written[-1]):
        assert hidden.isdisjoint(tokenizer.encode(text).tolist())


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_tokenizer_is_the_same(tokenizers, kind, tmp_path):
    tokenizer = tokenizers[kind]
    tokenizer.save(tmp_path / "tokenizer.json")
    again = Tokenizer.load(tmp_path / "tokenizer.json")
    assert (again.config, again.tokens, again.fingerprint) == (tokenizer.config, tokenizer.tokens, tokenizer.fingerprint)
    for text in TEXTS[:10] + ODD:
        np.testing.assert_array_equal(again.encode(text), tokenizer.encode(text))
    again.save(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "tokenizer.json").read_bytes()


@pytest.mark.parametrize("kind", KINDS)
def test_the_file_opens_in_the_tokenizers_library(tokenizers, kind, tmp_path):
    from tokenizers import Tokenizer as Rust

    tokenizers[kind].save(tmp_path / "tokenizer.json")
    rust = Rust.from_file(str(tmp_path / "tokenizer.json"))
    assert rust.get_vocab_size() == tokenizers[kind].vocab_size
    for text in ENGLISH + (CHINESE if kind != "word" else []):  # that file format cannot segment Chinese
        assert rust.encode(text, add_special_tokens=False).ids == tokenizers[kind].encode(text).tolist()


def test_the_file_opens_in_transformers(tokenizers, tmp_path):
    transformers = pytest.importorskip("transformers")
    for kind in KINDS:
        tokenizers[kind].save(tmp_path / "tokenizer.json")
        theirs = transformers.PreTrainedTokenizerFast(tokenizer_file=str(tmp_path / "tokenizer.json"))
        assert theirs(ENGLISH[0], add_special_tokens=False)["input_ids"] == tokenizers[kind].encode(ENGLISH[0]).tolist()


def test_the_wordpiece_file_frames_like_bert(tokenizers, tmp_path):
    from tokenizers import Tokenizer as Rust

    tokenizers["wordpiece"].save(tmp_path / "tokenizer.json")
    encoding = Rust.from_file(str(tmp_path / "tokenizer.json")).encode("the mill", "the cat")
    assert encoding.tokens[0] == "[CLS]" and encoding.tokens.count("[SEP]") == 2 and encoding.type_ids[-1] == 1


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=60, deadline=None)
@given(texts=st.lists(any_text, max_size=5))
def test_a_batch_is_its_texts_and_offsets_are_in_order(tokenizers, kind, texts):
    tokenizer = tokenizers[kind]
    rows = tokenizer.encode_batch(texts)
    assert len(rows) == len(texts)
    for text, row in zip(texts, rows, strict=True):
        ids, spans = tokenizer.encode_offsets(text)
        np.testing.assert_array_equal(ids, row)
        assert all(0 <= start <= end <= len(text) for start, end in spans)
        assert spans == sorted(spans) and len(spans) == len(ids)


@settings(max_examples=200, deadline=None)
@given(text=any_text)
def test_bpe_gives_the_text_back_less_one_space_at_its_start(tokenizers, text):
    assert tokenizers["bpe"].decode(tokenizers["bpe"].encode(text)) == text.removeprefix(" ")


@pytest.mark.parametrize("kind", ["word", "whitespace", "char", "wordpiece"])
def test_a_text_comes_back_with_its_unknown_words_spelt(tokenizers, kind):
    """White space apart, it is the text: what the tokenizer keeps of it can be compared with it."""
    sentences = ["The mill ßΩ turned .", "雾ßΩ里 😀 <unk>", "", "mill"]
    back = tokenizers[kind].give_back(sentences)
    assert "".join(back.split()) == "".join(" ".join(sentences).split())


@settings(max_examples=200, deadline=None)
@given(text=any_text)
def test_char_gives_the_text_back_but_for_unknown_characters(tokenizers, text):
    tokenizer = tokenizers["char"]
    known = {token: token for token in tokenizer.tokens[3:]} | {" ": " "}
    known.pop("▁")
    assert tokenizer.decode(tokenizer.encode(text)) == "".join(known.get(c, "\ufffd") for c in text)


@settings(max_examples=200, deadline=None)
@given(text=any_text)
def test_whitespace_gives_the_tokens_back_between_single_spaces(tokenizers, text):
    known = set(tokenizers["whitespace"].tokens[3:])
    tokens = [t for t in text.translate(dict.fromkeys(b"\0\t\n\r", " ")).split(" ") if t]
    assert tokenizers["whitespace"].decode(tokenizers["whitespace"].encode(text)) == " ".join(t if t in known else "<unk>" for t in tokens)


@pytest.mark.parametrize("text", ENGLISH + CHINESE)
def test_wordpiece_and_words_lose_only_spaces(tokenizers, text):
    for kind in ("wordpiece", "word"):
        back = tokenizers[kind].decode(tokenizers[kind].encode(text))
        assert back.replace(" ", "") == text.replace(" ", "")
        np.testing.assert_array_equal(tokenizers["wordpiece"].encode(back), tokenizers["wordpiece"].encode(text))


@pytest.mark.parametrize("text", [*ENGLISH, *CHINESE, "  two   spaces "])
def test_unigram_gives_the_text_back_with_single_spaces(tokenizers, text):
    import unicodedata

    expected = " ".join(unicodedata.normalize("NFKC", text).split())
    assert tokenizers["unigram"].decode(tokenizers["unigram"].encode(text)) == expected


def test_chinese_is_written_without_spaces(tokenizers):
    text = "我们使用语言模型来预测下一个词的probability。"
    for kind in ("word", "wordpiece"):
        assert tokenizers[kind].decode(tokenizers[kind].encode(text)) == "我们使用语言模型来预测下一个词的 probability。"


def test_offsets_refer_to_the_raw_text():
    for kind in ("word", "wordpiece", "char"):
        tokenizer = train(iter(["istanbul café"] * 3), config(kind, lowercase=True))
        ids, spans = tokenizer.encode_offsets("İ CAFÉ")
        assert "".join("İ CAFÉ"[start:end] for start, end in spans[-1:]) and spans[-1][1] == 6
    ids, spans = train(iter(["the mill"]), config("word")).encode_offsets("the  mill, 语")
    assert spans == [(0, 3), (5, 9), (9, 10), (11, 12)] and ids[0] and not ids[3]


def test_the_mask_stays_visible_and_frames_do_not(tokenizers):
    tokenizer = tokenizers["wordpiece"]
    s = tokenizer.specials
    ids = [s["cls"], *tokenizer.encode("the mill").tolist(), s["mask"], s["sep"], s["pad"], s["unk"]]
    assert tokenizer.decode(ids) == "the mill [MASK] [UNK]"


def test_lower_casing_drops_accents_in_wordpiece_only():
    assert train(iter(["Été"] * 3), config("word", lowercase=True)).tokens[3:] == ["été"]
    wordpiece = train(iter(["Été"] * 3), config("wordpiece", lowercase=True))
    assert wordpiece.decode(wordpiece.encode("ÉTÉ")) == "ete"


def test_a_file_of_another_program_loads(tmp_path):
    from tokenizers import Tokenizer as Rust
    from tokenizers import models

    vocab = {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "[MASK]": 4, "a": 5}
    Rust(models.WordPiece(vocab, unk_token="[UNK]")).save(str(tmp_path / "t.json"))
    loaded = Tokenizer.load(tmp_path / "t.json")
    assert loaded.kind == "wordpiece" and loaded.encode("a").tolist() == [5]


@pytest.mark.parametrize(
    ("settings", "mend"),
    [
        ({"kind": "words"}, "did you mean 'word'"),
        ({"kind": "bpe", "lowercase": True}, "drop lowercase"),
        ({"kind": "whitespace", "words": "given"}, "set kind = word"),
        ({"kind": "bpe", "vocab_size": 256}, "set vocab_size to 257"),
        ({"kind": "wordpiece", "vocab_size": 0}, "set vocab_size to 32"),
        ({"kind": "word", "vocab_size": 2}, "set vocab_size to 4"),
    ],
)
def test_a_setting_that_the_kind_cannot_honour_is_refused(settings, mend):
    with pytest.raises(UsageError, match=mend):
        Config(**settings)


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"model": {"type": "Other", "vocab": {}}}', "\0"])
def test_a_damaged_file_is_refused_by_name(tmp_path, content):
    path = tmp_path / "tokenizer.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=r"tokenizer\.json.*copy the file again"):
        Tokenizer.load(path)
    with pytest.raises(DataError, match="check the path"):
        Tokenizer.load(tmp_path / "none.json")


WRONG = {
    "ids that do not number": lambda model: model["vocab"].update(extra=10**6),
    "one id twice": lambda model: model["vocab"].update(dict.fromkeys(list(model["vocab"])[-2:], 5)),
    "an id that is none": lambda model: model["vocab"].update({list(model["vocab"])[-1]: None}),
    "no specials": lambda model: model["vocab"].update({next(iter(model["vocab"])): 1, list(model["vocab"])[1]: 0}),
    "no counts": lambda model: model["stemma"].update(outside={"version": 1, "spellings": ["a"], "counts": [{}]}),
    "counts below zero": lambda model: model["stemma"].update(outside={"version": 1, "spellings": ["a"], "counts": [-4]}),
    "no spellings": lambda model: model["stemma"].update(outside={"version": 1, "spellings": [7], "counts": [1]}),
    "fewer counts": lambda model: model["stemma"].update(outside={"version": 1, "spellings": ["a", "b"], "counts": [1]}),
    "another kind": lambda model: model["stemma"]["config"].update(kind="wordpiece"),
    "a size beyond": lambda model: model["stemma"]["config"].update(vocab_size=1 << 63),
}


@pytest.mark.parametrize("kind", ["word", "char"])
@pytest.mark.parametrize("wrong", WRONG)
def test_a_file_of_a_wrong_shape_is_refused(tokenizers, tmp_path, kind, wrong):
    place = tmp_path / "tokenizer.json"
    tokenizers[kind].save(place)
    data = json.loads(place.read_text(encoding="utf-8"))
    WRONG[wrong](data["model"])
    place.write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(DataError, match=r"tokenizer\.json: .*copy the file again"):
        Tokenizer.load(place)


@pytest.mark.parametrize("passes", [[[[0, 10**6]]], [[[0, -1]]], [[[0, "1"]]], [[[0]]], [[7]], [[[k, k]] for k in (5, *range(400, 440))]])
def test_phrases_of_what_is_not_there_are_refused(tmp_path, passes):
    tokenizer = train(iter(["new york is new york"] * 9), Config(kind="word", vocab_size=0, phrases=1, phrase_threshold=0.1))
    tokenizer.save(tmp_path / "tokenizer.json")
    data = json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))
    own = data["model"]["stemma"]["phrases"]
    own["words"] += [f"w{n}" for n in range(397 - len(own["words"]))]
    own["passes"] = passes
    (tmp_path / "tokenizer.json").write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(DataError, match="copy the file again"):
        Tokenizer.load(tmp_path / "tokenizer.json")


def test_the_config_and_the_segmenter_stand_in_the_file(tokenizers, tmp_path):
    tokenizers["word"].save(tmp_path / "tokenizer.json")
    own = json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))["model"]["stemma"]
    assert own["config"]["kind"] == "word" and own["segmenter"]["name"] == "rjieba" and own["segmenter"]["version"] and own["unicode"]


def test_a_text_that_holds_the_unknown_tokens_own_form_comes_back_whole():
    characters = train(iter(["cat sat \ufffd " * 9]), Config(kind="char", vocab_size=0, min_count=1))
    for text in ("a z \ufffd cat sat", "\ufffd", "z\ufffdz", "\ufffd\ufffdz cat"):
        assert characters.give_back([text]) == text
    pieces = train(iter(["cat sat <unk> mat " * 30]), Config(kind="unigram", vocab_size=64))
    for text in ("cat <unk> 猫 sat", "猫 <unk>", "猫<unk>猫 mat"):
        assert pieces.give_back([text]) == text


@pytest.mark.parametrize("kind", ["wordpiece", "bpe", "unigram"])
def test_a_long_text_is_encoded_in_parts_to_the_same_tokens(tokenizers, kind, monkeypatch):
    whole = " ".join([*ENGLISH, *CHINESE, "two  spaces", "Ab's 12 3", " end "] * 3)
    expected = tokenizers[kind].encode(whole)
    assert len(list(parts_of(whole, 20))) > 5 and "".join(parts_of(whole, 20)) == whole
    monkeypatch.setattr(parts_of, "__defaults__", (20,))
    monkeypatch.setattr("stemma.tokens.tokenizer.AT_ONCE", 20)
    found = tokenizers[kind].encode_batch(["x", whole, ""])
    assert [len(ids) for ids in found] == [len(tokenizers[kind].encode("x")), len(expected), 0]
    assert (found[1] == expected).all()


@pytest.mark.parametrize("kind", ["wordpiece", "bpe", "unigram"])
def test_the_library_is_handed_no_more_than_it_can_hold(tokenizers, kind, monkeypatch):
    tokenizer, texts = tokenizers[kind], ["x", " ".join(ENGLISH * 9), "", "词语。", "the mill", *CHINESE * 5]
    adjoining = [n % 3 == 0 and n > 0 for n in range(len(texts))]
    ids, lengths = tokenizer.encode_flat(texts, adjoining)
    handed, real = [], type(tokenizer._engine).encode_flat

    def recorded(engine, given, *rest):
        handed.append(sum(map(len, given)))
        return real(engine, given, *rest)

    monkeypatch.setattr(type(tokenizer._engine), "encode_flat", recorded)
    monkeypatch.setattr(parts_of, "__defaults__", (64,))
    monkeypatch.setattr("stemma.tokens.tokenizer.AT_ONCE", 64)
    again, as_long = tokenizer.encode_flat(texts, adjoining)
    assert again.tolist() == ids.tolist() and as_long.tolist() == lengths.tolist()
    assert len(handed) > 4 and max(handed) < 64 + 100  # up to the end of a part, or of a short text


@pytest.mark.parametrize("kind", KINDS)
def test_sentences_that_adjoin_are_cut_and_given_back_as_they_stand(tokenizers, kind):
    """What nothing parts gets no space, in Chinese or English; the tokens of what stands alone do not change."""
    texts, adjoining = ["词语。", "研究生命。", "the mill", "(slowly)", "slow rivers"], [False, True, False, True, True]
    tokenizer = tokenizers[kind]
    ids, lengths, starts = tokenizer.encode_words(texts, adjoining)
    flat, flat_lengths = tokenizer.encode_flat(texts, adjoining)
    assert ids.tolist() == flat.tolist() and lengths.tolist() == flat_lengths.tolist()
    own = np.split(ids, np.cumsum(lengths)[:-1])
    for text, adjoins, row in zip(texts, adjoining, own, strict=True):
        alone, spans = tokenizer.encode_offsets(text, adjoins)
        assert row.tolist() == alone.tolist() and max(end for _, end in spans) == len(text)
        assert adjoins or row.tolist() == tokenizer.encode(text).tolist()
    assert starts is None or starts[np.cumsum([0, *lengths[:-1]])].all()
    if kind in SPACED:
        assert tokenizer.give_back(texts, adjoining) == "词语。研究生命。 the mill(slowly)slow rivers"
        assert tokenizer.give_back(texts) == "词语。 研究生命。 the mill (slowly) slow rivers"
    else:
        assert ids.tolist() == tokenizer.encode_flat(texts)[0].tolist()
