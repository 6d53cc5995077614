"""Files that are there whole or not at all: written aside, synced, renamed; a full disk told as such."""

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from stemma.errors import BudgetError, DamagedError

SEAL = "seal"  # the key of a sealed JSON file that holds the hash of all the others


def is_disk_full(error: BaseException) -> bool:
    """True for an error that says: no space left, the quota spent, or a file larger than allowed."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def disk_budget(path: Path, clear: Path | None = None) -> Iterator[None]:
    """Turns "no space left" while `path` is written into a BudgetError that says so, and removes the folder `clear` then."""
    try:
        yield
    except (OSError, BudgetError) as error:
        full = isinstance(error, BudgetError) or is_disk_full(error)
        if full and clear is not None:
            shutil.rmtree(clear, ignore_errors=True)
        if not full or isinstance(error, BudgetError):
            raise
        free = shutil.disk_usage(next(folder for folder in path.absolute().parents if folder.exists())).free >> 20
        wrong = f"{path}: {error.strerror} ({free:,} MiB free)"
        raise BudgetError(wrong, "room for the file", "free some space, then run the same command again") from error


@contextmanager
def whole_file(path: Path, synced: bool = True) -> Iterator[IO[bytes]]:
    """The file to write, aside; it takes its place when all went well, so that a kill at any moment leaves the old one or the new one.

    Not `synced`, a power cut may damage it: for what a checksum guards and can be made again. Raises BudgetError when the disk is full.
    """
    aside = path.with_name(f".{path.name}.aside")
    with disk_budget(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with aside.open("wb") as file:
                yield file
                if synced:
                    sync(file)
            aside.replace(path)
            if synced:
                sync_folder(path.parent)
        finally:
            aside.unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes, synced: bool = True) -> None:
    """Writes the file whole or not at all (see `whole_file`)."""
    with whole_file(path, synced) as file:
        file.write(data)


def write_json(path: Path, value: Any, synced: bool = True) -> None:
    """Writes the value as indented JSON, whole or not at all."""
    write_bytes(path, (json.dumps(value, ensure_ascii=False, indent=2) + "\n").encode(), synced)


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
