"""One generation's stages in a process of its own, so that its peak memory is its own.

`python -m stemma.evaluation.comparison.worker OUT GENERATION CORPUS_KEY` reads OUT/plan.json, keeps each stage's
result under OUT/stages, and writes its facts to stdout, one JSON document a line.
"""

import json
import os
import sys
import threading
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stemma.errors import Interrupted, StemmaError
from stemma.evaluation.comparison.plan import Comparison
from stemma.evaluation.comparison.stages import Stages, run_stages
from stemma.training.facts import Fact, Note, Report, to_json


def main(argv: Sequence[str]) -> int:
    """Runs the stages; 0 also when a stage failed, since its file tells so."""
    out, generation, corpus_key = argv
    facts = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever a library prints must not stand among the facts
    _end_with_parent()

    def progress(fact: Fact) -> None:
        facts.write(json.dumps(to_json(fact)) + "\n")
        facts.flush()

    _warn_in_notes(progress)
    comparison = Comparison.load(Path(out))
    try:
        for _ in run_stages(Stages(comparison, generation, corpus_key, progress, os.getppid()), comparison.root):
            pass
    except (Interrupted, KeyboardInterrupt):
        return Interrupted.exit_code
    except StemmaError as error:  # not a stage's: there was no room even to keep how it failed; the code says so
        return error.exit_code
    return 0


def _warn_in_notes(progress: Report) -> None:
    """Has each warning reach the progress as a note, once, where Python would print it with a place in the code."""
    told: set[str] = set()

    def warn(message: Warning | str, *_: Any, **__: Any) -> None:
        if str(message) not in told:
            told.add(str(message))
            progress(Note(str(message)))

    warnings.showwarning = warn


def _end_with_parent() -> None:
    """Ends this process when the comparison is killed: its standard input then reaches its end."""

    def wait() -> None:
        while os.read(0, 1):  # not through sys.stdin: its lock would be held in every forked reader of the corpus
            pass
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
