"""Pre-training: one call for every row of the table."""

from contextlib import nullcontext
from pathlib import Path

from stemma.checkpoint import RunFolder, left_as_found
from stemma.training.facts import Fact
from stemma.training.request import Drive, Report, Request, job_of


def pretrain(request: Request, *, out: str | Path, store: str | Path | None = None, progress: Report | None = None) -> RunFolder:
    """The finished run folder of what was asked for.

    The same call again goes on where a killed one was, to the same weights bit for bit; a finished run
    is returned as it is. Bad text or a bad setting found on the way leaves nothing that was not there. Token stores are kept
    under `store` (default: inside the run folder).
    """
    job, path = job_of(request), Path(out)
    drive = _DRIVES[job.row.learns]()
    first = not (path / "manifest.json").exists()
    with (
        left_as_found(path) if first else nullcontext(),
        drive(job, path, Path(store) if store else path / "store", progress or _silent) as (updates, take),
    ):
        for update in updates:
            take(update)
    return RunFolder.open(path)


def _counting() -> Drive:
    from stemma.training.count import counting

    return counting


def _descending() -> Drive:
    from stemma.training.descend import descending  # torch: not for generations that count

    return descending


_DRIVES = {"count": _counting, "descend": _descending}


def _silent(_: Fact) -> None:
    """Progress that nobody watches."""
