"""N-gram language model (Chen & Goodman 1998; KenLM's lmplz: Heafield et al. 2013). The root of the tree.

P(w | h) for the n-1 words h before w, from counts alone: no vectors, no similarity between words, and nothing to
train. What it adds: smoothing, so that what was never seen still has its share. The default is interpolated modified
Kneser-Ney exactly as lmplz estimates it, to float rounding:

    P(w | h) = (a(hw) - D(a(hw))) / sum_v a(hv) + gamma(h) P(w | h'),   h' = h without its first word

with a the adjusted counts: of the highest order and of n-grams that start with <s> the raw counts, else in how many
left contexts an n-gram occurs. The orders end in the uniform distribution over all types.

The unknown word. Every word of the tokenizer's vocabulary is a type, seen or not, and <unk>, which stands for all words
outside of it, is one more: where the text holds <unk> it is counted and smoothed as any other word is, as the generations
that descend learn it. Text without it leaves <unk> what lmplz does: a type's share of the mass that the unigrams' discounts
free. `unknown = "dropped"` is lmplz under `--limit_vocab_file`: n-grams with <unk> are dropped, their mass goes to the
back-off, and a word that the text lacks is unknown too. A tokenizer without an unknown token has no <unk>.

Deviates: where the text is too small for the discounts' closed form, lmplz stops without `--discount_fallback`;
here the fallback is on, and said in `notes`. Text that holds the tokenizer's unknown token does not stop either. An empty
line is a sentence of no words for lmplz; here it parts documents and is counted as a rejected character, not as a sentence.
White space of any script at a line's ends (U+3000, U+00A0) and control characters are taken off and counted before words
are cut; for lmplz, which knows ASCII's white space alone, they are parts of words.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Literal, Self

import numpy as np

from stemma.bounds import Natural, Order, PositiveFloat
from stemma.checkpoint import leave_pages
from stemma.config import ReadIf
from stemma.errors import DamagedError, DataError, UsageError
from stemma.kernels import ngram_checks
from stemma.kernels import ngram_plain as kernels
from stemma.kernels import ngram_scoring as scoring
from stemma.kernels.numbers import ABSENT, END, START, UNKNOWN, WORD_BITS
from stemma.layers.recent import Recent
from stemma.objectives.kneser_ney import Estimation

if TYPE_CHECKING:
    from stemma.objectives.counts import NgramCounts
    from stemma.tokens.facts import TokenFacts

Method = Literal["mkn", "kn", "abs", "katz", "add-k", "mle"]
Fallback = bool | tuple[float, float, float]
DISCOUNTED = ReadIf("method", "mkn", "kn", "abs", "katz")
LN10 = math.log(10)
ROWS = 1 << 20  # looked at before their pages are given back
MEND = "restore the run from a copy, or make it again"


@dataclass(frozen=True)
class Config:
    """Order and smoothing of an n-gram model."""

    order: Order = 3  # words in the longest n-gram
    method: Method = "mkn"  # smoothing: modified Kneser-Ney, Kneser-Ney, absolute discounting, Katz, additive, none
    prune: tuple[Natural, ...] = ()  # drop n-grams seen at most so often, an entry an order; the last one extends
    discount_fallback: Annotated[Fallback, DISCOUNTED] = True  # discounts where the text is too small for the closed form
    k: Annotated[PositiveFloat, ReadIf("method", "add-k")] = 1.0  # added to every count (add-k; 1 is Laplace's)
    unknown: Literal["counted", "dropped"] = "counted"  # <unk> in the text: a word like any other, or left to the back-off
    interpolate_unigrams: bool = True  # mix unigrams with the uniform distribution; off, <unk> takes all of their discount
    precision: Literal["single", "double"] = "single"  # of the stored log probabilities; ARPA is single

    def __post_init__(self) -> None:
        prune = self.prune
        if any(b < a for a, b in pairwise(prune)) or len(prune) > self.order:
            raise UsageError(
                f"prune = {list(prune)} at order {self.order}",
                "at most one threshold an order, none lower than the one before",
                "for example prune = [0, 0, 1]",
            )
        if any(prune) and self.method in ("add-k", "mle"):
            wrong = f"prune = {list(prune)} with method = {self.method!r}"
            raise UsageError(wrong, "a method that backs off to shorter n-grams", 'drop prune, or set method = "mkn"')
        if self.drops_unknown and self.method in ("add-k", "mle"):
            wrong = f'unknown = "dropped" with method = {self.method!r}'
            raise UsageError(wrong, "a method that backs off to shorter n-grams", 'drop unknown, or set method = "mkn"')

    @property
    def continued(self) -> bool:
        """True for the methods whose lower orders count left contexts."""
        return self.method in ("mkn", "kn")

    @property
    def drops_unknown(self) -> bool:
        """True where n-grams with the unknown word are left to the back-off, and words that the text lacks are unknown."""
        return self.unknown == "dropped"

    def threshold(self, n: int) -> int:
        """The highest raw count of order n that is pruned."""
        return self.prune[min(n, len(self.prune)) - 1] if self.prune else 0


@dataclass(frozen=True)
class Scores:
    """What a text costs, event by event: a sentence's tokens, then its end. All flat; `starts` borders the sentences."""

    log_probs: np.ndarray  # float64, natural logarithm
    orders: np.ndarray  # uint8: words in the longest n-gram that matched, the event included
    unknown: np.ndarray  # bool: the event is out of vocabulary
    starts: np.ndarray  # int64 (sentences + 1)

    @property
    def nats(self) -> float:
        """Minus the log probability of everything."""
        return -float(self.log_probs.sum())

    @property
    def nats_of_known(self) -> float:
        """Minus the log probability of what is in the vocabulary."""
        return -float(self.log_probs[~self.unknown].sum())

    @property
    def events(self) -> int:
        """Tokens and sentence ends."""
        return len(self.log_probs)

    @property
    def unknowns(self) -> int:
        """Events out of vocabulary."""
        return int(self.unknown.sum())

    @property
    def sentences(self) -> np.ndarray:
        """(sentences) log probability of each sentence, its end included, natural logarithm."""
        return np.add.reduceat(np.append(self.log_probs, 0.0), self.starts[:-1])

    def perplexity(self, unknown: bool = True) -> float:
        """The number e to the mean nats an event, with or without the events out of vocabulary."""
        events = self.events if unknown else self.events - self.unknowns
        return math.exp((self.nats if unknown else self.nats_of_known) / events) if events else math.nan


class Ngram:
    """A back-off model over sorted n-grams, read from memory or from a file alike.

    Each n-gram is a row, order after order; single words come first, a row's number being the word's id. A row has its
    last word, the row of its first successor (up to that of the next row), and the row of its suffix, the n-gram without
    its first word. The highest order has no successors and no back-off.
    """

    max_length: int | None = None  # any text fits
    ARRAYS = ("words", "last_words", "successors", "suffixes", "log10_probs", "log10_backoffs", "sizes", "discounts", "uniform", "implied")

    def __init__(self, config: Config, arrays: Mapping[str, np.ndarray], end: int, unknown_token: int | None) -> None:
        self.config = config
        self.words = _shared(arrays["words"])  # (tokens) uint32: word of a token
        self.last_words = _shared(arrays["last_words"])  # (rows) uint32
        self.successors = _shared(arrays["successors"])  # (rows below the highest order, + 1) uint32
        self.suffixes = _shared(arrays["suffixes"])  # (rows) uint32
        self.log10_probs = _shared(arrays["log10_probs"])  # (rows)
        self.log10_backoffs = _shared(arrays["log10_backoffs"])  # (rows below the highest order)
        self.sizes = _shared(arrays["sizes"])  # (order) n-grams of each order; order 1 with <s>, and <unk>
        self.discounts = _shared(arrays["discounts"])  # (order, 7): D of the counts 0, 1, ...
        self.uniform = _shared(arrays["uniform"])  # (1): log10 of one type's share, NaN but for add-k
        self.implied = _shared(arrays["implied"])  # rows no one counted: prefixes and endings that a foreign model leaves out
        self.end = end  # token id that stands for a sentence's end in `probs`
        self.unknown_token = unknown_token  # None: the vocabulary is closed
        self.notes: list[str] = []  # what was replaced while estimating, in plain words

    @classmethod
    def from_counts(cls, config: Config, facts: "TokenFacts", counts: "NgramCounts") -> Self:
        """Estimates the model; uses up `counts`."""
        estimation = Estimation(config, counts)
        arrays = estimation.run()
        words, moved = counts.words, arrays.pop("unigrams", None)
        if moved is not None:
            known = np.minimum(words, counts.vocabulary - 1)
            words = np.where(words == ABSENT, ABSENT, np.where(moved[known + 1] > moved[known], moved[known], UNKNOWN)).astype(np.uint32)
        share = -math.log10(estimation.types) if config.method == "add-k" else math.nan
        arrays |= {"words": words, "uniform": np.array([share]), "implied": np.empty(0, np.uint32)}
        model = cls._of(config, facts, arrays)
        model.notes = estimation.notes
        if counts.skipped:
            model.notes.append(f"{counts.skipped:,} special tokens inside sentences were left out")
        return model

    @classmethod
    def from_arrays(cls, config: Config, facts: "TokenFacts", arrays: Mapping[str, np.ndarray]) -> Self:
        """The model over `arrays` as they are, memory-mapped or not; nothing is rebuilt or copied.

        They are read through once: DamagedError where they are not those of a model of this order and vocabulary, whose links
        compiled code may follow.
        """
        if wrong := _wrong(config, facts, arrays):
            raise DamagedError(f"the arrays of the n-gram model: {wrong}", "those of one model, as it was written", MEND)
        return cls._of(config, facts, arrays)

    @classmethod
    def _of(cls, config: Config, facts: "TokenFacts", arrays: Mapping[str, np.ndarray]) -> Self:
        end = facts.specials.get("eos", facts.vocab_size)
        return cls(config, arrays, end, facts.specials.get("unk"))

    def arrays(self) -> dict[str, np.ndarray]:
        """The model's parameters by name."""
        return {name: getattr(self, name) for name in self.ARRAYS}

    @property
    def parameters(self) -> int:
        """Probabilities and back-offs."""
        return len(self.log10_probs) + len(self.log10_backoffs)

    def facts(self) -> dict[str, int]:
        """N-grams by order, as a report shows them."""
        return {f"{n}-grams": int(size) for n, size in enumerate(self.sizes, 1)}

    # Scoring

    def score(self, sentences: Sequence[Sequence[int] | np.ndarray]) -> Scores:
        """Each token's log probability after its sentence's beginning, and each sentence's end."""
        starts = np.zeros(len(sentences) + 1, np.int64)
        np.cumsum([len(ids) for ids in sentences], out=starts[1:])
        flat = np.concatenate([np.asarray(ids, np.uint32) for ids in sentences]) if len(sentences) else np.empty(0, np.uint32)
        return self.score_flat(flat, starts)

    def score_flat(self, ids: np.ndarray, starts: np.ndarray, closing: bool = True) -> Scores:
        """As `score`, for flat `ids` with the sentences' borders; without the sentences' ends unless `closing`."""
        ids, starts = self._known(ids), np.asarray(starts, np.int64)
        events = np.empty(len(ids) + (len(starts) - 1 if closing else 0), np.uint32)
        kernels.events_of(self.words, ids, starts, int(closing), events)
        scores, orders = np.empty(len(events)), np.empty(len(events), np.uint8)
        if math.isnan(self.uniform[0]):
            tables = scoring.Tables(self.last_words, self.successors, self.log10_probs, self.log10_backoffs)
            scoring.score_in_blocks(tables, self.config.order, self._signposts, events, scores, orders)
        else:
            kernels.score_events(*self._links, self.config.order, float(self.uniform[0]), events, scores, orders)
        unknown = (events & WORD_BITS) == UNKNOWN
        scores *= LN10
        return Scores(scores, orders, unknown, starts + np.arange(len(starts)) if closing else starts)

    def lacks(self, ids: np.ndarray) -> np.ndarray:
        """True for each token (N) that the model takes for the unknown word."""
        words = self.words[self._known(ids)]
        return (words == UNKNOWN) | (words == ABSENT)

    @property
    def reach(self) -> int:
        """Tokens before a prediction that it reads."""
        return self.config.order - 1

    def token_or_end(self, past: np.ndarray, seen: np.ndarray, following: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """P (N) of the `following` token and of the sentence's end after the last `seen` ids of `past` (N R), with which it begins."""
        own = np.arange(self.reach) >= self.reach - seen[:, None]
        starts = np.concatenate([[0], np.cumsum(seen + 1)])
        ids = np.concatenate([past, following[:, None]], 1)[np.concatenate([own, np.ones((len(own), 1), bool)], 1)]
        tokens = self.score_flat(ids, starts, closing=False).log_probs[starts[1:] - 1]
        borders = np.concatenate([[0], np.cumsum(seen)])
        ends = self.score_flat(past[own], borders).log_probs[borders[1:] + np.arange(len(own))]
        return np.exp(tokens), np.exp(ends)

    # The next word

    def probs(self, context: Sequence[int], start: bool = True) -> np.ndarray:
        """P(next token | context) over token ids, float64; the sentence's end stands at `end` (one past the ids if they have none).

        `context` begins a sentence if `start`. Tokens unknown to the model have 0, their class's share is at the unknown token.
        """
        by_word = self._by_word(context, start)
        probs = np.zeros(max(len(self.words), self.end + 1))
        tokens = np.flatnonzero(self.words != ABSENT)
        tokens = tokens[self.words[tokens] > END]
        probs[tokens] = by_word[self.words[tokens]]
        if self.unknown_token is not None:
            probs[self.unknown_token] = by_word[UNKNOWN]
        probs[self.end] = by_word[END]
        return probs

    def frame(self, ids: Sequence[int], other: Sequence[int] | None = None) -> tuple[list[int], list[int]]:
        """(ids as they are, types): a sentence's start is no token here, every history that is short begins one."""
        return [*ids, *(other or ())], [0] * len(ids) + [1] * len(other or ())

    def advance(self, prompts: Sequence[Sequence[int]], memory: Recent | None = None) -> tuple[np.ndarray, Recent]:
        """(log-probabilities (B V) of each row's next token, the memory after it); never the unknown token, which has its share."""
        recent = Recent.after(prompts, memory, self.config.order - 1)
        probs = np.stack([self.probs(ids) for ids in recent.last])
        if self.unknown_token is not None:
            probs[:, self.unknown_token] = 0
        with np.errstate(divide="ignore"):
            return np.log(probs), recent

    # Inside

    def _known(self, ids: np.ndarray) -> np.ndarray:
        ids = np.ascontiguousarray(ids, np.uint32)
        if len(ids) and int(ids.max()) >= len(self.words):
            raise DataError(f"token id {int(ids.max())}", f"ids below {len(self.words)}", "encode the text with the run's own tokenizer")
        view = ids.view()
        view.flags.writeable = False
        return view

    @property
    def _links(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        return self.last_words, self.successors, self.suffixes, self.log10_probs, self.log10_backoffs

    @cached_property
    def _signposts(self) -> scoring.Signposts:
        return scoring.put_signposts(self.last_words, self.successors, int(self.sizes[0]) if self.config.order > 1 else 0)

    def _by_word(self, context: Sequence[int], start: bool) -> np.ndarray:
        """P(next word | context) over word ids, float64; what is never predicted has 0."""
        most = self.config.order - 1
        tokens = self._known(np.asarray(context, np.uint32))[len(context) - min(len(context), most) :]
        history = [UNKNOWN if word == ABSENT else int(word) for word in self.words[tokens]]
        if start and len(history) < most:
            history.insert(0, START)
        state, length = self._state(history)
        probs = np.power(10.0, self.log10_probs[: self.sizes[0]].astype(np.float64))
        probs[START] = 0
        additive = not math.isnan(self.uniform[0])
        if additive and history:
            rest = self.log10_backoffs[state] if length == len(history) else self.uniform[0]
            probs = np.where(probs > 0, 10.0**rest, 0)
        chain = []
        while length > 0 and not (additive and length < len(history)):
            chain.append(state)
            state, length = int(self.suffixes[state]), 0 if additive else length - 1
        for state in reversed(chain):
            rows = slice(int(self.successors[state]), int(self.successors[state + 1]))
            if not additive:
                probs *= 10.0 ** float(self.log10_backoffs[state])
            probs[self.last_words[rows]] = np.power(10.0, self.log10_probs[rows].astype(np.float64))
        return probs

    def _state(self, history: Sequence[int]) -> tuple[int, int]:
        """The row of the longest ending of `history` that is stored, and its length."""
        state, length, first = 0, 0, min(1, self.config.order - 1)
        for word in history:
            if word in (START, END):
                state, length = START, first
            else:
                _, _, state, length = kernels.step(*self._links, self.config.order, state, length, word)
        return int(state), int(length)


def _shared(array: np.ndarray) -> np.ndarray:
    """The array, not to be written: mapped from a file or not, it is of one kind, so that each kernel is compiled once."""
    view = np.asarray(array).view()
    view.flags.writeable = False
    return view


def _wrong(config: Config, facts: "TokenFacts", arrays: Mapping[str, np.ndarray]) -> str:
    """What is wrong with the arrays of a model, in a few words; empty where nothing is."""
    if lacking := [name for name in Ngram.ARRAYS if name not in arrays]:
        return f"there is no {lacking[0]}"
    sizes, words = arrays["sizes"], arrays["words"]
    if sizes.dtype.kind not in "iu" or sizes.shape != (config.order,) or (sizes < 0).any() or int(sizes[0]) <= END:
        return f"sizes of {len(sizes.reshape(-1))} orders, where model.order = {config.order}"
    offsets = np.concatenate([[0], np.cumsum([min(int(size), 1 << 40) for size in sizes])])
    rows, below = int(offsets[-1]), int(offsets[-2])
    logarithm = arrays["log10_probs"].dtype
    shapes = {
        "words": (np.uint32, facts.vocab_size),
        "last_words": (np.uint32, rows),
        "successors": (np.uint32, below + 1),
        "suffixes": (np.uint32, rows),
        "log10_probs": (np.float64 if logarithm == np.float64 else np.float32, rows),
        "log10_backoffs": (logarithm, below),
        "uniform": (np.float64, 1),
        "implied": (np.uint32, len(arrays["implied"].reshape(-1))),
    }
    if config.order == 1:  # one row beyond, for the context that is none
        shapes |= {"successors": (np.uint32, arrays["successors"].size), "log10_backoffs": (logarithm, arrays["log10_backoffs"].size)}
    for name, (kind, length) in shapes.items():
        if arrays[name].dtype != kind or arrays[name].shape != (length,):
            return f"{name} is {arrays[name].dtype} {list(arrays[name].shape)}, not {np.dtype(kind)} [{length}]"
    known = words[(words != ABSENT) & (words != UNKNOWN)]
    if (known >= sizes[0]).any() or len(np.unique(known)) != len(known):
        return "words are not a numbering of the vocabulary"
    if (arrays["implied"] >= rows).any():
        return "implied n-grams beyond the last one"
    links = [_shared(arrays[name]) for name in ("last_words", "successors", "suffixes", "log10_probs", "log10_backoffs")]
    for n in range(config.order):
        if n < config.order - 1 and int(links[1][offsets[n]]) != offsets[n + 1]:
            return f"row {offsets[n]} of {rows} is no n-gram"
        for begin in range(int(offsets[n]), int(offsets[n + 1]), ROWS):
            row = int(ngram_checks.first_wrong_row(*links, offsets, n, begin, min(begin + ROWS, int(offsets[n + 1]))))
            if row >= 0:
                return f"row {row} of {rows} is no n-gram"
            leave_pages(*links)  # of a model that is mapped from disk, no more comes into memory than is used
    return "" if config.order == 1 or int(links[1][below]) == rows else f"row {below - 1} of {rows} is no n-gram"
