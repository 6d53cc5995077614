"""The embedded default corpus: the docstrings of the packages installed beside Stemma, real English, labelled by package.

Files are read, never imported. Modules, not sentences, are divided into train and dev, and no
sentence stands twice, so that nothing leaks from one side to the other.
"""

import ast
import hashlib
import importlib.util
import json
import os
import re
import sysconfig
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from stemma.bounds import real, whole
from stemma.corpus.files import written_at
from stemma.corpus.prose import prose
from stemma.corpus.workers import ordered_map
from stemma.errors import DataError

PACKAGES = ("torch", "scipy", "sympy", "sklearn", "altair", "networkx", "numpy", "python")  # over 1 MB of docstrings each
LABELS = {"sklearn": "scikit-learn"}
SENSES = ("kernel", "tree", "degree", "graph", "field", "node", "order", "module", "index", "expand")
_OTHER_NAMES = {
    "torch": ("pytorch",),
    "sklearn": ("scikit-learn", "scikit"),
    "altair": ("vega", "vega-lite"),
    "networkx": ("nx",),
    "numpy": ("np",),
}
_NOT_OURS = frozenset(
    {
        *("tests", "test", "testing", "_vendor", "vendor", "externals", "_external", "array_api_compat", "array_api_extra"),
        *("site-packages", "dist-packages", "idlelib", "lib2to3", "turtledemo", "ensurepip", "__pycache__"),
    }
)
_DOCUMENT = 8  # sentences
_QUOTED = re.compile(rb'"""(.*?)"""|\'\'\'(.*?)\'\'\'', re.DOTALL)
_TOKEN = re.compile(r"\w+(?:[-'.]\w+)*|[^\w\s]")


@dataclass(frozen=True)
class DocstringCorpus:
    """The files of the embedded default."""

    train: Path  # JSON lines: text, label (package), module
    dev: Path
    task_train: Path  # TSV: label, text
    task_dev: Path
    senses: Path  # TSV: word, index, sense, sentence
    packages: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """The prose of one function or class with its methods."""

    package: str
    module: str
    sentences: tuple[str, ...]


def write_docstrings(
    out: Path,
    packages: Sequence[str] | None = None,
    limit_mb: float = 7.0,
    workers: int | None = None,
    dev_share: float = 0.1,
    seed: int = 0,
) -> DocstringCorpus:
    """Writes the corpus, a classification task (which package?) and the senses file into `out`, and gives back their paths.

    `limit_mb` bounds the text of all packages together. Equal installed packages give equal files, whatever `workers` is.
    """
    real("limit_mb", limit_mb, above=True, default=7.0)
    workers = os.cpu_count() or 1 if workers is None else whole("workers", workers, 1)
    chosen = [name for name in packages or PACKAGES if _root(name)]
    if not chosen:
        wrong = f"none of the packages {', '.join(packages or PACKAGES)} is installed"
        raise DataError(wrong, "installed Python packages", "name installed ones, or install scikit-learn")
    entries = _unrepeated(_entries(chosen, limit_mb * 1e6 / len(chosen), workers, seed))
    dev_modules = _dev_modules(entries, dev_share, seed)
    train = [entry for entry in entries if (entry.package, entry.module) not in dev_modules]
    dev = [entry for entry in entries if (entry.package, entry.module) in dev_modules]
    texts = (out / "train.jsonl", out / "dev.jsonl")
    corpus = DocstringCorpus(*texts, out / "task_train.tsv", out / "task_dev.tsv", out / "senses.tsv", tuple(chosen))
    out.mkdir(parents=True, exist_ok=True)
    _write(corpus.train, _records(train))
    _write(corpus.dev, _records(dev))
    _write(corpus.task_train, ["label\ttext", *_task(train, 1000, seed)])
    _write(corpus.task_dev, ["label\ttext", *_task(dev, 150, seed)])
    _write(corpus.senses, ["word\tindex\tsense\tsentence", *_senses(entries, 100, seed)])
    return corpus


def _label(package: str) -> str:
    return LABELS.get(package, package)


def _lot(*parts: object) -> int:
    """A number that depends on the parts alone: deterministic shuffling without a generator's state."""
    return int.from_bytes(hashlib.blake2b(repr(parts).encode(), digest_size=8).digest(), "little")


def _root(package: str) -> Path | None:
    """Where the package's sources lie, found without importing it."""
    if package == "python":
        return Path(sysconfig.get_path("stdlib"))
    found = importlib.util.find_spec(package)
    return Path(found.submodule_search_locations[0]) if found and found.submodule_search_locations else None


def _entries(packages: list[str], limit: float, workers: int, seed: int) -> Iterator[Entry]:
    """The prose of each package up to `limit` characters, modules in a fixed order drawn by lot."""
    jobs = [job for package in packages for job in _jobs(package, limit, seed)]
    taken: dict[str, float] = defaultdict(float)
    for found in ordered_map(_read_modules, jobs, workers):
        for entry in found:
            if taken[entry.package] < limit:
                taken[entry.package] += sum(map(len, entry.sentences))
                yield entry


def _jobs(package: str, limit: float, seed: int) -> Iterator[tuple[str, list[tuple[str, Path]]]]:
    """Batches of (module, file) that hold enough docstrings for `limit` characters of prose."""
    root = _root(package)
    assert root is not None
    files = [path for path in root.rglob("*.py") if _NOT_OURS.isdisjoint(path.relative_to(root).parts)]
    modules = sorted((".".join((package, *path.relative_to(root).with_suffix("").parts)), path) for path in files)
    batch: list[tuple[str, Path]] = []
    expected = 0.0
    for module, path in sorted(modules, key=lambda item: _lot(seed, item[0])):
        source = path.read_bytes()
        quoted = sum(len(a) + len(b) for a, b in _QUOTED.findall(source))
        if quoted < 200 or quoted < 0.04 * len(source):
            continue  # long to parse for what it gives
        batch.append((module, path))
        expected += quoted * 0.4
        if len(batch) == 8:
            yield package, batch
            batch = []
        if expected > 1.6 * limit:
            break
    if batch:
        yield package, batch


def _read_modules(job: tuple[str, list[tuple[str, Path]]]) -> list[Entry]:
    package, modules = job
    found = []
    for module, path in modules:
        try:
            tree = ast.parse(path.read_bytes())
        except (SyntaxError, ValueError):  # a file for another Python
            continue
        for node in (tree, *tree.body):
            if text := tuple(sentence for docstring in _docstrings(node) for sentence in prose(docstring)):
                found.append(Entry(package, module, text))
    return found


def _docstrings(node: ast.AST) -> Iterator[str]:
    """The docstring of a module, or those of a function or class and all within it."""
    if isinstance(node, ast.Module):
        if text := ast.get_docstring(node, clean=False):
            yield text
        return
    for inner in ast.walk(node):
        if isinstance(inner, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and (text := ast.get_docstring(inner, clean=False)):
            yield text


def _unrepeated(entries: Iterable[Entry]) -> list[Entry]:
    """The entries with every sentence only where it first stands."""
    seen: set[str] = set()
    kept = []
    for entry in entries:
        fresh = []
        for sentence in entry.sentences:
            key = sentence.lower()
            if key not in seen:
                seen.add(key)
                fresh.append(sentence)
        if fresh:
            kept.append(Entry(entry.package, entry.module, tuple(fresh)))
    return kept


def _dev_modules(entries: list[Entry], share: float, seed: int) -> set[tuple[str, str]]:
    """Modules drawn by lot in each package until they hold `share` of its text; none so big that it would double it."""
    sizes: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for entry in entries:
        sizes[entry.package][entry.module] += sum(map(len, entry.sentences))
    chosen = set()
    for package, modules in sizes.items():
        target, held = share * sum(modules.values()), 0
        for module in sorted(modules, key=lambda name: _lot(seed, "dev", name)):
            if held < target and held + modules[module] < 2 * target:
                held += modules[module]
                chosen.add((package, module))
    return chosen


def _records(entries: Iterable[Entry]) -> Iterator[str]:
    """JSON lines; neighbours in a module share a document until it has eight sentences, since many docstrings have but one."""
    for (package, module), together in groupby(entries, key=lambda entry: (entry.package, entry.module)):
        held: list[str] = []
        for entry in together:
            held += entry.sentences
            if len(held) >= _DOCUMENT:
                yield _record(package, module, held)
                held = []
        if held:
            yield _record(package, module, held)


def _record(package: str, module: str, sentences: list[str]) -> str:
    return json.dumps({"text": "\n".join(sentences), "label": _label(package), "module": module}, ensure_ascii=False)


def _task(entries: list[Entry], most: int, seed: int) -> list[str]:
    """`label<TAB>text` lines: one or two sentences that do not name their package, as many for each package."""
    texts: dict[str, list[str]] = defaultdict(list)
    for entry in entries:
        names = _own_names(entry.package)
        anonymous = [sentence for sentence in entry.sentences if not names.search(sentence)]
        while anonymous:
            count = 1 + _lot(seed, anonymous[0]) % 2
            texts[entry.package].append(" ".join(anonymous[:count]))
            anonymous = anonymous[count:]
    each = min(most, *map(len, texts.values())) if len(texts) > 1 else most
    chosen = {package: sorted(found, key=lambda text: _lot(seed, text))[:each] for package, found in texts.items()}
    lines = [f"{_label(package)}\t{text}" for package, found in chosen.items() for text in found]
    return sorted(lines, key=lambda line: _lot(seed, "row", line))


def _own_names(package: str) -> re.Pattern[str]:
    names = "|".join(map(re.escape, (package, *_OTHER_NAMES.get(package, ()))))
    return re.compile(rf"(?<![\w-])(?:{names})(?!\w)", re.IGNORECASE)


def _senses(entries: list[Entry], most: int, seed: int) -> list[str]:
    """`word, index, sense, sentence` lines for the words that at least two packages use often, the package being the sense."""
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for entry in entries:
        names = _own_names(entry.package)
        for sentence in entry.sentences:
            if names.search(sentence):
                continue
            tokens = _TOKEN.findall(sentence.lower())
            for word in SENSES:
                if tokens.count(word) == 1:
                    found[word, entry.package].append(f"{word}\t{tokens.index(word)}\t{_label(entry.package)}\t{' '.join(tokens)}")
    lines = []
    for word in SENSES:
        enough = {package: rows for (w, package), rows in found.items() if w == word and len(rows) >= 10}
        if len(enough) > 1:
            for rows in enough.values():
                lines += sorted(rows, key=lambda row: _lot(seed, row))[:most]
    return lines


def _write(path: Path, lines: Iterable[str]) -> None:
    """Written aside and renamed, so that the file is there whole or not at all; through a link, and into a pipe or a device."""
    path, replaces = written_at(path)
    if not replaces:
        with path.open("w", encoding="utf-8", newline="\n") as file:
            file.writelines(f"{line}\n" for line in lines)
        return
    aside = path.with_name(path.name + ".part")
    try:
        with aside.open("w", encoding="utf-8", newline="\n") as file:
            file.writelines(f"{line}\n" for line in lines)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
