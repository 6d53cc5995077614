"""Files that stand elsewhere, by URL: s3://, gs://, hdfs://, https:// and whatever else fsspec has a file system for."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from stemma.errors import DataError, MissingExtra

_URL = re.compile(r"[a-z][a-z0-9+.-]+(::[a-z][a-z0-9+.-]+)*://")  # two letters or more: C: is a drive
_CHECK = "check the address, the network, and how this machine signs in there"


def is_url(name: str) -> bool:
    """True for a name such as s3://bucket/folder/file.txt."""
    return _URL.match(name) is not None


def listed(url: str) -> tuple[list[str], bool]:
    """(the files that the URL names, sorted, with their addresses; whether it names a folder, of which they are all)."""
    with _explained(url):
        system, path = _system(url)
        if any(mark in path for mark in "*?["):
            if not (matches := [match for match in system.glob(path) if system.isfile(match)]):
                raise DataError(f"{url}: the pattern matches no file", "at least one file", f"quote the pattern, and {_CHECK}")
            return [system.unstrip_protocol(match) for match in sorted(matches)], False
        if system.isdir(path):
            return [system.unstrip_protocol(file) for file in sorted(system.find(path))], True
        if not system.exists(path):
            raise FileNotFoundError
        return [url], False


def opened_at(url: str) -> IO[bytes]:
    """The file's bytes as they are needed; the caller closes them."""
    with _explained(url):
        system, path = _system(url)
        stream: IO[bytes] = system.open(path, "rb")
        return stream


def size_at(url: str) -> int:
    """Bytes of the file."""
    with _explained(url):
        system, path = _system(url)
        return int(system.size(path) or 0)


def state_at(url: str) -> str:
    """A text that changes when the file does, as far as its keeper tells: of size, time and the keeper's own mark."""
    with _explained(url):
        system, path = _system(url)
        return str(system.ukey(path))


def _system(url: str) -> tuple[Any, str]:
    try:
        import fsspec
    except ImportError as error:
        raise MissingExtra("fsspec", "hub") from error
    system, path = fsspec.core.url_to_fs(url)
    return system, path


@contextmanager
def _explained(url: str) -> Iterator[None]:
    """What goes wrong far away as a DataError: each keeper has errors of its own."""
    try:
        yield
    except (DataError, MissingExtra):
        raise
    except ImportError as error:  # "Install s3fs to access S3"
        raise DataError(f"{url}: {error}", "the library that reaches such addresses", "install it beside stemma") from error
    except FileNotFoundError as error:
        raise DataError(f"{url}: no such file", "a file that can be read", _CHECK) from error
    except Exception as error:
        raise DataError(f"{url}: {error or type(error).__name__}", "a file that can be read", _CHECK) from error
