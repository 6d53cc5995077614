"""Byte-level tokens read as text: held to the library's own alphabet, in English and Chinese, part of a character or whole."""

from itertools import pairwise

import pytest
from tokenizers import pre_tokenizers

from stemma.tokens.byte_level import BYTES, text_of, texts_of
from stemma.tokens.settings import Config
from stemma.tokens.tokenizer import train

LINES = ["the cat sat on the mat", "今天天气很好", "天气好我们就去看花 🌸"] * 3
TEXTS = ["the cat", "红帽", "天气 and 红帽 🌸!", "naïve\tcafé", "", "🦭"]


@pytest.fixture(scope="module")
def pieces():
    return train(iter(LINES), Config(kind="bpe", vocab_size=270))


def written(text: str) -> str:
    """The text as the library writes it in the vocabulary."""
    return "".join(piece for piece, _ in pre_tokenizers.ByteLevel(add_prefix_space=False).pre_tokenize_str(text))


def test_the_alphabet_is_the_librarys():
    assert set(BYTES) == set(pre_tokenizers.ByteLevel.alphabet()) and sorted(BYTES.values()) == list(range(256))


@pytest.mark.parametrize("text", TEXTS)
def test_a_token_reads_as_the_text_that_it_was_cut_from(text):
    assert text_of(written(text)) == text


@pytest.mark.parametrize("character", ["é", "红", "🌸"])
def test_part_of_a_character_reads_as_its_bytes_in_hexadecimal(character):
    whole, raw = written(character), character.encode()
    for cut in range(1, len(whole)):
        parts = [text_of(whole[:cut]), text_of(whole[cut:])]
        assert parts == ["".join(f"\\x{byte:02x}" for byte in part) for part in (raw[:cut], raw[cut:])]
        assert text_of(written("a ") + whole[:cut]) == "a " + parts[0]


@pytest.mark.parametrize("text", [text for text in TEXTS if text])
def test_what_belongs_to_one_character_is_recoverable(pieces, text):
    ids, spans = pieces.encode_offsets(text)
    read = [pieces.text(int(token)) for token in ids]
    assert not any("\ufffd" in token or set(token) & set("Ġçº¢å¸½") for token in read)
    raw = b"".join(bytes.fromhex(token.replace("\\x", "")) if token.startswith("\\x") else token.encode() for token in read)
    assert raw.decode() == f" {text}"
    for token, (start, end) in zip(read, spans, strict=True):
        assert token.startswith("\\x") == (text[start:end].encode() not in (b"", token.strip(" ").encode()))


def test_specials_and_other_kinds_read_as_they_are_written(pieces):
    assert pieces.text(pieces.specials["eos"]) == "<|endoftext|>"
    wordpiece = train(iter(LINES), Config(kind="wordpiece", vocab_size=60))
    assert [wordpiece.text(i) for i in range(wordpiece.vocab_size)] == wordpiece.tokens
    assert text_of("▁the") == "▁the"  # a BPE of another program, which is not of bytes


@pytest.mark.parametrize(
    ("borders", "read"),
    [
        ((0, 2, 3, 6), ["红¹", "红²", "帽"]),
        ((0, 1, 2, 3, 6), ["红¹", "红²", "红³", "帽"]),
        ((0, 2, 6), ["红¹", "红²帽"]),
        ((0, 2, 4, 6), ["红¹", "红²帽¹", "帽²"]),
        ((0, 3, 6), ["红", "帽"]),
        ((0, 3, 4), ["红", r"\xe5"]),
        ((2, 3, 6), [r"\xa2", "帽"]),
        ((0, 1, 3, 4, 5, 6), ["红¹", "红²", "帽¹", "帽²", "帽³"]),
        ((1, 2, 6), [r"\xba", r"\xa2帽"]),
    ],
)
def test_tokens_that_share_a_character_read_as_the_character(borders, read):
    whole = written("红帽")
    assert texts_of([whole[start:end] for start, end in pairwise(borders)]) == read


@pytest.mark.parametrize("text", [text for text in TEXTS if text])
def test_tokens_that_share_nothing_read_as_they_do_alone(pieces, text):
    ids = pieces.encode(text).tolist()
    for alone, together in zip(map(pieces.text, ids), pieces.read(ids), strict=True):
        assert together == alone or "\\x" in alone or together[-1] in "¹²³⁴"
