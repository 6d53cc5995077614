"""The driver of counting generations: shards of the text -> partial counts -> one count -> the network.

Workers are threads: the counting kernels run outside the interpreter's lock and share the memory-mapped text. The
result does not depend on how many there are.
"""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import TYPE_CHECKING, Any

from stemma.lineage.table import Generation

if TYPE_CHECKING:
    from stemma.tokens.settings import TokenFacts
    from stemma.tokens.store import TokenStore

Report = Callable[[dict[str, Any]], None]


def count(
    row: Generation, store: "TokenStore", facts: "TokenFacts", config: Mapping[str, Any], workers: int = 1, report: Report | None = None
) -> Any:
    """The network of `row`, a counting generation, from all sentences of `store`.

    `config` holds the sections `model` and `objective`. `report` is given facts as the work goes: `stage` ("count",
    "merge", "estimate", "done"), `share` done of the stage, `tokens` counted so far, `seconds` since the start.
    """
    begun = time.perf_counter()

    def tell(stage: str, share: float, **more: Any) -> None:
        if report is not None:
            report({"stage": stage, "share": share, "seconds": time.perf_counter() - begun, **more})

    data = row.load_data()(config["objective"], config["model"], store, facts)
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
