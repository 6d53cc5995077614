"""What a stage that was stopped had already cost, apart from what its result cost.

While a stage is made, a small file beside its result says how long it has been at work; killed, the file remains.
"""

import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from stemma.kernels.clocks import Spent, working
from stemma.tokens.files import read_json, write_sealed

EVERY_SECONDS = 5.0  # between two signs of life


class Attempt:
    """One attempt at a stage, a context. `before` is what earlier ones spent, between the moments `first` and `last`."""

    def __init__(self, path: Path, key: str) -> None:
        self._path, self._key = path, key
        saved = read_json(path) if path.exists() else None
        known: dict[str, Any] = saved if saved and saved["key"] == key else {}
        self.before = Spent(known.get("seconds", 0.0), known.get("cpu_seconds", 0.0))
        self.first, self.last = known.get("first", time.time()), known.get("last", 0.0)
        self._ended = threading.Event()

    def __enter__(self) -> Self:
        self._began = working()
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._save()
        self._beating = threading.Thread(target=self._beat, daemon=True)
        self._beating.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._ended.set()
        self._beating.join()
        if kind is None:
            self._path.unlink(missing_ok=True)
        else:
            self._save()

    def lost(self, kept: Spent) -> Spent:
        """What earlier attempts spent in vain, where so much of it was kept."""
        return self.before.minus(kept)

    def holds(self, moment: float) -> bool:
        """True when the moment lies within earlier attempts."""
        return self.first <= moment <= self.last + EVERY_SECONDS

    def _beat(self) -> None:
        while not self._ended.wait(EVERY_SECONDS):
            self._save()

    def _save(self) -> None:
        spent = self.before.plus(working().minus(self._began))
        write_sealed(self._path, {"key": self._key, **spent._asdict(), "first": self.first, "last": time.time()})
