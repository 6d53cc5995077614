"""Co-occurrence: how near each two words stand to each other, summed over the whole text (Pennington 2014, section 4.2).

X_ij is the sum of 1/d over all places where word j stands d words from word i in the same sentence, d at most `window`. Words
out of the vocabulary are left out *before* distances are counted, as Stanford's `cooccur` does. The text is read once; a
step is an iteration over all of X.

Pairs of frequent words are added up in a triangle in memory, the *corner*; the others wait in a buffer, which is sorted,
summed and put on disk when it is full. Weights are whole numbers, so X is exact: its bytes depend neither on the memory
limit nor on the number of threads.

X is laid out in *tiles*. Words are dealt to B blocks by rank, so that every block has its share of frequent and rare ones; tile
(a, b) holds the pairs of a word of block a with one of block b. The tiles with a + b = r (mod B) are *round* r: no two of
them have a word in common on the same side, so they may be worked on side by side.
"""

import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from math import lcm
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stemma.bounds import Length, Natural, PositiveFloat
from stemma.checkpoint import map_tensors
from stemma.errors import BudgetError, DataError, UsageError
from stemma.kernels.clocks import working
from stemma.kernels.cooccurrence import BLOCK_BITS
from stemma.objectives.batch import Batch
from stemma.objectives.cooccurrence_count import FILES, INDEX, Text, count, room_for
from stemma.objectives.objective import Preparation
from stemma.tokens.files import checksum, disk_budget, read_json, write_sealed

if TYPE_CHECKING:
    from stemma.tokens.facts import TokenFacts
    from stemma.tokens.store import TokenStore

WIDEST = 22  # window whose weights lcm(1..window)/d still leave room for ten billion occurrences of a word in 64 bits
BLOCK = 1024  # words of a block, so that the rows of two blocks that are in use stay in the cache; more where 4,096 blocks are too few
HEADER = "header.json"


@dataclass(frozen=True)
class Config:
    """What counts as standing together, and how much memory counting may take (its result does not depend on that)."""

    window: Length = 10  # words on each side at most (Pennington 2014, section 4.2; the C program has 15)
    distance_weighting: bool = True  # a pair at distance d counts 1/d; off: 1
    symmetric: bool = True  # both neighbours count; off: X_ij has only the words j that follow i
    tokens: Natural = 0  # of the text at most, which training draws by lot from all of it (`tokens.drawn`); 0: all
    memory: PositiveFloat = 4.0  # GiB that counting may take beside the program itself

    def __post_init__(self) -> None:
        """Refuses windows whose weights would not add up exactly."""
        if self.distance_weighting and self.window > WIDEST:
            wrong = f"window = {self.window} with distance_weighting, whose sums would not be exact in 64 bits"
            raise UsageError(wrong, f"at most {WIDEST}", "set a smaller window, or distance_weighting = false")

    @property
    def shares(self) -> np.ndarray:
        """(window + 1) int64: what a pair at each distance adds to the sums, in units of 1/`unit`."""
        return np.array([0, *(self.unit // d if self.distance_weighting else 1 for d in range(1, self.window + 1))], np.int64)

    @property
    def unit(self) -> int:
        """Sums are divided by it."""
        return lcm(*range(1, self.window + 1)) if self.distance_weighting else 1


class Cooccurrence:
    """Gives X in tiles, the same batch at each step, once `prepare` has counted.

    `rows`, `columns` (P) uint16 places of the words of P pairs in their blocks, and `values` (P) float64, mapped from disk ·
    `tiles` (G+1) int64 borders of the tiles among the pairs · `blocks` (G 2) int32 of each tile · `rounds` (R+1) int64 borders of
    the rounds among the tiles · `members` (blocks, words) int32 ids, -1 where a block is shorter · `symmetric` (1) bool: each
    pair stands for both of its orders · `lone` (L) int64 ids of words that stand next to no other.
    """

    def __init__(
        self,
        store: "TokenStore",
        facts: "TokenFacts",
        config: Config,
        *,
        seed: int,  # accepted for the common signature: nothing is drawn
        batch_tokens: int = 0,  # accepted for the common signature: a step takes all of X
        max_length: int | None = None,  # accepted for the common signature: no sentence is ever cut
    ) -> None:
        counts = np.array(store.counts if facts.counts is None else facts.counts, np.int64)
        counts[list(facts.specials.values())] = 0
        self.store, self.config = store, config
        self.by_rank = np.argsort(-counts, kind="stable")[: np.count_nonzero(counts)]  # ids, the most frequent first
        if not len(self.by_rank):
            raise DataError(
                f"none of the {len(store.ids)} tokens is a word of the vocabulary",
                "text that the tokenizer knows",
                "train the tokenizer on this text, or lower tokenizer.min_count",
            )
        rank_of_id = np.full(len(counts), -1, np.int32)
        rank_of_id[self.by_rank] = np.arange(len(self.by_rank))
        borders = np.asarray(store.sentence_starts, np.int64)
        blocks = min(-(-len(self.by_rank) // BLOCK), 1 << BLOCK_BITS)
        self.text = Text(store.ids, borders, rank_of_id, config.shares, config.unit, blocks, config.symmetric)
        self._batch: Batch | None = None
        room_for(self.text, self._memory, 1)  # raises before anything is begun

    @property
    def text_tokens(self) -> int:
        """Tokens of the text that are counted."""
        return int(self.text.borders[-1])

    def steps_in_epoch(self, epoch: int = 0) -> int:
        """One: an iteration over all of X."""
        return 1

    def epoch_of(self, step: int) -> tuple[int, int]:
        """(epoch, step within it), both from 0."""
        return step, 0

    def batch(self, step: int, rank: int = 0, ranks: int = 1) -> Batch:
        """All of X, whatever the step."""
        assert self._batch is not None, "prepare comes first"
        return self._batch

    def real_tokens(self, batch: Batch) -> int:
        """None: the text was read in preparation."""
        return 0

    def ledger(self) -> dict[str, int]:
        """Tokens of the text that is read: all = used + unknown."""
        read, size = self.text_tokens, 1 << 20
        parts = (self.store.ids[first : min(first + size, read)] for first in range(0, read, size))
        used = sum(int(np.count_nonzero(self.text.rank_of_id[part] >= 0)) for part in parts)
        return {"tokens": read, "used": used, "unknown": read - used}

    def used_by(self, steps: int) -> int:
        """How many of the store's tokens are used, by any number of steps: all that is read, before the first."""
        return self.ledger()["used"]

    def constant_losses(self, learnt_from: "TokenStore") -> dict[str, float]:
        """None: no loss is taken on held-out text."""
        return {}

    def prepare(self, folder: Path, threads: int, note: Callable[[str], None]) -> Preparation:
        """Counts X into `folder`, or finds there what an earlier call has counted.

        What a killed call left half done is counted again. Raises BudgetError when the memory or the disk is too small
        and DataError when no two words stand together; nothing is left then.
        """
        header = read_json(folder / HEADER)
        if not self._is_whole(folder, header):
            note(f"counting which words stand together in {self.text_tokens:,} tokens")
            shutil.rmtree(folder, ignore_errors=True)
            with disk_budget(folder, clear=folder):
                header = self._count(folder, threads)
        assert header is not None
        self._batch = {name: np.memmap(folder / name, kind, "r") for name, kind in FILES.items()}
        index = map_tensors(folder / INDEX)
        self._batch |= index | {"lone": self.by_rank[index["lone"]]}
        self._batch |= {"members": self._members(), "symmetric": np.array([self.config.symmetric])}
        return Preparation(**header["preparation"])

    @property
    def _memory(self) -> int:
        return int(self.config.memory * 2**30)

    def _count(self, folder: Path, threads: int) -> dict[str, Any]:
        """Counts, and writes the header, which says that all is there, last."""
        began = working()
        room_for(self.text, self._memory, threads)
        folder.mkdir(parents=True)
        try:
            pairs = count(self.text, self._memory, threads, folder)
        except (DataError, BudgetError):
            shutil.rmtree(folder, ignore_errors=True)
            raise
        size = sum((folder / name).stat().st_size for name in (*FILES, INDEX))
        preparation = Preparation(self.text_tokens, *working().minus(began), size)
        sums = {name: checksum(folder / name) for name in (*FILES, INDEX)}
        header = {"identity": self._identity(), "pairs": pairs, "preparation": asdict(preparation), "files": sums}
        write_sealed(folder / HEADER, header)
        return header

    def _is_whole(self, folder: Path, header: dict[str, Any] | None) -> bool:
        """True when the folder holds X of this very text, undamaged."""
        if header is None or header.get("identity") != self._identity():
            return False
        return all((folder / name).is_file() and checksum(folder / name) == expected for name, expected in header["files"].items())

    def _identity(self) -> dict[str, Any]:
        """What X depends on."""
        plain = {name: value for name, value in asdict(self.config).items() if name != "memory"}
        text = {name: self.store.header[name] for name in ("fingerprint", "tokenizer")}
        return plain | text | {"words": len(self.by_rank), "blocks": self.text.blocks}

    def _members(self) -> np.ndarray:
        """(blocks, words of a block) int32: the id at each place; -1 where a block is shorter."""
        blocks = self.text.blocks
        members = np.full((-(-len(self.by_rank) // blocks), blocks), -1, np.int32)
        members.reshape(-1)[: len(self.by_rank)] = self.by_rank
        return np.ascontiguousarray(members.T)


def entries(batch: Batch) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """X entry by entry: ids of rows and of columns, and values, each (E); a symmetric pair is two entries."""
    tile = np.repeat(np.arange(len(batch["blocks"])), np.diff(batch["tiles"]))
    rows, columns = (batch["members"][batch["blocks"][tile, side], batch[name]] for side, name in enumerate(("rows", "columns")))
    values = np.array(batch["values"])
    if not batch["symmetric"][0]:
        return rows, columns, values
    other = rows != columns
    return np.append(rows, columns[other]), np.append(columns, rows[other]), np.append(values, values[other])
