"""Word vectors out and in: gensim opens what we write, we open what it writes, every number kept; damaged files are reported."""

import bz2
import errno
import gzip
import lzma
import os
import struct
from pathlib import Path

import numpy as np
import pytest

from stemma.cli.main import main
from stemma.errors import BudgetError, DataError, UsageError
from stemma.export import runs, streams
from stemma.export.formats import convert
from stemma.export.spelling import spelled
from stemma.runs.run import Run

WORDS = ["the", "猫", "don't", "naïve", "🙂", "New", "东西", "co-op"]
WIDTH = 7
FORMS = ["word2vec", "word2vec-binary", "glove"]
PACK = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    rng = np.random.default_rng(0)
    rows = (rng.normal(0, 0.2, (len(WORDS), WIDTH)) * 10.0 ** rng.integers(-9, 3, (len(WORDS), WIDTH))).astype(np.float32)
    rows[0, :3] = 0.0, 1e-40, -3.4e38  # zero, a denormal number, nearly the largest
    return rows


@pytest.fixture(scope="module")
def run(vectors, tmp_path_factory) -> Path:
    """A run of `WORDS`, made from a file in word2vec's text."""
    folder = tmp_path_factory.mktemp("vectors")
    return taken_in(folder, text_of(WORDS, vectors))


def text_of(words, rows, header: bool = True) -> bytes:
    lines = [f"{len(words)} {rows.shape[1]}"] if header else []
    lines += [f"{word} {' '.join(map(repr, row.tolist()))}" for word, row in zip(words, rows, strict=True)]
    return ("\n".join(lines) + "\n").encode()


def taken_in(folder: Path, data: bytes, name: str = "x.vec", **options) -> Path:
    (folder / name).write_bytes(data)
    convert(folder / name, folder / "run", "run", **options)
    return folder / "run"


def table(path: Path) -> dict[str, list[float]]:
    run = Run.open(path)
    rows = run.word_vectors()
    return {token: rows[i].tolist() for i, token in enumerate(run.tokenizer.tokens) if rows[i].any()}


def card(path: Path) -> str:
    return (path / "README.md").read_text(encoding="utf-8")


class TestOut:
    @pytest.mark.parametrize("form", FORMS)
    @pytest.mark.parametrize("suffix", ["", ".gz", ".bz2"])  # gensim reads no .xz
    def test_gensim_reads_the_same_numbers(self, run, vectors, tmp_path, form, suffix):
        gensim = pytest.importorskip("gensim.models")
        path = tmp_path / f"v{suffix}"
        assert convert(run, path, form) == [path]
        theirs = gensim.KeyedVectors.load_word2vec_format(str(path), binary=form == "word2vec-binary", no_header=form == "glove")
        assert theirs.index_to_key == WORDS
        assert (theirs.vectors == vectors).all()

    @pytest.mark.parametrize("form", FORMS)
    @pytest.mark.parametrize("suffix", ["", ".gz", ".bz2", ".xz"])
    def test_what_is_written_comes_back_exactly(self, run, tmp_path, form, suffix):
        convert(run, tmp_path / f"v{suffix}", form)
        convert(tmp_path / f"v{suffix}", tmp_path / "again", "run")
        assert table(tmp_path / "again") == table(run)
        convert(tmp_path / "again", tmp_path / f"w{suffix}", form)
        assert (tmp_path / f"w{suffix}").read_bytes() == (tmp_path / f"v{suffix}").read_bytes()

    def test_binary_is_word2vec_s_own_layout(self, run, vectors, tmp_path):
        convert(run, tmp_path / "v.bin", "word2vec-binary")
        records = b"".join(word.encode() + b" " + row.tobytes() + b"\n" for word, row in zip(WORDS, vectors, strict=True))
        assert (tmp_path / "v.bin").read_bytes() == f"{len(WORDS)} {WIDTH}\n".encode() + records

    def test_a_blank_inside_a_word_is_spelled_out(self, tmp_path):
        run = taken_in(tmp_path, b". . 1 2\na 3 4\n")
        convert(run, tmp_path / "v.txt", "word2vec")
        assert (tmp_path / "v.txt").read_text() == "2 2\n.<0x20>. 1 2\na 3 4\n"

    def test_a_failure_leaves_the_earlier_file(self, tmp_path, monkeypatch):
        def fails(*_):
            raise DataError("broken", "whole ones", "mend it")

        run = taken_in(tmp_path, b". . 1 2\na 3 4\n")
        (tmp_path / "v.txt").write_text("earlier")
        monkeypatch.setattr("stemma.export.vectors_out.vector_lines.put_lines", fails)
        with pytest.raises(DataError, match="mend it"):
            convert(run, tmp_path / "v.txt", "glove")
        assert (tmp_path / "v.txt").read_text() == "earlier"
        assert not list(tmp_path.glob(".*"))

    @pytest.mark.parametrize("form", ["word2vec", "word2vec-binary", "glove"])
    def test_names_survive_the_way_out_and_in(self, tmp_path, form):
        words = ["hello", "my name", "is Ivan", ". . .", "U.S.", "New\tYork", "<0x20>", "a<0x20>b", "<0x0A>x", "北 京", "<unk>x"]
        rows = np.arange(2 * len(words), dtype=np.float32).reshape(-1, 2) + 1
        (tmp_path / "first.bin").write_bytes(
            f"{len(words)} 2\n".encode()
            + b"".join(spelling + b" " + row.tobytes() + b"\n" for spelling, row in zip(spelled(words, form), rows, strict=True))
        )
        convert(tmp_path / "first.bin", tmp_path / "run", "run")
        convert(tmp_path / "run", tmp_path / "v", form)
        convert(tmp_path / "v", tmp_path / "again", "run")
        assert table(tmp_path / "again") == dict(zip(words, rows.tolist(), strict=True))

    def test_words_with_spaces_are_found_by_name_alone_and_sums_take_them(self, tmp_path):
        with pytest.warns(UserWarning, match=r"3 of 4 words \('my name', 'is Ivan', '\. \. \.'\) never stand in a text"):
            run = Run.open(taken_in(tmp_path, b"4 3\nhello 1 0 0\nmy name 0 1 0\nis Ivan 0 0 1\n. . . 1 1 0\n"))
        assert run.nearest("my name", 1)[0][0] == ". . ."
        assert run.nearest(". . .", 2)[0][0] in ("hello", "my name")
        assert run.nearest("my name + hello", 1)[0][0] == ". . ."
        assert run.nearest("hello + is Ivan - my name", 1)[0][0] == ". . ."
        with pytest.raises(DataError, match=r"king - man \+ woman"):
            run.nearest("hello my name")


class TestIn:
    @pytest.mark.parametrize("binary", [False, True])
    def test_gensim_s_own_files(self, vectors, tmp_path, binary):
        models = pytest.importorskip("gensim.models")
        theirs = models.KeyedVectors(WIDTH)
        theirs.add_vectors(WORDS, vectors)
        theirs.save_word2vec_format(str(tmp_path / "g"), binary=binary)  # no line end after a record, unlike word2vec.c
        convert(tmp_path / "g", tmp_path / "run", "run")
        assert table(tmp_path / "run") == dict(zip(WORDS, vectors.tolist(), strict=True))

    def test_word2vec_c_s_text_ends_its_lines_in_a_space(self, tmp_path):
        run = taken_in(tmp_path, b"2 3\n</s> 0.001000 -0.002000 0.5 \nthe 1.000000 2.000000 3.000000 \n")
        assert table(run)["the"] == [1.0, 2.0, 3.0]
        assert Run.open(run).tokenizer.tokens == ["<unk>", "<s>", "</s>", "the"]  # </s> has its own place and keeps its vector
        np.testing.assert_array_equal(Run.open(run).word_vectors()[2], np.array([0.001, -0.002, 0.5], np.float32))

    def test_glove_s_unknown_word_stands_for_every_unknown_one(self, tmp_path):
        run = Run.open(taken_in(tmp_path, b"the 1 2\ncat 3 4\n<unk> 5 6\n"))
        np.testing.assert_array_equal(run.embed(["the zebra"]), [[3.0, 4.0]])

    @pytest.mark.parametrize("end", ["\n", "\r\n", ""])
    @pytest.mark.parametrize("gap", [" ", "\t"])
    def test_words_with_spaces_are_read_from_the_right(self, tmp_path, gap, end):
        lines = ["the 1.5 2 3", ". . . 4 5 6", "to name@domain.com 7 8e-1 9", "2 1 1 1"]  # as in the public 840B vectors
        data = "\n".join(line[::-1].replace(" ", gap, 3)[::-1] for line in lines) + end
        run = taken_in(tmp_path, data.replace("\n", "\r\n" if end == "\r\n" else "\n").encode())
        assert table(run) == {
            "the": [1.5, 2, 3], ". . .": [4, 5, 6], "to name@domain.com": [7, np.float32(0.8), 9], "2": [1, 1, 1],
        }  # fmt: skip

    def test_many_blocks_and_odd_lines(self, tmp_path, monkeypatch):
        rng = np.random.default_rng(1)
        rows = rng.normal(0, 1, (500, 11)).astype(np.float32)
        words = [f"w{n}" if n % 7 else f"w {n}x" for n in range(500)]
        monkeypatch.setattr("stemma.export.streams.BLOCK", 1000)
        monkeypatch.setattr("stemma.export.vectors_in.BLOCK", 1000)
        monkeypatch.setattr("stemma.export.runs.HEAD", 2000)
        assert table(taken_in(tmp_path, text_of(words, rows))) == dict(zip(words, rows.tolist(), strict=True))
        convert(tmp_path / "run", tmp_path / "v.bin", "word2vec-binary")
        convert(tmp_path / "v.bin", tmp_path / "binary", "run")
        assert list(table(tmp_path / "binary").values()) == rows.tolist()

    def test_a_repeated_word_keeps_its_first_vector_and_is_reported(self, tmp_path):
        with pytest.warns(UserWarning, match="2 words are repeated \\('a', 'a'\\); the first vector"):
            run = taken_in(tmp_path, b"a 1 2\na 3 4\nb 5 6\na 7 8\n")
        assert table(run) == {"a": [1, 2], "b": [5, 6]}
        assert "4 words in the file, 2 of them used" in card(run)
        assert "2 were repeated" in card(run)

    def test_the_run_does_what_word_vectors_can(self, tmp_path, capsys):
        run = taken_in(tmp_path, b"cat 1 0\ndog 0.9 0.1\nstone 0 1\n")
        assert main(["nearest", str(run), "cat", "--k", "1", "--json"]) == 0
        assert '"dog"' in capsys.readouterr().out
        assert Run.open(run).embed(["The CAT, a dog"]).tolist() == [pytest.approx([1.9 / 5, 0.1 / 5])]  # the, comma, a: no vector
        (tmp_path / "t.tsv").write_text("label\ttext\n" + "".join(f"{k}\t{w} {w}\n" for k, w in [("a", "cat"), ("b", "stone")] * 20))
        assert main(["finetune", str(run), "--train", str(tmp_path / "t.tsv"), "--out", str(tmp_path / "task"), "--frozen"]) == 0
        capsys.readouterr()
        assert main(["predict", str(tmp_path / "task"), "--text", "dog"]) == 0
        assert '"label":"a"' in capsys.readouterr().out

    @pytest.mark.parametrize(("data", "lowered"), [(b"cat 1\n\xe7\x8c\xab 2\n", True), (b"cat 1\nCat 2\n", False)])
    def test_text_is_lower_cased_where_no_word_has_a_capital(self, tmp_path, data, lowered):
        run = taken_in(tmp_path, data)
        assert Run.open(run).tokenizer.config.lowercase is lowered
        assert ("lower-cased first" in card(run)) is lowered

    def test_the_card_counts_the_words_that_no_text_reaches(self, tmp_path):
        run = taken_in(tmp_path, b"cat 1\nNew_York 2\nco-op 3\n. . 4\n")  # co-op is three words in a text
        assert "2 stand in a text as Stemma cuts it" in card(run)
        assert Run.open(run).nearest("co-op", 1)

    def test_bad_words_are_left_out_on_demand_and_counted(self, tmp_path):
        data = b"3 2\na 1 2\n\xff\xfe 3 4\nb nan 5\n"
        with pytest.warns(UserWarning, match="2 words are left out"):
            run = taken_in(tmp_path, data, skip_bad=True)
        assert table(run) == {"a": [1, 2]}
        assert "2 were left out" in card(run)


class TestDamaged:
    def wrong(self, tmp_path: Path, data: bytes, message: str, kind=DataError) -> None:
        with pytest.raises(kind, match=message):
            taken_in(tmp_path, data)
        assert not (tmp_path / "run").exists()
        assert not list(tmp_path.glob(".*"))

    @pytest.mark.parametrize(("data", "message"), [
        (b"3 2\na 1 2\nb 1\nc 1 2\n", "x.vec, line 3: 1 number after 'b'.*a word and 2 numbers.*mend the line"),
        (b"3 2\na 1 2\nb 1 2 3\nc 1 2\n", "line 3: 3 numbers after 'b'"),
        (b"2 3\na 1 2\nb 1 2 3\n", "line 2: 2 numbers after 'a'"),
        (b"a 1 2\n\nc 1 2\n", "line 2: 0 numbers"),
        (b"2 2\na 1 2\n 1 2\n", "line 3: 2 numbers|line 3: 1 number"),
        (b"2 2\na 1 2\nb 1_0 2\n", "line 3: 1 number after 'b'"),
        (b"2 2\na 1 2\nb nan 2\n", "line 3: the vector of 'b' is not finite.*--skip-bad"),
        (b"2 2\na 1 2\nb 1e39 2\n", "line 3: the vector of 'b' is not finite"),
        (b"2 2\na 1 2\n\xffb 1 2\n", r"line 3: the word '\\\\xffb' is not UTF-8 \(byte 0xff\).*--skip-bad"),
        (b"3 2\na 1 2\nb 1 2\n", "holds 2 words, but its first line says 3.*undamaged copy"),
        (b"1 2\na 1 2\nb 1 2\n", "holds 2 words, but its first line says 1"),
        (b"hello\n", "begins with 'hello'.*check the file"),
        (b"", "begins with ''"),
    ])  # fmt: skip
    def test_text(self, tmp_path, data, message):
        self.wrong(tmp_path, data, message)

    @pytest.mark.parametrize(("data", "message"), [
        (b"2 2\na " + struct.pack("<2f", 1, 2) + b"\nb " + struct.pack("<f", 1), "x.vec: the file ends in word 2 of 2.*undamaged copy"),
        (b"1 2\na " + struct.pack("<2f", 1, 2) + b"\nb " + struct.pack("<2f", 1, 2), "goes on after its last word"),
        (b"1 2\na " + struct.pack("<2f", 1, float("nan")), "x.vec, word 1: the vector of 'a' is not finite"),
        (b"1 2\n\xc3 " + struct.pack("<2f", 1, 2), "x.vec, word 1: .* is not UTF-8"),
    ])  # fmt: skip
    def test_binary(self, tmp_path, data, message):
        self.wrong(tmp_path, data, message)

    @pytest.mark.parametrize("suffix", PACK)
    def test_a_compressed_file_that_ends_too_soon(self, tmp_path, suffix):
        packed = PACK[suffix](b"".join(b"w%d %r\n" % (n, n * 0.37) for n in range(5000)))
        self.wrong(tmp_path, packed[: len(packed) // 2], "an undamaged copy")

    def test_no_such_file(self, tmp_path):
        with pytest.raises(UsageError, match="check the path"):
            convert(tmp_path / "none", tmp_path / "run", "run")

    def test_a_byte_order_mark_is_no_part_of_the_file(self, tmp_path):
        for name, data in (("headed", b"2 2\na 1 2\nb 3 4\n"), ("bare", b"a 1 2\nb 3 4\n")):
            (tmp_path / name).mkdir()
            run = Run.open(taken_in(tmp_path / name, b"\xef\xbb\xbf" + data))
            assert run.tokenizer.tokens[-2:] == ["a", "b"]

    def test_a_target_that_is_taken(self, run, tmp_path):
        with pytest.raises(UsageError, match="choose another target"):
            taken_in(tmp_path, b"a 1\n") and convert(tmp_path / "x.vec", tmp_path / "run", "run")

    def test_a_file_is_no_run(self, tmp_path):
        (tmp_path / "x.vec").write_bytes(b"a 1\n")
        with pytest.raises(UsageError, match="--to run"):
            convert(tmp_path / "x.vec", tmp_path / "y", "glove")

    def test_skipping_belongs_to_files(self, run, tmp_path):
        with pytest.raises(UsageError, match="drop --skip-bad"):
            convert(run, tmp_path / "y", "glove", skip_bad=True)


@pytest.mark.parametrize("begin", [b"word ", b"\\data\\\nngram 1=1\n\n\\1-grams:\n-1 "])
def test_a_line_without_an_end_is_refused_at_a_stated_length(tmp_path, monkeypatch, begin):
    monkeypatch.setattr(streams, "BLOCK", 1 << 12)
    monkeypatch.setattr(streams, "LONGEST_LINE", 1 << 20)
    with gzip.open(tmp_path / "endless.gz", "wb") as file:
        file.write(begin + b"0.1 " * 1_000_000)
    with pytest.raises(DataError, match="longer than 1 MiB"):
        convert(tmp_path / "endless.gz", tmp_path / "run", "run")
    assert [path.name for path in tmp_path.iterdir()] == ["endless.gz"]


def test_a_disk_that_is_full_of_what_is_read_is_reported_as_such(tmp_path, monkeypatch):
    (tmp_path / "v.vec").write_text("2 2\na 1 2\nb 3 4\n", encoding="utf-8")

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(runs._Gathered, "_add", full)
    with pytest.raises(BudgetError, match=r"run: No space left.*free some space"):
        convert(tmp_path / "v.vec", tmp_path / "run", "run")
    assert [path.name for path in tmp_path.iterdir()] == ["v.vec"]
