"""Claim (b): counts and feed-forward models see a fixed window, recurrence and attention reach further back.

The same words of held-out text are predicted with 1, 2, 4 ... 128 words of what stands before them.
"""

import random
import re

from claims import Text, Verdict, arguments, command, lines_chart, run_of, text_of, write_page

from stemma.runs.run import Run

CONTEXTS = (1, 2, 4, 8, 16, 32, 64, 128)  # words before the target
TARGET = 8  # words predicted at each place
PLACES = 150
PIECES = {"tokenizer.kind": "bpe", "tokenizer.vocab_size": 4096}
RUNS = {
    "n-gram of 5": ("ngram", {"model.order": 5, **PIECES}),
    "NNLM, 4 before": ("nnlm", {"model.context": 4, **PIECES}),
    "LSTM": ("lstm", {**PIECES}),
    "GPT": ("gpt", {"model.max_length": 256, **PIECES}),
    "XLNet": ("xlnet", {"model.max_length": 256, **PIECES}),
}


def places(text: Text) -> list[tuple[str, list[int]]]:
    """Held-out texts drawn by lot, each with the places where its words begin, long enough for the longest context."""
    joined = " ".join(text.documents())
    starts = [match.start() for match in re.finditer(r"\S+", joined)]
    draws, most = random.Random(0), max(CONTEXTS)
    found = []
    for _ in range(PLACES):
        first = draws.randrange(len(starts) - most - TARGET - 1)
        own = starts[first : first + most + TARGET + 1]
        found.append((joined[own[0] : own[-1]].rstrip(), [start - own[0] for start in own]))
    return found


def nats_a_word(run: Run, drawn: list[tuple[str, list[int]]], words: int) -> float:
    """What a word of the targets costs after `words` words of context."""
    begins = max(CONTEXTS)
    cuts = [starts[begins - words] for _, starts in drawn]
    texts = [text[cut:] for (text, _), cut in zip(drawn, cuts, strict=True)]
    targets = [starts[begins] - 1 - cut for (_, starts), cut in zip(drawn, cuts, strict=True)]  # the space before belongs to the word
    nats, _ = run.nats_from(texts, targets)
    return float(nats.sum()) / TARGET / len(drawn)


def main() -> None:
    """Five runs, eight lengths of context."""
    options = arguments("context.py", 3_000_000, "loss against visible context")
    drawn = places(text_of(options))
    rows, points = [], []
    for name, (generation, settings) in RUNS.items():
        run = run_of(options, generation, generation, settings)
        nats = {words: nats_a_word(run, drawn, words) for words in CONTEXTS}
        rows.append({"generation": name, **{str(words): nats[words] for words in CONTEXTS}, "8 to 128": nats[8] - nats[128]})
        points += [{"words of context": words, "nats a word": nats[words], "generation": name} for words in CONTEXTS]
    gains = {row["generation"]: row["8 to 128"] for row in rows}
    fixed, open_ended = list(RUNS)[:2], list(RUNS)[2:]
    reach = [name for name in open_ended if gains[name] > 0.02 + max(gains[short] for short in fixed)]
    verdict = Verdict(
        letter="b",
        claim="Counts and feed-forward models see a fixed window; recurrence and attention reach further back.",
        holds="yes" if len(reach) == len(open_ended) else "in part" if reach else "no",
        by="From 8 to 128 words of context: " + ", ".join(f"{name} {gain:+.2f} nats a word" for name, gain in gains.items()) + ".",
        page="context.md",
        command=command(),
    )
    done = (
        f"{PLACES} places of the held-out text, drawn by lot; the same {TARGET} words after each are predicted with more and more of "
        f"what stands before them. Preset `tiny`, {options.tokens:,} tokens of pre-training each, one vocabulary of 4,096 pieces."
    )
    read = "A row that stops falling has seen all it can use. What a run gains beyond 8 words is what it remembers."
    write_page(options, verdict, done, rows, lines_chart(points, "words of context", "nats a word", "generation"), read)


if __name__ == "__main__":
    main()
