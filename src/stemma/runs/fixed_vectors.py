"""Static vectors with a fitted linear head on their means, in use without PyTorch: `fixed.Probed` for tables that do not move.

Axes: N examples, M rows of the linear model, D width, F features.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from stemma.runs.assignment import Assignment
from stemma.runs.framing import Framed, frame, framed_together
from stemma.runs.linear_head import LinearHead, check_shapes
from stemma.tasks.task import PLACES, Text

AT_ONCE = 4096  # examples whose features are multiplied together


@dataclass
class ProbedVectors:
    """Tables of word vectors with their fitted linear head; `mean` and `scale` (F) standardise what it reads."""

    assignment: Assignment  # its network: `lineage.network.StaticVectors`
    head: LinearHead
    mean: np.ndarray
    scale: np.ndarray
    facts: dict[str, Any]

    @classmethod
    def restore(cls, assignment: Assignment, arrays: Mapping[str, np.ndarray], facts: dict[str, Any]) -> Self:
        """The head from its saved tensors, on the saved tables as they stand."""
        weights, biases, mean, scale = (np.array(arrays[f"task.{name}"]) for name in ("weights", "biases", "mean", "scale"))
        features, classes = mean.size, biases.size
        expected = {"weights": (features, classes), "biases": (classes,), "mean": (features,), "scale": (features,)}
        check_shapes(arrays, {f"task.{name}": shape for name, shape in expected.items()})
        tables = {name: array for name, array in arrays.items() if not name.startswith("task.")}
        head = LinearHead(weights, biases, assignment.task.link(assignment.targets))
        found = cls.on(assignment, tables, head, mean, scale, facts)
        check_shapes({"task.mean": mean}, {"task.mean": (found.width,)})
        return found

    @classmethod
    def on(
        cls,
        assignment: Assignment,
        tables: Mapping[str, np.ndarray],
        head: LinearHead,
        mean: np.ndarray,
        scale: np.ndarray,
        facts: dict[str, Any],
    ) -> Self:
        """The head on these tables, whatever network the assignment has them in."""
        network = assignment.row.load_network().from_arrays(assignment.network.config, assignment.tokenizer.facts(), tables)
        return cls(replace(assignment, network=network), head, mean, scale, facts)

    @property
    def width(self) -> int:
        """F: the numbers of a vector; of pairs four times; of units, their place in their token too, one column a place."""
        own: int = self.assignment.network.width
        return own * (4 if self.assignment.of_pairs else 1) + PLACES * self.by_units

    @property
    def by_units(self) -> bool:
        """Whether rows are units; else windows, one a text or one a candidate."""
        return self.assignment.task.per == "unit"

    def prepare(self, texts: Sequence[Text]) -> Framed:
        """Tokenises and frames."""
        settings = self.assignment.settings
        return frame(self.assignment.network, self.assignment.tokenizer, texts, settings.max_length, stride=settings.stride)

    def together(self, several: Sequence[Framed]) -> list[Framed]:
        """All as one."""
        return framed_together(several)

    def answers(self, framed: Framed) -> list[Any]:
        """The task's answer to each text."""
        task, targets = self.assignment.task, self.assignment.targets
        products = [self._standardised(framed, rows) @ self.head.weights for rows in self._parts(framed)]
        outputs = self.head.outputs(np.concatenate([np.zeros((0, self.head.weights.shape[1]), np.float32), *products]))
        return task.quoted(task.from_rows(outputs, self._starts(framed), targets), framed.texts)

    def vectors(self, framed: Framed) -> np.ndarray:
        """The standardised features of each text (N F); of units or candidates their mean."""
        rows = np.concatenate([np.zeros((0, self.width), np.float32), *(self._standardised(framed, part) for part in self._parts(framed))])
        starts = self._starts(framed)
        means = [rows[start:end].sum(0) / max(1, end - start) for start, end in itertools.pairwise(starts)]
        return np.array(means, np.float32).reshape(len(framed.ids), self.width)

    def arrays(self) -> dict[str, np.ndarray]:
        """The tables under their own names, the head's under `task.`."""
        head = {"weights": self.head.weights, "biases": self.head.biases, "mean": self.mean, "scale": self.scale}
        return dict(self.assignment.network.arrays()) | {f"task.{name}": array for name, array in head.items()}

    def _starts(self, framed: Framed) -> np.ndarray:
        """Borders (N+1) of the texts among the rows."""
        return np.concatenate([[0], np.cumsum(framed.unit_counts)]) if self.by_units else framed.window_starts

    def _parts(self, framed: Framed) -> list[range]:
        return [range(first, min(first + AT_ONCE, len(framed.ids))) for first in range(0, len(framed.ids), AT_ONCE)]

    def _standardised(self, framed: Framed, examples: range) -> np.ndarray:
        """What the head reads of these examples (M F)."""
        rows = self._of_units(framed, examples) if self.by_units else self._of_windows(framed, examples)
        found: np.ndarray = (np.array(rows, np.float32).reshape(len(rows), self.width) - self.mean) / self.scale
        return found

    def _of_windows(self, framed: Framed, examples: range) -> list[np.ndarray]:
        """The mean of each window's vectors, zeros for a window without any; of pairs u, v, |u - v| and u v of the halves' means."""
        rows = []
        for example in examples:
            vectors = self.assignment.network.vectors_of(framed.ids[example])
            for start, end in itertools.pairwise(np.cumsum([0, *framed.windows[example]])):
                own = vectors[start:end]
                if self.assignment.of_pairs:
                    halves = framed.halves[example][start:end]
                    u, v = (_mean(own[halves == half]) for half in (1, 2))
                    rows.append(np.concatenate([u, v, abs(u - v), u * v]))
                else:
                    rows.append(_mean(own))
        return rows

    def _of_units(self, framed: Framed, examples: range) -> list[np.ndarray]:
        """The vector at each unit, zeros where it has no token, and its place in that token."""
        rows, places_of = [], np.eye(PLACES, dtype=np.float32)
        for example in examples:
            vectors = self.assignment.network.vectors_of(framed.ids[example])
            columns, places = framed.units[example]
            own = [vectors[column] if column >= 0 else np.zeros(vectors.shape[1], np.float32) for column in columns]
            rows += [np.concatenate([vector, places_of[place]]) for vector, place in zip(own, places, strict=True)]
        return rows


def _mean(vectors: np.ndarray) -> np.ndarray:
    """The mean of the rows; zeros of none."""
    mean: np.ndarray = vectors.sum(0) / max(1, len(vectors))
    return mean
