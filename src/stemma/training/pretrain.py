"""Pre-training: one call for every row of the table."""

import os
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from stemma.checkpoint import RunFolder, left_as_found
from stemma.corpus.files import STDIN
from stemma.corpus.read import SPOOLED, spool_stdin
from stemma.errors import UsageError
from stemma.tokens.files import one_writer
from stemma.training.facts import Fact, Report
from stemma.training.request import Drive, Request, job_of


def pretrain(request: Request, *, out: str | Path, store: str | Path | None = None, progress: Report | None = None) -> RunFolder:
    """The finished run folder of the request.

    The same call again goes on where a killed one was, to the same weights bit for bit; a finished run
    is returned as it is; RunError, with nothing touched, while another process writes into the folder. Bad text or a bad
    setting found on the way leaves nothing that was not there. Token stores are kept under `store` (default: inside the
    run folder), and so is what standard input gave.
    """
    path, first = Path(out), os.environ.get("RANK", "0") == "0"
    root, new = Path(store) if store else path / "store", not (path / "manifest.json").exists()
    with one_writer(path) if first else nullcontext(), left_as_found(path) if first and new else nullcontext():
        job = job_of(_spooled(request, root, first))
        if job.row.updates != "backprop" and int(os.environ.get("WORLD_SIZE", "1")) > 1:
            wrong = f"{job.row.name} in several processes (torchrun): it computes with threads"
            raise UsageError(wrong, "one process", "run it without torchrun, with --workers for reading")
        drive = _DRIVES[job.row.learns]()
        with drive(job, path, root, progress or _silent) as (updates, take):
            for update in updates:
                take(update)
    return RunFolder.open(path)


def _spooled(request: Request, root: Path, first: bool) -> Request:
    """The request with standard input kept as a file, by the first process, since it is read more than once."""
    if STDIN not in request.corpus:
        return request
    kept = spool_stdin(root) if first else root / SPOOLED
    return replace(request, corpus=tuple(str(kept) if path == STDIN else path for path in request.corpus))


def _counting() -> Drive:
    from stemma.training.count import counting

    return counting


def _descending() -> Drive:
    from stemma.training.descend import descending

    return descending


_DRIVES = {"count": _counting, "descend": _descending}


def _silent(_: Fact) -> None:
    """Progress that nobody watches."""
