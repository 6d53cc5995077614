"""Files that are there whole or not at all: written aside, synced, renamed; a full disk told as such."""

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stemma.errors import BudgetError


@contextmanager
def disk_budget(path: Path, clear: Path | None = None) -> Iterator[None]:
    """Turns "no space left" into a BudgetError that names the place, and removes the folder `clear` then."""
    try:
        yield
    except (OSError, BudgetError) as error:
        full = isinstance(error, BudgetError) or error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        if full and clear is not None:
            shutil.rmtree(clear, ignore_errors=True)
        if not full or isinstance(error, BudgetError):
            raise
        wrong, expected = f"{path}: {error.strerror}", "room for the tokens of the corpus"
        raise BudgetError(wrong, expected, "free disk space, then run the same command again") from error


def write_whole(path: Path, data: bytes, synced: bool = True) -> None:
    """Writes the file so that a kill at any moment leaves the old one or the new one.

    Not `synced`, a power cut may damage it: for what a checksum guards and can be made again.
    """
    aside = path.with_name(f"{path.name}.{os.getpid()}.part")
    with disk_budget(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with aside.open("wb") as file:
                file.write(data)
                if synced:
                    sync(file)
            aside.replace(path)
            if synced:
                sync_folder(path.parent)
        finally:
            aside.unlink(missing_ok=True)


def write_json(path: Path, value: dict, synced: bool = True) -> None:
    """The value as a JSON file, there whole or not at all."""
    write_whole(path, json.dumps(value, ensure_ascii=False, indent=1).encode(), synced)


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


def sync(file) -> None:
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
