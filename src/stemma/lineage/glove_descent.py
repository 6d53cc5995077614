"""How GloVe's tables descend: AdaGrad over the table X, by compiled kernels. The model stands in `glove`.

P pairs.
"""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from stemma.kernels import glove as kernels
from stemma.lineage.network import Descended
from stemma.objectives.batch import Batch, generator
from stemma.objectives.cooccurrence import entries

if TYPE_CHECKING:
    from stemma.lineage.glove_tables import Tables


class Descent:
    """Moves `Tables` in place, iteration by iteration; `sums` of squared steps, by table, begin at 1 (glove.c)."""

    def __init__(self, tables: "Tables") -> None:
        self._held = tables
        self.sums = {name: np.ones_like(table) for name, table in tables.tables.items()}

    def __call__(self, batch: Batch, rate: float, seed: int, threads: int = 1) -> Descended:
        """As `Tables.descend`."""
        lone = np.asarray(batch["lone"])
        for table in self._held.tables.values():
            table[lone] = 0
        visit = self._exact if self._held.config.kernel == "exact" else self._by_tiles
        cost, count = visit(batch, rate, seed, threads)
        return Descended(cost / count, count)

    def _exact(self, batch: Batch, rate: float, seed: int, threads: int) -> tuple[float, int]:
        """Entry after entry, in one random order, the same in every iteration, as glove.c with one thread."""
        config, weights, sums = self._held.config, self._held.tables, self.sums
        found = entries(batch)
        order = generator("glove", "order").permutation(len(found[0]))
        rates = (rate, config.bias_eta, config.clip, config.x_max, config.alpha)
        return kernels.exact(tuple(weights.values()), tuple(sums.values()), found, order, rates), len(order)

    def _by_tiles(self, batch: Batch, rate: float, seed: int, threads: int) -> tuple[float, int]:
        """Round after round in an order drawn anew; threads divide the tiles of a round between them."""
        config, weights, sums = self._held.config, self._held.tables, self.sums
        lanes = (0,) * -(-config.width // kernels.LANES)
        table = kernels.packed(len(lanes), tuple(weights.values()), tuple(sums.values()))
        rates = tuple(map(np.float32, (rate, config.bias_eta, config.clip)))
        told = np.zeros((len(batch["blocks"]), 2))
        with ThreadPoolExecutor(threads) as pool:
            for turn in generator(seed, "rounds").permutation(len(batch["rounds"]) - 1):
                first, last = map(int, batch["rounds"][turn : turn + 2])
                borders, places = np.array(batch["tiles"][first : last + 1]), np.array(batch["blocks"][first:last])
                pairs = self._weighed(batch, slice(borders[0], borders[-1]))
                rest = (borders - borders[0], pairs, bool(batch["symmetric"][0]), rates, told[first:last])
                work = partial(kernels.descend_tiles, lanes, table, batch["members"], places, *rest, threads=threads)
                list(pool.map(work, range(threads)))
        kernels.unpack(len(lanes), table, tuple(weights.values()), tuple(sums.values()))
        cost, count = told.sum(0)
        return float(cost), int(count)

    def _weighed(self, batch: Batch, part: slice) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Rows, columns, log x and f(x) of a part of X, read from disk."""
        rows, columns = np.array(batch["rows"][part]), np.array(batch["columns"][part])
        logs = np.log(batch["values"][part].astype(np.float32))
        alpha, limit = np.float32(self._held.config.alpha), np.float32(np.log(self._held.config.x_max))
        return rows, columns, logs, np.exp(np.minimum(alpha * (logs - limit), np.float32(0)))
