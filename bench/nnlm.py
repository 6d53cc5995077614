"""NNLM's three output layers under the same CPU time, beside the n-gram model on the same words, alone and mixed half and half.

    python bench/nnlm.py CORPUS DEV OUT --seconds 60 --min-count 4

Prints a line a model: words a CPU second, words read, held-out perplexity (unknown words and sentence ends included), and
that of the average of its probabilities with those of the n-gram model of the highest order.
"""

import argparse
from pathlib import Path

import numpy as np

from stemma.corpus import read as corpus_read
from stemma.corpus.document import Ledger
from stemma.runs import reading
from stemma.runs.run import Run
from stemma.training.pretrain import pretrain
from stemma.training.request import Request


def nats(run: Run, sentences: list[np.ndarray]) -> np.ndarray:
    """-log P of every word and sentence end."""
    if run.row.learns == "count":
        return -run.network.score(sentences).log_probs
    end = run.tokenizer.specials["eos"]
    return np.concatenate(reading.surprises(run.network, [np.append(ids, end).astype(np.int64) for ids in sentences]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus")
    parser.add_argument("dev")
    parser.add_argument("out", type=Path)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--min-count", type=int, default=4)
    parser.add_argument("--sentences", type=int, default=3000)
    parser.add_argument("--set", action="append", default=[], dest="settings", help="for nnlm alone")
    options = parser.parse_args()
    words = ["tokenizer.vocab_size=0", f"tokenizer.min_count={options.min_count}"]
    one_thread = ["training.threads=1", f"training.seconds={options.seconds}", "training.evaluations=0", *options.settings]
    orders = {f"ngram {order}": ("ngram", [f"model.order={order}"]) for order in (3, 5)}
    outputs = {f"nnlm {output}": ("nnlm", [*one_thread, f'model.output="{output}"']) for output in ("full", "sampled", "hierarchical")}
    text = list(corpus_read.read([options.dev], corpus_read.Config(), Ledger()))
    counted = np.empty(0)  # of the highest order, which comes before the networks
    for name, (generation, settings) in {**orders, **outputs}.items():
        out, store = options.out / name.replace(" ", "-"), options.out / "store"
        folder = pretrain(Request.of(generation, options.corpus, settings=[*words, *settings], dev=options.dev), out=out, store=store)
        run, done = Run.open(folder.path), folder.metrics()[-1]
        sentences = run.tokenizer.encode_batch([sentence for document in text for sentence in document.sentences][: options.sentences])
        found = nats(run, sentences)
        counted = found if generation == "ngram" else counted
        mixed = np.log(2) - np.logaddexp(-found, -counted)
        speed = done["tokens"] / done.get("cpu_seconds", done["seconds"])
        figures = f"perplexity {np.exp(found.mean()):.1f}, mixed {np.exp(mixed.mean()):.1f} over {len(found):,} words"
        print(f"{name:18} {speed:>10,.0f} words/s  {done['tokens']:>12,} read  {figures}", flush=True)


if __name__ == "__main__":
    main()
