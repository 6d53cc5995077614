"""A counting run: from its order to its finished folder. Killed, it counts again: that takes seconds, not hours."""

import dataclasses
import time
from pathlib import Path
from typing import Any

import numpy as np

from stemma.checkpoint import RunFolder, leave_pages
from stemma.tokens.store import TokenStore
from stemma.training.card import write_card
from stemma.training.count import count, counting_room
from stemma.training.ingest import Ingested
from stemma.training.order import Order, Report, take_up
from stemma.training.peak import peak_memory_mib
from stemma.training.settings import Fact

SCRATCH = ".counting"  # in the run folder: what does not fit in memory
SCORED = 1 << 14  # held-out tokens scored at a time
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

    facts = text.tokenizer.facts(store.counts)
    with counting_room(order.sections["objective"].memory, facts.vocab_size, folder.path / SCRATCH) as room:
        network = count(order.row, store, facts, order.sections, room, order.source.workers, tell)
        _finish(order, folder, text, store, network, began, report)


def _finish(order: Order, folder: RunFolder, text: Ingested, store: TokenStore, network: Any, began: float, report: Report) -> None:
    for note in network.notes:
        report(Fact("note", len(STAGES), len(STAGES), message=note))
    seconds = time.perf_counter() - began
    done = {
        "kind": "done",
        "tokens": len(store.ids),
        "seconds": seconds,
        "tokens_per_second": len(store.ids) / seconds,
        "held_out_loss": _held_out_loss(network, text.dev) if text.dev is not None and text.dev.sentences else None,
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


def _held_out_loss(network: Any, dev: TokenStore) -> float:
    """Nats an event. Sentences at a time, so that a model that is mapped from disk does not come into memory whole."""
    nats, events, begin = 0.0, 0, 0
    while begin < dev.sentences:
        reached = int(np.searchsorted(dev.sentence_starts, dev.sentence_starts[begin] + SCORED, side="right")) - 1
        end = max(begin + 1, reached)
        starts = dev.sentence_starts[begin : end + 1]
        scores = network.score_flat(dev.ids[starts[0] : starts[-1]], starts - starts[0])
        nats, events, begin = nats + scores.nats, events + scores.events, end
        leave_pages(*network.arrays().values())
    return nats / events


def _first_tokens(store: TokenStore, most: int) -> TokenStore:
    """The store's first sentences, `most` tokens at most (one sentence at least); 0: all of it."""
    if not most or most >= len(store.ids):
        return store
    sentences = max(1, int(np.searchsorted(store.sentence_starts, most, side="right")) - 1)
    return dataclasses.replace(
        store, ids=store.ids[: store.sentence_starts[sentences]], sentence_starts=store.sentence_starts[: sentences + 1]
    )
