"""From a run folder's arrays to the network they are of."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np

from stemma.checkpoint import MEND, RunFolder
from stemma.errors import DamagedError, StemmaError, UsageError
from stemma.lineage.table import Generation
from stemma.tokens.tokenizer import Tokenizer


@contextmanager
def opening(folder: RunFolder) -> Iterator[None]:
    """While a run is made of the folder's files: what does not fit together there is the folder's fault, and told as such.

    Settings that no network has are DamagedError here, for nobody asked for them now.
    """
    try:
        yield
    except UsageError as error:
        raise DamagedError(error.wrong, error.expected, MEND) from error
    except StemmaError:
        raise
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        told = f"{folder.path} does not hold what a run holds ({type(error).__name__}: {error})"
        raise DamagedError(told, "a run folder as it was written", MEND) from error


def network_of(row: Generation, config: Any, tokenizer: Tokenizer, arrays: Mapping[str, np.ndarray]) -> Any:
    """The row's network with these weights: mapped from the file as they are, or copied into a network in eval mode."""
    return _WAYS[stands_as(row)](row, config, tokenizer, arrays)


def unmoved(row: Generation, config: Any, tokenizer: Tokenizer, arrays: Mapping[str, np.ndarray]) -> Any:
    """The row's network in the shape of a run that learnt a task: what counts has its own arrays; the weights of the others are
    loaded by whoever knows whether they grew.
    """
    own = {name: array for name, array in arrays.items() if not name.startswith("task.")}
    return (_mapped if row.learns == "count" else _drawn)(row, config, tokenizer, own)


def stands_as(row: Generation) -> Literal["counts", "tables", "module"]:
    """What a finished run of the row is read from: counts, tables of word vectors, or a module of PyTorch's."""
    if row.learns == "count":
        return "counts"
    return "tables" if row.tables else "module"


def _mapped(row: Generation, config: Any, tokenizer: Tokenizer, arrays: Mapping[str, np.ndarray]) -> Any:
    return row.load_network().from_arrays(config, tokenizer.facts(), arrays)


def _tables(row: Generation, config: Any, tokenizer: Tokenizer, arrays: Mapping[str, np.ndarray]) -> Any:
    return row.load_tables().from_arrays(config, tokenizer.facts(), arrays)


def _copied(row: Generation, config: Any, tokenizer: Tokenizer, arrays: Mapping[str, np.ndarray]) -> Any:
    from stemma.layers.weights import load_weights

    network = _drawn(row, config, tokenizer, arrays)
    load_weights(network, arrays)
    return network


def _drawn(row: Generation, config: Any, tokenizer: Tokenizer, arrays: Mapping[str, np.ndarray]) -> Any:
    import torch

    from stemma.layers.weights import check_memory

    if row.updates == "backprop":
        check_memory(lambda: row.load_network()(config, tokenizer.facts()), copies=1)
    with torch.random.fork_rng(devices=[]):
        return row.load_network()(config, tokenizer.facts()).eval()


_WAYS = {"counts": _mapped, "tables": _tables, "module": _copied}
