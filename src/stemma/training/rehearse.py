"""`--dry-run`: a few real steps on a sample of the text, from which the whole run is reckoned."""

import re
import statistics
import time
from dataclasses import dataclass, replace
from itertools import pairwise
from math import ceil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from stemma.checkpoint import RunFolder
from stemma.config import to_plain
from stemma.corpus.columnar import text_bytes
from stemma.corpus.document import Document, Ledger
from stemma.corpus.files import find, raw, size
from stemma.corpus.parallel import SEPARATOR
from stemma.corpus.read import read
from stemma.errors import UsageError
from stemma.tokens.store import TokenStore
from stemma.tokens.tokenizer import Tokenizer
from stemma.training.count import DEFAULT_MIB
from stemma.training.facts import Fact, Prepared, Update
from stemma.training.ingest import Ingested
from stemma.training.peak import peak_memory_mib
from stemma.training.pretrain import pretrain
from stemma.training.request import Job, Request, job_of, planned_job
from stemma.training.settings import BUDGETS, Config, HandConfig

SAMPLE = 2_000_000  # characters: enough for a vocabulary of ordinary size, read in seconds
STEPS = 8  # updates that are timed; the first half warms up
COMPRESSED = {".gz": 3.0, ".xz": 4.0, ".zst": 3.3}  # how much longer text is than its file, roughly


@dataclass(frozen=True)
class Plan:
    """What a run would take. `exact` is True when the sample was the whole corpus."""

    generation: str
    exact: bool
    sample_characters: int
    corpus_characters: int
    corpus_tokens: int
    vocab_size: int  # learnt on the sample; the whole text may fill more of the size that is set
    parameters: int
    steps: int  # 0: counts, without steps
    tokens: int  # read in training, all passes together
    passes: float  # over the text
    reading_seconds: float  # tokenizer and token store
    training_seconds: float
    memory_mib: float  # peak
    disk_mib: float  # run folder, token store and states included
    settings: dict[str, Any]


@dataclass(frozen=True)
class _Sample:
    path: Path
    format: str  # "sentences", or "pairs" where the corpus is nothing else
    characters: int
    share: float  # of the corpus
    bytes: float  # of the files that it is of, decompressed


def rehearse(request: Request, teacher: Request | None = None, scale: str = "") -> Plan:
    """The plan of the run that `pretrain` would make of the same request. Everything is written aside and removed.

    `teacher` is the request of a run to be imitated that may still be to be made: in its place stands a rehearsal of it. With `scale`
    the plan is that of so much text of the same kind, as "100GB" (`text_size`); UsageError where that is less than what is read of it.
    """
    job = planned_job(request) if teacher else job_of(request)
    with TemporaryDirectory(prefix="stemma-") as folder:
        sample = _take_sample(job, Path(folder))
        sample = _scaled(sample, scale) if scale else sample
        if teacher:
            made = pretrain(_on_sample(teacher, planned_job(teacher), sample), out=Path(folder) / "teacher")
            request = replace(request, teacher=made.path)
        facts: list[Fact] = []
        began, before_mib = time.perf_counter(), peak_memory_mib()
        run = pretrain(_on_sample(request, job, sample), out=Path(folder) / "run", progress=facts.append)
        return _reckoned(job, sample, run, facts, time.perf_counter() - began, before_mib)


def _on_sample(request: Request, job: Job, sample: _Sample) -> Request:
    settings = (*request.settings, *_for_a_sample(job, sample))
    return replace(request, corpus=(str(sample.path),), source=(), target=(), dev=(), workers=1, settings=settings)


def _take_sample(job: Job, folder: Path) -> _Sample:
    source, ledger = job.source, Ledger()
    documents: list[Document] = []
    characters = encoded = 0
    whole = True
    for document in read(source.paths, source.corpus, ledger, targets=source.targets):
        text = "\n".join(document.sentences)
        documents.append(document)
        characters += len(text)
        encoded += len(text.encode(source.corpus.encoding, "replace"))
        if characters >= SAMPLE:
            whole = False
            break
    path, kind = folder / "sample.txt", "pairs" if all(document.pair for document in documents) else "sentences"
    path.write_text("".join(map(_written, documents)), encoding="utf-8")
    used = ledger.characters_used / max(1, ledger.characters_in)
    size = encoded / max(0.01, used)  # of the files that it is of
    return _Sample(path, kind, characters, 1.0 if whole else min(1.0, size / max(1.0, _text_bytes(job))), size)


def _scaled(sample: _Sample, scale: str) -> _Sample:
    """The sample as a share of so much text of its kind."""
    size = text_size(scale)
    if size < sample.bytes:
        wrong = f"--scale {scale}, less than the {sample.bytes:,.0f} bytes that are read for it"
        raise UsageError(wrong, "a greater corpus", "name a greater size, or drop --scale")
    return replace(sample, share=sample.bytes / size)


def text_size(text: str) -> float:
    """Bytes of a size such as 100GB, 1.5 TB or 800MiB; UsageError for another text."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)(i?)B?\s*", text, re.IGNORECASE)
    if not found or not float(found[1]):
        raise UsageError(f"--scale {text!r}", "a size of text", "write for example --scale 100GB")
    return float(found[1]) * (1024 if found[3] else 1000) ** " KMGT".index(found[2].upper() or " ")


def _written(document: Document) -> str:
    if document.pair:
        return SEPARATOR.join(side.replace(SEPARATOR, " ") for side in document.sentences) + "\n"
    return "\n".join(document.sentences) + "\n\n"


def _text_bytes(job: Job) -> float:
    found = find(job.source.paths, job.source.targets)
    return sum(_text_bytes_of(name, job.source.corpus.field) for name in (*found.files, *found.targets))


def _text_bytes_of(name: str, column: str) -> float:
    """Bytes of text in a file: of one that is compressed roughly, of the column of a Parquet file as that tells."""
    if name.lower().endswith(".parquet"):
        with raw(name) as stream:
            return text_bytes(stream, column)
    return size(name) * COMPRESSED.get(Path(name).suffix.lower(), 1.0)


def _for_a_sample(job: Job, sample: _Sample) -> list[str]:
    """Settings that read the sample as it was written, and make a few steps of it."""
    settings = [f'corpus.format="{sample.format}"', 'corpus.encoding="utf-8"', 'corpus.documents="blank"']
    training = job.sections["training"]
    if isinstance(training, HandConfig):
        settings += [f"training.{name}={STEPS if name == 'steps' else 0}" for name in BUDGETS]
    if isinstance(training, Config):
        settings += ["training.evaluations=0", "training.patience=0"]
    return settings


def _reckoned(job: Job, sample: _Sample, run: RunFolder, facts: list[Fact], took: float, before_mib: float) -> Plan:
    done = run.done()
    ledger = run.ledger
    corpus_tokens = ledger["tokens"]["tokens"] / sample.share
    store, folder = _mib(run.path / "store"), _mib(run.path)
    if not isinstance(job.sections["training"], HandConfig):
        tokens = min(corpus_tokens, job.sections["training"].tokens or corpus_tokens)
        passes = tokens / corpus_tokens
        steps, seconds = 0, done["seconds"] * tokens / done["tokens"]
        limit = job.sections["objective"].memory * 2**10 or before_mib + DEFAULT_MIB
        memory = min(before_mib + (done["peak_memory_mib"] - before_mib) / sample.share, limit)
        disk = folder / sample.share
    else:
        prepared = next((fact for fact in facts if isinstance(fact, Prepared)), None)
        if prepared:
            steps, tokens, seconds, kept = _after_preparation(job, prepared, _seconds_a_step(facts), corpus_tokens)
            passes = tokens / corpus_tokens
        else:
            a_step, kept = _seconds_a_step(facts), 0.0
            a_pass = _steps_in_epoch(job, run) / job.sections["training"].accumulate / sample.share
            steps = _steps(job.sections["training"], done["tokens"] / done["steps"], a_step, a_pass, corpus_tokens)
            passes = steps / a_pass
            tokens, seconds = steps * done["tokens"] / done["steps"], steps * a_step
        memory = done["peak_memory_mib"]
        disk = store / sample.share + (folder - store) + _mib(run.path / "state") + kept  # a new state stands beside the old one
    return Plan(
        job.row.name, sample.share == 1.0, sample.characters, round(sample.characters / sample.share), round(corpus_tokens),
        Tokenizer.load(run.guarded("tokenizer.json")).vocab_size, done["parameters"], steps, round(tokens), passes,
        max(0.0, took - done["seconds"]) / sample.share, seconds, memory, disk, to_plain(job.sections),
    )  # fmt: skip


def _after_preparation(job: Job, prepared: Prepared, a_step: float, corpus_tokens: float) -> tuple[int, float, float, float]:
    """(steps, tokens, seconds, MiB on disk) where the text is read once and steps go over what became of it.

    All grow with the text at most: what co-occurs was often seen before.
    """
    tokens = min(corpus_tokens, job.sections["objective"].tokens or corpus_tokens)
    grown, training = tokens / prepared.tokens, job.sections["training"]
    reading, a_step = prepared.seconds * grown, a_step * grown
    steps = int((training.seconds - reading) / a_step) if training.seconds else training.steps or int(training.epochs)
    steps = max(1, steps)
    return steps, tokens, reading + steps * a_step, prepared.bytes * grown / 2**20


def _seconds_a_step(facts: list[Fact]) -> float:
    clock = [fact.seconds for fact in facts if isinstance(fact, Update)]
    return statistics.median(after - before for before, after in pairwise(clock[len(clock) // 2 - 1 :]))


def _steps(training: HandConfig, tokens_a_step: float, seconds_a_step: float, steps_a_pass: float, corpus_tokens: float) -> int:
    steps: float
    if training.seconds:
        steps = int(training.seconds / seconds_a_step)
    elif training.epochs:
        steps = training.epochs * steps_a_pass
    elif training.tokens and training.tokens < corpus_tokens:  # the part that is drawn is read once at most
        steps = min(training.tokens / tokens_a_step, training.tokens / corpus_tokens * steps_a_pass)
    else:
        steps = training.steps or ceil(training.tokens / tokens_a_step)
    return max(1, round(min(steps, training.most_passes * steps_a_pass) if training.most_passes else steps))


def _steps_in_epoch(job: Job, run: RunFolder) -> int:
    from stemma.training.descend import objective_of

    store = TokenStore.open(next((run.path / "store").glob("*/store")))
    return objective_of(job, store, Ingested(Tokenizer.load(run.guarded("tokenizer.json")), store, None, {})).steps_in_epoch(0)


def _mib(path: Path) -> float:
    files = path.rglob("*") if path.is_dir() else (path,)
    return sum(file.stat().st_size for file in files if file.is_file()) / 2**20
