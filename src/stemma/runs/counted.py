"""Models of counts that have learnt a task of texts: a bag of n-grams weighted by surprise, and class-conditional models.

Frozen: every n-gram of the text that the pre-trained model kept, weighted by the square root of how much
its last token surprised that model where it stood, -log P(w | h): the product of two texts is then the
surprise, in nats, that they share. What was to be expected says little (the pre-trained model's own
idf). A linear head learns on it.

Fine-tuned: one language model a class, adapted from the pre-trained one by maximum a posteriori
(Bacchiani 2006, "MAP adaptation of stochastic grammars"): the counts of the class's text with the
model of the next shorter history as a Dirichlet prior, and under all of them the pre-trained model's:

    P_c(w)     = (c_c(w)  + nu P(w))        / (c_c + nu)
    P_c(w | h) = (c_c(hw) + mu P_c(w | h')) / (c_c(h) + mu)

The class of a text is that of the highest P(c) * product of P_c(w | h). From scratch, P(w) is uniform.
Axes: E events, N texts, K classes, F features.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from stemma.runs.assignment import Assignment
from stemma.runs.linear_head import LinearHead, check_shapes, sparse_times
from stemma.runs.ngrams import extended, find, flatten, histories
from stemma.runs.open_vocabulary import OpenVocabulary
from stemma.tasks.task import Text

if TYPE_CHECKING:
    from stemma.runs.linear import Sparse


@dataclass(frozen=True)
class Sides:
    """Token ids of the texts, and of their second halves where the task has pairs; or of the candidates that a text has."""

    sides: tuple[tuple[np.ndarray, ...], ...]
    known: np.ndarray  # True for each text (N) with a token of the vocabulary, in its second half too where the task has pairs
    borders: np.ndarray  # (N+1) of the texts among the rows: one row each, or one a candidate
    cut = tokens_cut = unread = 0  # counting has no longest length

    @property
    def count(self) -> int:
        """How many rows."""
        return len(self.sides[0])

    @property
    def lost(self) -> tuple[int, ...]:
        """Tokens cut off each text: none."""
        return (0,) * len(self.known)

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each text (N), in all its rows."""
        rows = np.cumsum([0, *(sum(map(len, sides)) for sides in zip(*self.sides, strict=True))])
        return np.diff(rows[self.borders])

    def of(self, texts: np.ndarray) -> "Sides":
        """These texts alone."""
        rows, borders = ranges(self.borders, texts)
        return Sides(tuple(tuple(side[row] for row in rows) for side in self.sides), self.known[texts], borders)


def encode_sides(tokenizer: Any, texts: Sequence[Text]) -> Sides:
    """Tokenises; nothing is cut, since counting has no longest length."""
    first, known = tokenizer.encode_batch([text.text for text in texts]), OpenVocabulary(tokenizer, None).known_of
    each = np.arange(len(texts) + 1)
    if any(text.candidates for text in texts):  # beside them the text says nothing: models of sums give all its candidates the same for it
        borders = np.concatenate([[0], np.cumsum([len(text.candidates) for text in texts])])
        second = tokenizer.encode_batch([candidate for text in texts for candidate in text.candidates])
        return Sides((tuple(second),), known(first) & np.logical_and.reduceat(known(second), borders[:-1]), borders)
    if not any(text.other for text in texts):
        return Sides((tuple(first),), known(first), each)
    second = tokenizer.encode_batch([text.other for text in texts])
    return Sides((tuple(first), tuple(second)), known(first) & known(second), each)


def ranges(borders: np.ndarray, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What lies between the `chosen` borders, one after the other, and its own borders."""
    inside = [np.arange(borders[at], borders[at + 1]) for at in chosen]
    own = np.cumsum([0, *(len(part) for part in inside)])
    return np.concatenate([np.empty(0, np.int64), *inside]), own


def mean_rows(table: np.ndarray, borders: np.ndarray) -> np.ndarray:
    """The mean of each text's rows (N K)."""
    return np.add.reduceat(table, borders[:-1]) / np.diff(borders)[:, None] if len(table) else table


@dataclass(frozen=True)
class Bag:
    """The n-grams of texts: `keys` and `values` flat, `starts` (M+1) the borders of the rows in them."""

    keys: np.ndarray
    values: np.ndarray
    starts: np.ndarray
    known: np.ndarray  # as of `Sides`
    borders: np.ndarray  # likewise
    cut = tokens_cut = unread = 0  # counting has no longest length

    @property
    def lost(self) -> tuple[int, ...]:
        """Tokens cut off each text: none."""
        return (0,) * len(self.known)

    @property
    def lengths(self) -> np.ndarray:
        """N-grams of each text (N)."""
        return np.diff(self.starts[self.borders])

    def of(self, texts: np.ndarray) -> "Bag":
        """These texts alone."""
        rows, borders = ranges(self.borders, texts)
        places, starts = ranges(self.starts, rows)
        return Bag(self.keys[places], self.values[places], starts, self.known[texts], borders)

    def design(self, columns: np.ndarray) -> "Sparse":
        """The matrix of the n-grams among `columns`, each row of length one, to fit a head on."""
        from stemma.runs.linear import Sparse  # torch: not for a head in use

        return Sparse(*self.rows(columns), len(columns))

    def rows(self, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """That matrix as borders of its rows (N+1), columns and values."""
        place, known = find(self.keys, columns)
        text = np.repeat(np.arange(len(self.starts) - 1), np.diff(self.starts))[known]
        starts = np.concatenate([[0], np.cumsum(np.bincount(text, minlength=len(self.starts) - 1))])
        values = self.values[known]
        norms = np.sqrt(np.bincount(text, values**2, minlength=len(self.starts) - 1))
        return starts, place[known], values / np.maximum(norms[text], 1e-12)


def bag_of(network: Any, texts: Sides) -> Bag:
    """Every n-gram that the model kept, once for each time it stands in the text, with the root of its surprise."""
    keys, values, owners = [], [], []
    for side, ids in enumerate(texts.sides):
        flat, starts = flatten(ids)
        scored = network.score_flat(flat, starts, closing=False)
        weights = np.sqrt(np.minimum(-scored.log_probs, 50.0))  # an unsmoothed model's infinity is no weight
        past, there = histories(flat, starts, network.config.order - 1, side)
        owner = np.repeat(np.arange(texts.count), np.diff(starts))
        for n in range(1, network.config.order + 1):
            kept = there[n - 1] & (scored.orders >= n) & ~scored.unknown
            keys.append(extended(past[n - 1], flat)[kept])
            values.append(weights[kept])
            owners.append(owner[kept])
    owner = np.concatenate(owners)
    order = np.argsort(owner, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(owner, minlength=texts.count))])
    return Bag(np.concatenate(keys)[order], np.concatenate(values)[order], starts, texts.known, texts.borders)


@dataclass(frozen=True)
class Bagged:
    """The pre-trained model with its fitted linear head."""

    assignment: Assignment
    columns: np.ndarray  # (F) keys of the n-grams that the head knows
    head: LinearHead
    facts: dict[str, Any]

    @classmethod
    def restore(cls, assignment: Assignment, arrays: Mapping[str, np.ndarray], facts: dict[str, Any]) -> Self:
        """The head from its saved tensors."""
        classes, columns = arrays["task.biases"].size, arrays["task.columns"].size
        check_shapes(arrays, {"task.columns": (columns,), "task.weights": (columns, classes), "task.biases": (classes,)})
        weights, biases = (np.array(arrays[f"task.{name}"]) for name in ("weights", "biases"))
        head = LinearHead(weights, biases, assignment.task.link(assignment.targets))
        return cls(assignment, np.array(arrays["task.columns"]), head, facts)

    def prepare(self, texts: Sequence[Text]) -> Bag:
        """Keys and weights of the texts' n-grams."""
        return bag_of(self.assignment.network, encode_sides(self.assignment.tokenizer, texts))

    def together(self, several: Sequence[Bag]) -> list[Bag]:
        """Each by itself: counts gain nothing from company."""
        return list(several)

    def answers(self, bag: Bag) -> list[Any]:
        """The task's answer to each text."""
        return self.assignment.task.from_rows(self._outputs(bag), bag.borders, self.assignment.targets)

    def vectors(self, bag: Bag) -> np.ndarray:
        """The scores of the classes (N K), or the numbers: the bag itself is as wide as its vocabulary of n-grams."""
        outputs = self._outputs(bag)
        scores = self.head.link in ("identity", "within")
        return mean_rows(outputs if scores else np.log(np.maximum(outputs, 1e-12)), bag.borders)

    def arrays(self) -> dict[str, np.ndarray]:
        """The model's arrays under their own names, the head's under `task.`."""
        head = {"task.columns": self.columns, "task.weights": self.head.weights, "task.biases": self.head.biases}
        return dict(self.assignment.network.arrays()) | head

    def _outputs(self, bag: Bag) -> np.ndarray:
        return self.head.outputs(sparse_times(*bag.rows(self.columns), self.head.weights))


def unigrams(assignment: Assignment) -> np.ndarray:
    """P(w) of every token and, last, of a text's end: the pre-trained model's, or uniform from scratch."""
    network, size = assignment.network, assignment.tokenizer.vocab_size + 1
    if assignment.settings.mode == "scratch":
        return np.full(size, 1 / size)
    probs = network.probs([], start=False)
    prior = np.zeros(size)
    prior[: min(len(probs), size - 1)] = probs[: size - 1]
    prior[network.end if network.end < size - 1 else -1] = 0.0
    prior[-1] = probs[network.end]
    floor = 1e-3 / size  # a token the corpus never had has a share of one in a thousand
    return (prior + floor) / (prior + floor).sum()


@dataclass(frozen=True)
class Adapted:
    """One adapted language model a class."""

    assignment: Assignment
    prior: np.ndarray  # P(w) of every token and, last, of a text's end
    tables: dict[str, np.ndarray]
    mu: float
    facts: dict[str, Any]

    @classmethod
    def restore(cls, assignment: Assignment, arrays: Mapping[str, np.ndarray], facts: dict[str, Any]) -> Self:
        """The class models from their saved counts."""
        classes = len(assignment.targets["labels"]) or 2  # of candidates: wrong ones and right ones
        check_shapes(arrays, {"task.shares": (classes,)})
        for name in [name for name in arrays if name.startswith("task.") and f"{name}.counts" in arrays]:
            keys = arrays[name].size
            check_shapes(arrays, {name: (keys,), f"{name}.counts": (keys, classes)})
        tables = {name.removeprefix("task."): array for name, array in arrays.items() if name.startswith("task.")}
        return cls(assignment, unigrams(assignment), tables, facts["chosen"]["mu"], facts)

    def prepare(self, texts: Sequence[Text]) -> Sides:
        """Token ids."""
        return encode_sides(self.assignment.tokenizer, texts)

    def together(self, several: Sequence[Sides]) -> list[Sides]:
        """Each by itself: counts gain nothing from company."""
        return list(several)

    def answers(self, texts: Sides) -> list[Any]:
        """The task's answer to each text."""
        task, targets = self.assignment.task, self.assignment.targets
        if task.link(targets) == "within":
            logs = self._logs(texts)
            return task.from_rows(logs[:, 1:] - logs[:, :1], texts.borders, targets)
        return task.from_rows(self.probabilities(texts), texts.borders, targets)

    def probabilities(self, texts: Sides) -> np.ndarray:
        """P(class | text) (N K) by Bayes' rule."""
        logs = self._logs(texts)
        likely = np.exp(logs - logs.max(1, keepdims=True))
        return (likely / likely.sum(1, keepdims=True)).astype(np.float32)

    def vectors(self, texts: Sides) -> np.ndarray:
        """The log of P(class, text) (N K); of candidates their mean."""
        return mean_rows(self._logs(texts), texts.borders)

    def _logs(self, texts: Sides) -> np.ndarray:
        """The log of P(class, row) (M K)."""
        logs = np.tile(np.log(np.maximum(self.tables["shares"], 1e-12)), (texts.count, 1))
        for side in range(len(texts.sides)):
            flat, starts = flatten(texts.sides[side], len(self.prior) - 1)
            events = np.log(self.event_probabilities(flat, starts, side))
            logs += np.add.reduceat(np.concatenate([events, np.zeros((1, logs.shape[1]))]), starts[:-1]) if texts.count else 0.0
        return logs

    def event_probabilities(self, flat: np.ndarray, starts: np.ndarray, side: int) -> np.ndarray:
        """P_c(w | h) (E K) of each event under each class's model; over all w they sum to one."""
        order = self.assignment.settings.order
        past, there = histories(flat, starts, order - 1, side)
        probs, weight = self.prior[flat][:, None], float(len(self.prior))  # nu: as add-one smoothing, spread by the prior
        for n in range(1, order + 1):
            counts = self._looked_up(f"ngrams.{side}.{n}", extended(past[n - 1], flat))
            sums = self._looked_up(f"histories.{side}.{n}", past[n - 1])
            adapted = (counts + weight * probs) / (sums + weight)
            probs, weight = np.where(there[n - 1][:, None], adapted, probs), self.mu
        return probs

    def arrays(self) -> dict[str, np.ndarray]:
        """The pre-trained model's arrays under their own names, the classes' counts under `task.`."""
        return dict(self.assignment.network.arrays()) | {f"task.{name}": table for name, table in self.tables.items()}

    def _looked_up(self, name: str, keys: np.ndarray) -> np.ndarray:
        place, known = find(keys, self.tables[name])
        counts = self.tables[f"{name}.counts"]
        return np.where(known[:, None], counts[place], 0.0) if len(counts) else np.zeros((len(keys), 1))
