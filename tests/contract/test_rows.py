"""A row of the table tells the truth: its abilities and what else it says are the methods of its network and its objective."""

import dataclasses
import inspect

import numpy as np
import pytest
import torch

from stemma.layers.uniform import uniform
from stemma.lineage import network
from stemma.lineage.table import TABLE, Generation
from stemma.tokens.facts import TokenFacts
from stemma.training.optimisers import block_matrices

READY = [row for row in TABLE if row.ready]
rows = pytest.mark.parametrize("row", READY, ids=lambda row: row.name)
METHODS = {
    "generate": ["advance"], "fill": ["fill"], "nearest": ["word_vectors"], "embed": ["encode", "vectors_of"],
    "translate": ["read_sources"],
    "attend": ["attention", "attention_batch"],
}  # fmt: skip


def methods(contract: type) -> set[str]:
    """What a Protocol names, the ones that it extends included."""
    names = {name for base in contract.__mro__ for name in vars(base) if base.__module__ == network.__name__}
    return {name for name in names if not name.startswith("_")}


@rows
def test_abilities_are_the_methods_of_the_network(row: Generation) -> None:
    cls = row.load_network()
    offered = {ability for ability, methods in METHODS.items() if any(hasattr(cls, name) for name in methods)}
    offered -= {"generate"} if "translate" in offered else set()  # it goes on from a source alone
    offered |= {"score"} if hasattr(cls, "score") or hasattr(cls, "score_flat") else set()
    assert offered == set(row.abilities) - {"transfer"}
    assert ("transfer" in row.abilities) == any(hasattr(cls, name) for name in ("encode", "as_module", "score_flat"))


@rows
def test_who_makes_the_steps_is_as_the_row_says(row: Generation) -> None:
    cls, data = row.load_network(), row.load_data()
    contract = {"counts": network.Counted, "by hand": network.DescendsByHand, "backprop": network.Network}[row.updates]
    names = set(dir(cls)) | set(inspect.get_annotations(cls)) | {"notes", "end", "config"}
    assert methods(contract) <= names
    assert hasattr(cls, "descend") == (row.updates == "by hand")
    assert hasattr(cls, "from_counts") == (row.updates == "counts") == (row.learns == "count")
    assert hasattr(data, "prepare") == row.reads_once
    assert hasattr(cls, "take_over") == row.continues
    assert (methods(network.Teaches) <= names) == row.teaches
    assert (methods(network.Imitates) <= names) == bool(row.teacher)
    assert not row.teacher or next(other for other in READY if other.name == row.teacher).teaches
    assert ("attend" in row.abilities) == (methods(network.Attends) <= names)
    assert hasattr(cls, "score_backward") == row.backward
    assert (methods(network.ReadsSpelling) <= set(dir(cls))) == hasattr(row.model_config(), "targets") == row.reads_spelling
    assert hasattr(cls, "grow") == (getattr(cls, "task_tokens", 0) > 0)


@pytest.mark.parametrize("row", [row for row in READY if row.updates == "by hand"], ids=lambda row: row.name)
def test_tables_and_the_module_of_them_answer_alike(row: Generation) -> None:
    """What reads a run without PyTorch, and what learns a task with it, stand on the same words."""
    facts = TokenFacts(9, {"unk": 0, "bos": 1, "eos": 2}, np.arange(9) + 1, tuple("abcdefghi"))
    tables = row.load_network().drawn(row.model_config()(width=5), facts, uniform(3))
    module, ids = tables.as_module(), np.array([4, 8, 4])
    assert tables.vectors_of(ids).tobytes() == module.encode({"ids": torch.from_numpy(ids)[None]})[0][0].detach().numpy().tobytes()
    assert {name: array.tobytes() for name, array in tables.arrays().items()} == {
        name: tensor.numpy().tobytes() for name, tensor in module.state_dict().items()
    }
    torch.manual_seed(3)
    drawn = row.new_module(row.model_config()(width=5), facts)
    (vectors,) = drawn.encode({"ids": torch.arange(9)[None]})
    assert vectors[0].detach().numpy().tobytes() == tables.word_vectors().tobytes()  # the one generator and the other


@pytest.mark.parametrize("row", [row for row in READY if row.updates == "backprop"], ids=lambda row: row.name)
def test_blocks_are_those_of_the_network(row: Generation) -> None:
    model = row.sections()["model"]
    small = {"heads": 2, "width": 8, "inner": 8, "depth": 1, "context": 2, "max_length": 9, "last": 8}
    chosen = {name: size for name, size in small.items() if name in {field.name for field in dataclasses.fields(model)}}
    facts = TokenFacts(12, {"pad": 0, "cls": 1, "sep": 2, "mask": 3, "eos": 4, "unk": 5, "bos": 6}, np.ones(12))
    assert bool(block_matrices(row.load_network()(model(**chosen), facts))) == row.blocks


@rows
def test_every_objective_offers_what_the_loop_needs(row: Generation) -> None:
    needed = {"partial", "merge", "shards"} if row.learns == "count" else {
        "batch", "steps_in_epoch", "epoch_of", "real_tokens", "ledger", "used_by", "constant_losses",
    }  # fmt: skip
    assert needed <= set(dir(row.load_data()))
