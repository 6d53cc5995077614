"""word2vec's fast kernels: the objective of `word2vec_pairs`, many tokens at a time, by as many threads as help.

A round of up to BLOCK x SLOTS tokens is cut into blocks (`word2vec_blocks`) without regard to threads. All their scores come from the
values at the start of the round; then each row is written once a block, in the order of the blocks: results don't depend on threads.

N tokens of the chunk, D width, K negatives a pair. Numba keeps machine code by this file's date alone: after a change to the kernels
imported here, touch this file too.
"""

import time
from itertools import pairwise
from threading import Thread
from typing import NamedTuple

import numpy as np

from stemma.kernels.compiling import compiled, inlined
from stemma.kernels.draws import draw_word, mix
from stemma.kernels.meeting import wait
from stemma.kernels.word2vec_blocks import BLOCK, ROOM, SHARED, Deltas, Spans, cbow_block, make_space, skipgram_block
from stemma.kernels.word2vec_registers import FLOATS, LANES, aligned, pitch
from stemma.kernels.word2vec_rows import foresee, gather, scatter

SLOTS = 4  # blocks of full length that may be computed from the same start
HEAT = 2.0  # most steps of size 1 that a round may take on one row: see `tokens_a_round`
LEAST = 32  # tokens a round below which blocks gain nothing over the plain kernel
LENGTHS = {"skipgram": BLOCK, "cbow": 16}  # CBOW has a fifth of the negatives to share: longer blocks cost it 1 % of analogies
KINDS: dict[str, tuple] = {"skipgram": (), "cbow": (0,)}  # what tells the compiler the architecture: the length of a tuple


class Cut(NamedTuple):
    """How a chunk is cut."""

    tokens: int  # a block
    blocks: int  # a round


class Job(NamedTuple):
    """What one thread is to do: its share of the blocks [first, end), as number `me` of `threads`."""

    first: int
    end: int
    me: int
    threads: int


class Shared(NamedTuple):
    """What the threads of a round share. Losses and counts stand block by block, so that their sum has one order."""

    deltas: np.ndarray  # (slots, floats) of the blocks' rows
    drawn: np.ndarray  # (slots SHARED) the blocks' negatives
    spans: np.ndarray  # (slots, 4) the blocks' inputs and centres
    losses: np.ndarray  # (blocks)
    counts: np.ndarray  # (blocks)
    arrived: np.ndarray  # (1) how often a thread has come to a meeting


@inlined
def spans_of(kind, tokens, block, cut, window):
    """The tokens of a block: skip-gram owns inputs and reads the centres around, CBOW owns centres and reads the inputs around."""
    first, last = block * cut.tokens, min((block + 1) * cut.tokens, tokens)
    start, stop = max(first - window, 0), min(last + window, tokens)
    return Spans(first, last, start, stop) if len(kind) == 0 else Spans(start, stop, first, last)


@inlined
def open_block(lanes, tables, words, spans, ahead, drawn, alias, draws, space):
    """Draws a block's negatives and gathers the rows of its inputs, centres and negatives.

    Prefetches the rows of the block `ahead` tokens further, which this thread will probably need next.
    """
    for k in range(SHARED):
        drawn[k] = draw_word(mix(draws + np.uint64(k)), alias[0], alias[1])
    gather(lanes, tables[0], words[spans.first : spans.last], space.x)
    gather(lanes, tables[1], words[spans.start : spans.stop], space.y)
    gather(lanes, tables[1], drawn, space.z)
    foresee(tables[0], words[spans.first + ahead : spans.last + ahead])
    foresee(tables[1], words[spans.start + ahead : spans.stop + ahead])


@inlined
def close_round(lanes, tables, words, size, job, shared, goal):
    """Waits for the round's blocks, then adds them to the tables. Gives the next goal.

    The input table takes the even blocks first, the output table the odd ones. So two threads write the blocks they have
    computed, each to one table and then to the other, and seldom read what lies in the other's cache; of more threads,
    those of a side share its rows. The order in which a row takes its blocks is the same for any number of threads.
    """
    _, _, me, threads = job
    deltas, drawn, spans, _, _, arrived = shared
    part = (deltas.shape[1] - SHARED * np.int64(pitch(lanes))) // 2
    for phase in range(2):
        if threads > 1:
            goal += threads
            wait(arrived, goal)
        for side in range(2):
            if threads > 1 and me % 2 != side:
                continue
            mine, members = (me // 2, (threads - side + 1) // 2) if threads > 1 else (0, 1)
            for n in range(side, size, 2):
                delta, span = deltas[n], spans[n]
                if side == phase:
                    scatter(lanes, tables[0], words[span[0] : span[1]], delta[:part], mine, members)
                else:
                    scatter(lanes, tables[1], words[span[2] : span[3]], delta[part : 2 * part], mine, members)
                    scatter(lanes, tables[1], drawn[n], delta[2 * part :], mine, members)
    if threads > 1:
        goal += threads
        wait(arrived, goal)
    return goal


@compiled(fastmath=True, error_model="numpy")
def run_rounds(lanes, kind, tables, text, alias, setting, cut, job, shared):
    """What one thread does: its blocks of each round, then its rows of the tables. The last of `KINDS` is CBOW's."""
    first, end, me, threads = job
    deltas, drawn, spans, losses, counts, _ = shared
    space = make_space(lanes, setting.window)
    part, goal = len(space.x), 0
    for base in range(first, end, cut.blocks):
        size = min(cut.blocks, end - base)
        for n in range(me, size, threads):
            block, delta = base + n, deltas[n]
            own = spans_of(kind, len(text.words), block, cut, setting.window)
            spans[n, 0], spans[n, 1], spans[n, 2], spans[n, 3] = own.first, own.last, own.start, own.stop
            draws = setting.seed + np.uint64(block * SHARED)
            open_block(lanes, tables, text.words, own, threads * cut.tokens, drawn[n], alias, draws, space)
            rows = Deltas(delta[:part], delta[part : 2 * part], delta[2 * part :])
            if len(kind) == 0:
                losses[block], counts[block] = skipgram_block(lanes, text, own, drawn[n], setting, space, rows)
            else:
                losses[block], counts[block] = cbow_block(lanes, text, own, drawn[n], setting, space, rows)
        goal = close_round(lanes, tables, text.words, size, job, shared, goal)


def tokens_a_round(rate, negatives, window, hottest_word, hottest_negative):
    """Tokens that may be computed from the same start without overshooting on one row.

    The hottest rows (by their shares of the text and of the draws) get about `heat` steps a token. In natural text
    a round holds hundreds; in a vocabulary of thirty words only a few, and full rounds end in NaN.
    """
    heat = rate * (window + 1) * max((1 + negatives) * hottest_word, negatives * hottest_negative)
    return int(min(max(HEAT / max(heat, 1e-9), 1), BLOCK * SLOTS))


class Pace:
    """Chooses between one thread and several by the clock; the vectors are the same either way.

    Threads that share rounds wait for each other every few hundred tokens: on cores that other work
    keeps busy, one alone may be several times faster.
    """

    AGAIN, SHARE = 16, 8  # every so many chunks the slower way is tried on such a part of one

    def __init__(self) -> None:
        self.turn = 0
        self.seconds: dict[int, float] = {}  # threads -> seconds a round when last tried

    def plan(self, threads: int, rounds: int) -> list[tuple[int, int]]:
        """(Threads, rounds) of the parts of a chunk, one after the other."""
        fast, slow = sorted((threads, 1), key=lambda way: self.seconds.get(way, 0.0))
        trial = rounds // self.SHARE if threads > 1 and self.turn % self.AGAIN == 0 else 0
        self.turn += 1
        return [(way, part) for way, part in ((slow, trial), (fast, rounds - trial)) if part]

    def record(self, threads: int, seconds: float, rounds: int) -> None:
        """Remembers how long a part took."""
        self.seconds[threads] = seconds / rounds


def descend_chunk(architecture, tables, text, alias, setting, tokens, threads=1, pace=None):
    """Runs the fast kernel over a chunk in rounds of at most `tokens`, in place. Gives (loss, predictions).

    `tables` = (input, output), `alias` = `alias_tables(...)`. Threads share each round and wait for each other, as far as
    `pace` finds that worth it; without one they race: each has its own part of the chunk and none waits.
    """
    chunk = _Chunk(architecture, tables, text, alias, setting, tokens)
    together = chunk.room()
    chunk.run([Job(0, 0, 0, 1)], [together])  # compiled before threads start: none may fail while others wait
    if pace is None:
        chunk.race(min(threads, max(chunk.blocks, 1)), together)
    else:
        chunk.share(min(threads, chunk.cut.blocks), together, pace)
    return chunk.losses.sum(), int(chunk.counts.sum())


class _Chunk:
    """A chunk cut into rounds and blocks, with what comes of each block."""

    def __init__(self, architecture, tables, text, alias, setting, tokens) -> None:
        slots = tokens // min(tokens, LENGTHS[architecture])
        slots += slots % 2 if slots > 1 else 0  # an even number: two threads have as much to do
        self.cut = Cut(min(tokens // slots, LENGTHS[architecture]), slots)
        lanes = (0,) * -(-tables[0].shape[1] // FLOATS)
        self.given = (lanes, KINDS[architecture], tables, text, alias, setting, self.cut)
        self.blocks = -(-len(text.words) // self.cut.tokens)
        self.losses, self.counts = np.zeros(self.blocks), np.zeros(self.blocks, np.int64)
        self.floats = (2 * (BLOCK + 2 * setting.window + ROOM) + SHARED) * -(-tables[0].shape[1] // LANES) * LANES  # of a block's deltas

    def room(self) -> Shared:
        """What threads that work together share."""
        slots = self.cut.blocks
        deltas = aligned.py_func(slots * self.floats).reshape(slots, self.floats)
        drawn, spans = np.zeros((slots, SHARED), np.int32), np.zeros((slots, 4), np.int64)
        return Shared(deltas, drawn, spans, self.losses, self.counts, np.zeros(1, np.int64))

    def run(self, jobs: list[Job], rooms: list[Shared]) -> None:
        """Does the jobs, each in its room and in a thread of its own."""
        others = [Thread(target=run_rounds, args=(*self.given, job, room)) for job, room in zip(jobs[1:], rooms[1:], strict=True)]
        for thread in others:
            thread.start()
        run_rounds(*self.given, jobs[0], rooms[0])
        for thread in others:
            thread.join()

    def race(self, threads: int, first: Shared) -> None:
        """Gives each thread its own part of the chunk."""
        borders = np.linspace(0, self.blocks, threads + 1).astype(int).tolist()
        self.run([Job(*part, 0, 1) for part in pairwise(borders)], [first, *(self.room() for _ in range(threads - 1))])

    def share(self, threads: int, together: Shared, pace: Pace) -> None:
        """Lets the threads share each round, as many of them as `pace` says."""
        first = 0
        for members, rounds in pace.plan(threads, -(-self.blocks // self.cut.blocks)):
            end, began = min(first + rounds * self.cut.blocks, self.blocks), time.perf_counter()
            together.arrived[0] = 0
            self.run([Job(first, end, me, members) for me in range(members)], [together] * members)
            pace.record(members, time.perf_counter() - began, rounds)
            first = end
