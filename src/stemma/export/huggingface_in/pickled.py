"""pytorch_model.bin, a pickle, on request: read by another process, which is bounded and gives tensors alone."""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from stemma.checkpoint import map_tensors
from stemma.errors import DataError

PICKLE = "pytorch_model.bin"
SECONDS = 600  # that reading may take
_PROGRAM = Path(__file__).with_name("unpickling.py")
_MEND = "have it saved anew by transformers: model.save_pretrained(FOLDER)"


def tensors_of_pickle(place: Path) -> dict[str, np.ndarray]:
    """The floating-point tensors of the file, memory-mapped; DataError where it holds anything but tensors by their names.

    So it is where they take too much memory or time. No function that the pickle names is called (see `unpickling`), and the process that
    reads it has neither this one's memory nor its environment.
    """
    expected = "tensors by their names, which PyTorch's weights-only loader reads"
    with tempfile.TemporaryDirectory(prefix="stemma-") as folder:
        target = Path(folder) / "model.safetensors"
        command = [sys.executable, "-I", str(_PROGRAM), str(place.resolve()), str(target)]
        try:
            done = subprocess.run(command, env={}, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS, check=False)
        except subprocess.TimeoutExpired as error:
            raise DataError(f"{place} was not read in {SECONDS} s", expected, _MEND) from error
        if done.returncode or not target.is_file():
            said = done.stderr.decode("utf-8", "replace").strip().splitlines() or [f"its reader ended with {done.returncode}"]
            raise DataError(f"{place} is refused: {said[-1]:.300}", expected, _MEND)
        return {name: np.asarray(array) for name, array in map_tensors(target).items()}  # mapped still when their file's name goes
