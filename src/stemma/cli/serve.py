"""`stemma serve`: runs behind HTTP."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from stemma.bounds import real, whole
from stemma.cli.answer import Answer, Printable
from stemma.cli.engine import USUAL
from stemma.cli.verb import EngineName, File, Positional, Share, Verb
from stemma.corpus.files import held_whole
from stemma.errors import DataError, UsageError

MOST_PORT = 65_535
Runs = Annotated[Positional[tuple[str, ...]], arg(metavar="RUN …", help_behavior_hint="(required)")]


@dataclass(frozen=True)
class Serve(Verb):
    """Serves runs over HTTP until it is stopped: pre-trained and fine-tuned ones, each by its folder's name or by name=RUN.

    Example: stemma serve runs/bert films=runs/bert-films --port 8000
    """

    run_folders: Runs  # folders made by stemma pretrain or finetune; name=RUN gives a run another name
    port: int = 8000  # 0: any that is free
    host: str = "127.0.0.1"  # this machine alone; 0.0.0.0: whoever can reach it
    api_key_file: File = None  # keys, one a line, of which each request must bring one
    engine: EngineName = USUAL  # what computes them, as in embed and generate; exact, close: the fastest here, for each run by itself
    dev: File = None  # a file that exact and close have to say the same on, or that tells what an engine in 8 bits costs
    max_drop: Share = None  # with an engine in 8 bits: how much worse it may be on the file of --dev
    max_body_bytes: int = 2 << 20  # of a request
    max_inputs: int = 256  # of a request
    max_tokens: int = 16_384  # of an input
    max_written: int = 4096  # tokens that an input has written, all samples or beams together
    queue: int = 512  # requests in the house; the next ones are told to come again
    batch_tokens: int = 16_384  # computed together
    max_wait_ms: float = 2.0  # that a request waits for others to be computed with
    timeout: float = 60.0  # seconds until an answer
    body_timeout: float = 10.0  # seconds for a body to arrive
    header_timeout: float = 10.0  # seconds for a request's headers

    def run(self) -> Printable:
        """What was done until it was stopped."""
        from stemma.serving.choice import Wish
        from stemma.serving.limits import Limits
        from stemma.serving.server import serve

        if not self.run_folders:
            raise UsageError("no run to serve", "one run folder or more", "name them: stemma serve runs/bert")
        whole("--port", self.port, 0, MOST_PORT)
        limits = Limits(
            body_bytes=self._size("max_body_bytes"),
            inputs=self._size("max_inputs"),
            tokens=self._size("max_tokens"),
            written=self._size("max_written"),
            queue=self._size("queue"),
            batch_tokens=self._size("batch_tokens"),
            wait_ms=real("--max-wait-ms", self.max_wait_ms),
            answer_seconds=self._wait("timeout"),
            body_seconds=self._wait("body_timeout"),
            header_seconds=self._wait("header_timeout"),
        )
        keys = _keys(self.api_key_file) if self.api_key_file else ()
        wish = Wish(self.engine, self.dev, self.max_drop)
        done = serve(self.run_folders, self.host, self.port, limits, wish, keys, _say)
        return Answer(done, [f"{done['requests']:,} requests answered in {done['seconds']:,.0f} s"])

    def _size(self, name: str) -> int:
        return whole(f"--{name.replace('_', '-')}", getattr(self, name), 1)

    def _wait(self, name: str) -> float:
        return real(f"--{name.replace('_', '-')}", getattr(self, name), above=True)


def _keys(path: Path) -> tuple[str, ...]:
    """The keys of a file; UsageError where it has none, DataError where it cannot be read."""
    try:
        lines = held_whole(path).decode("utf-8").splitlines()
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}", "a file of keys, one a line", "check the path and its rights") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8", "keys, one a line", "save it as UTF-8") from error
    keys = tuple(line.strip() for line in lines if line.strip() and not line.startswith("#"))
    if not keys:
        raise UsageError(f"{path} has no key", "one key a line", "write one into it, or drop --api-key-file")
    return keys


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
