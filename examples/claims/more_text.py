"""Claim (j): the more text, the better the representation."""

from claims import Verdict, arguments, command, lines_chart, run_of, text_of, write_page
from stemma.corpus.documents import Document

PIECES = {"tokenizer.kind": "bpe", "tokenizer.vocab_size": 4096}
SHARES = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)  # of --tokens
RUNS = {
    "n-gram of 3": ("ngram", {"model.order": 3, **PIECES}),
    "LSTM": ("lstm", PIECES),
    "GPT": ("gpt", PIECES),
    "XLNet": ("xlnet", PIECES),
}


def main() -> None:
    """Four generations, six budgets."""
    options = arguments("more_text.py", 1_600_000, "bits a character against tokens of pre-training")
    documents = [Document((text,), "") for text in text_of(options).documents()[:300]]
    characters = sum(len(document.text) for document in documents)
    points, whole = [], options.tokens
    for name, (generation, settings) in RUNS.items():
        for share in SHARES:
            options.tokens = int(whole * share)
            run = run_of(options, f"more-{generation}-{options.tokens}", generation, {**settings, "training.tokens": options.tokens})
            scores = run.score_documents(documents)
            nats = sum(score.nats + (score.spelling or 0.0) for score in scores)
            points.append({"generation": name, "tokens": options.tokens, "bits a character": nats / 0.6931471805599453 / characters})
    rows = []
    for name in RUNS:
        own = {p["tokens"]: p["bits a character"] for p in points if p["generation"] == name}
        rows.append(
            {
                "generation": name,
                **{f"{tokens:,}": bits for tokens, bits in own.items()},
                "last doubling": list(own.values())[-1] - list(own.values())[-2],
            }
        )
    falling = [row["generation"] for row in rows if row["last doubling"] < -0.005]
    verdict = Verdict(
        letter="j",
        claim="The more text, the better the representation.",
        holds="yes" if len(falling) == len(rows) else "in part" if falling else "no",
        by="The last doubling of the text saves "
        + ", ".join(f"{-row['last doubling']:.3f} bits a character ({row['generation']})" for row in rows)
        + ".",
        page="more_text.md",
        command=command(),
    )
    done = f"Preset `tiny`, up to {whole:,} tokens of one text, read once; 300 held-out documents, {characters:,} characters."
    read = "Counts gain from the first; networks need some text before they pass them, and then go on gaining."
    write_page(options, verdict, done, rows, lines_chart(points, "tokens", "bits a character", "generation"), read)


if __name__ == "__main__":
    main()
