"""Pre-training: one call for every row of the table."""

from pathlib import Path

from stemma.checkpoint import RunFolder
from stemma.training.request import Job, Report, Request, job_of
from stemma.training.settings import Fact, HandConfig


def pretrain(request: Request, *, out: str | Path, store: str | Path | None = None, progress: Report | None = None) -> RunFolder:
    """The finished run folder of what was asked for.

    The same call again goes on where a killed one was, to the same weights bit for bit; a finished run
    is returned as it is. Token stores are kept under `store` (default: inside the run folder).
    """
    job, path, report = job_of(request), Path(out), progress or _silent
    return _drive(job, path, Path(store) if store else path / "store", report)


def _drive(job: Job, path: Path, root: Path, report: Report) -> RunFolder:
    training = job.sections["training"]
    if isinstance(training, HandConfig):
        from stemma.training import descend  # torch: not for generations that count

        with descend.session(training) as run:
            return run(job, path, root, report)
    from stemma.training import count

    return count.run(job, path, root, report)


def _silent(_: Fact) -> None:
    """Progress that nobody watches."""
