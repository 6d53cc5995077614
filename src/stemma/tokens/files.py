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

from stemma.corpus.files import written_at
from stemma.errors import BudgetError


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

    A link stays one: what it leads to is written, with the rights that it had. A pipe or a device is written into.
    Not `synced`, a power cut may damage it: for what a checksum guards and can be made again. Raises BudgetError when the disk is full.
    """
    path, replaces = written_at(path)
    if not replaces:
        with disk_budget(path), path.open("wb") as file:
            yield file
        return
    aside = path.with_name(f".{path.name}.aside")
    with disk_budget(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with aside.open("wb") as file:
                yield file
                if synced:
                    sync(file)
            if path.exists():
                shutil.copymode(path, aside)
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
    """The JSON file's value, or None where it is missing or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


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
