"""One file for a machine without network: finished run folders, the wheels that open them if given, sums, and how to go on.

A plain zip file, so that any machine can look into it: README.md, SHA256SUMS, pack.json, `runs/NAME/…`, `wheels/…`. Nothing in it is
compressed and nothing tells of when or where it was made: the same runs make the same bytes. Reading takes the one shape that writing
gives; whatever else a zip file may be is refused before anything of it is written or held.
"""

import hashlib
import io
import json
import re
import shutil
import struct
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import IO, Any

from stemma.checkpoint import RunFolder
from stemma.config import VERSION
from stemma.corpus.files import end_of_links
from stemma.errors import BudgetError, DataError, RunError, UsageError
from stemma.export.aside import written_aside
from stemma.lineage.table import find
from stemma.nouns import counted
from stemma.tokens.files import LOCK, check_file, checksum, whole_file

FORMAT = 1
SUMS, ABOUT, README = "SHA256SUMS", "pack.json", "README.md"
CURE = "copy the file again, or have it packed again: stemma pack RUN FILE"
_LEFT = ("state", "store")  # of a run folder: what training needs, and nobody else
_CHUNK = 1 << 20  # bytes in memory at a time
_ENTRIES, _LISTED = 100_000, 1 << 25  # files, and bytes of their list, at most
_LONGEST = 300  # characters of a path
_PLAIN = 0o100644  # the rights of every file: a plain one
_END, _FAR = b"PK\x05\x06", b"PK\x06\x07"  # the last record of a zip file, and what stands before it in a large one
_SUM = re.compile(r"([0-9a-f]{64})  (.+)")


def pack(runs: Sequence[str | Path], file: str | Path, wheels: str | Path | None = None) -> Path:
    """Writes the finished runs, each under the name of its folder, and the wheels of a folder, if any, into one file.

    Every run is compared with its sums first. UsageError where two have one name, or one that not every system can write; RunError for a
    run that is not finished.
    """
    file, folders = Path(file), [Path(run) for run in runs]
    names = [end_of_links(folder).name for folder in folders]
    if twice := [name for name in names if names.count(name) > 1]:
        raise UsageError(f"two runs are called {twice[0]}", "a name of its own for each", "rename one of the folders")
    check_file(file)
    opened = {name: _finished(folder) for name, folder in zip(names, folders, strict=True)}
    sources = {f"runs/{name}/{place}": run.path / place for name, run in opened.items() for place in _files(run.path)}
    sources |= {f"wheels/{wheel.name}": wheel for wheel in _wheels(wheels)}
    if odd := [name for name in sources if _fault(name)]:  # as unpack would refuse it
        expected = "a name in UTF-8 without colons, backslashes and line ends, which every system can write"
        raise UsageError(f"{odd[0]!r} is {_fault(odd[0])}", expected, "rename it, and pack again")
    about = {"format": FORMAT, "stemma": VERSION, "runs": {name: _facts(run) for name, run in opened.items()}}
    written = {ABOUT: (json.dumps(about, ensure_ascii=False, indent=2) + "\n").encode()}
    readme = _readme(about["runs"], file.name, any(name.startswith("wheels/") for name in sources))  # type: ignore[arg-type]
    written[README] = readme.encode("utf-8", "backslashreplace")
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in written.items()}
    sums |= {name: checksum(source) for name, source in sources.items()}
    written[SUMS] = "".join(f"{sums[name]}  {name}\n" for name in sorted(sums)).encode()
    with whole_file(file) as out, zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name in (README, SUMS, ABOUT, *sorted(sources)):
            if name in written:
                _add(archive, name, len(written[name]), io.BytesIO(written[name]))
            else:
                with sources[name].open("rb") as source:
                    _add(archive, name, sources[name].stat().st_size, source)
    return file


def unpack(file: str | Path, folder: str | Path) -> list[Path]:
    """Writes what `pack` packed into a new folder, and gives back its runs; the folder is there whole or not at all.

    A folder that holds all of it already, byte for byte, and nothing else is left as it is: the same command may be given twice.
    DataError, which names the entry, for what `pack` does not write: paths that lead out of the folder, links, compressed or overlapping
    entries, wrong sums. BudgetError where the disk has no room. RunError for a file of a later version.
    """
    file, folder = Path(file), Path(folder)
    if not file.is_file():
        wrong = f"{file} is no plain file" if file.exists() else f"{file}: no such file"
        raise DataError(wrong, "a file made by stemma pack", "check the path")
    try:
        with file.open("rb") as source, _archive(file, source) as archive:
            entries = _entries(file, archive)
            sums = _sums(file, archive, entries)
            about = _about(file, archive, entries)
            if _is_there(folder, archive, entries):
                (folder / LOCK).unlink(missing_ok=True)  # of a process that was killed when all was there
                return [folder / "runs" / name for name in about["runs"]]
            _check_room(folder, sum(entry.file_size for entry in entries.values()))
            with written_aside(folder) as aside:
                for name, entry in entries.items():
                    _extract(file, archive, entry, aside / name, sums.get(name))
                for name in about["runs"]:
                    RunFolder.open(aside / "runs" / name)
    except (zipfile.BadZipFile, zipfile.LargeZipFile, EOFError, NotImplementedError, UnicodeError, struct.error) as error:
        raise DataError(f"{file} cannot be read ({error})", "a file made by stemma pack", CURE) from error
    return [folder / "runs" / name for name in about["runs"]]


def _is_there(folder: Path, archive: zipfile.ZipFile, entries: dict[str, zipfile.ZipInfo]) -> bool:
    """True where the folder holds the entries, their bytes, and no other file."""
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")}
    return files == set(entries) and all(_is_same(archive, entry, folder / name) for name, entry in entries.items())


def _is_same(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, path: Path) -> bool:
    if path.is_symlink() or path.stat().st_size != entry.file_size:
        return False
    with archive.open(entry) as ours, path.open("rb") as theirs:
        return all(theirs.read(len(part)) == part for part in iter(lambda: ours.read(_CHUNK), b""))


def _finished(folder: Path) -> RunFolder:
    """The run, compared with its sums."""
    run = RunFolder.open(folder)
    if not run.finished:
        raise RunError(f"{folder} is not finished", "a finished run", "run the command that began it again: it goes on where it was")
    run.verify()
    return run


def _files(folder: Path) -> list[str]:
    """What is used of a run folder; UsageError for a link, or a name that another system could not write."""
    found = []
    for path in sorted(folder.rglob("*")):
        place = path.relative_to(folder).as_posix()
        if place.partition("/")[0] in _LEFT or path.name.startswith("."):
            continue
        if path.is_symlink() or (fault := _fault(place)):
            raise UsageError(
                f"{path} is {'a link' if path.is_symlink() else fault}", "plain files of plain names", "take it out, or rename it"
            )
        if path.is_file():
            found.append(place)
    return found


def _wheels(folder: str | Path | None) -> list[Path]:
    if folder is None:
        return []
    found = sorted(Path(folder).glob("*.whl"))
    if not found:
        cure = f"have pip put them there on a machine with network: pip download stemma-nlp=={VERSION} -d {folder}"
        raise UsageError(f"{folder} holds no wheels", "files *.whl", cure)
    return found


def _facts(run: RunFolder) -> dict[str, Any]:
    """What a reader wants to know of a run before it is unpacked."""
    identity, files = run.config["identity"], run.manifest["files"]
    row = find(identity["generation"])
    fitted = {"task": identity["task"]} if "task" in identity else {}
    bytes_ = sum(entry["bytes"] for name, entry in files.items() if not name.startswith("state/"))
    return {"generation": row.name, **fitted, "stemma": run.config.get("stemma"), "bytes": bytes_}


def _add(archive: zipfile.ZipFile, name: str, size: int, source: IO[bytes]) -> None:
    entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))  # the first day that a zip file can tell
    entry.create_system, entry.external_attr, entry.file_size = 3, _PLAIN << 16, size
    with archive.open(entry, "w") as target:
        shutil.copyfileobj(source, target, _CHUNK)


def _archive(file: Path, source: IO[bytes]) -> zipfile.ZipFile:
    """The zip file, its list of entries bounded before it is read."""
    size = source.seek(0, 2)
    source.seek(max(0, size - 98))
    tail = source.read()
    end = tail[-22:]
    if len(end) < 22 or not end.startswith(_END) or end[20:] != b"\0\0":
        raise DataError(f"{file} does not end as a zip file without a comment does", "a file made by stemma pack", CURE)
    listed, count = int.from_bytes(end[12:16], "little"), int.from_bytes(end[10:12], "little")
    if tail[-42:-38] == _FAR:  # a large one: the record before holds the true numbers
        far = tail[-98:-42]
        listed, count = int.from_bytes(far[40:48], "little"), int.from_bytes(far[32:40], "little")
    if listed > min(_LISTED, size) or count > _ENTRIES:
        raise DataError(f"{file}: a list of {listed:,} bytes tells of {count:,} files", f"{_ENTRIES:,} files at most", CURE)
    source.seek(0)
    return zipfile.ZipFile(source)


def _entries(file: Path, archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """The entries by name; DataError for one that `pack` does not write."""
    found: dict[str, zipfile.ZipInfo] = {}
    end = 0
    for entry in archive.infolist():
        name = entry.orig_filename
        kind = entry.external_attr >> 16
        faults = (
            (_fault(name), "a path inside the folder"),
            ("there twice" if name in found or any(name.startswith(f"{other}/") for other in found) else "", "each name once"),
            ("no plain file (a link, a folder or a device)" if kind != _PLAIN else "", "plain files alone"),
            ("encrypted" if entry.flag_bits & 1 else "", "nothing encrypted"),
            ("compressed" if entry.compress_type or entry.file_size != entry.compress_size else "", "nothing compressed"),
            ("where another entry stands" if entry.header_offset < end else "", "one entry after the other"),
        )
        for fault, expected in faults:
            if fault:
                raise DataError(f"{file}: {name!r:.120} is {fault}", expected, CURE)
        end = entry.header_offset + entry.file_size
        found[name] = entry
    if end > archive.start_dir:
        raise DataError(f"{file}: its entries are longer than the file", "a whole file", CURE)
    if missing := [name for name in (README, SUMS, ABOUT) if name not in found]:
        raise DataError(f"{file} has no {missing[0]}", "a file made by stemma pack", CURE)
    return found


def _fault(name: str) -> str:
    """What is wrong with a path as that of a file inside a folder, on any system; empty where nothing is."""
    parts, plain = name.split("/"), name.encode("utf-8", "ignore").decode()
    if not name or name != plain or len(name) > _LONGEST or any(character < " " or character in "\\:" for character in name):
        return "no path that every system can write"
    if PurePosixPath(name).is_absolute() or any(part in ("", ".", "..") for part in parts):
        return "a path that leads out of its folder"
    return ""


def _check_room(folder: Path, size: int) -> None:
    """BudgetError where the disk has less room than the files need."""
    place = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())
    if (free := shutil.disk_usage(place).free) < size:
        raise BudgetError(f"{folder}: {free >> 20:,} MiB free", f"{(size >> 20) + 1:,} MiB", "free some space, or choose another disk")


def _small(file: Path, archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> str:
    if entry.file_size > _LISTED:
        raise DataError(f"{file}: {entry.filename} of {entry.file_size:,} bytes", f"{_LISTED:,} at most", CURE)
    with suppress(UnicodeDecodeError):
        return archive.read(entry).decode()
    raise DataError(f"{file}: {entry.filename} is not UTF-8", "text as stemma pack wrote it", CURE)


def _sums(file: Path, archive: zipfile.ZipFile, entries: Mapping[str, zipfile.ZipInfo]) -> dict[str, str]:
    """The sum of every other entry; DataError where one has none, or one is missing."""
    lines = _small(file, archive, entries[SUMS]).splitlines()
    matches = [_SUM.fullmatch(line) for line in lines]
    sums = {match[2]: match[1] for match in matches if match}
    if odd := sorted({*sums} ^ ({*entries} - {SUMS})):
        wrong = f"{odd[0]!r:.120} has no sum" if odd[0] in entries else f"{odd[0]!r:.120} is missing"
        raise DataError(f"{file}: {wrong}", f"a line of {SUMS} for every file", CURE)
    return sums


def _about(file: Path, archive: zipfile.ZipFile, entries: Mapping[str, zipfile.ZipInfo]) -> dict[str, Any]:
    """pack.json; RunError for a later format, DataError where it tells of no runs that are there."""
    try:
        about = json.loads(_small(file, archive, entries[ABOUT]))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{file}: {ABOUT} cannot be read ({error})", "JSON as stemma pack wrote it", CURE) from error
    number = about.get("format") if isinstance(about, dict) else None
    if type(number) is int and number > FORMAT:
        raise RunError(f"{file} has pack format {number}", f"format {FORMAT}", "update stemma")
    runs = about.get("runs") if number == FORMAT else None
    there = {name.split("/")[1] for name in entries if name.startswith("runs/") and name.count("/") > 1}
    if not isinstance(runs, dict) or {*runs} != there:
        raise DataError(f"{file}: {ABOUT} does not tell of the runs that are there", "JSON as stemma pack wrote it", CURE)
    return about  # type: ignore[no-any-return]  # seen to be a table


def _extract(file: Path, archive: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path, expected: str | None) -> None:
    """Writes the entry; DataError unless its sum is the expected one, if any."""
    found = hashlib.sha256()
    target.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(entry) as source, target.open("xb") as out:
        while part := source.read(_CHUNK):
            found.update(part)
            out.write(part)
    if expected is not None and found.hexdigest() != expected:
        raise DataError(f"{file}: {entry.filename} is damaged: its sum differs", "the bytes that were packed", CURE)


def _readme(runs: Mapping[str, Mapping[str, Any]], file: str, wheels: bool) -> str:
    return "\n".join(_lines(runs, file, wheels)) + "\n"


def _lines(runs: Mapping[str, Mapping[str, Any]], file: str, wheels: bool) -> Iterator[str]:
    yield from (f"# {counted(len(runs), 'run')} of Stemma, for a machine without network", "")
    yield from ("| run | generation | task | MiB |", "|---|---|---|---|")
    yield from (
        f"| {name} | {facts['generation']} | {facts.get('task', '')} | {facts['bytes'] / 2**20:.1f} |" for name, facts in runs.items()
    )
    yield from (
        "",
        "`runs/NAME/README.md` tells what each learnt from, and how good it is. Nothing in this file is compressed or executed.",
        "",
    )
    yield from ("## Install", "")
    if wheels:
        yield from ("The wheels are in this file. With Python 3.11 or newer, where you have unzipped it:", "", "```bash")
    else:
        yield from (
            f"This file holds no program: it takes Stemma {VERSION} or newer. On a machine with network, of the same system and Python:",
            "", "```bash", f"pip download stemma-nlp=={VERSION} -d wheels", "```", "",
            "(`stemma pack … --wheels wheels` puts them into the file.) Carry that folder over, and there:", "", "```bash",
        )  # fmt: skip
    yield from ("python3 -m venv venv", f"venv/bin/pip install --no-index --find-links wheels stemma-nlp=={VERSION}", "```", "")
    yield from ("## Unpack and use", "", "```bash", f"stemma unpack {file} models")
    for name, facts in runs.items():
        verb = "predict" if "task" in facts else find(facts["generation"]).abilities[0]
        told = "WORD" if verb == "nearest" else '--text "…"' if verb != "generate" else '--prompt "…"'
        yield f"stemma {verb} models/runs/{name} {told}"
    yield from (
        "```",
        "",
        "`stemma unpack` compares every file with its sum, as `sha256sum -c SHA256SUMS` does where you have unzipped it yourself.",
    )
