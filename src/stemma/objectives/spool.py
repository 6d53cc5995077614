"""Records set aside: in memory while there is room, else on disk. What is counted may be larger than the memory.

A `Room` knows how much memory its spools may hold together. When they hold more, all of them move what they hold to
files of a folder of their own; a file goes once it has been read.
"""

import errno
import os
import shutil
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Self
from weakref import WeakSet

import numpy as np

from stemma.errors import BudgetError

RESERVE = 1 << 26  # bytes of the disk that are left alone


class Room:
    """The memory and the folder that spools share. Closed, it removes the folder and all that is in it."""

    def __init__(self, memory: float, folder: Path | None = None) -> None:
        """`memory` is in bytes: half of it is for what is set aside, half for the work at hand.

        `folder` is made when it is first needed; None: a temporary one.
        """
        self.memory = int(memory)
        self.held = 0  # bytes in memory
        self.spilled = 0  # bytes written so far
        self.lock = threading.Lock()
        self._folder = folder
        self._temporary: TemporaryDirectory | None = None
        self._spools: WeakSet[Spool] = WeakSet()
        self._made = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Removes what is on disk."""
        if self._temporary:
            self._temporary.cleanup()
        elif self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def working(self) -> int:
        """Bytes that the work at hand may take, beside what is set aside."""
        return self.memory // 2

    def keeps(self, size: int) -> bool:
        """Takes so many bytes of what may be set aside in memory; False, and nothing is taken, where they are not there."""
        with self.lock:
            fits = self.held + size <= self.memory - self.working
            self.held += size if fits else 0
        return fits

    def release(self, size: int) -> None:
        """Gives bytes back that `keeps` has granted."""
        with self.lock:
            self.held -= size

    def spool(self, dtype: np.dtype) -> "Spool":
        """A new, empty spool of such records."""
        with self.lock:
            spool = Spool(self, dtype, self._made)
            self._made += 1
            self._spools.add(spool)
        return spool

    def array(self, size: int, dtype: type) -> np.ndarray:
        """Room for an array that is filled from its start to its end: in memory or, where that is full, in a file."""
        if self.keeps(size * np.dtype(dtype).itemsize):
            return np.empty(size, dtype)
        with self.lock:
            self._made += 1
            path = self.folder / f"array-{self._made}"
            length = size * np.dtype(dtype).itemsize
            self.check_disk(length)
        with self.disk(), path.open("wb") as file:
            if hasattr(os, "posix_fallocate"):  # else a disk that is full later on would end the process
                os.posix_fallocate(file.fileno(), 0, length)
            else:
                file.truncate(length)
        return np.memmap(path, dtype, "r+", shape=(size,))

    @property
    def folder(self) -> Path:
        """Where files go; it is there from now on."""
        if self._folder is None:
            self._temporary = self._temporary or TemporaryDirectory(prefix="stemma-")
            return Path(self._temporary.name)
        self._folder.mkdir(parents=True, exist_ok=True)
        return self._folder

    def check_disk(self, size: int) -> None:
        """BudgetError unless the disk has room for so many bytes more."""
        if shutil.disk_usage(self.folder).free < size + RESERVE:
            raise self._disk_full()

    @contextmanager
    def disk(self) -> Iterator[None]:
        """Turns "no space left" into a BudgetError."""
        try:
            yield
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise self._disk_full() from error
            raise

    def _disk_full(self) -> BudgetError:
        return BudgetError(
            f"{self.folder}: the disk is full ({shutil.disk_usage(self.folder).free >> 20:,} MiB free)",
            "room for counts that do not fit in memory",
            "free some space, or allow more memory with --memory, and run the same command again",
        )

    def make_room(self) -> None:
        """Writes out what the spools hold, if that is too much. Called with the lock held."""
        if self.held > self.memory - self.working:
            for spool in self._spools:
                spool.spill()


class Spool:
    """Records in the order they came: appended first, then read, once. Kept as bytes: NumPy copies these much faster."""

    def __init__(self, room: Room, dtype: np.dtype, number: int) -> None:
        self.dtype, self.size = dtype, 0  # records, read or not
        self._room, self._name = room, f"spool-{number}"
        self._chunks: deque[np.ndarray] = deque()
        self._on_disk, self._read = 0, 0  # bytes in the file, and those of them that were read

    def __len__(self) -> int:
        return self.size

    def append(self, records: np.ndarray) -> None:
        """Sets a copy of the records, which stand one behind the other, aside."""
        if len(records):
            chunk = np.frombuffer(records, np.uint8).copy()
            with self._room.lock:
                self._chunks.append(chunk)
                self.size += len(records)
                self._room.held += len(chunk)
                self._room.make_room()

    def spill(self) -> None:
        """Moves what is in memory to the file. Called with the room's lock held."""
        size = sum(map(len, self._chunks))
        if not size or self._read:
            return
        self._room.check_disk(size)
        with self._room.disk(), (self._room.folder / self._name).open("ab") as file:
            for chunk in self._chunks:
                file.write(chunk.data)
        self._chunks.clear()
        self._on_disk += size
        self._room.held -= size
        self._room.spilled += size

    def read(self, count: int) -> np.ndarray:
        """The next `count` records, fewer at the end. What is read is not kept."""
        wanted, parts = count * self.dtype.itemsize, []
        if self._read < self._on_disk:
            parts.append(self._from_disk(wanted))
            wanted -= len(parts[0])
        with self._room.lock:
            while wanted and self._chunks:
                chunk = self._chunks.popleft()
                parts.append(chunk[:wanted])
                self._room.held -= len(parts[-1])
                if len(chunk) > wanted:
                    self._chunks.appendleft(chunk[wanted:])
                wanted -= len(parts[-1])
        data = parts[0] if len(parts) == 1 else np.concatenate([*parts, np.empty(0, np.uint8)])
        return np.frombuffer(data, self.dtype) if len(data) else np.empty(0, self.dtype)

    def read_all(self) -> np.ndarray:
        """All records that are left."""
        return self.read(self.size)

    def _from_disk(self, most: int) -> np.ndarray:
        path = self._room.folder / self._name
        found = np.fromfile(path, np.uint8, min(most, self._on_disk - self._read), offset=self._read)
        self._read += len(found)
        if self._read == self._on_disk:
            path.unlink()
            self._read = self._on_disk = 0
        return found
