"""`stemma.load`: a run of ours, or another program's folder, ready for use."""

from pathlib import Path

from stemma.export.huggingface_in import is_huggingface, open_huggingface
from stemma.runs import fitted
from stemma.runs.fitted import FittedRun
from stemma.runs.run import Run


def load(path: str | Path) -> Run | FittedRun:
    """The run of a folder: a `Run` if it was pre-trained, a `FittedRun` if it was fine-tuned on a task.

    A Hugging Face folder of `bert` or `openai-gpt` is a `Run` kept in memory; DataError where it cannot be read as one.
    """
    return open_huggingface(Path(path)) if is_huggingface(Path(path)) else fitted.load(path)
