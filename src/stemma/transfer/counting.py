"""`classify` for generations that count: a bag of n-grams weighed by surprise, and class-conditional models.

Frozen: every n-gram of the text that the pre-trained model kept, weighed by the square root of how much
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

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stemma.corpus.task import Example
from stemma.errors import UsageError
from stemma.transfer.linear import LinearHead, Sparse, fit
from stemma.transfer.ngrams import extended, find, flatten, histories
from stemma.transfer.recipe import Lesson
from stemma.transfer.settings import Config


@dataclass(frozen=True)
class Sides:
    """Token ids of the texts, and of their second halves where the task has pairs."""

    sides: tuple[tuple[np.ndarray, ...], ...]

    @property
    def count(self) -> int:
        """How many texts."""
        return len(self.sides[0])

    def of(self, rows: np.ndarray) -> "Sides":
        """These texts alone."""
        return Sides(tuple(tuple(texts[row] for row in rows) for texts in self.sides))


def encode_sides(tokenizer: Any, examples: Sequence[Example]) -> Sides:
    """Tokenises; nothing is cut, since counting has no longest length."""
    first = tokenizer.encode_batch([example.text for example in examples])
    if not any(example.text_b for example in examples):
        return Sides((tuple(first),))
    return Sides((tuple(first), tuple(tokenizer.encode_batch([example.text_b for example in examples]))))


class BagOfNgrams:
    """The recipe of `frozen`: logistic regression on a surprise-weighted bag of the model's n-grams."""

    knob = "C"
    grid = (1.0, 10.0, 100.0)
    deterministic = True
    head = "multinomial logistic regression on the n-grams that the pre-trained model kept, weighed by the root of their surprise"

    def __init__(self, run: Any, config: Config) -> None:
        if config.mode == "random":
            raise UsageError(
                "transfer.mode = 'random' with a generation that counts",
                "one that has a network to draw",
                "use frozen, finetune or scratch",
            )
        self._run = run

    def prepare(self, examples: Sequence[Example]) -> "Bag":
        """Keys and weights of the texts' n-grams."""
        return bag_of(self._run.network, encode_sides(self._run.tokenizer, examples))

    def fit(self, lesson: Lesson, rows: np.ndarray, c: float, seed: int, told: Callable | None = None) -> "Bagged":
        """The head of this C on the rows' bags."""
        began = time.perf_counter()
        bag = lesson.data.of(rows)
        columns = np.unique(bag.keys)
        head = fit(bag.design(columns), lesson.labels[rows], lesson.classes, c)
        trained = head.weights.numel() + head.biases.numel()
        stored = sum(array.size for array in self._run.network.arrays().values())
        facts = {
            "features": len(columns),
            "seconds": time.perf_counter() - began,
            "loaded": list(self._run.network.arrays()),
            "new": ["task.columns", "task.weights", "task.biases"],
            "frozen": list(self._run.network.arrays()),
            "parameters": {"total": stored + trained, "trained": trained},
        }
        return Bagged(self._run.network, columns, head, facts)

    def restore(self, arrays: dict[str, np.ndarray], classes: int, facts: dict[str, Any]) -> "Bagged":
        """The head from its saved tensors."""
        import torch

        weights, biases = (torch.tensor(arrays[f"task.{name}"]) for name in ("weights", "biases"))
        return Bagged(self._run.network, np.array(arrays["task.columns"]), LinearHead(weights, biases), facts)


@dataclass(frozen=True)
class Bag:
    """The n-grams of texts: `keys` and `values` flat, `starts` (N+1) their borders."""

    keys: np.ndarray
    values: np.ndarray
    starts: np.ndarray

    def of(self, rows: np.ndarray) -> "Bag":
        """These texts alone."""
        places = np.concatenate([np.arange(self.starts[row], self.starts[row + 1]) for row in rows]) if len(rows) else np.empty(0, np.int64)
        starts = np.concatenate([[0], np.cumsum(np.diff(self.starts)[rows])])
        return Bag(self.keys[places], self.values[places], starts)

    def design(self, columns: np.ndarray) -> Sparse:
        """The matrix of the n-grams among `columns`, each row of length one."""
        place, known = find(self.keys, columns)
        text = np.repeat(np.arange(len(self.starts) - 1), np.diff(self.starts))[known]
        starts = np.concatenate([[0], np.cumsum(np.bincount(text, minlength=len(self.starts) - 1))])
        values = self.values[known]
        norms = np.sqrt(np.bincount(text, values**2, minlength=len(self.starts) - 1))
        return Sparse(starts, place[known], values / np.maximum(norms[text], 1e-12), len(columns))


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
    return Bag(np.concatenate(keys)[order], np.concatenate(values)[order], starts)


@dataclass(frozen=True)
class Bagged:
    """The pre-trained model with its fitted linear head."""

    network: Any
    columns: np.ndarray  # (F) keys of the n-grams that the head knows
    head: LinearHead
    facts: dict[str, Any]

    def probabilities(self, bag: Bag) -> np.ndarray:
        """Class probabilities (N K)."""
        return self.head.probabilities(bag.design(self.columns))

    def vectors(self, bag: Bag) -> np.ndarray:
        """The scores of the classes (N K): the bag itself is as wide as its vocabulary of n-grams."""
        return np.log(np.maximum(self.probabilities(bag), 1e-12))

    def arrays(self) -> dict[str, np.ndarray]:
        """The model's arrays under their own names, the head's under `task.`."""
        head = {"task.columns": self.columns, "task.weights": self.head.weights.numpy(), "task.biases": self.head.biases.numpy()}
        return dict(self.network.arrays()) | head


class ClassModels:
    """The recipe of `finetune` and `scratch`: one adapted language model a class."""

    knob = "mu"
    grid = (30.0, 100.0, 300.0)
    deterministic = True

    def __init__(self, run: Any, config: Config) -> None:
        self._run, self._config = run, config
        prior = "a uniform prior" if config.mode == "scratch" else "the pre-trained model as their prior"
        self.head = f"class-conditional {config.order}-gram models with {prior}, decided by Bayes' rule"
        self._prior = self._unigrams()

    def prepare(self, examples: Sequence[Example]) -> Sides:
        """Token ids."""
        return encode_sides(self._run.tokenizer, examples)

    def fit(self, lesson: Lesson, rows: np.ndarray, mu: float, seed: int, told: Callable | None = None) -> "Adapted":
        """Counts the rows' n-grams class by class."""
        began = time.perf_counter()
        labels, texts = lesson.labels[rows], lesson.data.of(rows)
        tables: dict[str, np.ndarray] = {"shares": np.bincount(labels, minlength=lesson.classes) / len(labels)}
        for side in range(len(texts.sides)):
            tables |= count_classes(texts, side, labels, lesson.classes, self._config.order, self._end)
        facts = {
            "seconds": time.perf_counter() - began,
            "loaded": [] if self._config.mode == "scratch" else list(self._run.network.arrays()),
            "new": [f"task.{name}" for name in tables],
            "frozen": [],
            "parameters": {
                "total": len(self._prior) + sum(t.size for t in tables.values()),
                "trained": sum(t.size for t in tables.values()),
            },
        }
        return Adapted(self, tables, mu, facts)

    def restore(self, arrays: dict[str, np.ndarray], classes: int, facts: dict[str, Any]) -> "Adapted":
        """The class models from their saved counts."""
        tables = {name.removeprefix("task."): array for name, array in arrays.items() if name.startswith("task.")}
        return Adapted(self, tables, facts["chosen"][self.knob], facts)

    @property
    def _end(self) -> int:
        return len(self._prior) - 1

    def _unigrams(self) -> np.ndarray:
        """P(w) of every token and, last, of a text's end: the pre-trained model's, or uniform."""
        size = self._run.tokenizer.vocab_size + 1
        if self._config.mode == "scratch":
            return np.full(size, 1 / size)
        probs = self._run.network.probs([], start=False)
        prior = np.zeros(size)
        prior[: min(len(probs), size - 1)] = probs[: size - 1]
        prior[self._run.network.end if self._run.network.end < size - 1 else -1] = 0.0
        prior[-1] = probs[self._run.network.end]
        floor = 1e-3 / size  # a token the corpus never had has a share of one in a thousand
        return (prior + floor) / (prior + floor).sum()


def count_classes(texts: Sides, side: int, labels: np.ndarray, classes: int, order: int, end: int) -> dict[str, np.ndarray]:
    """For n = 1 .. order, counts a class of the n-grams and of their histories: sorted keys and tables (keys, K)."""
    flat, starts = flatten(texts.sides[side], end)
    owner = np.repeat(labels, np.diff(starts))
    past, there = histories(flat, starts, order - 1, side)
    tables = {}
    for n in range(1, order + 1):
        inside = there[n - 1]
        for name, keys in (("ngrams", extended(past[n - 1], flat)), ("histories", past[n - 1])):
            known, place = np.unique(keys[inside], return_inverse=True)
            counts = np.bincount(place * classes + owner[inside], minlength=len(known) * classes)
            tables[f"{name}.{side}.{n}"] = known
            tables[f"{name}.{side}.{n}.counts"] = counts.reshape(-1, classes).astype(np.float32)
    return tables


@dataclass(frozen=True)
class Adapted:
    """One adapted language model a class."""

    recipe: ClassModels
    tables: dict[str, np.ndarray]
    mu: float
    facts: dict[str, Any]

    def probabilities(self, texts: Sides) -> np.ndarray:
        """P(class | text) (N K) by Bayes' rule."""
        logs = self.vectors(texts)
        likely = np.exp(logs - logs.max(1, keepdims=True))
        return (likely / likely.sum(1, keepdims=True)).astype(np.float32)

    def vectors(self, texts: Sides) -> np.ndarray:
        """log P(class, text) (N K)."""
        logs = np.tile(np.log(np.maximum(self.tables["shares"], 1e-12)), (texts.count, 1))
        for side in range(len(texts.sides)):
            flat, starts = flatten(texts.sides[side], self.recipe._end)
            events = np.log(self.event_probabilities(flat, starts, side))
            logs += np.add.reduceat(np.concatenate([events, np.zeros((1, logs.shape[1]))]), starts[:-1]) if texts.count else 0.0
        return logs

    def event_probabilities(self, flat: np.ndarray, starts: np.ndarray, side: int) -> np.ndarray:
        """P_c(w | h) (E K) of each event under each class's model; over all w they sum to one."""
        order = self.recipe._config.order
        past, there = histories(flat, starts, order - 1, side)
        prior = self.recipe._prior
        probs, weight = prior[flat][:, None], float(len(prior))  # nu: as add-one smoothing, spread by the prior
        for n in range(1, order + 1):
            counts = self._looked_up(f"ngrams.{side}.{n}", extended(past[n - 1], flat))
            sums = self._looked_up(f"histories.{side}.{n}", past[n - 1])
            adapted = (counts + weight * probs) / (sums + weight)
            probs, weight = np.where(there[n - 1][:, None], adapted, probs), self.mu
        return probs

    def arrays(self) -> dict[str, np.ndarray]:
        """The pre-trained model's arrays under their own names, the classes' counts under `task.`."""
        return dict(self.recipe._run.network.arrays()) | {f"task.{name}": table for name, table in self.tables.items()}

    def _looked_up(self, name: str, keys: np.ndarray) -> np.ndarray:
        place, known = find(keys, self.tables[name])
        counts = self.tables[f"{name}.counts"]
        return np.where(known[:, None], counts[place], 0.0) if len(counts) else np.zeros((len(keys), 1))
