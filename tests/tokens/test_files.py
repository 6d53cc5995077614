"""Files are there whole or not at all, and a full disk is reported as such, with its cure."""

import errno
import os
import signal
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from stemma.errors import BudgetError, DamagedError, RunError, UsageError
from stemma.tokens import files
from stemma.tokens.files import (
    disk_budget,
    is_disk_full,
    one_writer,
    read_json,
    read_sealed,
    whole_file,
    write_bytes,
    write_json,
    write_sealed,
)
from stemma.tokens.sums import file_sum, page_sum


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_leaves_the_old_file_and_nothing_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    write_json(tmp_path / "a.json", {"old": "是"})

    def full(_: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(files.os, "fsync", full)
    cure = "raise the limit" if code == errno.EFBIG else "free some space"  # room is not what lacks there
    with pytest.raises(BudgetError, match=rf"a\.json: .*{cure}") as caught:
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


def refused(write: Callable[[], object]) -> bool:
    """Whether another process is told that what it would write is in use."""
    child = os.fork()
    if not child:
        try:
            write()
            os._exit(0)
        except RunError as error:
            os._exit(7 if "in use" in str(error) else 1)
        except BaseException:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


@pytest.fixture(autouse=True)
def no_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "GRACE_SECONDS", 0.0)


def test_a_folder_has_one_writer(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"

    def write() -> None:
        with one_writer(folder):
            (folder / "mine").touch()

    with one_writer(folder):
        assert refused(write) and not (folder / "mine").exists()
    assert list(tmp_path.iterdir()) == []  # nothing was written, and nothing is left
    write()
    assert [path.name for path in folder.iterdir()] == ["mine"]


def test_a_file_has_one_writer(tmp_path: Path) -> None:
    with whole_file(tmp_path / "a") as file:
        file.write(b"first")
        file.flush()
        assert refused(lambda: write_bytes(tmp_path / "a", b"second"))
    assert (tmp_path / "a").read_bytes() == b"first"
    assert not refused(lambda: write_bytes(tmp_path / "a", b"second"))
    assert (tmp_path / "a").read_bytes() == b"second"


def test_what_a_killed_writer_left_is_free(tmp_path: Path) -> None:
    child = os.fork()
    if not child:
        with one_writer(tmp_path / "run"), whole_file(tmp_path / "run" / "a") as file:
            file.write(b"longer than what comes after")
            file.flush()
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [".a.aside", ".lock"]
    with one_writer(tmp_path / "run"):
        write_bytes(tmp_path / "run" / "a", b"whole")
    assert [(path.name, path.read_bytes()) for path in (tmp_path / "run").iterdir()] == [("a", b"whole")]


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    for place in (tmp_path / "a", tmp_path / "a" / "b"):
        with pytest.raises(RunError, match="another --out"), one_writer(place):
            pass


def test_an_error_of_the_disk_is_reported_with_the_file(tmp_path: Path) -> None:
    with pytest.raises(BudgetError, match=r"a\.bin: Input/output error.*check the disk"), whole_file(tmp_path / "a.bin") as file:
        file.write(b"half")
        raise OSError(errno.EIO, os.strerror(errno.EIO))
    assert list(tmp_path.iterdir()) == []


def test_names_that_are_no_text_are_kept(tmp_path: Path) -> None:
    name = os.fsdecode(b"n\xff.txt")
    write_json(tmp_path / "a.json", {"corpus": [name, "文.txt"]})
    assert read_json(tmp_path / "a.json") == {"corpus": [name, "文.txt"]}


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


def test_where_no_file_can_be_made_it_is_said_of_the_place_that_was_asked_for(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"file is a file, or stands in one"):
        write_bytes(tmp_path / "file" / "a.bin", b"")
    with pytest.raises(UsageError, match="is a folder"):
        write_bytes(tmp_path, b"")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    with pytest.raises(OSError, match=r"a\.bin") as caught:
        write_bytes(Path("/proc/a.bin"), b"")
    assert caught.value.filename == "/proc/a.bin"  # and not the hidden file beside it


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_of_a_device_it_is_not_said_how_much_is_free() -> None:
    with pytest.raises(BudgetError, match=r"/dev/full: No space left on device\. ") as caught:
        write_bytes(Path("/dev/full"), b"x")
    assert "MiB" not in caught.value.wrong
