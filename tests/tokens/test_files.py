"""Files are there whole or not at all, and a full disk is told as such, with its cure."""

import errno
import os
import stat
import threading
from pathlib import Path

import pytest

from stemma.errors import BudgetError
from stemma.tokens import files
from stemma.tokens.files import disk_budget, is_disk_full, read_json, whole_file, write_bytes, write_json


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


def test_a_link_stays_a_link_and_rights_stay(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "there").write_bytes(b"old")
    (tmp_path / "far" / "there").chmod(0o600)
    (tmp_path / "link").symlink_to("far/there")
    (tmp_path / "dangling").symlink_to("far/new")
    for name, place in (("link", "there"), ("dangling", "new")):
        write_bytes(tmp_path / name, b"new")
        assert (tmp_path / name).is_symlink() and (tmp_path / "far" / place).read_bytes() == b"new"
    assert (tmp_path / "far" / "there").stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in (tmp_path / "far").iterdir()) == ["new", "there"]


@pytest.mark.parametrize("through", ["pipe", "link"])
def test_a_pipe_is_written_into(tmp_path: Path, through: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append((tmp_path / "pipe").read_bytes()))
    reader.start()
    write_bytes(tmp_path / through, "词".encode())
    reader.join(10)
    assert read == ["词".encode()] and stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "pipe"]


def test_a_device_is_written_into() -> None:
    write_bytes(Path("/dev/null"), b"gone")
    assert Path("/dev/null").is_char_device()
    with pytest.raises(BudgetError, match="/dev/full"):
        write_bytes(Path("/dev/full"), b"no room")
