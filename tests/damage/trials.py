# ruff: noqa: T201 (it is a program)
"""Damages copies of run folders, asks the verbs, and counts what they say.

As a program it prints the table: `python tests/damage/trials.py --count 200 --kinds ngram gpt`. Each trial is made in a child process,
so that a crash is counted and not shared; the same seed makes the same trials.
"""

import argparse
import contextlib
import io
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from stemma.lineage.table import TABLE, find
from stemma.tokens.sums import file_sum

HERE = Path(__file__).resolve()
TEXTS = ("the mill on the river turns", "老磨坊在河边慢慢地转动。", "unheard of words")
LEARNT = "\n\n".join(
    f"The old mill number {n % 7} turns by the river.\nNobody minds it {'today' if n % 3 else 'at all'}.\n"
    f"老磨坊在河边慢慢地转动，{n % 5}个人看着它。"
    for n in range(120)
)
PAIRS = "en\tzh\n" + "\n".join(f"the mill {n % 7} turns\t磨坊{n % 7}转动\nnobody minds it\t没有人看着它" for n in range(60)) + "\n"
STEPS = ["training.steps=4"]  # what makes a run in a moment
TINY = {"ngram": ["order=3"], "tinybert": [*STEPS, "model.masked_loss=1", "objective.mask_share=0.15"]}  # where that is not all
COMMANDS = {  # kind -> the command line behind `stemma`, RUN standing for the folder
    "ngram": ["score", "RUN", "--json"],
    "lstm": ["score", "RUN", "--json"],
    "elmo": ["score", "RUN", "--json"],
    "gpt": ["score", "RUN", "--json"],
    "nnlm": ["score", "RUN", "--json"],
    **{name: ["score", "RUN", "--json"] for name in ("gpt2", "xlnet")},
    **{name: ["fill", "RUN", "--json"] for name in ("bert", "bert-wwm", "albert", "tinybert")},
    **{name: ["translate", "RUN", "--json"] for name in ("seq2seq", "transformer")},
    "word2vec": ["nearest", "RUN", "mill", "--json"],
    "glove": ["nearest", "RUN", "mill", "--json"],
}
FILES = ("model.safetensors", "tokenizer.json", "config.json", "manifest.json", "metrics.jsonl", "ledger.json", "README.md")
TRAINED = ("store", "state")  # these are trained on
OUTCOMES = ("tried", "refused", "still right", "wrong", "another answer", "traceback", "crash", "hung")
MOST = 12 << 30  # bytes of addresses for a child: an absurd size ends it soon


def made(kind: str, folder: Path) -> Path:
    """A tiny run of the kind: `KIND-classify` is one fine-tuned on a task, `KIND-store` and `KIND-state` are begun and not finished."""
    import stemma
    from stemma.errors import Interrupted
    from stemma.training.facts import Fact, Update

    generation, way = parted(kind)
    run = folder / kind
    corpus = folder / corpus_name(generation)
    corpus.write_text(PAIRS if corpus.suffix == ".tsv" else LEARNT, encoding="utf-8")

    def stop(fact: Fact) -> None:
        if way == "state" and isinstance(fact, Update) and fact.step == 2:
            os.kill(os.getpid(), signal.SIGINT)

    options = {"preset": "tiny", "settings": settings_of(generation), "progress": stop}
    with contextlib.suppress(Interrupted):
        if teacher := find(generation).teacher:
            stemma.distill(made(teacher, folder), corpus, out=folder / generation, **options)
        else:
            stemma.pretrain(generation, corpus, out=run if way in TRAINED else folder / generation, **options)
    if way == "store":
        for path in run.iterdir():
            if path.name != "store":
                shutil.rmtree(path) if path.is_dir() else path.unlink()
    if way == "classify":
        lines = [f"{label}\tthe {word} mill 磨坊 {n}" for n in range(30) for label, word in (("good", "fine"), ("bad", "old"))]
        (folder / "task.tsv").write_text("\n".join(["label\ttext", *lines]) + "\n", encoding="utf-8")
        stemma.finetune(folder / generation, train=folder / "task.tsv", dev=folder / "task.tsv", out=run, settings=["transfer.epochs=1"])
    return run


def settings_of(generation: str) -> list[str]:
    """Of a run that is made in a moment."""
    return [*TINY.get(generation, STEPS), *(["training.evaluations=1"] if find(generation).updates == "backprop" else [])]


def parted(kind: str) -> tuple[str, str]:
    """The generation of a kind, and the way that its run is: `bert-wwm-classify` is a `bert-wwm`, `classify`."""
    generation = max((row.name for row in TABLE if f"{kind}-".startswith(f"{row.name}-")), key=len)
    return generation, kind.removeprefix(generation).removeprefix("-")


def corpus_name(generation: str) -> str:
    """The file that it learns from: pairs, where it can translate."""
    return "pairs.tsv" if "translate" in find(generation).abilities else "corpus.txt"


def command(kind: str, run: Path) -> list[str]:
    """What is run on a run."""
    generation, way = parted(kind)
    if way in TRAINED:
        settings = [word for setting in settings_of(generation) for word in ("--set", setting)]
        return ["pretrain", generation, str(corpus_of(generation, run)), "--out", str(run), "--preset", "tiny", "--json", *settings]
    words = ["predict", "RUN", "--json"] if way else COMMANDS[kind]
    texts = [] if words[0] == "nearest" else [f"--text={text} [MASK]" if words[0] == "fill" else f"--text={text}" for text in TEXTS]
    return [str(run) if word == "RUN" else word for word in (*words, *texts)]


def corpus_of(generation: str, run: Path) -> Path:
    """The corpus of a run, or of a copy of it one folder further down."""
    name = corpus_name(generation)
    return next(folder / name for folder in run.parents if (folder / name).exists())


def answer(kind: str, run: Path) -> tuple[int, str, str]:
    """(exit code, what was printed, what was said); of a training the weights, the ledger and the losses, in place of what it prints."""
    from stemma.checkpoint import RunFolder
    from stemma.cli.main import main

    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(command(kind, run))
    if code or parted(kind)[1] not in TRAINED:
        return code, out.getvalue(), err.getvalue()
    folder = RunFolder.open(run)
    losses = [(line["kind"], line.get("step"), line.get("loss")) for line in folder.metrics()]
    return code, f"{file_sum(run / 'model.safetensors')} {folder.ledger} {losses}", err.getvalue()


def outcome(code: int, out: str, err: str, right: str, designed: bool) -> str:
    """What became of a trial."""
    if "Traceback" in err or "mistake, not yours" in err:
        return "traceback"
    if code:
        return "refused"
    if out == right:
        return "still right"
    return "another answer" if designed else "wrong"


def child(argv: list[str]) -> None:
    """Makes trials number FIRST to LAST on a run and prints each one's number before and its outcome after it."""
    from tests.damage.mutations import CHANCE, by_design, sealed_again

    kind, whole, name, designed, first, last, seed = argv[0], Path(argv[1]), argv[2], argv[3] == "design", *map(int, argv[4:7])
    trained = parted(kind)[1] in TRAINED
    resource.setrlimit(resource.RLIMIT_AS, (MOST, MOST))
    with tempfile.TemporaryDirectory(dir=whole.parent) as place:
        run = Path(place) / "run"
        copy_run(whole, run, trained)
        code, right, err = answer(kind, run)
        assert code == 0, err
        data = (whole / name).read_bytes()
        for number in range(first, last):
            draw = random.Random(f"{seed}/{kind}/{name}/{designed}/{number}")
            if trained:
                copy_run(whole, run, trained)
            else:
                (run / "manifest.json").write_bytes((whole / "manifest.json").read_bytes())
            changed = (by_design(name) if designed else draw.choice(CHANCE))(data, draw) if data else b"\0"
            (run / name).unlink()  # a hard link, perhaps
            (run / name).write_bytes(changed)
            if designed and name != "manifest.json":
                sealed_again(run)
            print(json.dumps({"begun": number}), flush=True)
            code, out, err = answer(kind, run)
            found = outcome(code, out, err, right, designed) if changed != data else "still right"
            lines = (err.strip().splitlines() or [""])[-6:] if found in ("traceback", "wrong") else []
            print(json.dumps({"number": number, "outcome": found, "code": code, "lines": lines}), flush=True)


def copy_run(whole: Path, run: Path, trained: bool) -> None:
    """A fresh copy; of a finished run without what it was made from."""
    shutil.rmtree(run, ignore_errors=True)
    shutil.copytree(whole, run, ignore=None if trained else shutil.ignore_patterns("store", "state"))


def files_of(kind: str, whole: Path) -> list[str]:
    """The files of a run that are put to trial."""
    if parted(kind)[1] not in TRAINED:
        return list(FILES)
    names = (str(path.relative_to(whole)) for path in sorted(whole.rglob("*")) if path.is_file() and not path.name.startswith("."))
    return [name for name in names if kind.endswith("store") or not name.startswith("store/")]


def tried(
    kind: str, whole: Path, name: str, designed: bool, count: int, seed: int = 0, patience: float = 60.0
) -> tuple[Counter, list[str]]:
    """The outcomes of so many trials, and what those said that should not be."""
    found, bad, first = Counter(), [], 0
    while first < count:
        argv = [
            sys.executable,
            str(HERE),
            "--child",
            kind,
            str(whole),
            name,
            "design" if designed else "chance",
            str(first),
            str(count),
            str(seed),
        ]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=HERE.parents[2]) as process:
            begun, ended = first - 1, ""
            try:
                out, ended = process.communicate(timeout=patience + 2 * (count - first))
            except subprocess.TimeoutExpired:
                process.kill()
                out, _ = process.communicate()
                ended = "hung"
        for line in map(json.loads, out.splitlines()):
            begun = line.get("begun", begun)
            if "outcome" in line:
                first = line["number"] + 1
                found["tried"] += 1
                found[line["outcome"]] += 1
                if line["lines"]:
                    bad.append(f"{kind} {name} {number_of(line, designed)}: {line['outcome']}: {' / '.join(line['lines'])}")
        if first < count:  # the child died within a trial, or before its first
            if begun < first:
                raise RuntimeError(ended)
            found["tried"] += 1
            found["hung" if ended == "hung" else "crash"] += 1
            bad.append(f"{kind} {name} {number_of({'number': begun}, designed)}: died: {ended[-300:]}")
            first = begun + 1
    return found, bad


def number_of(line: dict, designed: bool) -> str:
    """Which trial it was, for making it again."""
    return f"#{line['number']}{' by design' if designed else ''}"


def table(rows: dict[str, Counter]) -> str:
    """The outcomes as a table."""
    lines = ["| " + " | ".join(("", *OUTCOMES)) + " |", "|" + "---|" * (len(OUTCOMES) + 1)]
    return "\n".join(
        [*lines, *("| " + " | ".join([name, *(str(row[outcome]) for outcome in OUTCOMES)]) + " |" for name, row in rows.items())]
    )


def program() -> None:
    """The table of all chosen kinds and files."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kinds", nargs="+", default=list(COMMANDS))
    parser.add_argument("--files", nargs="+", default=[])
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--patience", type=float, default=60.0, help="seconds that a child may take before its first trial")
    parser.add_argument("--ways", nargs="+", default=["chance", "design"])
    options = parser.parse_args()
    rows: dict[str, Counter] = {}
    with tempfile.TemporaryDirectory() as folder:
        for kind in options.kinds:
            run = made(kind, Path(folder))
            for way in options.ways:
                for name in options.files or files_of(kind, run):
                    if way == "design" and name in ("README.md", "ledger.json"):
                        continue
                    found, bad = tried(kind, run, name, way == "design", options.count, options.seed, options.patience)
                    rows[f"{kind}, by {way}"] = rows.get(f"{kind}, by {way}", Counter()) + found
                    print("\n".join(bad), flush=True)
                    print(f"{kind} {name} {way}", dict(found), flush=True)
    rows["all"] = sum(rows.values(), Counter())
    print(table(rows))


if __name__ == "__main__":
    sys.path.insert(0, str(HERE.parents[2]))
    child(sys.argv[2:]) if sys.argv[1:2] == ["--child"] else program()
