"""Claim (c): recurrence reads one word after the other, attention all at once.

Tokens a second of a step of learning, at equal tokens a step, while the texts grow longer and fewer.
"""

import time

import torch
from claims import Verdict, arguments, command, lines_chart, run_of, write_page

LENGTHS = (16, 32, 64, 128, 256, 512)
STEP = 4096  # tokens
ROUNDS = 5
SHAPE = {"tokenizer.kind": "bpe", "tokenizer.vocab_size": 4096, "training.tokens": 0, "training.steps": 1}
RUNS = {"LSTM": ("lstm", SHAPE), "GPT": ("gpt", {"model.max_length": max(LENGTHS), **SHAPE})}


def rate(network: torch.nn.Module, length: int) -> float:
    """Tokens a second, there and back: the median of some steps."""
    ids = torch.randint(10, 4000, (STEP // length, length))
    batch = {"ids": ids, "labels": ids.roll(-1, 1), "segments": torch.ones_like(ids)}
    spent = []
    for _ in range(ROUNDS + 1):
        began = time.perf_counter()
        network.zero_grad()
        network.loss(batch, None).mean.backward()  # type: ignore[operator]
        spent.append(time.perf_counter() - began)
    return STEP / sorted(spent[1:])[ROUNDS // 2]


def main() -> None:
    """Two networks, six lengths."""
    options = arguments("parallel.py", 0, "tokens a second against length")
    networks = {name: run_of(options, f"parallel-{g}", g, settings).network.train() for name, (g, settings) in RUNS.items()}
    points = [
        {"network": name, "tokens a text": n, "tokens a second": rate(network, n)} for name, network in networks.items() for n in LENGTHS
    ]
    rows = []
    for name in RUNS:
        own = {str(p["tokens a text"]): p["tokens a second"] for p in points if p["network"] == name}
        rows.append({"network": name, **own, "longest over shortest": own[str(LENGTHS[-1])] / own[str(LENGTHS[0])]})
    kept = {row["network"]: row["longest over shortest"] for row in rows}
    verdict = Verdict(
        letter="c",
        claim="Recurrence cannot be computed in parallel, attention can.",
        holds="yes" if kept["GPT"] > 1.5 * kept["LSTM"] else "no",
        by=f"From {LENGTHS[0]} to {LENGTHS[-1]} tokens a text the LSTM keeps {kept['LSTM']:.2f} of its rate, GPT {kept['GPT']:.2f} "
        f"({torch.get_num_threads()} threads of a CPU).",
        page="parallel.md",
        command=command(),
    )
    done = f"{STEP:,} tokens a step in ever longer and fewer texts, preset `tiny`, there and back, the median of {ROUNDS} steps."
    read = (
        "What a recurrent step can share is the number of texts, and that shrinks as they grow. Attention pays for length too: every word "
        "looks at every other. A CPU has few arithmetic units, so that it hides what a GPU shows."
    )
    write_page(options, verdict, done, rows, lines_chart(points, "tokens a text", "tokens a second", "network"), read)


if __name__ == "__main__":
    main()
