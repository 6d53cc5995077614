"""Cloze (Taylor 1953): of a text some words are hidden, and a masked language model says what stood there.

Which words are hidden depends on the text alone, never on the run, so that all runs fill the same gaps whatever their
tokenizers, their own masks in training, and the length that they read. A gap is

- a word, as `tokens.word_starts` says: of Chinese what the segmenter finds; of other writing letters and digits, or a symbol;
- with `units="characters"`, a single Chinese character, and of other writing a word.

Gaps are drawn by lot, `share` of the units, and all gaps of a window are empty at once. A gap holds as many masks as the run's
tokenizer makes of the unit where it stands, and is filled right where every one of them gets its own token; what the
vocabulary lacks, or the tokenizer drops, is never right. Where a token spans more than the unit, all of it is hidden.

Beside it stands what needs no model: to fill every gap with the unit that is most often right (in lower case where the tokenizer
reads so), the best that a unigram could do.

N texts, G gaps, M masks.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import numpy as np

from stemma.bounds import real
from stemma.corpus.document import Document
from stemma.errors import DataError, UsageError
from stemma.evaluation.measures.intervals import Interval, interval
from stemma.objectives.batch import generator
from stemma.runs.framing import under_budget
from stemma.runs.run import Run
from stemma.tokens.chinese import segmenter
from stemma.tokens.scripts import HAN, codes_of, inner_classes, word_classes

Units = Literal["words", "characters"]
SHARE = 0.15  # of the units are hidden, as BERT's paper has it
POSITIONS = 4096  # rows times positions of one forward pass


@dataclass(frozen=True)
class Cloze:
    """How many gaps were filled right."""

    units: Units
    gaps: int
    right: Interval  # the share of gaps filled right; texts are the examples
    most_frequent: float  # … by the unit that is most often right
    over_most_frequent: float  # the ratio of the two
    bits_per_gap: float  # the mean of -log2 P(unit): the sum over its masks, each given the text outside the gaps
    masks_per_gap: float
    unknown: int  # gaps that cannot be filled: with a token that the vocabulary lacks, or with none

    def as_dict(self) -> dict[str, Any]:
        """Plain values for a report."""
        return asdict(self)


@dataclass(frozen=True)
class _Window:
    """What the network reads at a time: tokens of one text, and which of them stand in which gap."""

    text: int
    ids: np.ndarray  # (T) without the frame
    gaps: list[tuple[int, int]]  # the first and the last token of each gap, the latter exclusive; neighbours may share one


def cloze(run: Run, texts: Sequence[Document], units: Units = "words", share: float = SHARE) -> Cloze:
    """Hides `share` of the units of each text and has the run fill the gaps; DataError where no text has a unit to hide."""
    if units not in get_args(Units):
        raise UsageError(f"units {units!r}", " or ".join(get_args(Units)), "choose one of them")
    share = real("share", share, 0.0, 1.0, above=True, default=SHARE)
    windows = [window for number, text in enumerate(texts) for window in _windows(run, number, text.text, units, share)]
    answers = [window.ids[first:last] for window in windows for first, last in window.gaps]
    if not answers:
        raise DataError("the text has no gap to fill", "some words of text", "give a longer text")
    right, bits = _filled(run, windows)
    owner = np.array([window.text for window in windows for _ in window.gaps])
    terms = np.stack([np.bincount(owner, right, len(texts)), np.bincount(owner, minlength=len(texts))], 1)
    found = interval(terms[terms[:, 1] > 0][None], lambda sums: sums[..., 0] / sums[..., 1], share=True)
    lacking = np.array([not len(answer) or run.lacks(answer).any() for answer in answers])
    stood = [text.text[start:end] for text in texts for start, end in gaps(text.text, units, share)]
    cased = [unit.lower() for unit in stood] if run.tokenizer.config.lowercase else stood
    most = max(Counter(cased).values()) / len(answers)
    return Cloze(
        units=units,
        gaps=len(answers),
        right=found,
        most_frequent=most,
        over_most_frequent=found.value / most if most else float("inf"),
        bits_per_gap=float(bits.mean()),
        masks_per_gap=sum(map(len, answers)) / len(answers),
        unknown=int(lacking.sum()),
    )


def gaps(text: str, units: Units, share: float) -> list[tuple[int, int]]:
    """The (start, end) characters of what is hidden of a text: the same for every run.

    >>> gaps("the mill is old, and the river is low", "words", 0.3)
    [(0, 3), (12, 15), (34, 37)]
    """
    from stemma.kernels.word_scan import borders

    codes, words = codes_of(text), segmenter("rjieba")
    cuts = words.cuts(text, codes) if units == "words" else inner_classes()[codes] == HAN
    starts, ends = borders(codes, cuts, word_classes())
    lots = generator("cloze", text).random(len(starts))
    hidden = np.sort(np.argsort(lots, kind="stable")[: round(share * len(starts))])
    return list(zip(starts[hidden].tolist(), ends[hidden].tolist(), strict=True))


def _windows(run: Run, number: int, text: str, units: Units, share: float) -> Iterator[_Window]:
    """The text's tokens in windows that the network can read, cut beside gaps and never inside one."""
    ids, spans = run.tokenizer.encode_offsets(text)
    starts, ends = np.array([start for start, _ in spans], np.int64), np.array([end for _, end in spans], np.int64)
    hidden = np.array(gaps(text, units, share), np.int64).reshape(-1, 2)
    first = np.searchsorted(ends, hidden[:, 0], side="right")  # the first token that ends within the gap or behind it
    last = np.maximum(np.searchsorted(starts, hidden[:, 1]), first)
    frame = len(run.network.frame([])[0])
    room, start, done = (run.network.max_length or len(ids) + frame) - frame, 0, 0
    while start < len(ids) or done < len(first):
        end = min(start + room, len(ids))
        cut = first[(first > start) & (first < end) & (last > end)]
        end = int(cut[0]) if len(cut) else end
        until = int(np.searchsorted(first, end)) if end < len(ids) else len(first)
        inside = np.clip(np.stack([first[done:until], last[done:until]], 1) - start, 0, end - start)
        yield _Window(number, ids[start:end].astype(np.int64), list(map(tuple, inside.tolist())))
        start, done = end, until


def _filled(run: Run, windows: Sequence[_Window]) -> tuple[np.ndarray, np.ndarray]:
    """Whether each gap (G) is filled right, and the bits of what stood there."""
    import torch

    lengths, counts = np.array([len(window.ids) for window in windows]), np.array([len(window.gaps) for window in windows])
    before = np.concatenate(([0], np.cumsum(counts)))
    right, bits = np.zeros(before[-1], bool), np.zeros(before[-1])
    for rows in under_budget(lengths, np.flatnonzero(counts), POSITIONS):
        batch, labels, first, last = _masked(run, [windows[row] for row in rows])
        misses, nats = np.zeros(len(labels)), np.zeros(len(labels))
        if len(labels):
            scores = run.network.fill({name: torch.from_numpy(array) for name, array in batch.items()}).float()
            misses = (scores.argmax(-1).numpy() != labels) | run.lacks(labels)
            nats = torch.nn.functional.cross_entropy(scores, torch.from_numpy(labels), reduction="none").double().numpy()
        gap = np.concatenate([np.arange(before[row], before[row + 1]) for row in rows])
        right[gap] = (_sums(misses, first, last) == 0) & (last > first)
        bits[gap] = _sums(nats, first, last) / np.log(2)
    return right, bits


def _sums(values: np.ndarray, first: np.ndarray, last: np.ndarray) -> np.ndarray:
    """The sum of `values` over each stretch."""
    total = np.concatenate(([0.0], np.cumsum(values, dtype=np.float64)))
    return total[last] - total[first]


def _masked(run: Run, windows: Sequence[_Window]) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray, np.ndarray]:
    """One batch (B T) with every gap masked; the token that each mask (M) hides, row by row; the first and last mask of each gap (G)."""
    mask = run.tokenizer.specials["mask"]
    framed, labels, stretches = list[tuple[list[int], list[int]]](), list[np.ndarray](), list[np.ndarray]()
    before = 0  # masks of the windows so far
    for window in windows:
        hidden = np.zeros(len(window.ids), bool)
        for first, last in window.gaps:
            hidden[first:last] = True
        framed.append(run.network.frame(np.where(hidden, mask, window.ids).tolist()))
        labels.append(window.ids[hidden])
        stretches.append(before + np.concatenate(([0], np.cumsum(hidden)))[np.array(window.gaps)])
        before += int(hidden.sum())
    shape = (len(windows), max(len(ids) for ids, _ in framed))
    batch = {name: np.zeros(shape, np.int64) for name in ("ids", "types", "segments")}
    for row, (ids, types) in enumerate(framed):
        batch["ids"][row, : len(ids)], batch["types"][row, : len(ids)], batch["segments"][row, : len(ids)] = ids, types, 1
    return batch, np.concatenate(labels), *np.concatenate(stretches).T
