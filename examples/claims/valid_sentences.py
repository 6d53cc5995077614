"""Claim (f): a language model says how likely a sentence is, so it tells sentences from heaps of words."""

import random

from claims import WORDS, Text, Verdict, arguments, bars_chart, command, run_of, text_of, write_page

from stemma.evaluation.measures.intervals import proportion

PAIRS = 500
RUNS = {
    "n-gram of 1": ("ngram", {"model.order": 1, **WORDS}),
    "n-gram of 3": ("ngram", {"model.order": 3, **WORDS}),
    "NNLM": ("nnlm", WORDS),
    "LSTM": ("lstm", WORDS),
    "GPT": ("gpt", WORDS),
}


def pairs(text: Text) -> list[tuple[str, str, str]]:
    """Held-out sentences of 6 to 30 words, each with all its words shuffled, and with two neighbours swapped."""
    draws, found = random.Random(0), []
    for document in text.documents():
        for sentence in document.split("\n"):
            words = sentence.split()
            if not 6 <= len(words) <= 30:
                continue
            shuffled, at = draws.sample(words, len(words)), draws.randrange(1, len(words) - 2)
            swapped = [*words[:at], words[at + 1], words[at], *words[at + 2 :]]
            if words not in (shuffled, swapped):
                found.append((sentence, " ".join(shuffled), " ".join(swapped)))
    return draws.sample(found, min(PAIRS, len(found)))


def main() -> None:
    """Five runs, two ways of spoiling a sentence."""
    options = arguments("valid_sentences.py", 2_000_000, "real against shuffled sentences")
    drawn = pairs(text_of(options))
    rows = []
    for name, (generation, settings) in RUNS.items():
        run = run_of(options, name.replace(" ", "-").lower(), generation, settings)
        real, shuffled, swapped = ([score.nats for score in run.score(column)] for column in zip(*drawn, strict=True))
        row = {"generation": name}
        for way, spoilt in (("shuffled", shuffled), ("two words swapped", swapped)):
            right = sum((a < b) + 0.5 * (a == b) for a, b in zip(real, spoilt, strict=True))
            share = proportion(int(right), len(drawn))
            row |= {f"{way}, %": 100 * right / len(drawn), f"{way}, 95 %": f"{100 * share.low:.1f} to {100 * share.high:.1f}"}
        rows.append(row)
    above = [row["generation"] for row in rows[1:] if float(row["two words swapped, 95 %"].split()[0]) > 50]
    verdict = Verdict(
        letter="f",
        claim="A language model says how likely a sentence is, so it tells sentences from heaps of words.",
        holds="yes" if len(above) == len(rows) - 1 else "in part" if above else "no",
        by="Two neighbours swapped are found by "
        + ", ".join(f"{row['generation']} {row['two words swapped, %']:.0f} %" for row in rows)
        + ".",
        page="valid_sentences.md",
        command=command(),
    )
    done = (
        f"{len(drawn)} held-out sentences of 6 to 30 words, each beside its own words in an order drawn by lot, and beside itself with two "
        f"neighbours swapped. Right is the run to which the sentence is the likelier one; ties count half, and chance is 50 %. "
        f"Preset `tiny`, {options.tokens:,} tokens each, one vocabulary of words."
    )
    read = "A count of single words cannot know an order: it is the row at 50 %. The intervals are Wilson's."
    write_page(options, verdict, done, rows, bars_chart(rows, "two words swapped, %", "generation", chance=50), read)


if __name__ == "__main__":
    main()
