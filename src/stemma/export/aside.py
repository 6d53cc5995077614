"""A folder for other programs, or of theirs, that is there whole or not at all."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stemma.corpus.files import end_of_links
from stemma.errors import UsageError
from stemma.tokens.files import LOCK, disk_budget, one_writer, sync_folder


@contextmanager
def written_aside(target: Path) -> Iterator[Path]:
    """A folder that becomes `target` when all is written, or goes. UsageError where the target is taken."""
    target = end_of_links(target)  # a link stays one
    aside = target.with_name(f".{target.name}.aside")
    with one_writer(aside, target):
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise UsageError(f"{target} is there already", "a new or an empty folder", "choose another target")
        _empty(aside)  # of what a killed process left
        try:
            with disk_budget(target):
                yield aside
            aside.replace(target)
        except BaseException:
            _empty(aside)
            raise
        (target / LOCK).unlink(missing_ok=True)
        sync_folder(target.parent)


def _empty(folder: Path) -> None:
    """Removes all but the lock."""
    for child in folder.iterdir():
        if child.is_dir():
            shutil.rmtree(child)
        elif child.name != LOCK:
            child.unlink()
