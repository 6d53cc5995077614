"""Claim (k): the NNLM is slow to train, and each later trick saved most of what was left.

CPU seconds until words that are alike stand above pairs drawn by lot as often as the slowest way manages.
"""

import resource
import shutil

import numpy as np
from claims import WORDS, Verdict, arguments, command, lines_chart, run_of, write_page
from one_hot import ALIKE, above_lot

BUDGETS = (100_000, 200_000, 400_000, 800_000, 1_600_000, 3_200_000)  # tokens; the slow ways stop where the time is up
LONGEST = 120.0  # CPU seconds of a run, beyond which no longer one is made
WAYS = {
    "NNLM, whole softmax": ("nnlm", {"model.output": "full", **WORDS}),
    "NNLM, hierarchical": ("nnlm", {"model.output": "hierarchical", **WORDS}),
    "NNLM, sampled": ("nnlm", {"model.output": "sampled", **WORDS}),
    "word2vec, skip-gram": ("word2vec", {"model.architecture": "skipgram", **WORDS}),
}


def main() -> None:
    """Four ways, each on longer and longer texts."""
    options = arguments("nnlm_speed.py", 0, "seconds to equal similarity")
    pairs = [(a, b) for a, b in map(str.split, ALIKE)]
    points, best = [], {}
    for name, (generation, settings) in WAYS.items():
        for tokens in BUDGETS:
            options.tokens, place = tokens, f"speed-{name.split(', ')[1].replace(' ', '-')}-{tokens}"
            shutil.rmtree(options.out / "runs" / place, ignore_errors=True)  # a run that stands there already has no time to measure
            run_of(options, f"{place}-before", generation, {**settings, "training.steps": 1, "training.tokens": 0})  # reading and compiling
            began = _seconds()
            run = run_of(options, place, generation, settings)
            spent = _seconds() - began
            known = [(a, b) for a, b in pairs if a in run and b in run]
            share = above_lot({word: run[word] for pair in known for word in pair}, known)
            points.append({"way": name, "CPU seconds": spent, "alike above lot": share, "tokens": tokens})
            best[name] = max(best.get(name, 0.0), share)
            if spent > LONGEST:
                break
    level = float(np.floor(100 * min(best.values())) / 100)
    reached = {name: min(p["CPU seconds"] for p in points if p["way"] == name and p["alike above lot"] >= level) for name in WAYS}
    rows = [{"way": name, f"CPU seconds to {level:.2f}": spent, "best": best[name]} for name, spent in reached.items()]
    whole, last = reached["NNLM, whole softmax"], reached["word2vec, skip-gram"]
    verdict = Verdict(
        letter="k",
        claim="The NNLM is slow to train, and each later trick saved much of what was left.",
        holds="yes" if list(reached.values()) == sorted(reached.values(), reverse=True) else "in part" if last < whole else "no",
        by=f"CPU seconds to {level:.2f}: " + ", ".join(f"{name} {spent:.1f}" for name, spent in reached.items()) + ".",
        page="nnlm_speed.md",
        command=command(),
    )
    done = (
        "Preset `tiny`, longer and longer texts. The measure is the share in which a pair of words that are alike has a greater "
        "cosine than one drawn by lot; the level is the best that all ways reach. Seconds are those of the whole run, reading the text "
        f"included; no way goes on beyond {LONGEST:.0f}."
    )
    read = "Whole softmax → a tree of words → some drawn words → no hidden layer at all: each step asks less of each word that is read."
    write_page(options, verdict, done, rows, lines_chart(points, "CPU seconds", "alike above lot", "way"), read)


def _seconds() -> float:
    return sum(used.ru_utime + used.ru_stime for used in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)))


if __name__ == "__main__":
    main()
