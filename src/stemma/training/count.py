"""The driver of counting generations: shards of the text -> partial counts -> one count -> the network.

Workers are threads: the counting kernels run outside the interpreter's lock and share the memory-mapped text. The
result does not depend on how many there are, nor on how much of the counts had to go to disk.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stemma.errors import BudgetError
from stemma.layers.allocator import keep_freed_memory
from stemma.lineage.table import Generation
from stemma.objectives.spool import Room
from stemma.training.peak import memory_mib

if TYPE_CHECKING:
    from stemma.tokens.settings import TokenFacts
    from stemma.tokens.store import TokenStore

USED = 0.9  # of the memory that is left: the rest is what allocating and freeing leaves lying about
KEPT = 1 << 23  # bytes of the largest block that is not given back when it is freed

UNASKED_MIB, UNASKED_WORD_BYTES = 1024, 512  # the room for counting where no limit is given

Report = Callable[[dict[str, Any]], None]


@contextmanager
def counting_room(memory: float, vocab_size: int, folder: Path) -> Iterator[Room]:
    """The room for counting in a process that may hold `memory` GiB in all; 0: a GiB more than it holds, or what the words ask.

    What does not fit goes to `folder`, which is gone in the end; what a killed process left there goes first. BudgetError
    if there is no room at all.
    """
    keep_freed_memory(KEPT)
    held = memory_mib()
    left = memory * 2**10 - held if memory else max(UNASKED_MIB, UNASKED_WORD_BYTES * vocab_size / 2**20)
    if left <= 0:
        wrong = f"a limit of {memory * 2**10:,.0f} MiB, of which the program and the vocabulary hold {held:,.0f} MiB already"
        raise BudgetError(wrong, "some memory to count in", f"allow more, for example --memory {(held + 256) / 2**10:.1f}")
    with Room(USED * left * 2**20, folder) as room:
        room.close()
        yield room


def count(
    row: Generation,
    store: "TokenStore",
    facts: "TokenFacts",
    config: Mapping[str, Any],
    room: Room,
    workers: int = 1,
    report: Report | None = None,
) -> Any:
    """The network of `row`, a counting generation, from all sentences of `store`. Its arrays may live in the `room`.

    `config` holds the sections `model` and `objective`. `report` is given facts as the work goes: `stage` ("count",
    "merge", "estimate", "done"), `share` done of the stage, `tokens` counted so far, `seconds` since the start.
    """
    begun = time.perf_counter()

    def tell(stage: str, share: float, **more: Any) -> None:
        if report is not None:
            report({"stage": stage, "share": share, "seconds": time.perf_counter() - begun, **more})

    data = row.load_data()(config["objective"], config["model"], store, facts, room)
    shards = data.shards(workers)
    partials: list[Any] = [None] * len(shards)
    tokens = 0
    tell("count", 0.0, tokens=0)
    with ThreadPoolExecutor(max_workers=workers) as pool:
        waiting = {pool.submit(data.partial, *shard): place for place, shard in enumerate(shards)}
        for done, future in enumerate(as_completed(waiting), 1):
            place = waiting[future]
            partials[place] = future.result()
            tokens += int(store.sentence_starts[shards[place][1]] - store.sentence_starts[shards[place][0]])
            tell("count", done / len(shards), tokens=tokens)
    tell("merge", 0.0, tokens=tokens)
    counts = data.merge(partials)
    del partials
    tell("estimate", 0.0, tokens=tokens)
    network = row.load_network().from_counts(config["model"], facts, counts)
    tell("done", 1.0, tokens=tokens, **network.facts())
    return network
