"""Files that are there whole or not at all: written aside, synced, renamed, by one process at a time; a full disk reported as such."""

import errno
import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from stemma.corpus.files import written_at
from stemma.errors import BudgetError, DamagedError, RunError, UsageError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
LOCK = ".lock"
_CURES = {  # what is expected of the disk, and how to mend it, where it is not want of room
    errno.EIO: ("a disk that takes it", "check the disk"),
    errno.EFBIG: ("leave to write a file of this size", "raise the limit (ulimit -f), or choose a disk that takes it"),
}
SEAL = "seal"  # the key of a sealed JSON file that holds the hash of all the others
GRACE_SECONDS = 1.0  # a lock is waited for: the reading workers of a killed process hold its locks until they end too


class DiskFull(BudgetError):
    """A file could not be written for want of room."""


def is_disk_full(error: BaseException) -> bool:
    """True for an error that says: no space left, the quota spent, or a file larger than allowed."""
    return isinstance(error, OSError) and error.errno in _FULL


@contextmanager
def disk_budget(path: Path, clear: Path | None = None) -> Iterator[None]:
    """Turns "no space left" while `path` is written into a DiskFull that says so, and removes the folder `clear` then.

    So it does with an error of the disk itself, which names no file either.
    """
    try:
        yield
    except (OSError, DiskFull) as error:
        full = isinstance(error, DiskFull) or is_disk_full(error) or error.errno == errno.EIO
        if full and clear is not None:
            shutil.rmtree(clear, ignore_errors=True)
        if not full or isinstance(error, DiskFull):
            raise
        free = shutil.disk_usage(next(folder for folder in path.absolute().parents if folder.exists())).free >> 20
        room = "" if error.errno == errno.EFBIG or path.is_char_device() else f" ({free:,} MiB free)"
        expected, mend = _CURES.get(error.errno or 0, ("room for the file", "free some space"))
        raise DiskFull(f"{path}: {error.strerror}{room}", expected, f"{mend}, then run the same command again") from error


@contextmanager
def whole_file(path: Path, synced: bool = True) -> Iterator[IO[bytes]]:
    """The file to write, aside; it takes its place when all went well, so that a kill at any moment leaves the old one or the new one.

    A link stays one: what it leads to is written, with the rights that it had. A pipe or a device is written into.
    Not `synced`, a power cut may damage it: for what a checksum guards and can be made again. Raises BudgetError when the disk is full.
    """
    path, replaces = written_at(path)
    if not replaces:
        with disk_budget(path), path.open("wb") as file:
            yield file
        return
    check_file(path)
    aside = path.with_name(f".{path.name}.aside")
    with disk_budget(path):
        with _aside(aside, path) as file:
            try:
                file.truncate()
                yield file
                if synced:
                    sync(file)
                if path.exists():
                    shutil.copymode(path, aside)
                aside.replace(path)
            except BaseException:
                aside.unlink(missing_ok=True)
                raise
        if synced:
            sync_folder(path.parent)


@contextmanager
def one_writer(folder: Path, shown: Path | None = None) -> Iterator[None]:
    """Holds the folder, made where it is missing, for this process alone; one that is empty in the end goes again.

    RunError when another process writes into it, or when it is no folder: nothing has been touched then. `shown` is its name there.
    """
    shown = shown or folder
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    with _hold_folder(folder, shown):
        try:
            yield
        finally:
            (folder / LOCK).unlink(missing_ok=True)
            for place in made:
                with suppress(OSError):  # not empty
                    place.rmdir()


def check_file(path: Path) -> None:
    """UsageError where a folder stands in the place of the file to be written; told before long work, not after it."""
    if path.is_dir():
        raise UsageError(f"{path} is a folder", "the file to write", "name a file, in it or elsewhere")


def _aside(aside: Path, path: Path) -> IO[bytes]:
    """The file beside `path`, held; errors name what was asked for, `path` or its folder."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise _no_folder(path.parent, "choose another place") from error
    try:
        return _hold(aside, path)
    except OSError as error:
        error.filename = str(path)
        raise


def _no_folder(shown: Path, mend: str) -> RunError:
    return RunError(f"{shown} is a file, or stands in one", "a folder to write into", mend)


def _hold_folder(folder: Path, shown: Path) -> IO[bytes]:
    """The folder's lock, held; the folder is made for it, and again where its last writer takes it away meanwhile."""
    while True:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            return _hold(folder / LOCK, shown)
        except FileNotFoundError:
            continue
        except (FileExistsError, NotADirectoryError) as error:
            raise _no_folder(shown, "choose another --out") from error


def _hold(path: Path, shown: Path) -> IO[bytes]:
    """The file, open to be written and locked for this process alone; RunError when another one writes `shown`."""
    until = time.monotonic() + GRACE_SECONDS
    while True:
        file = open(path, "wb", opener=_keeping)  # noqa: SIM115  (Path.open takes no opener; the caller closes it)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.exists() and os.path.samestat(path.stat(), os.fstat(file.fileno())):
                return file  # and not one that its last writer has renamed or removed meanwhile
        except BlockingIOError as error:
            if time.monotonic() > until:
                file.close()
                raise RunError(f"{shown} is in use by another process", "one writer at a time", "wait for it, or choose another") from error
        file.close()
        time.sleep(0.02)


def _keeping(name: str, flags: int) -> int:
    """Opens without emptying: what stands there may be another process's, until the lock is held."""
    return os.open(name, flags & ~os.O_TRUNC, 0o666)


def write_bytes(path: Path, data: bytes, synced: bool = True) -> None:
    """Writes the file whole or not at all (see `whole_file`)."""
    with whole_file(path, synced) as file:
        file.write(data)


def write_json(path: Path, value: Any, synced: bool = True) -> None:
    """Writes the value as indented JSON, whole or not at all. What is no text, as in names of files, is escaped."""
    write_bytes(path, (json.dumps(value, ensure_ascii=False, indent=2) + "\n").encode("utf-8", "backslashreplace"), synced)


def read_json(path: Path) -> dict | None:
    """The JSON file's table, sealed or not; None where it is missing or damaged."""
    try:
        return read_sealed(path, "make it again")
    except DamagedError:
        return None


def write_sealed(path: Path, value: dict[str, Any], synced: bool = True) -> None:
    """As `write_json`, with a hash of the value, so that `read_sealed` sees when a character of it has changed."""
    write_json(path, {**value, SEAL: _seal(value)}, synced)


def read_sealed(path: Path, mend: str) -> dict[str, Any]:
    """The value that `write_sealed` wrote, or an older version without a seal; DamagedError, which says `mend`, for anything else."""
    value = plain_json(path, mend)
    if not isinstance(value, dict):
        raise DamagedError(f"{path} is damaged: it holds no table", "JSON as stemma wrote it", mend)
    seal = value.pop(SEAL, None)
    if seal is not None and seal != _seal(value):
        raise DamagedError(f"{path} is damaged: it is not what its seal was made of", "JSON as stemma wrote it", mend)
    return value


def plain_json(path: Path, mend: str) -> Any:
    """The value of a JSON file that Stemma wrote; DamagedError, which says `mend`, where it cannot be read."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:  # ValueError: not JSON, not UTF-8, a number of 4,300 digits
        raise DamagedError(f"{path} is damaged: {error}", "JSON as stemma wrote it", mend) from error


def _seal(value: dict[str, Any]) -> str:
    """A hash of what the value is once it has been written and read."""
    plain = json.loads(json.dumps(value))
    return hashlib.blake2b(json.dumps(plain, sort_keys=True).encode(), digest_size=8).hexdigest()


def checksum(path: Path) -> str:
    """The file's SHA-256 digest, hexadecimal, as `sha256sum` prints it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync(file: IO[Any]) -> None:
    """Hands the file's bytes to the disk."""
    file.flush()
    os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Hands a folder's names to the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
