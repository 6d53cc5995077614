"""Translation side by side with transformers' MarianMT: training and decoding, tokens a second, and what they buy.

    python bench/translate.py [--quick] [--preset tiny|small] [--steps N] [--run RUN] [--json OUT]

Training: the same batches of pairs, shape, dropout, smoothed labels, AdamW and rates, on one thread; contestants take turns of a few
steps in one process, a turn is measured in CPU seconds of the process, and a ratio is the median over rounds. Only real tokens count,
of both sides. The held-out loss is that of plain labels in float32, on the same batches for all.

Decoding: one set of weights, that of a run trained here for a while or of `--run` (norms after the sums: Marian knows no others), in
our decoder, in MarianMT's `generate` and in CTranslate2 with weights of 32 and 8 bits. Ranked by probability alone, for the three
programs have three length penalties. Tokens are those written, ends included. `same` is the share of sources whose translations equal
generate's, and `bleu` that of sacreBLEU against the references.

Pairs are Multi30k's, English to German, where `../shared` holds them, else made-up ones. The last line is one JSON document.
"""

import os

os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}

import argparse
import dataclasses
import json
import platform
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ctranslate2
import torch
import transformers
from sacrebleu.metrics import BLEU

from marian import Ids, Marian, marian_of
from stemma.export.formats import convert
from stemma.layers.allocator import keep_freed_memory
from stemma.layers.attention import fitting_path
from stemma.objectives.batch import IGNORE, seed_for
from stemma.runs import decoding
from stemma.runs.decoding import Decoding
from stemma.runs.run import Run
from stemma.training.backprop import Backprop, to_tensors
from stemma.training.ingest import Ingested, ingest
from stemma.training.loop import Reached, train
from stemma.training.pretrain import pretrain
from stemma.training.ranks import Ranks
from stemma.training.request import Job, Request, job_of

CPU = torch.device("cpu")
MULTI30K = Path(__file__).resolve().parents[2] / "shared/data/mt-en-de-multi30k"
SMALL = {"model.norm": "post", "training.optimiser": "adamw", "training.rate": 1e-3, "model.dropout": 0.1, "tokenizer.vocab_size": 4096}
ROUNDS = 7
TRAINED_TOKENS = 600_000  # that the run of the second part has seen at least: enough for sentences of a sentence's length
TOGETHER = 32  # sources that each program is handed at a time
BEAMS = (1, 5)
Program = Callable[[list[Ids], int], list[Ids]]


@dataclasses.dataclass
class Contestant:
    """A network in training: each `next(steps)` makes a step and gives its real tokens."""

    name: str
    network: Any
    steps: Iterator[int]
    speeds: list[float] = dataclasses.field(default_factory=list)

    def turn(self, count: int) -> None:
        """Makes `count` steps and notes the speed."""
        began = time.process_time()
        tokens = sum(next(self.steps) for _ in range(count))
        self.speeds.append(tokens / (time.process_time() - began))


def training(job: Job, text: Ingested, steps: int) -> dict[str, Any]:
    """Speeds, ratios and held-out losses after equal steps."""
    made = {precision: (_theirs(job, text, precision, steps), _ours(job, text, precision, steps)) for precision in ("fp32", "bf16")}
    contestants = [one for pair in made.values() for one in pair]
    for contestant in contestants:
        contestant.turn(1)  # the first step is not measured
        contestant.speeds.clear()
    done = 1
    while done < steps:
        count = min(max(1, (steps - 1) // ROUNDS), steps - done)
        for contestant in contestants:
            contestant.turn(count)
        done += count
        report(f"  step {done}/{steps}, tokens/s: " + ", ".join(f"{one.name} {one.speeds[-1]:,.0f}" for one in contestants))
    batches = list(_held_out(job, text))
    return {
        "steps": steps,
        "tokens_per_second": {one.name: round(statistics.median(one.speeds)) for one in contestants},
        "ratio_to_fp32": round(_ratio(made["bf16"][1].speeds, made["fp32"][0].speeds), 2),
        "ratio_to_bf16": round(_ratio(made["bf16"][1].speeds, made["bf16"][0].speeds), 2),
        "ratio_fp32_to_fp32": round(_ratio(made["fp32"][1].speeds, made["fp32"][0].speeds), 2),
        "held_out_nats": {one.name: round(_nats(one.network, batches), 4) for one in contestants},
    }


def _objective(job: Job, text: Ingested, store: Any) -> Any:
    training = job.sections["training"]
    settings, length = job.sections["objective"], job.sections["model"].max_length
    make = job.row.load_data()
    return make(
        store, text.tokenizer.facts(text.train.counts), settings, seed=training.seed, batch_tokens=training.batch_tokens, max_length=length
    )


def _ours(job: Job, text: Ingested, precision: str, steps: int) -> Contestant:
    model, settings = job.sections["model"], job.sections["training"]
    torch.manual_seed(seed_for(settings.seed, "init"))
    model = dataclasses.replace(model, attention=fitting_path(CPU, model.max_length))
    network = job.row.load_network()(model, text.tokenizer.facts())
    learner, progress = Backprop(network, settings, CPU, precision, Ranks()), Reached()

    def made() -> Iterator[int]:
        before = 0
        for fact in train(learner, _objective(job, text, text.train), settings, steps, progress, Ranks()):
            yield fact.tokens - before
            before = fact.tokens

    return Contestant(f"stemma {precision}", network, made())


def _theirs(job: Job, text: Ingested, precision: str, steps: int) -> Contestant:
    settings = job.sections["training"]
    torch.manual_seed(seed_for(settings.seed, "init"))
    network = Marian(job.sections["model"], text.tokenizer.facts())
    return Contestant(f"transformers {precision}", network, network.steps(_objective(job, text, text.train), settings, steps, precision))


def _held_out(job: Job, text: Ingested) -> Iterator[dict[str, torch.Tensor]]:
    assert text.dev is not None
    objective = _objective(job, text, text.dev)
    for step in range(min(4, objective.steps_in_epoch(0))):
        yield to_tensors(objective.batch(step), CPU)


@torch.no_grad()
def _nats(network: Any, batches: list[dict[str, torch.Tensor]]) -> float:
    """Mean nats per token of the targets, in float32 and without dropout."""
    network.eval()
    losses = [(float(network.loss(batch).mean), int((batch["labels"] != IGNORE).sum())) for batch in batches]
    return sum(mean * count for mean, count in losses) / sum(count for _, count in losses)


def decoded(run: Run, pairs: list[tuple[str, str]], folder: Path) -> dict[str, Any]:
    """Of each number of beams: tokens a second of each program, ratios over `generate`, and how alike what they write is."""
    for int8 in (False, True):
        convert(run.path, folder / f"ct2-{int8}", "ctranslate2", int8=int8)
    whole, small = (ctranslate2.Translator(str(folder / f"ct2-{int8}"), intra_threads=1) for int8 in (False, True))
    theirs = marian_of(run)
    sources = [run.tokenizer.encode(source).tolist() for source, _ in pairs]
    programs: dict[str, Program] = {
        "transformers": theirs.translate,
        "stemma": lambda ids, beams: _by_stemma(run, ids, beams),
        "ctranslate2 fp32": lambda ids, beams: _by_ctranslate2(whole, run, ids, beams),
        "ctranslate2 int8": lambda ids, beams: _by_ctranslate2(small, run, ids, beams),
    }
    for translate in programs.values():
        translate(sources[:2], BEAMS[0])  # the first call makes plans
    return {f"beam {beams}": _side_by_side(run, programs, pairs, sources, beams) for beams in BEAMS}


def _side_by_side(run: Run, programs: dict[str, Program], pairs: list[tuple[str, str]], sources: list[Ids], beams: int) -> dict[str, Any]:
    speeds: dict[str, list[float]] = {name: [] for name in programs}
    written: dict[str, list[Ids]] = {name: [] for name in programs}
    for first in range(0, len(sources), TOGETHER):
        for name, translate in programs.items():
            began = time.process_time()
            found = translate(sources[first : first + TOGETHER], beams)
            speeds[name].append(sum(len(ids) + 1 for ids in found) / (time.process_time() - began))
            written[name] += found
        report(
            f"  beam {beams}, {first + TOGETHER} sources, tokens/s: " + ", ".join(f"{name} {speeds[name][-1]:,.0f}" for name in programs)
        )
    texts = {name: [run.tokenizer.decode(ids) for ids in found] for name, found in written.items()}
    bleu, references = BLEU(), [[target for _, target in pairs]]
    return {
        "sources": len(sources),
        "tokens_per_second": {name: round(statistics.median(found)) for name, found in speeds.items()},
        "ratios": {name: round(_ratio(found, speeds["transformers"]), 2) for name, found in speeds.items() if name != "transformers"},
        "same": {name: round(_share(found, written["transformers"]), 3) for name, found in written.items() if name != "transformers"},
        "bleu": {name: round(float(bleu.corpus_score(found, references).score), 2) for name, found in texts.items()},
        "signature": str(bleu.get_signature()),
    }


def _by_stemma(run: Run, sources: list[Ids], beams: int) -> list[Ids]:
    options = Decoding(temperature=1.0 if beams > 1 else 0.0, beams=beams, length_penalty=0.0)
    return [best.ids for best, *_ in decoding.translate(run.network, run.tokenizer, sources, options)]


def _by_ctranslate2(translator: ctranslate2.Translator, run: Run, sources: list[Ids], beams: int) -> list[Ids]:
    named = [[run.tokenizer.token(i) for i in ids] for ids in sources]
    longest = min(max(map(len, sources)) + decoding.LONGER, run.network.max_length - 1)
    found = translator.translate_batch(named, beam_size=beams, length_penalty=0, min_decoding_length=0, max_decoding_length=longest)
    known = {token: place for place, token in enumerate(run.tokenizer.tokens)}
    return [[known[token] for token in one.hypotheses[0]] for one in found]


def _share(ours: list[Ids], theirs: list[Ids]) -> float:
    return sum(one == other for one, other in zip(ours, theirs, strict=True)) / len(ours)


def _ratio(ours: list[float], theirs: list[float]) -> float:
    return statistics.median(one / other for one, other in zip(ours, theirs, strict=True))


def texts(folder: Path) -> tuple[Path, list[tuple[str, str]]]:
    """The table of pairs to learn from, and pairs to translate."""
    if MULTI30K.is_dir():
        rows = [line.split("\t") for line in (MULTI30K / "dev.tsv").read_text(encoding="utf-8").splitlines()[1:]]
        return MULTI30K / "train.tsv", [(source, target) for source, target in rows]
    report(f"{MULTI30K} is not here: made-up pairs in its place, whose BLEU says nothing of real ones")
    draws = random.Random(7)
    words = ["".join(draws.choices("abcdefghij", k=draws.randrange(3, 9))) for _ in range(1000)]
    sides = [draws.choices(words, k=draws.randrange(5, 20)) for _ in range(20_000)]
    pairs = [(" ".join(side), " ".join(word[::-1] for word in side)) for side in sides]
    made = folder / "pairs.tsv"
    made.write_text("en\tde\n" + "".join(f"{source}\t{target}\n" for source, target in pairs[1000:]), encoding="utf-8")
    return made, pairs[:1000]


def job_for(table: Path, preset: str, steps: int) -> Request:
    """What both parts pre-train."""
    settings = {**SMALL, "training.batch_tokens": 2048 if preset == "tiny" else 4096, "training.steps": steps}
    return Request.of("transformer", table, preset=preset, settings=settings)


def main() -> None:
    """Reads the command line, runs both parts, prints the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="two minutes: preset tiny, fewer steps and sources")
    parser.add_argument("--preset", choices=["tiny", "small"], default="small", help="the shape")
    parser.add_argument("--steps", type=int, help="of training, for each contestant")
    parser.add_argument("--sources", type=int, help="to translate")
    parser.add_argument("--run", type=Path, help="a run of transformer with norm = post whose weights all programs translate with")
    parser.add_argument("--json", type=Path, help="also write the JSON document to this file")
    options = parser.parse_args()
    preset = "tiny" if options.quick else options.preset
    torch.set_num_threads(1)
    keep_freed_memory()  # to the good of both sides
    began = time.process_time()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        table, pairs = texts(folder)
        pairs = random.Random(1).sample(pairs, options.sources or (64 if options.quick else 256))
        job = job_of(job_for(table, preset, options.steps or (15 if options.quick else 50)))
        text = ingest(job.source, job.sections["tokenizer"], folder / "text", report)
        trained = training(job, text, job.sections["training"].steps)
        if not options.run:
            batch_tokens = job.sections["training"].batch_tokens
            pretrain(job_for(table, preset, TRAINED_TOKENS // batch_tokens // (2 if options.quick else 1)), out=folder / "run")
        run = Run.open(options.run or folder / "run")
        document: dict[str, Any] = {
            "bench": "translate",
            "shape": {name: value for name, value in dataclasses.asdict(job.sections["model"]).items() if isinstance(value, int)},
            "pairs": table.parent.name if MULTI30K.is_dir() else "made up",
            "training": trained,
            "decoding": decoded(run, pairs, folder),
            "weights": str(options.run) if options.run else "trained for a while",
        }
    document |= {
        "quick": options.quick,
        "cpu_seconds": round(time.process_time() - began),
        "versions": {
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "ctranslate2": ctranslate2.__version__,
            "python": platform.python_version(),
        },
    }
    line = json.dumps(document)
    if options.json:
        options.json.write_text(line + "\n", encoding="utf-8")
    print(line)


def report(text: str) -> None:
    """Progress, on stderr."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
