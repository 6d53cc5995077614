"""Text lines in, JSON lines out, with lines at fault among them."""

import io
import json
import sys

import pytest

from stemma.cli.streamed import SHOWN, Streamed
from stemma.errors import DataError, UsageError


def lengths(lines):
    for line in lines:
        if "bad" in line:
            raise DataError(f"{line!r} is bad", "good ones", "mend it")
        yield {"text": line, "length": len(line)}


def shown(row):
    yield f"{row['text']}: {row['length']}"


def printed(stream):
    return [json.loads(line) for piece in stream.pieces("lines") for line in piece.splitlines()]


@pytest.mark.parametrize("size", [1, 3, 64])
def test_every_line_has_its_row_whatever_the_batch(monkeypatch, capsys, size):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("one\nbad\n三\nbad too\nfive\n".encode())))
    stream = Streamed(lengths, shown, (), (), size)
    found = printed(stream)
    assert [row.get("length") for row in found] == [3, None, 1, None, 4]
    assert found[1] == {
        "text": "bad",
        "error": {"wrong": "standard input, line 2: 'bad' is bad.", "expected": "good ones.", "mend": "mend it."},
    }
    assert stream.exit_code == 3
    assert "standard input, line 4: 'bad too' is bad" in capsys.readouterr().err


def test_a_byte_that_is_no_text_loses_its_line_alone(tmp_path, capsys):
    (tmp_path / "lines.txt").write_bytes(b"one\ntw\xffo\nthree\n")
    stream = Streamed(lengths, shown, (), (str(tmp_path / "lines.txt"),))
    found = printed(stream)
    assert [row.get("length") for row in found] == [3, None, 5] and found[1]["text"] == "tw\\xffo"
    assert "line 2: byte 0xff is not UTF-8" in capsys.readouterr().err and stream.exit_code == 3


def test_compressed_lines_are_read_as_a_corpus_is(tmp_path):
    import gzip

    (tmp_path / "lines.txt.gz").write_bytes(gzip.compress("猫\ntwo\n".encode()))
    assert [row["length"] for row in printed(Streamed(lengths, shown, (), (str(tmp_path / "lines.txt.gz"),)))] == [1, 3]


def test_the_one_text_of_a_command_fails_as_the_command(capsys):
    with pytest.raises(DataError, match="is bad"):
        printed(Streamed(lengths, shown, ("bad",), ()))
    assert capsys.readouterr().err == ""
    stream = Streamed(lengths, shown, ("bad", "good"), ())
    assert [row.get("length") for row in printed(stream)] == [None, 4] and stream.exit_code == 3


def test_a_wrong_option_is_reported_once():
    def wrong(lines):
        raise UsageError("k = 0", "1 or more", "leave it out")

    with pytest.raises(UsageError):
        printed(Streamed(wrong, shown, ("a", "b", "c"), ()))


def test_many_lines_at_fault_are_counted(capsys):
    printed(Streamed(lengths, shown, ("bad",) * (SHOWN + 7), ()))
    err = capsys.readouterr().err
    assert err.count("is bad") == SHOWN and "7 more lines at fault" in err


def test_nothing_at_fault_ends_well():
    stream = Streamed(lengths, shown, ("good", ""), ())
    assert (len(printed(stream)), stream.exit_code) == (2, 0)
    assert json.loads("".join(Streamed(lengths, shown, ("good", "bad"), ()).pieces("document")))[1]["text"] == "bad"


def test_a_person_reads_the_error_and_no_row(capsys):
    assert list(Streamed(lengths, shown, ("good", "bad", "猫"), ()).pieces("person")) == ["good: 4\n", "猫: 1\n"]
    assert "is bad" in capsys.readouterr().err
