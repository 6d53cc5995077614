"""A counting run: from its order to its finished folder. Killed, it counts again: that takes seconds, not hours."""

import dataclasses
import time
from pathlib import Path
from typing import Any

import numpy as np

from stemma.checkpoint import RunFolder
from stemma.tokens.store import TokenStore
from stemma.training.card import write_card
from stemma.training.count import count
from stemma.training.ingest import Ingested
from stemma.training.memory import peak_memory_mib
from stemma.training.order import Order, Report, take_up
from stemma.training.settings import Fact

STAGES = ("count", "merge", "estimate", "done")


def run(order: Order, path: Path, root: Path, report: Report) -> RunFolder:
    """The finished folder of the order."""
    folder, text = take_up(order, path, root, report)
    if text is None:
        assert folder is not None
        return folder
    if folder is None:
        text.tokenizer.save(path / "tokenizer.json")
        folder = RunFolder.create(path, order.config())
    with folder.lock():
        folder.load_state()
        _count(order, folder, text, report)
    return RunFolder.open(path)


def _count(order: Order, folder: RunFolder, text: Ingested, report: Report) -> None:
    began = time.perf_counter()
    store = _first_tokens(text.train, order.sections["training"].tokens)

    def tell(fact: dict[str, Any]) -> None:
        report(Fact("step", STAGES.index(fact["stage"]) + 1, len(STAGES), fact["tokens"], seconds=fact["seconds"], message=fact["stage"]))

    network = count(order.row, store, text.tokenizer.facts(store.counts), order.sections, order.source.workers, tell)
    for note in network.notes:
        report(Fact("note", len(STAGES), len(STAGES), message=note))
    seconds = time.perf_counter() - began
    held_out = network.score_flat(text.dev.ids, text.dev.sentence_starts) if text.dev is not None and text.dev.sentences else None
    done = {
        "kind": "done",
        "tokens": len(store.ids),
        "seconds": seconds,
        "tokens_per_second": len(store.ids) / seconds,
        "held_out_loss": held_out.nats / held_out.events if held_out else None,
        "parameters": network.parameters,
        "peak_memory_mib": peak_memory_mib(),
        "notes": network.notes,
        **network.facts(),
    }
    folder.append_metrics([done])
    ledger = {
        "characters": text.ledger,
        "tokens": {"tokens": len(text.train.ids), "used": len(store.ids), "beyond_budget": len(text.train.ids) - len(store.ids)},
    }
    folder.finish(write_card(order.row.title, order.row.paper, folder.config, done, ledger, order.row.abilities), ledger, network.arrays())


def _first_tokens(store: TokenStore, most: int) -> TokenStore:
    """The store's first sentences, `most` tokens at most (one sentence at least); 0: all of it."""
    if not most or most >= len(store.ids):
        return store
    sentences = max(1, int(np.searchsorted(store.sentence_starts, most, side="right")) - 1)
    return dataclasses.replace(
        store, ids=store.ids[: store.sentence_starts[sentences]], sentence_starts=store.sentence_starts[: sentences + 1]
    )
