"""Pre-training side by side with transformers' Trainer: real tokens a second, and the loss they buy.

    python bench/pretrain.py [--quick] [--corpus FILE --dev FILE] [--steps N] [--json OUT]

Both sides get the same text, tokenizer, shape, dropout, optimiser, rates and tokens a step, on one
thread. Contestants take turns of a few steps in one process; a turn is measured in CPU seconds of the
process, a ratio is the median over rounds. transformers trains on grouped text, its fastest way, which
has no padding; only real tokens count on our side. After equal tokens the losses on held-out text are
taken in float32, on rows as each side forms them. The last line is one JSON document.
"""

import os

os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}

import argparse
import dataclasses
import json
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from torch.nn import functional as F

from stemma.corpus.docstrings import write_docstrings
from stemma.layers.allocator import keep_freed_memory
from stemma.layers.attention import fitting_path
from stemma.layers.fast import Positions
from stemma.objectives.batch import IGNORE, seed_for
from stemma.training.backprop import Backprop, to_tensors
from stemma.training.ingest import Ingested, ingest
from stemma.training.loop import Reached, train
from stemma.training.ranks import Ranks
from stemma.training.request import Job, Request, job_of
from transformers_trainer import MASKING, Stepwise, grouped, make_collator, make_model

CPU = torch.device("cpu")
ROUNDS = 7
QUICK_SECONDS = 230  # of training, for each generation
EVALUATED_TOKENS = 16_384


@dataclass
class Contestant:
    """A network in training: each `next(steps)` makes a step and gives its real tokens."""

    name: str
    network: Any  # theirs is called for logits, ours for its loss
    steps: Iterator[int]
    theirs: bool
    seconds: float = 0.0
    speeds: list[float] = dataclasses.field(default_factory=list)

    def turn(self, count: int) -> None:
        """Makes `count` steps and notes the speed."""
        began = time.process_time()
        tokens = sum(next(self.steps) for _ in range(count))
        took = time.process_time() - began
        self.seconds += took
        self.speeds.append(tokens / took)


@dataclass(frozen=True)
class Match:
    """One generation's text and settings, from which both sides make their contestants."""

    generation: str
    text: Ingested
    job: Job
    folder: Path

    @property
    def specials(self) -> dict[str, int]:
        """Roles of the tokenizer's special tokens, and their ids."""
        return self.text.tokenizer.specials

    def contestants(self, steps: int) -> list[Contestant]:
        """Theirs and ours in both precisions."""
        made = [self._theirs(precision, steps) for precision in ("fp32", "bf16")]
        return made + [self._ours(precision, steps) for precision in ("fp32", "bf16")]

    def objective(self, store: Any) -> Any:
        """Our batches, as the peer has them: without sentence pairs, pieces masked at the paper's share, rows from left to right."""
        settings, training = self.job.sections["objective"], self.job.sections["training"]
        if self.generation in MASKING:
            settings = dataclasses.replace(settings, pairs="none", units="pieces", mask_share=0.15)
        elif self.generation == "xlnet":
            settings = dataclasses.replace(settings, both_directions=False)
        facts = self.text.tokenizer.facts(self.text.train.counts)
        length = self.job.sections["model"].max_length
        return self.job.row.load_data()(store, facts, settings, seed=training.seed, batch_tokens=training.batch_tokens, max_length=length)

    def _ours(self, precision: str, steps: int) -> Contestant:
        model, training = self.job.sections["model"], self.job.sections["training"]
        if hasattr(model, "attention"):  # XLNet's relative attention has one path
            model = dataclasses.replace(model, attention=fitting_path(CPU, model.max_length))
            report(f"  stemma {precision}: attention is {model.attention}")
        torch.manual_seed(seed_for(training.seed, "init"))
        network = self.job.row.load_network()(model, self.text.tokenizer.facts())
        learner = Backprop(network, training, CPU, precision, Ranks())
        progress = Reached()

        def made() -> Iterator[int]:
            before = 0
            for fact in train(learner, self.objective(self.text.train), training, steps, progress, Ranks()):
                yield fact.tokens - before
                before = fact.tokens

        return Contestant(f"stemma {precision}", network, made(), theirs=False)

    def _theirs(self, precision: str, steps: int) -> Contestant:
        model, training = self.job.sections["model"], self.job.sections["training"]
        rows = grouped(self.text.train, self.specials, model.max_length)
        torch.manual_seed(seed_for(training.seed, "init"))
        network = make_model(self.generation, model, self.text.tokenizer.vocab_size, self.specials)
        collator = make_collator(self.generation, self.folder / "tokenizer.json", self.specials)
        trainer = Stepwise(network, rows, collator, training, steps, precision == "bf16", self.folder / "trainer")
        return Contestant(f"transformers {precision}", network, trainer.steps(), theirs=True)


def run(match: Match, steps: int, seconds: float | None) -> dict[str, Any]:
    """The figures of one generation after `steps` steps, or as many as fit into `seconds`."""
    began = time.monotonic()
    if seconds:
        trial = match.contestants(3)
        for contestant in trial:
            contestant.turn(1)
        start = time.monotonic()
        for contestant in trial:
            contestant.turn(2)
        a_step = (time.monotonic() - start) / 2
        for contestant in trial:
            next(contestant.steps, None)  # to its end, so that its memory is free
        del trial, contestant
        left = seconds - (time.monotonic() - began)
        steps = max(ROUNDS + 1, min(steps, int(left / a_step)))
    contestants = match.contestants(steps)
    for contestant in contestants:
        contestant.turn(1)  # the first step compiles kernels and is not measured
        contestant.speeds.clear()
    made = 1
    while made < steps:
        count = min(max(1, (steps - 1) // ROUNDS), steps - made)
        for contestant in contestants:
            contestant.turn(count)
        made += count
        speeds = ", ".join(f"{c.name} {c.speeds[-1]:,.0f}" for c in contestants)
        report(f"  {match.generation} step {made}/{steps}, tokens/s: {speeds}")
    return figures(match, contestants, steps)


def figures(match: Match, contestants: list[Contestant], steps: int) -> dict[str, Any]:
    """Speeds, ratios and held-out losses."""
    by_name = {c.name: c for c in contestants}
    ours, theirs = by_name["stemma bf16"], [c for c in contestants if c.theirs]
    ratios = {c.name: statistics.median(a / b for a, b in zip(ours.speeds, c.speeds, strict=True)) for c in theirs}
    like = statistics.median(a / b for a, b in zip(by_name["stemma fp32"].speeds, by_name["transformers fp32"].speeds, strict=True))
    losses = {c.name: {kind: round(held_out(c, rows), 4) for kind, rows in evaluation(match).items()} for c in contestants}
    return {
        "steps": steps,
        "tokens": steps * match.job.sections["training"].batch_tokens,
        "tokens_per_second": {c.name: round(statistics.median(c.speeds)) for c in contestants},
        "cpu_seconds": {c.name: round(c.seconds, 1) for c in contestants},
        "ratio_to_fp32": round(ratios["transformers fp32"], 2),
        "ratio_to_bf16": round(ratios["transformers bf16"], 2),
        "ratio_fp32_to_fp32": round(like, 2),
        "held_out_nats": losses,
    }


def evaluation(match: Match) -> dict[str, list[dict[str, torch.Tensor]]]:
    """The same held-out text as rows of the peer's kind and of ours, with fixed masks; of XLNet as ours alone, whose order both read."""
    length = match.job.sections["model"].max_length
    assert match.text.dev is not None
    if match.generation == "xlnet":
        return {"rows of both": own_rows(match)}
    rows = grouped(match.text.dev, match.specials, length)[: EVALUATED_TOKENS // length]
    ids = torch.from_numpy(rows)
    if match.generation in MASKING:
        torch.manual_seed(0)
        collated = make_collator(match.generation, match.folder / "tokenizer.json", match.specials)([{"input_ids": row} for row in ids])
        ids, labels = collated["input_ids"], collated["labels"]
    else:
        labels = torch.cat([ids[:, 1:], torch.full((len(ids), 1), IGNORE)], 1)
    groups = [
        {"ids": some, "labels": targets, "segments": torch.ones_like(some)}
        for some, targets in zip(ids.split(32), labels.split(32), strict=True)
    ]
    return {"grouped rows": groups, "packed rows": own_rows(match)}


def own_rows(match: Match) -> list[dict[str, torch.Tensor]]:
    """Batches of our objective over the held-out text."""
    ours, packed, tokens = match.objective(match.text.dev), [], 0
    for step in range(ours.steps_in_epoch(0)):
        packed.append(to_tensors(ours.batch(step), CPU))
        tokens += int((packed[-1]["segments"] > 0).sum())
        if tokens >= EVALUATED_TOKENS:
            break
    return packed


@torch.no_grad()
def held_out(contestant: Contestant, batches: list[dict[str, torch.Tensor]]) -> float:
    """Mean nats per prediction, in float32 and without dropout."""
    contestant.network.eval()
    nats, count = 0.0, 0
    for batch in batches:
        if contestant.theirs and "turns" in batch:
            logits, labels = in_order(contestant.network, batch)
            nats += F.cross_entropy(logits, labels, reduction="sum").item()
            count += len(labels)
        elif contestant.theirs:
            ids, labels, real = unpacked(batch)
            logits = contestant.network(ids, attention_mask=real).logits
            nats += F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORE, reduction="sum").item()
            count += int((labels != IGNORE).sum())
        else:
            loss = contestant.network.loss(batch)
            nats, count = nats + float(loss.mean) * loss.count, count + loss.count
    return nats / count


def in_order(network: Any, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """(logits (N V), labels (N)) of transformers' XLNet, which is given our order as the pairs of positions that it hides."""
    turns, predicted = batch["turns"], batch["labels"] != IGNORE
    sees = (turns[:, :, None] > turns[:, None, :]) | ((turns[:, :, None] == 0) & (turns[:, None, :] == 0))
    slots = Positions(predicted)
    wanted = F.one_hot(slots.columns, turns.shape[1]).float()
    found = network(batch["ids"], perm_mask=(~sees).float(), target_mapping=wanted, token_type_ids=batch["types"])
    return found.logits[slots.real], batch["labels"][predicted]


def unpacked(batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(ids, labels, attention mask) with every segment in a row of its own."""
    pieces = []
    for row in range(len(batch["ids"])):
        for segment in range(1, int(batch["segments"][row].max()) + 1):
            inside = batch["segments"][row] == segment
            pieces.append((batch["ids"][row][inside], batch["labels"][row][inside]))
    longest = max(len(ids) for ids, _ in pieces)
    all_ids = torch.stack([F.pad(ids, (0, longest - len(ids))) for ids, _ in pieces])
    all_labels = torch.stack([F.pad(labels, (0, longest - len(labels)), value=IGNORE) for _, labels in pieces])
    real = torch.stack([torch.arange(longest) < len(ids) for ids, _ in pieces]).long()
    return all_ids, all_labels, real


def main() -> None:
    """Reads the command line, runs the generations, prints the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="end within ten minutes")
    parser.add_argument("--corpus", help="text to train on (default: docstrings of installed packages)")
    parser.add_argument("--dev", help="held-out text; without it a share of the corpus")
    parser.add_argument("--generations", nargs="+", default=["bert", "gpt"], choices=["bert", "gpt", "gpt2", "albert", "xlnet"])
    parser.add_argument("--steps", type=int, default=400, help="of 4,096 tokens, at most")
    parser.add_argument("--rate", type=float, default=1e-3, help="peak learning rate of both sides")
    parser.add_argument("--json", type=Path, help="also write the JSON document to this file")
    options = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()  # to the good of both sides
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        corpus, dev = texts(options, Path(folder))
        matches = [prepare(name, corpus, dev, options, Path(folder)) for name in options.generations]
        results = {match.generation: run(match, options.steps, budget(options)) for match in matches}
    document = {
        "bench": "pretrain",
        "shape": "4 layers, 256 wide, 4 heads, 1024 inner, vocabulary 8192, rows of 128",
        **results,
        "quick": options.quick,
        "wall_seconds": round(time.monotonic() - began),
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__, "python": platform.python_version()},
    }
    line = json.dumps(document)
    if options.json:
        options.json.write_text(line + "\n", encoding="utf-8")
    print(line)


def texts(options: argparse.Namespace, folder: Path) -> tuple[str, Any]:
    """The corpus and the held-out text, if it has one of its own."""
    if options.corpus:
        return options.corpus, options.dev or ()
    made = write_docstrings(folder / "docstrings", packages=("sympy", "networkx", "numpy") if options.quick else None)
    return str(made.train), str(made.dev)


def prepare(generation: str, corpus: str, dev: Any, options: argparse.Namespace, folder: Path) -> Match:
    """Tokenizer and token stores."""
    shared = ["training.optimiser=adamw", f"training.rate={options.rate}", "model.dropout=0.1"]  # the Trainer has no Muon
    shared += ["model.memory=0"] if generation == "xlnet" else []  # nor memory from step to step
    job = job_of(Request.of(generation, corpus, preset="small", settings=["training.batch_tokens=4096", *shared], dev=dev))
    text = ingest(job.source, job.sections["tokenizer"], folder / generation, report)
    text.tokenizer.save(folder / generation / "tokenizer.json")
    assert text.dev is not None, "docstrings come with held-out text, and of other corpora a share is held out"
    report(f"{generation}: {len(text.train.ids):,} tokens to train on, {len(text.dev.ids):,} held out")
    return Match(generation, text, job, folder / generation)


def budget(options: argparse.Namespace) -> float | None:
    """Seconds of training for a generation, where they are limited."""
    return QUICK_SECONDS * 2 / len(options.generations) if options.quick else None


def report(text: str) -> None:
    """Progress, on stderr."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
