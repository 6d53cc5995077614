"""Writing on from a prompt: greedy, drawn, or by beam search; once for every generation that tells what may come next.

Here stands all choosing: temperature, top-k (Fan 2018), nucleus (Holtzman 2020), the repetition penalty of CTRL (Keskar 2019,
section 4.1), beam search with GNMT's length penalty (Wu 2016, eq. 14), stop strings. A network only gives log-probabilities
(`lineage.network.Generates`).

Deviates: the repetition penalty multiplies log-probabilities, where CTRL divides logits, which counts do not have and whose
sign is a matter of taste; the token that ends a text is never penalised.

B rows, V vocabulary.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from stemma.bounds import real, whole
from stemma.corpus.given import listed
from stemma.errors import UsageError
from stemma.lineage.network import Generates, Memory, Translates
from stemma.objectives.batch import generator
from stemma.tokens.tokenizer import Tokenizer

ROWS = 64  # texts that are written together
TRANSLATED = 128  # texts that are followed together while translating: each reads one token a step, so that more of them fill a product
BLOCK = 64  # tokens of which a search first looks at the best alone
LONGER = 50  # tokens that a translation may have more than its source (Vaswani 2017, section 6.1)
NO_DRAWS = np.random.default_rng(0)  # of a search, which draws nothing
MOST_PENALTY = 10.0  # alpha: beyond it lengths alone would count, and far beyond it no number holds
BROKEN = "\ufffd"  # what a decoder writes for bytes that are no character, or only the beginning of one


Wanted = Callable[[], bool]  # whether anybody still waits for what is being written


def always() -> bool:
    """Somebody does."""
    return True


@dataclass(frozen=True)
class Decoding:
    """How the next token is chosen. A search refuses the options of a draw; at temperature 0, `top_k` and `top_p` change nothing."""

    temperature: float = 1.0  # divides log-probabilities before a draw; 0 takes the likeliest token
    top_k: int = 0  # draw from the k likeliest; 0: from all
    top_p: float = 1.0  # draw from the fewest likeliest that hold this share of the probability
    repetition_penalty: float = 1.0  # multiplies the log-probability of tokens that stand in the text already; 1: none
    beams: int = 1  # texts that a beam search follows side by side; 1: no search
    length_penalty: float = 0.6  # alpha: a searched text's log-probability is divided by ((5 + length) / 6)^alpha; 0: none
    stop: tuple[str, ...] = ()  # the text ends before the first of these

    def __post_init__(self) -> None:
        """Refuses what is out of range."""
        real("temperature", self.temperature, default=1.0)
        whole("top_k", self.top_k, default=0)
        real("top_p", self.top_p, most=1, above=True, default=1.0)
        real("repetition_penalty", self.repetition_penalty, above=True, default=1.0)
        whole("beams", self.beams, 1, default=1)
        real("length_penalty", self.length_penalty, most=MOST_PENALTY, default=0.6)
        if not all(isinstance(stop, str) and stop for stop in listed(self.stop, "stop")):
            raise UsageError(f"stop = {self.stop!r}", "texts of one character or more", "leave it out to stop nowhere")
        if self.beams > 1 and (self.temperature not in (0, 1) or self.top_k or self.top_p < 1):
            raise UsageError(f"beams = {self.beams} with options of a draw", "a search or a draw", "drop temperature, top_k and top_p")


class Written(NamedTuple):
    """One text that was written: prompt and continuation."""

    text: str
    ids: list[int]  # the new tokens, the end left out
    log_prob: float  # of the new tokens, and of the end where it came; natural logarithm
    score: float  # what texts of a search are ranked by; else the log-probability


@dataclass
class Draft:
    """A text being written: the framed prompt, and what came after it."""

    prompt: list[int]
    draws: np.random.Generator
    new: list[int] = field(default_factory=list)
    priced: int = 0  # tokens that `log_prob` is of: the new ones, and the end where it came
    log_prob: float = 0.0
    repetition: float = 0.0  # what the repetition penalty adds to it where a search ranks
    closed: bool = False  # nothing more is to come

    @property
    def ranked(self) -> float:
        """What a search ranks texts of one length by."""
        return self.log_prob + self.repetition

    def score(self, alpha: float) -> float:
        """`ranked` over GNMT's length penalty."""
        return self.ranked / ((5 + max(1, self.priced)) / 6) ** alpha

    def take(self, token: int, log_prob: float, end: int, repetition: float = 0.0) -> None:
        """Goes on with the token, or closes if it is the end."""
        self.priced, self.log_prob, self.closed = self.priced + 1, self.log_prob + log_prob, token == end
        self.repetition += repetition
        if not self.closed:
            self.new.append(token)

    def longer(self, token: int, log_prob: float, end: int, repetition: float) -> "Draft":
        """A copy that took the token."""
        copy = Draft(self.prompt, self.draws, list(self.new), self.priced, self.log_prob, self.repetition)
        copy.take(token, log_prob, end, repetition)
        return copy


class Speller:
    """Turns a draft of one prompt into text: the prompt as it was given, then no stop string and no half of a character."""

    def __init__(self, tokenizer: Tokenizer, prompt: str, ids: Sequence[int], stop: Sequence[str]) -> None:
        self._tokenizer, self._prompt, self._ids, self._stop = tokenizer, prompt, list(ids), stop
        known = tokenizer.decode(ids)
        self._known, self._lead = len(known), len(prompt)  # characters of the prompt as its tokens tell it, and as it was given
        self._parted = prompt[-1:].isspace() and not known[-1:].isspace()  # by a space that the next token tells anew

    def stopped(self, new: Sequence[int]) -> bool:
        """True when a stop string was written."""
        return bool(self._stop) and self._cut(self._whole(new)) is not None

    def text(self, new: Sequence[int]) -> str:
        """Prompt and continuation, up to the stop string; a character whose bytes did not all come is left out."""
        whole = self._whole(new)
        return whole[: self._cut(whole)]

    def certain(self, new: Sequence[int], start: int) -> str:
        """What of the text from character `start` on no later token can take back: the beginning of a stop string may yet be cut."""
        text = self.text(new)
        held = max((n for stop in self._stop for n in range(1, len(stop)) if text[self._lead :].endswith(stop[:n])), default=0)
        return text[start : len(text) - held]

    @property
    def lead(self) -> int:
        """Characters of the prompt."""
        return self._lead

    def _whole(self, new: Sequence[int]) -> str:
        """Prompt and continuation, of which bytes that are no character, or not yet one, are left out."""
        written = self._tokenizer.decode([*self._ids, *new])[self._known :].replace(BROKEN, "")
        return self._prompt + (written.removeprefix(" ") if self._parted else written)

    def _cut(self, whole: str) -> int | None:
        found = [place for stop in self._stop if (place := whole.find(stop, self._lead)) >= 0]
        return min(found, default=None)


def write(
    network: Generates,
    tokenizer: Tokenizer,
    prompts: Sequence[str],
    length: int,
    options: Decoding,
    seed: int = 0,
    samples: int = 1,
    wanted: Wanted = always,
) -> list[list[Written]]:
    """`samples` texts for each prompt, of up to `length` new tokens each: independent draws, or the best of a search, best first.

    A text depends on its prompt, the options, the seed and its number among the samples, not on the other prompts. It holds
    no part of a character: bytes that make up none are left out of `text`. Once nothing is `wanted` any more, all texts end where they are.
    """
    _check(length, options, samples)
    encoded = [list(map(int, tokenizer.encode(prompt))) if prompt else [] for prompt in prompts]
    spellers = [Speller(tokenizer, prompt, ids, options.stop) for prompt, ids in zip(prompts, encoded, strict=True)]
    drafts = [[Draft(_begun(network, ids), _draws(seed, n, ids)) for n in range(samples)] for ids in encoded]
    by_length = sorted(range(len(prompts)), key=lambda prompt: len(encoded[prompt]))
    found: dict[int, list[Draft]] = {}
    step = max(1, ROWS // max(samples, options.beams))
    for first in range(0, len(prompts), step):
        together = by_length[first : first + step]
        rows, stopped = [drafts[prompt] for prompt in together], [_ends(spellers[prompt], wanted) for prompt in together]
        if options.beams > 1:
            best = search(network, [row[0] for row in rows], stopped, [length] * len(rows), options)
            found |= zip(together, [row[:samples] for row in best], strict=True)
        else:
            for _ in draw(network, rows, stopped, length, options):
                pass
            found |= zip(together, rows, strict=True)
    alpha = options.length_penalty if options.beams > 1 else 0.0
    return [
        [Written(speller.text(draft.new), draft.new, draft.log_prob, draft.score(alpha)) for draft in found[prompt]]
        for prompt, speller in enumerate(spellers)
    ]


def stream(network: Generates, tokenizer: Tokenizer, prompt: str, length: int, options: Decoding, seed: int = 0) -> Iterator[str]:
    """The first text of `write` after its prompt, piece by piece as it comes; a search gives all in one piece."""
    _check(length, options, 1)
    ids = list(map(int, tokenizer.encode(prompt))) if prompt else []
    speller = Speller(tokenizer, prompt, ids, options.stop)
    sent = speller.lead
    if options.beams > 1:
        ((best,),) = write(network, tokenizer, [prompt], length, options, seed)
        yield best.text[sent:]
        return
    draft = Draft(_begun(network, ids), _draws(seed, 0, ids))
    for _ in draw(network, [[draft]], [speller.stopped], length, options):
        if piece := speller.certain(draft.new, sent):
            sent += len(piece)
            yield piece
    if rest := speller.text(draft.new)[sent:]:
        yield rest


def translate(
    network: Translates,
    tokenizer: Tokenizer,
    sources: Sequence[Sequence[int]],
    options: Decoding,
    samples: int = 1,
    wanted: Wanted = always,
) -> list[list[Written]]:
    """The `samples` best translations of each source, whole ones first, then by score; each of LONGER tokens more than the source at most.

    One beam takes the likeliest token each time. A source without tokens has one translation, the empty one. `wanted` is as in `write`.
    """
    _check_search(options, samples)
    found: dict[int, list[Draft]] = {place: [Draft([], NO_DRAWS)] for place, ids in enumerate(sources) if not len(ids)}
    by_length = sorted((place for place in range(len(sources)) if place not in found), key=lambda place: len(sources[place]))
    step = max(1, TRANSLATED // options.beams)
    spellers = [Speller(tokenizer, "", [], options.stop) for _ in sources]
    for first in range(0, len(by_length), step):
        together = by_length[first : first + step]
        framed = [network.frame(sources[place])[0] for place in together]
        starts = [Draft(network.opening, NO_DRAWS) for _ in together]
        lengths = [min(len(sources[place]) + LONGER, (network.max_length or sys.maxsize) - len(network.opening) + 1) for place in together]
        stopped = [_ends(spellers[place], wanted) for place in together]
        best = search(network, starts, stopped, lengths, options, network.read_sources(framed))
        # One cut off at its length has the probability of all that begin with it, and never stands before a whole one.
        found |= zip(together, [sorted(drafts, key=lambda draft: not draft.closed)[:samples] for drafts in best], strict=True)
    alpha = options.length_penalty
    return [
        [Written(speller.text(draft.new), draft.new, draft.log_prob, draft.score(alpha)) for draft in found[place]]
        for place, speller in enumerate(spellers)
    ]


def next_tokens(network: Generates, ids: Sequence[int], k: int) -> list[tuple[int, float]]:
    """The `k` likeliest tokens after the text with these ids, and their probabilities."""
    scores, _ = network.advance([_begun(network, ids)])
    probabilities = np.exp(np.asarray(scores)[0])
    best = np.argsort(-probabilities, kind="stable")[:k]
    return [(int(token), float(probabilities[token])) for token in best if probabilities[token] > 0]


def _ends(speller: Speller, wanted: Wanted) -> Callable[[list[int]], bool]:
    """Tells whether a draft goes no further: a stop string was written, or nobody waits for it."""
    return speller.stopped if wanted is always else lambda new: speller.stopped(new) or not wanted()


def _begun(network: Generates, ids: Sequence[int]) -> list[int]:
    """The ids behind what the network's frame has before a text; what it has after one is not reached yet."""
    framed = network.frame([-1])[0]
    return [*framed[: framed.index(-1)], *ids]


def draw(
    network: Generates, rows: list[list[Draft]], stopped: Sequence[Callable[[list[int]], bool]], length: int, options: Decoding
) -> Iterator[None]:
    """Writes on every draft of every prompt, one token a step, until each is closed; `stopped` tells of each prompt's stop strings."""
    owners = [prompt for prompt, drafts in enumerate(rows) for _ in drafts]
    open_drafts = [draft for drafts in rows for draft in drafts]
    unread, memory, places = [drafts[0].prompt for drafts in rows], None, owners  # a prompt is read once for all its drafts
    for _ in range(length):
        scores, memory = _advanced(network, unread, memory, places)
        for draft, owner, row in zip(open_drafts, owners, scores, strict=True):
            token = choose(_penalised(row, draft, network.end, options), options, draft.draws)
            draft.take(token, float(row[token]), network.end)
            draft.closed = draft.closed or stopped[owner](draft.new)
        yield
        places = [place for place, draft in enumerate(open_drafts) if not draft.closed]
        if not places:
            return
        open_drafts, owners = [open_drafts[place] for place in places], [owners[place] for place in places]
        memory = _rows(memory, places, len(scores))
        unread, places = [draft.new[-1:] for draft in open_drafts], list(range(len(places)))


def search(
    network: Generates,
    starts: list[Draft],
    stopped: Sequence[Callable[[list[int]], bool]],
    lengths: Sequence[int],
    options: Decoding,
    memory: Memory | None = None,
) -> list[list[Draft]]:
    """The best `beams` continuations of each prompt, best first: at each step the likeliest of all that are one token longer.

    Each prompt's has its own greatest length, so that it depends on nothing beside it. `memory` is what the network has read before
    the prompts. A text that ends leaves the beam one place narrower (Sutskever 2014, section 3.2), so that one beam is the greedy choice.
    """
    done: list[list[Draft]] = [[] for _ in starts]
    beams = [[start] for start in starts]
    unread, places = [start.prompt for start in starts], list(range(len(starts)))
    for step in range(1, max(lengths, default=0) + 1):
        scores, memory = _advanced(network, unread, memory, places)
        rooms = [options.beams - len(found) for found in done]
        first, places = 0, []
        for prompt, longer in enumerate(_longer(beams, scores, rooms, network.end, options)):
            for _, draft in longer:
                draft.closed = draft.closed or stopped[prompt](draft.new)
            going = [(row, draft) for row, draft in longer if not draft.closed and step < lengths[prompt]]
            done[prompt] += [draft for _, draft in longer if draft.closed or step == lengths[prompt]]
            places += [first + row for row, _ in going]
            first += len(beams[prompt])
            beams[prompt] = [draft for _, draft in going]
        if not places:
            break
        memory = _rows(memory, places, len(scores))
        unread, places = [draft.new[-1:] for beam in beams for draft in beam], list(range(len(places)))
    ranked = [sorted(found, key=lambda draft: draft.score(options.length_penalty), reverse=True) for found in done]
    return [found or [start] for found, start in zip(ranked, starts, strict=True)]  # of length 0 there is nothing but the start


def choose(log_probs: np.ndarray, options: Decoding, draws: np.random.Generator) -> int:
    """One token: the likeliest at temperature 0, else drawn from what `top_k` and then `top_p` leave."""
    if options.temperature == 0:
        return int(log_probs.argmax())
    tokens = _likeliest(log_probs, options.top_k) if options.top_k or options.top_p < 1 else np.arange(len(log_probs))
    scaled = log_probs[tokens].astype(np.float64)
    chances = np.exp((scaled - scaled.max()) / options.temperature)
    reached = np.cumsum(chances)
    if options.top_p < 1:  # the first token that reaches the share still belongs
        reached = reached[: int(np.searchsorted(reached, options.top_p * reached[-1])) + 1]
    place = int(np.searchsorted(reached, draws.random() * reached[-1], side="right"))
    return int(tokens[min(place, len(reached) - 1)])


def _check(length: int, options: Decoding, samples: int) -> None:
    whole("length", length, default=50)
    whole("samples", samples, 1, default=1)
    if options.beams > 1 and samples > options.beams:
        raise UsageError(f"samples = {samples} with beams = {options.beams}", "as many beams as samples, or more", "raise beams")
    if options.beams == 1 and options.temperature == 0 and samples > 1:
        raise UsageError(f"samples = {samples} at temperature 0", "texts that can differ", "set a temperature, or beams for the best few")


def _check_search(options: Decoding, samples: int) -> None:
    whole("samples", samples, 1, default=1)
    if samples > options.beams:
        raise UsageError(f"samples = {samples} with beams = {options.beams}", "as many beams as samples, or more", "raise beams")
    if options.temperature not in (0, 1) or options.top_k or options.top_p < 1:
        raise UsageError("options of a draw for a translation, which is searched", "beams", "drop temperature, top_k and top_p")


def _draws(seed: int, sample: int, ids: Sequence[int]) -> np.random.Generator:
    """Of the prompt itself, so that neither its place nor its neighbours matter."""
    return generator(seed, "decoding", sample, *ids)


def _advanced(network: Generates, unread: list[list[int]], memory: Any, places: list[int]) -> tuple[np.ndarray, Any]:
    """The next log-probabilities and the memory, a row for each of `places` among the rows that are read."""
    scores, memory = network.advance(unread, memory)
    every = places == list(range(len(unread)))
    return (np.asarray(scores) if every else np.asarray(scores)[places]), _rows(memory, places, len(unread))


def _rows(memory: Memory, places: list[int], count: int) -> Memory:
    """The memory of these of its `count` rows; as it is where nothing changes, for a copy costs."""
    return memory if places == list(range(count)) else memory.rows(places)


def _penalised(log_probs: np.ndarray, draft: Draft, end: int, options: Decoding) -> np.ndarray:
    """The log-probabilities, those of tokens already in the text lowered."""
    if options.repetition_penalty == 1:
        return log_probs
    seen = np.array(sorted({*draft.prompt, *draft.new} - {end}), np.int64)
    lowered = log_probs.copy()
    lowered[seen] *= options.repetition_penalty
    return lowered


def _likeliest(log_probs: np.ndarray, k: int) -> np.ndarray:
    """The `k` likeliest tokens (0: all), likeliest first; of equal ones the lower id comes first."""
    if 0 < k < len(log_probs):
        least = np.partition(log_probs, -k)[-k]
        above = np.flatnonzero(log_probs > least)
        tokens = np.sort(np.append(above, np.flatnonzero(log_probs == least)[: k - len(above)]))
    else:
        tokens = np.arange(len(log_probs))
    return tokens[np.argsort(-log_probs[tokens], kind="stable")]


def _longer(
    beams: list[list[Draft]], scores: np.ndarray, rooms: Sequence[int], end: int, options: Decoding
) -> list[list[tuple[int, Draft]]]:
    """(row in its beam, draft) of the likeliest drafts, as many as each prompt has room for, that are one token longer than its beam's."""
    drafts = [draft for beam in beams for draft in beam]
    penalised = options.repetition_penalty != 1
    lowered = np.stack([_penalised(row, draft, end, options) for row, draft in zip(scores, drafts, strict=True)]) if penalised else scores
    rows, tokens = _leading(lowered, options.beams)
    gains = lowered[rows, tokens].astype(np.float64)
    sums = gains + np.array([draft.ranked for draft in drafts])[rows]
    owners = np.repeat(np.arange(len(beams)), [len(beam) for beam in beams])[rows]
    order = np.lexsort((-sums, owners))  # of equal ones the first row and the lower id come first
    starts = np.searchsorted(owners, np.arange(len(beams) + 1))
    found, first = [], 0
    for prompt, beam in enumerate(beams):
        best = order[starts[prompt] : min(starts[prompt] + rooms[prompt], starts[prompt + 1])]
        longer = []
        for row, token, gain in zip(rows[best].tolist(), tokens[best].tolist(), gains[best].tolist(), strict=True):
            log_prob = float(scores[row, token])
            longer.append((row - first, drafts[row].longer(token, log_prob, end, gain - log_prob)))
        found.append(longer)
        first += len(beam)
    return found


def _leading(log_probs: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """(rows, tokens) that hold the `k` likeliest tokens of each row (R V), and maybe some more; in the order of rows and ids.

    The k-th best of the blocks' bests is no better than the k-th best token, so that whatever is worse need not be sorted.
    """
    R, V = log_probs.shape
    least = np.full(R, np.finfo(log_probs.dtype).min)  # what never comes is never chosen
    if k <= V // BLOCK:
        bests = log_probs[:, : V // BLOCK * BLOCK].reshape(R, BLOCK, -1).max(1)
        least = np.maximum(least, np.partition(bests, -k, axis=1)[:, -k])
    rows, tokens = np.nonzero(log_probs >= least[:, None])
    return rows, tokens
