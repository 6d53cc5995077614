"""fastText's model files: gensim's reader gives the same vectors, and fastText's own text files nearly so."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from stemma.errors import DataError
from stemma.export.fasttext import open_fasttext
from stemma.export.formats import convert
from stemma.runs.run import Run

WORDS = [("</s>", 9), ("猫", 5), ("cat", 4), ("naïve", 2), ("🙂x", 1)]
ARGUMENTS = {"dim": 3, "ws": 5, "epoch": 1, "min_count": 1, "neg": 5, "word_ngrams": 1, "loss": 2, "model": 2, "bucket": 17, "minn": 1}
MODELS = ["crime-and-punishment.bin", "lee_fasttext_new.bin", "toy-model.bin", "toy-model-pretrained.bin"]


def packed(rows: np.ndarray, words=WORDS, maxn: int = 4, version: int = 12, quantised: bool = False, pruned: int = -1) -> bytes:
    """A model file as fastText's FastText::saveModel lays it out."""
    head = struct.pack("<2i", 793712314, version) + struct.pack("<12i", *ARGUMENTS.values(), maxn, 100) + struct.pack("<d", 1e-4)
    entries = b"".join(word.encode() + b"\0" + struct.pack("<qb", count, 0) for word, count in words)
    dictionary = struct.pack("<3i2q", len(words), len(words), 0, 100, pruned) + entries
    matrix = struct.pack("<?2q", quantised, *rows.shape) + rows.tobytes()
    return head + dictionary + matrix + struct.pack("<?2q", False, len(words), rows.shape[1]) + bytes(4 * len(words) * rows.shape[1])


@pytest.fixture
def rows() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(len(WORDS) + 17, 3)).astype(np.float32)


def hashed(gram: str) -> int:
    """Fowler, Noll and Vo's hash as fastText has it: bytes are signed."""
    h = 2166136261
    for byte in gram.encode():
        h = ((h ^ (byte | 0xFFFFFF00 if byte >= 0x80 else byte)) * 16777619) % 2**32
    return h


def test_a_word_is_the_mean_of_its_rows(tmp_path, rows):
    (tmp_path / "m.bin").write_bytes(packed(rows))
    convert(tmp_path / "m.bin", tmp_path / "run", "run")
    run = Run.open(tmp_path / "run")
    vectors, counts = run.word_vectors(), run.folder.tensors()["counts"]
    for place, (word, count) in enumerate(WORDS):
        framed = f"<{word}>"
        spans = [(i, j) for i in range(len(framed)) for j in range(i + 1, min(i + 4, len(framed)) + 1)]
        grams = [framed[i:j] for i, j in spans if not (j - i == 1 and (i == 0 or j == len(framed)))] if word != "</s>" else []
        mean = np.mean([rows[place], *(rows[len(WORDS) + hashed(gram) % 17] for gram in grams)], axis=0)
        np.testing.assert_allclose(vectors[run.tokenizer.id(word)], mean, atol=1e-6)
        assert counts[run.tokenizer.id(word)] == (0 if word == "</s>" else count)
    assert "unseen words have none" in (tmp_path / "run" / "README.md").read_text(encoding="utf-8")


def test_without_n_grams_a_word_is_its_row(tmp_path, rows):
    (tmp_path / "m.bin").write_bytes(packed(rows, maxn=0))
    chunk = next(open_fasttext(tmp_path / "m.bin").chunks())
    np.testing.assert_array_equal(chunk.vectors, rows[: len(WORDS)])


@pytest.mark.parametrize("name", MODELS)
def test_gensim_reads_the_same_vectors(tmp_path, name):
    gensim = pytest.importorskip("gensim")
    path = Path(gensim.__file__).parent / "test" / "test_data" / name
    theirs = gensim.models.fasttext.load_facebook_vectors(str(path))
    convert(path, tmp_path / "run", "run")
    run = Run.open(tmp_path / "run")
    vectors = run.word_vectors()
    for word in set(theirs.key_to_index) - {"</s>"}:  # to which gensim gives n-grams, and fastText none
        np.testing.assert_allclose(vectors[run.tokenizer.id(word)], theirs[word], atol=1e-6)


@pytest.mark.parametrize("name", ["crime-and-punishment", "toy-model"])
def test_fasttext_s_own_text_has_the_same_vectors(tmp_path, name):
    gensim = pytest.importorskip("gensim")
    folder = Path(gensim.__file__).parent / "test" / "test_data"
    convert(folder / f"{name}.bin", tmp_path / "binary", "run")
    convert(folder / f"{name}.vec", tmp_path / "text", "run")
    binary, text = Run.open(tmp_path / "binary"), Run.open(tmp_path / "text")
    assert binary.tokenizer.tokens == text.tokenizer.tokens
    np.testing.assert_allclose(binary.word_vectors(), text.word_vectors(), rtol=1e-4, atol=1e-5)  # fastText prints five digits


@pytest.mark.parametrize(("options", "cut", "message"), [
    ({"version": 13}, None, "version 13.*version 11 or 12"),
    ({"quantised": True}, None, "quantised.*take the .bin"),
    ({"pruned": 0}, None, "quantised"),
    ({}, 90, "ends within its dictionary.*undamaged copy"),
    ({}, 300, "ends within its vectors.*undamaged copy"),
])  # fmt: skip
def test_what_is_wrong_is_reported(tmp_path, rows, options, cut, message):
    (tmp_path / "m.bin").write_bytes(packed(rows, **options)[:cut])
    with pytest.raises(DataError, match=message):
        convert(tmp_path / "m.bin", tmp_path / "run", "run")
    assert not (tmp_path / "run").exists()


def test_a_compressed_model_is_to_be_unpacked(tmp_path, rows):
    (tmp_path / "m.bin.gz").write_bytes(gzip.compress(packed(rows)))
    with pytest.raises(DataError, match=r"m\.bin\.gz is compressed.*unpack it first"):
        convert(tmp_path / "m.bin.gz", tmp_path / "run", "run")


@pytest.mark.parametrize(
    ("name", "value"),
    [("bucket", -(2**31)), ("bucket", -1), ("bucket", 2**31 - 1), ("dim", 0), ("dim", -3), ("dim", 2**31 - 1), ("minn", -5)],
)
def test_sizes_without_sense_are_refused(tmp_path, rows, monkeypatch, name, value):
    monkeypatch.setitem(ARGUMENTS, name, value)
    (tmp_path / "m.bin").write_bytes(packed(rows))
    with pytest.raises(DataError, match="undamaged copy"):
        convert(tmp_path / "m.bin", tmp_path / "run", "run")
    assert not (tmp_path / "run").exists()


def test_n_grams_may_be_longer_than_any_word(tmp_path, rows):
    for longest in (20, 2**31 - 1):
        (tmp_path / f"{longest}.bin").write_bytes(packed(rows, maxn=longest))
    vectors = [next(open_fasttext(tmp_path / f"{longest}.bin").chunks()).vectors for longest in (20, 2**31 - 1)]
    np.testing.assert_array_equal(*vectors)


def test_random_damage_is_reported_or_harmless(tmp_path, rows):
    whole, draws, refused = packed(rows), np.random.default_rng(0), 0
    for _ in range(400):
        data = bytearray(whole)
        for place in draws.integers(8, len(data) - 1, draws.integers(1, 3)):
            data[place] = draws.integers(256)
        (tmp_path / "m.bin").write_bytes(data)
        try:
            assert all(len(chunk.words) == len(chunk.vectors) for chunk in open_fasttext(tmp_path / "m.bin").chunks())
        except DataError:
            refused += 1
    assert refused > 20
