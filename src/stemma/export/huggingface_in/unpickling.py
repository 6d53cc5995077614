"""A program by itself, which `pickled` runs: the tensors of a pickle into a safetensors file. It imports nothing of Stemma.

PyTorch's weights-only loader calls no function that a pickle names but those that make tensors; memory is bounded here.
"""

import resource
import sys
from pathlib import Path

SPARE = 2 << 30  # bytes that PyTorch takes by itself
TIMES = 4  # what a file's tensors may take besides, as a multiple of the file


def write_tensors_of(source: str, target: str) -> None:
    """Writes the floating-point tensors of the pickle `source` as the safetensors file `target`; TypeError where it holds anything else."""
    most = TIMES * Path(source).stat().st_size + SPARE
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    import torch
    from safetensors.torch import save_file

    torch.set_num_threads(1)
    found = torch.load(source, map_location="cpu", weights_only=True)
    if not isinstance(found, dict) or not all(isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in found.items()):
        raise TypeError("it holds something else than tensors by their names")
    floats = {name: value.detach() for name, value in found.items() if value.is_floating_point()}
    save_file({name: value.float().contiguous().clone() for name, value in floats.items()}, target)


if __name__ == "__main__":
    try:
        write_tensors_of(*sys.argv[1:])
    except Exception as error:
        sys.exit(f"{type(error).__name__}: {' '.join(str(error).split())}"[:300])
