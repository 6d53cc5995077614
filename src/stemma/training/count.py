"""A counting run: shards of the text -> partial counts -> one count -> the network -> the finished folder.

Workers are threads: the counting kernels run outside the interpreter's lock and share the memory-mapped text. The
result does not depend on how many there are, nor on how much of the counts had to go to disk. Killed, a run counts
again: that takes seconds, not hours.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stemma.checkpoint import RunFolder, leave_pages
from stemma.errors import BudgetError
from stemma.kernels.clocks import Spent, working
from stemma.layers.allocator import keep_freed_memory
from stemma.lineage.table import Generation
from stemma.objectives.frequencies import frequency_loss
from stemma.objectives.spool import Room
from stemma.tokens.store import TokenStore
from stemma.training.baseline import against_baseline
from stemma.training.card import write_card
from stemma.training.facts import Counting, Note, Report
from stemma.training.ingest import Ingested
from stemma.training.peak import memory_mib, peak_memory_mib
from stemma.training.request import Job, Updates, take_up

if TYPE_CHECKING:
    from stemma.lineage.table import Counted
    from stemma.tokens.facts import TokenFacts

SCRATCH = ".counting"  # in the run folder: what does not fit in memory
SCORED = 1 << 10  # held-out tokens scored at a time: each may bring some twenty pages of the model into memory
STAGES = ("count", "merge", "estimate", "done")
USED = 0.9  # of the memory that is left: the rest is what allocating and freeing leaves lying about
KEPT = 1 << 23  # bytes of the largest block that is not given back when it is freed

DEFAULT_MIB, DEFAULT_WORD_BYTES = 1024, 512  # the room for counting where no limit is given


@contextmanager
def counting(job: Job, path: Path, root: Path, report: Report) -> Iterator[Updates]:
    """Counts and finishes the folder; there are no updates to make afterwards."""
    folder, text = take_up(job, path, root, report)
    if text is not None:
        if folder is None:
            text.tokenizer.save(path / "tokenizer.json")
            folder = RunFolder.create(path, job.config())
        folder.load_state()
        _count(job, folder, text, report)
    yield (), report


def _count(job: Job, folder: RunFolder, text: Ingested, report: Report) -> None:
    began = working()
    store = text.train

    def pass_on(fact: dict[str, Any]) -> None:
        report(Counting(STAGES.index(fact["stage"]) + 1, len(STAGES), fact["stage"], fact["tokens"], fact["seconds"]))

    facts = text.tokenizer.facts(store.counts)
    with counting_room(job.sections["objective"].memory, facts.vocab_size, folder.path / SCRATCH) as room:
        network = count(job.row, store, facts, job.sections, room, job.source.workers, pass_on)
        _finish(job, folder, text, network, began, report)


def _finish(job: Job, folder: RunFolder, text: Ingested, network: "Counted", began: Spent, report: Report) -> None:
    for note in network.notes:
        report(Note(note))
    spent, tokens = working().minus(began), len(text.train.ids)
    held_out, baseline, stuck = None, dict[str, Any](), list[str]()
    if text.dev is not None and text.dev.sentences:
        held_out = _held_out_loss(network, text.dev)
        constant = frequency_loss(text.train, text.dev, (text.train.sentences, text.dev.sentences))
        baseline, stuck = against_baseline([{"loss": held_out}], {"": constant}, "give it more text")
    done = {
        "kind": "done",
        "tokens": tokens,
        "passes": text.share,
        **spent._asdict(),
        "tokens_per_second": tokens / max(1e-9, spent.seconds),
        "ingested": text.costs,
        "held_out_loss": held_out,
        **baseline,
        "parameters": network.parameters,
        "peak_memory_mib": peak_memory_mib(),
        "notes": [*text.notes, *network.notes, *stuck] or None,
        **network.facts(),
    }
    folder.append_metrics([done])
    ledger = text.full_ledger({"tokens": tokens, "used": tokens})
    folder.finish(write_card(job.row.title, job.row.paper, folder.config, done, ledger, job.row.abilities), ledger, network.arrays())


def _held_out_loss(network: "Counted", dev: TokenStore) -> float:
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


@contextmanager
def counting_room(memory: float, vocab_size: int, folder: Path) -> Iterator[Room]:
    """The room for counting in a process that may hold `memory` GiB in all; 0: a GiB more than it holds, or what the words need.

    What does not fit goes to `folder`, which is gone in the end; what a killed process left there goes first. BudgetError
    if there is no room at all.
    """
    keep_freed_memory(KEPT)
    held = memory_mib()
    left = memory * 2**10 - held if memory else max(DEFAULT_MIB, DEFAULT_WORD_BYTES * vocab_size / 2**20)
    if left <= 0:
        wrong = f"a limit of {memory * 2**10:,.0f} MiB, of which the program and the vocabulary hold {held:,.0f} MiB already"
        raise BudgetError(wrong, "some memory to count in", f"allow more, for example --memory {(held + 256) / 2**10:.1f}")
    with Room(USED * left * 2**20, folder) as room:
        room.close()
        yield room


def count(
    row: Generation,
    store: TokenStore,
    facts: "TokenFacts",
    config: Mapping[str, Any],
    room: Room,
    workers: int = 1,
    report: Callable[[dict[str, Any]], None] | None = None,
) -> "Counted":
    """The network of `row`, a counting generation, from all sentences of `store`. Its arrays may live in the `room`.

    `config` holds the sections `model` and `objective`. `report` is given facts as the work goes: `stage` ("count",
    "merge", "estimate", "done"), `share` done of the stage, `tokens` counted so far, `seconds` since the start.
    """
    begun = time.perf_counter()

    def announce(stage: str, share: float, **more: Any) -> None:
        if report is not None:
            report({"stage": stage, "share": share, "seconds": time.perf_counter() - begun, **more})

    data = row.load_data()(config["objective"], config["model"], store, facts, room)
    shards = data.shards(workers)
    partials: list[Any] = [None] * len(shards)
    tokens = 0
    announce("count", 0.0, tokens=0)
    with ThreadPoolExecutor(max_workers=workers) as pool:
        waiting = {pool.submit(data.partial, *shard): place for place, shard in enumerate(shards)}
        for done, future in enumerate(as_completed(waiting), 1):
            place = waiting[future]
            partials[place] = future.result()
            tokens += int(store.sentence_starts[shards[place][1]] - store.sentence_starts[shards[place][0]])
            announce("count", done / len(shards), tokens=tokens)
    announce("merge", 0.0, tokens=tokens)
    counts = data.merge(partials)
    del partials
    announce("estimate", 0.0, tokens=tokens)
    network = row.load_network().from_counts(config["model"], facts, counts)
    announce("done", 1.0, tokens=tokens, **network.facts())
    return network
