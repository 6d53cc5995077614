"""The run folder: config, tokenizer, tensors, metrics and training state; pure I/O, knows no model.

    RUN/config.json        the resolved config, versioned
        tokenizer.json     (with companions of its kind, if any)
        model.safetensors  the finished weights
        metrics.jsonl      one fact a line
        ledger.json        what became of every character of the corpus
        README.md          the model card: for people, who may edit it
        state/step-N/      what resume needs: weights, optimiser, counters
        state/prepared/    what an objective made of the whole text, for as long as the training lasts
        manifest.json      sizes and sums of all that is computed with: written last, it *is* the commit

Everything is written aside, fsynced and renamed; the manifest comes after what it names, so a kill at
any moment leaves the old state or the new one. No pickles: safetensors and JSON alone.

Whoever reads a file of the folder through `RunFolder` reads what was written: sizes are compared at opening, sums when a file is
first opened.
"""

import json
import math
import mmap
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from stemma.errors import DamagedError, DataError, NoRunError, RunError, UsageError
from stemma.tokens.files import (
    checksum,
    disk_budget,
    plain_json,
    read_sealed,
    sync,
    sync_folder,
    whole_file,
    write_bytes,
    write_json,
    write_sealed,
)
from stemma.tokens.sums import file_sum, page_sum

FORMAT = 4
READ = (2, 3, 4)  # formats that are opened: 2 has SHA-256 sums, none of the metrics, and no seal; 1 had no sums of a finished run
CHANGED = (("model", "attention", "general", 4),)  # settings (section, key, value) whose weights mean something else since a format
MEND = "restore it from a copy, or delete the folder and run the command that made it again"
ANEW = "make it anew, or open it with the version that made it"
_ROOT_FILES = ("config.json", "model.safetensors", "ledger.json")
_STATE = re.compile(r"step-\d{9,18}")
_SHARD = "shard-"  # what the names of files begin with that each of several processes wrote


_KINDS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "<i1"}
_KINDS |= {"U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "<u1", "BOOL": "?"}
_CHUNK = 1 << 24  # bytes written at a time


def write_tensors(path: Path, tensors: Mapping[str, np.ndarray]) -> None:
    """Writes a safetensors file atomically. Arrays are stored as they are, row-major; mapped ones need no memory."""
    kinds = {np.dtype(kind): name for name, kind in _KINDS.items()}
    arrays = {name: np.asarray(array, order="C") for name, array in tensors.items()}
    header, end = {}, 0
    names = sorted(arrays, key=lambda name: (-arrays[name].itemsize, name))  # wide numbers first: all are aligned
    for name in names:
        array = arrays[name]
        kind = kinds[array.dtype.newbyteorder("<")]
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": [end, end + array.nbytes]}
        end += array.nbytes
    encoded = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    encoded += b" " * (-len(encoded) % 8)
    with whole_file(path) as file:
        file.write(len(encoded).to_bytes(8, "little") + encoded)
        for name in names:
            data = arrays[name].reshape(-1).view(np.uint8)
            for begin in range(0, len(data), _CHUNK):
                file.write(data[begin : begin + _CHUNK].data)
                leave_pages(tensors[name])


def map_tensors(path: Path, held: bool = False) -> dict[str, np.ndarray]:
    """The arrays of a safetensors file, memory-mapped and read-only: opening costs nothing.

    `held` ones are in memory, whatever becomes of the file: one that is written over would else change them, or end the process.
    DamagedError where the header is none, or tells of numbers that the file does not hold.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > size - 8:
                raise ValueError(f"a header of {length:,} bytes in a file of {size:,}")
            header = json.loads(file.read(length))
        flat = np.memmap(path, np.uint8, "r", offset=8 + length) if size > 8 + length else np.empty(0, np.uint8)
        flat = np.array(flat) if held else flat
        flat.flags.writeable = False
        return {name: _view(flat, name, entry) for name, entry in header.items() if name != "__metadata__"}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DamagedError(f"{path} cannot be read ({error})", "a safetensors file", MEND) from error


def _view(flat: np.ndarray, name: str, entry: Mapping[str, Any]) -> np.ndarray:
    """The array that a header's entry tells of; ValueError where the file has no such bytes."""
    (first, last), shape, kind = entry["data_offsets"], entry["shape"], np.dtype(_KINDS[entry["dtype"]])
    if not all(isinstance(number, int) and number >= 0 for number in (first, last, *shape)):
        raise ValueError(f"{name}: offsets and shapes are whole numbers")
    if last > len(flat) or last - first != math.prod(shape) * kind.itemsize:
        raise ValueError(f"{name}: {shape} at bytes {first} to {last} of {len(flat)}")
    return flat[first:last].view(kind).reshape(shape)


def check_free(path: Path) -> None:
    """RunError where a new run folder cannot stand at `path`, since files of others do."""
    children = path.iterdir() if path.is_dir() else ()
    strangers = [child.name for child in children if child.name not in _OURS and not child.name.startswith(("tokenizer", "."))]
    if strangers:
        raise RunError(f"{path} holds other files ({strangers[0]})", "an empty or a new folder", "choose another --out")


@contextmanager
def left_as_found(path: Path) -> Iterator[None]:
    """When bad data or a bad request ends what is done inside, all that is new at `path` goes, and folders made to reach it.

    Any other ending leaves it: a call that was stopped goes on with what there is. So does one that had saved a state.
    """
    before = {path, *path.rglob("*")} if path.exists() else set()
    outside = [folder for folder in path.parents if not folder.exists()]
    try:
        yield
    except (DataError, UsageError):
        if not any(path.glob("state/step-*")):
            for new in sorted({path, *path.rglob("*")} - before, reverse=True):  # what stands in a folder comes before it
                with suppress(OSError):
                    new.rmdir() if new.is_dir() and not new.is_symlink() else new.unlink()
            for folder in outside:
                with suppress(OSError):  # not empty: somebody else's
                    folder.rmdir()
        raise


def leave_pages(*arrays: np.ndarray) -> None:
    """Takes the pages of arrays that are mapped from files out of this process's memory; they come back when read again."""
    for array in arrays:
        base: Any = array
        while base is not None and not isinstance(base, np.memmap):
            base = getattr(base, "base", None)
        if base is not None and base.mode != "c":  # "c": what was written is in memory alone
            mapping: Any = base
            mapping._mmap.madvise(mmap.MADV_DONTNEED)


class RunFolder:
    """A run folder on disk. `open` takes one that exists; `create` makes it or takes it up again.

    Who writes into it holds it first (`tokens.files.one_writer`).
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.manifest: dict[str, Any] = {}
        self._compared: set[str] = set()  # files whose sums have been found right

    @classmethod
    def create(cls, path: Path, config: Mapping[str, Any]) -> "RunFolder":
        """A new folder with this config, committed. `config["identity"]` is what `resume` compares."""
        folder = cls(path)
        check_free(path)
        path.mkdir(parents=True, exist_ok=True)
        write_json(path / "config.json", config)
        folder._commit(state=None, metrics_bytes=0, finished=False)
        return folder

    @classmethod
    def resume(cls, path: Path, identity: Mapping[str, Any]) -> "RunFolder | None":
        """The folder begun earlier at `path`, or None; RunError when it was begun with another identity, or holds files of others."""
        if not (path / "manifest.json").exists():
            check_free(path)
            return None
        folder = cls.open(path)
        changed = list(_differences("", folder.config["identity"], json.loads(json.dumps(identity))))
        if changed:
            own = [change for change in changed if change[0] not in _REPEATED] or changed
            differences = list(dict.fromkeys(_describe_change(*change) for change in own))
            more = f"; and {len(differences) - _NAMED_CHANGES} more" if len(differences) > _NAMED_CHANGES else ""
            raise RunError(
                f"{path} was begun with other settings: {'; '.join(differences[:_NAMED_CHANGES])}{more}",
                "the settings it was begun with, to go on",
                f"choose another --out, or delete {path} to begin anew; the earlier command goes on with what is there",
            )
        return folder

    @classmethod
    def open(cls, path: Path) -> "RunFolder":
        """An existing run folder, its manifest read and the sizes of its files checked."""
        folder = cls(path)
        if not (path / "manifest.json").exists():
            foreign = (path / "model.safetensors").exists() and (path / "config.json").exists()
            cure = f"if it is a Hugging Face folder: stemma convert {path} RUN --to run" if foreign else "check the path"
            cure = f"a comparison keeps its runs in {path / 'runs'}: name one of them" if (path / "plan.json").exists() else cure
            there = "it has no manifest.json" if path.is_dir() else "it is a file" if path.exists() else "there is no such folder"
            raise NoRunError(f"{path} is not a run folder: {there}", "a folder made by stemma pretrain or finetune", cure)
        folder.manifest = _read_manifest(path / "manifest.json")
        for name, entry in folder.manifest["files"].items():
            if folder._computes(name):
                _compare_sizes(path / name, entry["bytes"])
        if folder.manifest["format"] < FORMAT:
            folder._check_meaning()
        return folder

    def _check_meaning(self) -> None:
        """RunError where weights of an older format would be taken for something else: a folder does not tell of changes within one."""
        found, sections = self.manifest["format"], self.config["sections"]
        for section, key, value, since in CHANGED:
            if found < since and sections.get(section, {}).get(key) == value:
                meant = f"weights of {section}.{key} = {json.dumps(value)} meant something else"
                wrong = f"{self.path} has run format {found}, in which {meant}"
                raise RunError(wrong, f"format {since} or later", ANEW)

    def _computes(self, name: str) -> bool:
        """True for what is computed with: of a finished run its weights, no longer the state that they came from."""
        return name not in ("README.md", "ledger.json") and not (self.finished and name.startswith("state/"))

    def guarded(self, name: str) -> Path:
        """The file, its bytes compared with the sum of what was written: once, at 2 GB/s. DamagedError if they differ."""
        path = self.path / name
        if name not in self._compared:
            entry = self.manifest["files"].get(name)
            if entry is None:
                raise DamagedError(f"{self.path / 'manifest.json'} tells of no {name}", "all files of the run", MEND)
            _compare_sizes(path, entry["bytes"])
            if (file_sum(path) != entry["sum"]) if "sum" in entry else (checksum(path) != entry["sha256"]):
                raise DamagedError(f"{path} is damaged: its sum differs", "the bytes that were written", MEND)
            self._compared.add(name)
        return path

    def verify(self) -> None:
        """Compares every file that is computed with to its sum; DamagedError names the first that differs."""
        for name in filter(self._computes, self.manifest["files"]):
            self.guarded(name)

    @property
    def config(self) -> dict[str, Any]:
        """The resolved config as plain tables: `identity`, of which `generation` is text, and the tables of `sections`."""
        path = self.path / "config.json"
        if self.finished or path.name in self.manifest["files"]:  # else a kill came while it was replaced (`finish`)
            self.guarded(path.name)
        config = plain_json(path, MEND)
        if not isinstance(config, dict) or not _is_config(config):
            raise DamagedError(f"{path} holds no settings", "identity.generation and the tables of sections", MEND)
        return config

    @property
    def ledger(self) -> dict[str, Any]:
        """What became of every character of the corpus."""
        return plain_json(self.guarded("ledger.json"), MEND)

    @property
    def finished(self) -> bool:
        """True when training ended and model.safetensors is final."""
        return bool(self.manifest.get("finished"))

    @property
    def tokenizer_path(self) -> Path:
        """Where the tokenizer stands."""
        return self.path / "tokenizer.json"

    @property
    def prepared_path(self) -> Path:
        """Where an objective keeps what it makes of the whole text before the first step; it goes when training ends."""
        return self.path / "state" / "prepared"

    def tensors(self, held: bool = False) -> dict[str, np.ndarray]:
        """The finished weights, read-only; memory-mapped, or `held` in memory."""
        if not self.finished:
            step = f" (saved at {self.manifest['state']})" if self.manifest.get("state") else ""
            raise RunError(
                f"{self.path} is not finished{step}", "a finished run", "run the same pretrain command again: it goes on where it was"
            )
        return map_tensors(self.guarded("model.safetensors"), held)

    def append_metrics(self, facts: list[dict[str, Any]]) -> None:
        """Adds facts to metrics.jsonl; they count once the next save commits them."""
        with (
            disk_budget(self.path / "metrics.jsonl"),
            (self.path / "metrics.jsonl").open("a", encoding="utf-8", errors="backslashreplace") as file,
        ):
            file.writelines(json.dumps(fact, ensure_ascii=False) + "\n" for fact in facts)
            sync(file)

    def metrics(self) -> list[dict[str, Any]]:
        """The committed facts of metrics.jsonl; DamagedError where they are not as they were written."""
        return self._facts(self._log().splitlines())

    def _log(self) -> bytes:
        path, size = self.path / "metrics.jsonl", self.manifest["metrics_bytes"]
        data = path.read_bytes()[:size] if path.exists() else b""
        if len(data) < size:
            raise DamagedError(f"{path} is damaged: {len(data)} bytes", f"{size} bytes", MEND)
        if self.manifest.get("metrics_sum", found := page_sum(data)) != found:
            raise DamagedError(f"{path} is damaged: its sum differs", "the bytes that were written", MEND)
        return data

    def _facts(self, lines: Sequence[bytes]) -> list[dict[str, Any]]:
        try:
            return [dict(json.loads(line)) for line in lines]
        except (ValueError, TypeError, RecursionError) as error:
            raise DamagedError(f"{self.path / 'metrics.jsonl'} cannot be read ({error})", "a JSON fact a line", MEND) from error

    def done(self) -> dict[str, Any]:
        """What the last committed fact says of the whole training; empty where that was not its end. Raises as `metrics`."""
        last = self._facts(self._log().splitlines()[-1:])
        return last[0] if last and last[0].get("kind") == "done" else {}

    def save_state(self, step: int, arrays: Mapping[str, Mapping[str, np.ndarray]], facts: Mapping[str, Any]) -> None:
        """Commits the training state at `step`: named groups of arrays (`model`, `optimiser`) and JSON facts."""
        if aside := self.begin_state(step):
            self.end_state(aside, step, arrays, facts)

    def begin_state(self, step: int) -> Path | None:
        """An empty folder that other processes may write shards into, of a state that `end_state` then commits; None where it is there."""
        name = f"step-{step:09d}"
        if self.manifest.get("state") == name:
            return None
        aside = self.path / "state" / f".{name}.aside"
        for stale in (aside, self.path / "state" / name):
            shutil.rmtree(stale, ignore_errors=True)
        with disk_budget(aside, clear=aside):
            aside.mkdir(parents=True)
        return aside

    def end_state(self, aside: Path, step: int, arrays: Mapping[str, Mapping[str, np.ndarray]], facts: Mapping[str, Any]) -> None:
        """Commits the state begun at `aside`, with these arrays and facts beside the shards that it may hold."""
        name = f"step-{step:09d}"
        place = self.path / "state" / name
        with disk_budget(aside, clear=aside):
            for group, tensors in arrays.items():
                write_tensors(aside / f"{group}.safetensors", tensors)
            write_json(aside / "facts.json", dict(facts))
        aside.replace(place)
        sync_folder(place.parent)
        self._commit(state=name, metrics_bytes=self._metrics_size(), finished=False)
        self._sweep()

    @property
    def shards(self) -> Path | None:
        """The folder of the last state, where its weights were saved in shards (`training.sharding` reads them)."""
        place = self.path / "state" / str(self.manifest.get("state"))
        return place if any(place.glob(f"{_SHARD}*")) else None

    def load_state(self) -> tuple[dict[str, dict[str, np.ndarray]], dict[str, Any]] | None:
        """The last committed state, checked against its sums, or None; drops what came after it. `shards` are not among its arrays."""
        self.metrics()
        path = self.path / "metrics.jsonl"
        if path.exists() and path.stat().st_size > self.manifest["metrics_bytes"]:
            os.truncate(path, self.manifest["metrics_bytes"])
        if not self.manifest.get("state"):
            return None
        self.verify()
        place = self.path / "state" / self.manifest["state"]
        files = (file for file in sorted(place.glob("*.safetensors")) if not file.name.startswith(_SHARD))
        arrays = {file.stem: map_tensors(file) for file in files}
        return arrays, plain_json(place / "facts.json", MEND)

    def finish(
        self,
        card: str,
        ledger: Mapping[str, Any],
        tensors: Mapping[str, np.ndarray] | None = None,
        config: Mapping[str, Any] | None = None,
    ) -> None:
        """Commits the end of training: the weights (those of the last state, unless given), card and ledger.

        A `config` of the same identity takes the place of that which was begun with, and no state is kept.
        """
        model = self.path / "model.safetensors"
        if tensors is not None:
            write_tensors(model, tensors)
        else:
            _link(self.path / "state" / self.manifest["state"] / "model.safetensors", model)
        write_json(self.path / "ledger.json", ledger)
        write_bytes(self.path / "README.md", card.encode("utf-8", "backslashreplace"))
        shutil.rmtree(self.prepared_path, ignore_errors=True)  # before the commit: a finished run is never looked at again
        if config is not None:
            self._commit(self.manifest.get("state"), self.manifest["metrics_bytes"], finished=False, unsure=("config.json",))
            write_json(self.path / "config.json", config)
        kept = self.manifest.get("state") if config is None else None
        self._commit(state=kept, metrics_bytes=self._metrics_size(), finished=True)
        self._sweep()

    def _commit(self, state: str | None, metrics_bytes: int, finished: bool, unsure: tuple[str, ...] = ()) -> None:
        """Writes the manifest; of what is `unsure`, being about to be replaced, it says nothing."""
        names = [name for name in _ROOT_FILES if (self.path / name).exists() and (finished or name == "config.json")]
        names = [name for name in names if name not in unsure]
        names += sorted(child.name for child in self.path.glob("tokenizer*.json"))
        if state:
            names += sorted(f"state/{state}/{child.name}" for child in (self.path / "state" / state).iterdir())
        known = self.manifest.get("files", {}) if self.manifest.get("state") == state else {}
        files = {}
        for name in names:
            file = self.path / name
            reuse = name.startswith("state/") and name in known
            files[name] = known[name] if reuse else {"bytes": file.stat().st_size, "sum": file_sum(file)}
        manifest: dict[str, Any] = {"format": FORMAT, "finished": finished, "state": state, "metrics_bytes": metrics_bytes}
        metrics = (self.path / "metrics.jsonl").read_bytes() if metrics_bytes else b""
        manifest |= {"metrics_sum": page_sum(metrics[:metrics_bytes]), "files": files}
        write_sealed(self.path / "manifest.json", manifest)
        self.manifest = manifest
        self._compared.clear()

    def _sweep(self) -> None:
        """Removes states that the manifest no longer names."""
        for child in (self.path / "state").glob("*step-*"):
            if child.name != self.manifest["state"]:
                shutil.rmtree(child, ignore_errors=True)
        if self.manifest["state"] is None:
            with suppress(OSError):  # none, or not empty: the batch whose loss was not finite stands there
                (self.path / "state").rmdir()

    def _metrics_size(self) -> int:
        path = self.path / "metrics.jsonl"
        return path.stat().st_size if path.exists() else 0


_NAMED_CHANGES = 4  # of the settings that differ
_REPEATED = {"split_seed", "held_out", "mode"}  # keys of an identity that repeat one of a section
_CONTENTS = {  # keys whose values say nothing to a reader: what they stand for
    "fingerprint": "the text",
    "data.train": "what --train gives",
    "data.dev": "what --dev gives",
    "pretrained": "the pre-trained run",
    "continued": "the run of --continue-from",
    "teacher": "the teacher",
}
_OURS = {"store", "config.json", "state", "metrics.jsonl"}  # what a run killed before its first commit may have left


def _differences(path: str, old: Any, new: Any) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted({*old, *new}):
            yield from _differences(f"{path}.{key}".lstrip("."), old.get(key), new.get(key))
    elif old != new:
        yield path, old, new


def _describe_change(key: str, old: Any, new: Any) -> str:
    """The difference in the words of the command line: `training.epochs was 3 and is 5 now`."""
    if content := _CONTENTS.get(key) or _CONTENTS.get(key.partition(".")[0]):
        return f"{content} is not what it was"
    before, now = ("not set" if value is None else json.dumps(value, ensure_ascii=False) for value in (old, new))
    return f"{key.removeprefix('asked.')} was {before} and is {now} now"


def _link(source: Path, target: Path) -> None:
    aside = target.with_name(f".{target.name}.aside")
    aside.unlink(missing_ok=True)
    try:
        os.link(source, aside)
    except OSError:  # a file system without hard links
        shutil.copyfile(source, aside)
        with aside.open("rb+") as file:
            sync(file)
    aside.replace(target)
    aside.unlink(missing_ok=True)  # it is still there where both are links to one file: then nothing was renamed
    sync_folder(target.parent)


def _read_manifest(path: Path) -> dict[str, Any]:
    """The manifest, every entry of it of the kind that is expected; DamagedError where one is not, RunError for another format."""
    manifest = read_sealed(path, MEND)
    found = manifest.get("format", 0)
    if found not in READ:
        cure = "update stemma" if isinstance(found, int) and found > FORMAT else ANEW
        raise RunError(f"{path.parent} has run format {found}", f"format {FORMAT}", cure)
    state, files = manifest.get("state"), manifest.get("files")
    whole = state is None or (isinstance(state, str) and _STATE.fullmatch(state) is not None)
    whole &= isinstance(manifest.get("finished"), bool) and _is_size(manifest.get("metrics_bytes")) and isinstance(files, dict)
    if not whole or not all(map(_is_entry, files or {}, (files or {}).values())):
        raise DamagedError(f"{path} is damaged: it does not tell of the files of a run", "the manifest as it was written", MEND)
    return manifest


def _is_config(config: Mapping[str, Any]) -> bool:
    """True where there is a generation, and each section is a table."""
    identity, sections, task = config.get("identity"), config.get("sections"), config.get("task", {})
    if not isinstance(identity, dict) or not isinstance(sections, dict) or not isinstance(task, dict):
        return False
    return isinstance(identity.get("generation"), str) and all(isinstance(section, dict) for section in sections.values())


def _is_entry(name: str, entry: Any) -> bool:
    """True where it is of a file inside the folder, with its size and a sum."""
    inside = not Path(name).is_absolute() and ".." not in Path(name).parts and "\0" not in name
    return inside and isinstance(entry, dict) and _is_size(entry.get("bytes")) and isinstance(entry.get("sum", entry.get("sha256")), str)


def _is_size(number: Any) -> bool:
    return isinstance(number, int) and not isinstance(number, bool) and number >= 0


def _compare_sizes(path: Path, size: int) -> None:
    found = path.stat().st_size if path.is_file() else None
    if found != size:
        raise DamagedError(f"{path} is damaged: {'missing' if found is None else f'{found} bytes'}", f"{size} bytes", MEND)
