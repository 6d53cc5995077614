"""Claim (d): words on both sides tell more than words on one; two half readings are less than one whole; masking asks as CBOW does.

One table of blanks: a word of a held-out sentence and nine others, drawn as often as they occur. Each generation chooses in its own way.
"""

import random
import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from claims import WORDS, Text, Verdict, arguments, bars_chart, command, run_of, text_of, write_page
from stemma.corpus.documents import Document

from stemma.evaluation.measures.intervals import proportion
from stemma.runs.run import Run

BLANKS, CANDIDATES, WINDOW = 400, 10, 5


class Blank(NamedTuple):
    """A sentence with a gap, and what may stand there; the first candidate is right."""

    before: str
    after: str
    candidates: tuple[str, ...]

    def filled(self) -> list[str]:
        """The sentence with each candidate."""
        return [f"{self.before} {word} {self.after}".strip() for word in self.candidates]


def blanks(text: Text, knows: Callable[[str], bool]) -> list[Blank]:
    """Sentences of 8 to 40 words with one of their inner words taken out, a word that every run knows."""
    documents = text.documents()
    frequent = Counter(word.lower() for document in documents for word in re.findall(r"[^\W\d_]{3,}", document))
    words = [word for word in frequent if knows(word)]
    weights, draws, found = [frequent[word] for word in words], random.Random(0), []
    known = set(words)
    for document in draws.sample(documents, len(documents)):
        for sentence in document.split("\n"):
            spaced = sentence.lower().split()
            places = [n for n in range(2, len(spaced) - 2) if spaced[n] in known]
            if not 8 <= len(spaced) <= 40 or not places:
                continue
            at = draws.choice(places)
            others = dict.fromkeys(word for word in draws.choices(words, weights, k=60) if word != spaced[at])
            found.append(Blank(" ".join(spaced[:at]), " ".join(spaced[at + 1 :]), (spaced[at], *list(others)[: CANDIDATES - 1])))
            break
    return found[:BLANKS]


def whole_sentence(run: Run, blank: Blank) -> Sequence[float]:
    """Of each candidate how likely the sentence is with it: a reader from left to right sees by the words after whether it fitted."""
    return [-score.nats for score in run.score(blank.filled())]


def from_the_left(run: Run, blank: Blank) -> Sequence[float]:
    """How likely each candidate is after the words before it."""
    texts = [f"{blank.before} {word}" for word in blank.candidates]
    return list(-run.nats_from(texts, [len(blank.before)] * len(texts))[0])


def left_and_right(run: Run, blank: Blank) -> Sequence[float]:
    """The product of a reading from the left and one from the right, that never meet: pseudo-bidirectional."""
    filled = blank.filled()
    backward = run.backward_nats([Document((text,), "") for text in filled], ends=True)
    return [-score.nats - other for score, other in zip(run.score(filled), backward, strict=True)]


def in_the_gap(run: Run, blank: Blank) -> Sequence[float]:
    """How likely each candidate is in the gap, both sides seen at once."""
    (found,) = run.fill_ids(f"{blank.before} [MASK] {blank.after}", k=run.tokenizer.vocab_size)
    chances = dict(found)
    return [chances.get(int(run.tokenizer.encode(word)[0]), 0.0) for word in blank.candidates]


def mean_of_neighbours(run: Run, blank: Blank) -> Sequence[float]:
    """The cosine of each candidate with the mean vector of the nearest words on both sides."""
    near = [*blank.before.split()[-WINDOW:], *blank.after.split()[:WINDOW]]
    known = [run[word] for word in near if word in run]
    mean = np.mean(known, axis=0) if known else np.zeros_like(run[blank.candidates[0]])
    return [float(run[word] @ mean) for word in blank.candidates]


RUNS = {
    "n-gram of 3, whole sentence": ("ngram", {"model.order": 3, **WORDS}, whole_sentence),
    "CBOW, mean of the neighbours": ("word2vec", {"model.architecture": "cbow", **WORDS}, mean_of_neighbours),
    "LSTM, left": ("lstm", WORDS, from_the_left),
    "LSTM, whole sentence": ("lstm", WORDS, whole_sentence),
    "GPT, left": ("gpt", WORDS, from_the_left),
    "GPT, whole sentence": ("gpt", WORDS, whole_sentence),
    "ELMo, left times right": ("elmo", WORDS, left_and_right),
    "BERT": ("bert", WORDS, in_the_gap),
    "BERT-wwm": ("bert-wwm", WORDS, in_the_gap),
    "ALBERT": ("albert", WORDS, in_the_gap),
    "XLNet": ("xlnet", WORDS, in_the_gap),
}


def main() -> None:
    """One table."""
    options = arguments("blanks.py", 3_000_000, "one word of ten for each blank")
    opened = {
        name: run_of(options, f"blanks-{name.split(',')[0]}".replace(" ", "-"), g, settings) for name, (g, settings, _) in RUNS.items()
    }
    drawn = blanks(text_of(options), lambda word: all(_is_one_word(run, word) for run in opened.values()))
    rows = []
    for name, (_, _, way) in RUNS.items():
        right = sum(int(np.argmax(way(opened[name], blank))) == 0 for blank in drawn)
        share = proportion(right, len(drawn))
        rows.append({"reader": name, "right, %": 100 * share.value, "95 %": f"{100 * share.low:.1f} to {100 * share.high:.1f}"})
    got = {row["reader"]: row["right, %"] for row in rows}
    holds = [got["BERT"] > got["GPT, left"], got["BERT"] > got["ELMo, left times right"], got["BERT"] > got["CBOW, mean of the neighbours"]]
    verdict = Verdict(
        letter="d",
        claim="Words on both sides, seen at once, fill a gap better than words on one side, or two sides that never meet.",
        holds="yes" if all(holds) else "in part" if any(holds) else "no",
        by=", ".join(f"{name} {share:.0f} %" for name, share in got.items()) + "; chance 10 %.",
        page="blanks.md",
        command=command(),
    )
    done = (
        f"{len(drawn)} held-out sentences, a word taken out of each, and nine other words drawn as often as they occur. All runs "
        f"have one vocabulary of words, preset `tiny`, {options.tokens:,} tokens. *Left* reads the words before the gap alone; "
        "*whole sentence* asks a reader from left to right how likely the sentence is with each word, so that the words after "
        "the gap have their say."
    )
    read = "A reader from left to right may ask for the whole sentence: it costs ten readings a gap, but it is no half view."
    write_page(options, verdict, done, rows, bars_chart(rows, "right, %", "reader", chance=10), read)


def _is_one_word(run: Run, word: str) -> bool:
    ids = run.tokenizer.encode(word)
    return len(ids) == 1 and ids[0] != run.tokenizer.specials.get("unk", -1)


if __name__ == "__main__":
    main()
