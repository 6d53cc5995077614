"""Finds the files of a corpus and opens them: files, directories, globs, URLs, `-` for standard input; gz, bz2, xz, zst.

A compressed file is known by its first bytes, not by its name. Files come in one order on every
machine: paths as given, what a glob or a directory holds sorted by name.
"""

import bz2
import difflib
import glob
import gzip
import io
import lzma
import os
import sys
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import IO, Any, cast

from stemma.corpus.columnar import SUFFIXES, saved_dataset
from stemma.corpus.urls import is_url, listed, opened_at, size_at
from stemma.errors import DataError
from stemma.nouns import counted

STDIN = "-"
TEXT_SUFFIXES = (".txt", ".text", ".jsonl", ".ndjson")
COMPRESSIONS = {b"\x1f\x8b": "gz", b"\xfd7zXZ\x00": "xz", b"BZh": "bz2", b"\x28\xb5\x2f\xfd": "zst"}
_TEXT_NAMES = "files ending in .txt, .text, .jsonl or .ndjson, plain or .gz, .xz, .bz2, .zst, or in .parquet or .arrow"
_COMPRESSED_SUFFIXES = (".gz", ".xz", ".bz2", ".zst")
_NOT_TEXT = {
    b"%PDF": "a PDF; extract its text first (pdftotext)",
    b"PK\x03\x04": "a zip archive (docx, xlsx, epub and zip look so); unpack it and give the text files",
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"\x7fELF": "a program",
    b"SQLite format 3": "an SQLite database; export its text as JSON lines first",
    b"\xd0\xcf\x11\xe0": "an old Office file; save it as text",
    b"7z\xbc\xaf": "a 7z archive; unpack it and give the text files",
    b"\x93NUMPY": "a NumPy array",
    b"\x80\x02": "a pickle",
    b"\x80\x03": "a pickle",
    b"\x80\x04": "a pickle",
    b"\x80\x05": "a pickle",
    b"GIF8": "a GIF picture",
    b"II*\x00": "a TIFF picture",
    b"MM\x00*": "a TIFF picture",
    b"OggS": "a sound or film file (Ogg)",
    b"ID3\x03": "a sound file (MP3)",
    b"ID3\x04": "a sound file (MP3)",
    b"fLaC": "a sound file (FLAC)",
    b"MZ\x90\x00": "a program",
    b"\xca\xfe\xba\xbe": "a compiled program",
    b"\x00asm": "a compiled program",
    b"Rar!": "a rar archive; unpack it and give the text files",
    b"\x04\x22\x4d\x18": "compressed by lz4; unpack it first",
    b"\x1f\x9d": "compressed by compress; unpack it first (uncompress)",
    b"\x89HDF": "an HDF5 file",
    b"Obj\x01": "an Avro file; write its text column as JSON lines first",
    b"GGUF": "the weights of a model (GGUF)",
    b"{\\rtf": "a rich text file; save it as plain text",
}
_DAMAGED = (EOFError, OSError, lzma.LZMAError, zlib.error)


@dataclass(slots=True)
class Found:
    """The files of a corpus in reading order, and what was passed over."""

    files: list[str] = field(default_factory=list)
    targets: list[str] = field(default_factory=list)  # of pairs in two files: the other file of each
    skipped: list[str] = field(default_factory=list)  # in a directory, not text by its name
    repeated: list[str] = field(default_factory=list)  # named twice: read once


def find(paths: Sequence[str | Path], targets: Sequence[str | Path] = ()) -> Found:
    """Every file that the paths name, and as many of `targets`. Raises DataError for a path that names none."""
    if targets:
        return _found_in_pairs(paths, targets)
    found = Found()
    seen: set[str] = set()
    for path in [paths] if isinstance(paths, (str, Path)) else paths:
        for file in _named(str(path), found):
            check_readable_again(file)
            key = file if is_url(file) else os.path.realpath(file)
            if key in seen:
                found.repeated.append(file)
            else:
                seen.add(key)
                found.files.append(file)
    if not found.files:
        raise DataError("no input was named", "one or more files, directories, globs or -", "for example: stemma corpus check news.txt")
    return found


def _found_in_pairs(paths: Sequence[str | Path], targets: Sequence[str | Path]) -> Found:
    """The files of sources and targets; one may stand in several pairs."""
    listed = ([side] if isinstance(side, (str, Path)) else side for side in (paths, targets))
    sides = [[file for path in side for file in find([path]).files] for side in listed]
    if len(sides[0]) != len(sides[1]):
        wrong = f"{counted(len(sides[0]), 'file')} of sources and {counted(len(sides[1]), 'file')} of targets"
        raise DataError(wrong, "a file of targets for each file of sources, in the same order", "name them again")
    return Found(*sides)


def check_readable_again(name: str) -> None:
    """Raises DataError for what gives its bytes only once, or without end: a pipe, as in `<(zcat FILE)`, or a device."""
    if name == STDIN or is_url(name) or Path(name).is_file() or not Path(name).exists():
        return
    if Path(name).is_fifo():
        mend = "give it as standard input (zcat FILE | stemma … -), or keep it in a file first"
        raise DataError(f"{name} is a pipe, which can be read only once", "a file", mend)
    raise DataError(f"{name} is {'a folder' if Path(name).is_dir() else 'a device or a socket'}", "a file", "name a file of text")


def held_whole(path: Path) -> bytes:
    """The bytes of a small file; DataError for a device, which may have no end, else OSError as ever."""
    if path.is_char_device():
        raise _no_end(str(path))
    return path.read_bytes()


def _no_end(name: str) -> DataError:
    return DataError(f"{name} is a device", "a file that has an end", "name a file of text")


def text_suffix(name: str) -> str:
    """`.jsonl` of `news.jsonl.gz`: the suffix that says what the text is."""
    path = Path(name)
    return (Path(path.stem) if path.suffix.lower() in _COMPRESSED_SUFFIXES else path).suffix.lower()


def written_at(path: Path) -> tuple[Path, bool]:
    """Where a file of that name is written: at the end of its links; and whether a new one may take its place there.

    It may not where something stands that is no regular file, a pipe or a device: that is written into.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        return path, False  # not resolved: what a process's pipe is called there is no path
    return (end_of_links(path) if path.is_symlink() else path), True


def end_of_links(path: Path) -> Path:
    """Where the path leads, its links followed. DataError for links that lead back to themselves."""
    end = Path(os.path.realpath(path))
    if end.is_symlink():
        raise DataError(f"{path} is a link that leads back to itself", "a path that ends somewhere", "mend the link, or name another path")
    return end


@contextmanager
def opened(name: str) -> Iterator[IO[bytes]]:
    """The file's bytes, decompressed while they are read. Raises DataError for a damaged or non-text file."""
    source = raw(name)
    try:
        head = source.read(16)
        _check_kind(name, head)
        once = name == STDIN or not source.seekable()
        stream = io.BufferedReader(_Rejoined(head, source)) if once else source
        if not once:
            source.seek(0)
        yield _decompressed(name, head, stream)
    except DataError:
        raise
    except _DAMAGED as error:
        compression = _compression(head)
        wrong = f"{name}: {error or type(error).__name__}"
        raise DataError(wrong, f"a whole {compression or 'readable'} file", "copy or compress it again; it may be cut short") from error
    finally:
        if name != STDIN:
            source.close()


def size(name: str) -> int:
    """Bytes of the file, compressed as it is."""
    return size_at(name) if is_url(name) else Path(name).stat().st_size


def raw(name: str) -> IO[bytes]:
    """The file's bytes as they stand, compressed or not; the caller closes them. Raises DataError for a file that cannot be read."""
    try:
        if name == STDIN:
            return sys.stdin.buffer
        if is_url(name):
            return opened_at(name)
        if Path(name).is_char_device():
            raise _no_end(name)
        return Path(name).open("rb")
    except FileNotFoundError as error:
        raise DataError(f"{name}: no such file", "a file that can be read", _similar(Path(name))) from error
    except OSError as error:
        raise DataError(f"{name}: {error.strerror}", "a file that can be read", "check the path and its permissions") from error


def _named(path: str, found: Found) -> list[str]:
    if path == STDIN:
        return [STDIN]
    if is_url(path):
        return _at(path, found)
    place = Path(path).expanduser()
    if place.is_dir():
        return _inside(place, found)
    if place.exists():
        return [str(place)]
    if glob.has_magic(path):
        files = []
        for match in sorted(glob.glob(str(place), recursive=True)):  # noqa: PTH207  (Path.glob cannot take a whole pattern)
            files += _inside(Path(match), found, matched=True) if Path(match).is_dir() else [match]
        if files:
            return files
        raise DataError(f"{path}: the pattern matches no file", "at least one file", "quote the pattern, and check the folder it stands in")
    if place.is_symlink():
        wrong = f"{path} is a link to {place.readlink()}, which is not there or leads back to itself"
        raise DataError(wrong, "a file, a directory, a glob or -", "mend the link, or name the file itself")
    raise DataError(f"{path}: no such file", "a file, a directory, a glob or -", _similar(place))


def _at(url: str, found: Found) -> list[str]:
    """The files that a URL names; of a folder those that are text by their names."""
    files, whole_folder = listed(url)
    if not whole_folder:
        return files
    chosen = [file for file in files if _is_text_name(Path(file))]
    found.skipped.extend(file for file in files if file not in chosen)
    if not chosen:
        held = counted(len(files), "other file") if files else "nothing"
        raise DataError(f"{url}: no text files there, but {held}", _TEXT_NAMES, "name the files one by one")
    return chosen


def _inside(folder: Path, found: Found, matched: bool = False) -> list[str]:
    """The text files below a directory, sorted; hidden ones left out, others noted as skipped."""
    if (saved := saved_dataset(folder)) is not None:
        return saved
    files: list[str] = []
    skipped: list[str] = []
    for path in sorted(folder.rglob("*"), key=lambda p: p.relative_to(folder).parts):
        if path.is_dir() or any(part.startswith(".") for part in path.relative_to(folder).parts):
            continue
        (files if _is_text_name(path) and path.is_file() else skipped).append(str(path))  # no pipe, no link to nowhere
    found.skipped.extend(skipped)
    if not files and not matched:
        kinds = ", ".join(sorted({Path(name).suffix or "no suffix" for name in skipped}))
        held = f"{counted(len(skipped), 'other file')} ({kinds})" if skipped else "nothing"
        wrong = f"{folder}: no text files in this directory, which holds {held}"
        raise DataError(wrong, _TEXT_NAMES, "rename the text files, or name them one by one")
    return files


def _is_text_name(path: Path) -> bool:
    # Wikipedia extractors write wiki_00, wiki_01...; README, LICENSE and the like are not corpus.
    return text_suffix(path.name) in (*TEXT_SUFFIXES, *SUFFIXES) or (not path.suffix and not path.name.isupper())


def _similar(path: Path) -> str:
    if path.is_symlink():
        return f"it is a link to {path.readlink()}, which is not there: mend the link"
    beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
    close = difflib.get_close_matches(path.name, beside, n=1, cutoff=0.6)
    if close:
        return f"did you mean {path.parent / close[0]}?"
    return f"check the path (the directory {path.parent} {'exists' if path.parent.is_dir() else 'does not exist either'})"


def _check_kind(name: str, head: bytes) -> None:
    for magic, kind in _NOT_TEXT.items():
        if head.startswith(magic):
            raise DataError(f"{name} is {kind.partition(';')[0]}", "plain text or JSON lines", kind.partition("; ")[2] or "leave it out")
    if _is_safetensors(head):
        raise DataError(f"{name} holds the weights of a model (safetensors)", "plain text or JSON lines", "leave it out")


def _is_safetensors(head: bytes) -> bool:
    return head[8:10] == b'{"' and int.from_bytes(head[:8], "little") < 1 << 32


def _compression(head: bytes) -> str:
    return next((kind for magic, kind in COMPRESSIONS.items() if head.startswith(magic)), "")


def _decompressed(name: str, head: bytes, stream: IO[bytes]) -> IO[bytes]:
    kind = _compression(head)
    if kind == "gz":
        return cast(IO[bytes], gzip.GzipFile(fileobj=stream))
    if kind == "xz":
        return cast(IO[bytes], lzma.LZMAFile(stream))
    if kind == "bz2":
        return cast(IO[bytes], bz2.BZ2File(stream))
    return _zstd(stream) if kind == "zst" else stream


def _zstd(stream: IO[bytes]) -> IO[bytes]:
    if sys.version_info >= (3, 14):
        from compression import zstd

        return zstd.ZstdFile(stream)
    import zstandard

    return io.BufferedReader(_ZstdReader(stream, zstandard), 1 << 20)


class _ZstdReader(io.RawIOBase):
    """Frames of zstandard one after the other; a file cut short is an error, and memory stays bounded."""

    _FEED = 1 << 10  # bytes in a step; one can become 32 MiB of text

    def __init__(self, stream: IO[bytes], zstandard: ModuleType) -> None:
        self._stream = stream
        self._library = zstandard
        self._frame: Any = None
        self._unused = b""
        self._text, self._at = b"", 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while self._at == len(self._text):
            data = self._unused or self._stream.read(self._FEED)
            if not data:
                if self._frame is not None:
                    raise EOFError("compressed file ended before its end mark")
                return 0
            self._text, self._at = self._step(data), 0
        part = self._text[self._at : self._at + len(buffer)]
        self._at += len(part)
        buffer[: len(part)] = part
        return len(part)

    def _step(self, data: bytes) -> bytes:
        self._frame = self._frame or self._library.ZstdDecompressor().decompressobj()
        try:
            text = self._frame.decompress(data)
        except self._library.ZstdError as error:
            raise OSError(str(error)) from error
        self._unused = self._frame.unused_data if self._frame.eof else b""
        if self._frame.eof:
            self._frame = None
        return text


class _Rejoined(io.RawIOBase):
    """A stream that cannot be wound back, with the bytes already read put before it."""

    def __init__(self, head: bytes, stream: IO[bytes]) -> None:
        self._head, self._stream = head, stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._head[: len(buffer)] or cast(io.BufferedReader, self._stream).read1(len(buffer))
        self._head = self._head[len(data) :] if self._head else b""
        buffer[: len(data)] = data
        return len(data)
