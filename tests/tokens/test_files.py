"""Files are there whole or not at all, and a full disk is told as such, with its cure."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from stemma.errors import BudgetError, DamagedError
from stemma.tokens import files
from stemma.tokens.files import disk_budget, is_disk_full, read_json, read_sealed, whole_file, write_bytes, write_json, write_sealed
from stemma.tokens.sums import file_sum, page_sum


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_leaves_the_old_file_and_nothing_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    write_json(tmp_path / "a.json", {"old": "是"})

    def full(_: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(BudgetError, match=r"a\.json: .*free some space") as caught:
        write_json(tmp_path / "a.json", {"old": "否"})
    assert caught.value.exit_code == 4 and read_json(tmp_path / "a.json") == {"old": "是"}
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_a_writer_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyError), whole_file(tmp_path / "new" / "a.bin") as file:
        file.write(b"half")
        raise KeyError
    assert list((tmp_path / "new").iterdir()) == []
    write_bytes(tmp_path / "new" / "a.bin", b"", synced=False)
    assert (tmp_path / "new" / "a.bin").read_bytes() == b""


def test_other_errors_stay_what_they_are(tmp_path: Path) -> None:
    with pytest.raises(PermissionError), disk_budget(tmp_path / "a", clear=tmp_path):
        raise PermissionError(errno.EACCES, "no")
    assert tmp_path.exists() and not is_disk_full(PermissionError(errno.EACCES, "no")) and not is_disk_full(ValueError())


def test_what_was_begun_goes_when_the_disk_is_full(tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    begun.mkdir()
    with pytest.raises(BudgetError), disk_budget(tmp_path / "gone" / "a", clear=begun):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert not begun.exists()


def test_a_sum_sees_every_flipped_bit_and_every_page_that_has_moved(tmp_path):
    place, draws = tmp_path / "data", np.random.default_rng(0)
    for size in (0, 1, 7, 4096, 4097, 9000, 5 << 20):
        data = bytearray(draws.integers(0, 256, size, np.uint8).tobytes())
        place.write_bytes(data)
        whole = file_sum(place)
        assert whole == page_sum(bytes(data)) and len(whole) == 32
        for bit in draws.integers(0, 8 * size, 40 if size else 0):
            data[bit // 8] ^= 1 << bit % 8
            assert page_sum(bytes(data)) != whole
            data[bit // 8] ^= 1 << bit % 8
        assert page_sum(bytes(data) + b"\0") != whole
    first, second = bytes(data[:4096]), bytes(data[4096:8192])
    assert page_sum(second + first + bytes(data[8192:])) != whole
    cancelling = bytearray(data)  # the page's sum stays: only the place within it tells
    cancelling[:8], cancelling[8:16] = data[8:16], data[:8]
    assert page_sum(bytes(cancelling)) != whole


@pytest.mark.parametrize("value", [{"a": [1, 2.5, None], "词": "x"}, {}, {"nan": float("inf"), "1": True}])
def test_sealed_json_comes_back_or_is_refused(tmp_path, value):
    place = tmp_path / "facts.json"
    write_sealed(place, value)
    assert read_sealed(place, "mend it") == value == read_json(place)
    text = place.read_text(encoding="utf-8")
    for number, character in enumerate(text):
        changed = text[:number] + ("7" if character != "7" else "8") + text[number + 1 :]
        place.write_text(changed, encoding="utf-8")
        try:
            read = read_sealed(place, "mend it")
        except DamagedError as error:
            assert error.exit_code == 3 and "facts.json is damaged" in str(error) and "mend it" in str(error)
            assert read_json(place) is None
        else:  # white space, or the word "seal" itself: nothing that was told has changed
            assert {key: read.get(key) for key in value} == value


@pytest.mark.parametrize("text", ["", "{", "[" * 5000, "null", "[1]", '{"a": ' + "9" * 4301 + "}", '{"a": "\ud800"}'])
def test_what_is_no_json_table_is_damaged(tmp_path, text):
    (tmp_path / "x.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(DamagedError, match=r"x\.json is damaged.*make it again"):
        read_sealed(tmp_path / "x.json", "make it again")
