"""From a run folder's arrays to the network they are of."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from stemma.checkpoint import ANEW, MEND, RunFolder
from stemma.config import VERSION
from stemma.errors import DamagedError, RunError, StemmaError, UsageError
from stemma.lineage.table import Generation
from stemma.tokens.tokenizer import Tokenizer


@contextmanager
def opening(folder: RunFolder) -> Iterator[None]:
    """While a run is made of the folder's files: what does not fit together there is the folder's fault, and reported as such.

    Settings that no network has are DamagedError here, for nobody has just set them; RunError where another version wrote them.
    """
    try:
        yield
    except UsageError as error:
        writer = str(folder.config.get("stemma", VERSION))[:20]
        if writer != VERSION:
            raise RunError(error.wrong, f"what Stemma {VERSION} reads; Stemma {writer} wrote this run", ANEW) from error
        raise DamagedError(error.wrong, error.expected, MEND) from error
    except StemmaError:
        raise
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        wrong = f"{folder.path} does not hold what a run holds ({type(error).__name__}: {error})"
        raise DamagedError(wrong, "a run folder as it was written", MEND) from error


def network_of(row: Generation, config: Any, tokenizer: Tokenizer, arrays: Mapping[str, np.ndarray]) -> Any:
    """The row's network with these weights: mapped from the file as they are, or copied into a module in eval mode."""
    if row.updates != "backprop":
        return row.load_network().from_arrays(config, tokenizer.facts(), arrays)
    from stemma.layers.weights import load_weights

    network = _module(row, config, tokenizer, arrays)
    load_weights(network, arrays)
    return network


def unmoved(row: Generation, config: Any, tokenizer: Tokenizer, arrays: Mapping[str, np.ndarray], as_arrays: bool) -> Any:
    """The row's network in the shape of a run that learnt a task: `as_arrays` its own, as they stand in the file.

    Else a module, whose weights are loaded by whoever knows whether they grew.
    """
    own = {name: array for name, array in arrays.items() if not name.startswith("task.")}
    if as_arrays:
        return row.load_network().from_arrays(config, tokenizer.facts(), own)
    if row.updates == "backprop" and "tokens.weight" in own:  # which may have grown
        own["tokens.weight"] = own["tokens.weight"][: tokenizer.vocab_size]
    return _module(row, config, tokenizer, own)


def _module(row: Generation, config: Any, tokenizer: Tokenizer, arrays: Mapping[str, np.ndarray]) -> Any:
    import torch

    from stemma.layers.weights import check_memory

    if row.updates == "backprop":
        check_memory(lambda: row.new_module(config, tokenizer.facts()), copies=1, arrays=arrays)
    with torch.random.fork_rng(devices=[]):
        return row.new_module(config, tokenizer.facts()).eval()
