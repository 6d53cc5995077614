"""Records set aside: in memory while there is room, else on disk. What is counted may be larger than the memory.

A `Room` knows how much memory its spools may hold together, in pages that pass from spool to spool: thousands of spools
that come and go leave no gaps in the memory. When no page is left, all of them move what they hold to files of a folder of
their own; a file goes once it has been read.
"""

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

from stemma.tokens.files import DiskFull, is_disk_full

RESERVE = 1 << 26  # bytes of the disk that are left alone
PAGE, LEAST_PAGE = 1 << 14, 1 << 9  # bytes
PAGES = 1 << 12  # in a full room at least, unless they would be too small


class Room:
    """The memory and the folder that spools share. Closed, it removes the folder and all that is in it."""

    def __init__(self, memory: float, folder: Path | None = None) -> None:
        """`memory` is in bytes: half of it is for what is set aside, half for the work at hand, until that needs less.

        `folder` is made when it is first needed; None: a temporary one.
        """
        self.memory = int(memory)
        self.working = self.memory // 2  # bytes that the work at hand may take, beside what is set aside
        self.held = 0  # bytes in memory, free pages included
        self.spilled = 0  # bytes written so far
        self.lock = threading.Lock()
        self._folder = folder
        self._temporary: TemporaryDirectory | None = None
        self._spools: WeakSet[Spool] = WeakSet()
        self._page = min(PAGE, max(LEAST_PAGE, (self.memory - self.working) // PAGES))
        self._free: list[np.ndarray] = []
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

    def works_with(self, size: int) -> None:
        """The work from now on takes so many bytes at most: what it leaves is for what is set aside."""
        with self.lock:
            self.working = min(self.working, size)

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

    def array(self, size: int, dtype: type, spare: int = 0) -> np.ndarray:
        """Room for an array that is filled from its start to its end: in a file unless `spare` bytes are left beside it in memory."""
        length = size * np.dtype(dtype).itemsize
        if self.keeps(length + spare):
            self.release(spare)
            return np.empty(size, dtype)
        with self.lock:
            self._made += 1
            path = self.folder / f"array-{self._made}"
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
        """DiskFull unless the disk has room for so many bytes more."""
        if shutil.disk_usage(self.folder).free < size + RESERVE:
            raise self._disk_full()

    @contextmanager
    def disk(self) -> Iterator[None]:
        """Turns "no space left" into a DiskFull."""
        try:
            yield
        except OSError as error:
            if is_disk_full(error):
                raise self._disk_full() from error
            raise

    def _disk_full(self) -> DiskFull:
        return DiskFull(
            f"{self.folder}: the disk is full ({shutil.disk_usage(self.folder).free >> 20:,} MiB free)",
            "room for counts that do not fit in memory",
            "free some space, or allow more memory with --memory, and run the same command again",
        )

    def page(self) -> np.ndarray:
        """Some bytes of memory; where there are no more, what the spools hold is written out first. Called with the lock held."""
        if not self._free and self.held + self._page > self.memory - self.working:
            for spool in self._spools:
                spool.spill()
        if self._free:
            return self._free.pop()
        self.held += self._page
        return np.empty(self._page, np.uint8)

    def take_back(self, page: np.ndarray) -> None:
        """The page is free. Called with the lock held."""
        self._free.append(page)


class Spool:
    """Records in the order they came: appended first, then read, once."""

    def __init__(self, room: Room, dtype: np.dtype, number: int) -> None:
        self.dtype, self.size = dtype, 0  # records, read or not
        self._room, self._name = room, f"spool-{number}"
        self._left = 0  # bytes not read
        self._pages: deque[np.ndarray] = deque()
        self._begin = self._end = 0  # bytes of the first page that were read, and of the last one that are filled
        self._on_disk, self._read = 0, 0  # bytes in the file, and those of them that were read

    def __len__(self) -> int:
        return self.size

    def append(self, records: np.ndarray) -> None:
        """Sets a copy of the records, which stand one behind the other, aside."""
        if not len(records):
            return
        data, done = np.frombuffer(records, np.uint8), 0
        with self._room.lock:
            while done < len(data):
                if not self._pages or self._end == len(self._pages[-1]):
                    page = self._room.page()  # may spill this spool too
                    self._pages.append(page)
                    self._end = 0
                part = data[done : done + len(self._pages[-1]) - self._end]
                self._pages[-1][self._end : self._end + len(part)] = part
                self._end += len(part)
                self._left += len(part)
                done += len(part)
            self.size += len(records)

    def spill(self) -> None:
        """Moves what is in memory to the file. Called with the room's lock held."""
        if not self._pages or self._read:
            return
        self._room.check_disk(self._left - self._on_disk)
        with self._room.disk(), (self._room.folder / self._name).open("ab") as file:
            while self._pages:
                part = self._first_page()
                file.write(part.data)
                self._on_disk += len(part)
                self._room.spilled += len(part)
                self._leave(len(part))

    def read(self, count: int) -> np.ndarray:
        """The next `count` records, fewer at the end. What is read is not kept."""
        with self._room.lock:
            data = np.empty(min(count * self.dtype.itemsize, self._left), np.uint8)
            filled = self._from_disk(data) if self._on_disk else 0
            while filled < len(data):
                part = self._first_page()[: len(data) - filled]
                data[filled : filled + len(part)] = part
                filled += len(part)
                self._leave(len(part))
            self._left -= len(data)
        return np.frombuffer(data, self.dtype) if len(data) else np.empty(0, self.dtype)

    def read_all(self) -> np.ndarray:
        """All records that are left."""
        return self.read(self.size)

    def _first_page(self) -> np.ndarray:
        """What is left of the first page."""
        return self._pages[0][self._begin : self._end if len(self._pages) == 1 else None]

    def _leave(self, size: int) -> None:
        """So many bytes of the first page are done with; it goes when it has no more."""
        self._begin += size
        if self._begin == (self._end if len(self._pages) == 1 else len(self._pages[0])):
            self._room.take_back(self._pages.popleft())
            self._begin = 0

    def _from_disk(self, data: np.ndarray) -> int:
        """Fills `data` from the file as far as that goes; gives how many bytes."""
        path = self._room.folder / self._name
        found = np.fromfile(path, np.uint8, min(len(data), self._on_disk - self._read), offset=self._read)
        data[: len(found)] = found
        self._read += len(found)
        if self._read == self._on_disk:
            path.unlink()
            self._read = self._on_disk = 0
        return len(found)
