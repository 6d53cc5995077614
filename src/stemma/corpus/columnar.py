"""Tables with typed columns: Parquet files, Arrow files, and folders as `datasets` saves them. A row is a document.

The text is one column, read a few thousand rows at a time. It is the column of `corpus.field`; where there is none of that name, the
column with the longest texts, and the ledger says which was taken.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import IO, Any, NamedTuple

from stemma.config import nearest
from stemma.errors import DataError, MissingExtra

MAGIC = {b"PAR1": "parquet", b"ARROW1": "arrow", b"\xff\xff\xff\xff": "arrow stream"}
SUFFIXES = (".parquet", ".arrow")
ROWS = 4096  # read at a time
_DICTIONARY, _DATASET = "dataset_dict.json", "state.json"  # what `datasets` writes into a folder of splits, and into one of files


class Row(NamedTuple):
    """The text of a row, None where it has none, and its label, where there is one."""

    text: str | None
    label: str


@dataclass(frozen=True)
class Rows:
    """A table's rows in stretches, each with the number of its first row, from 1; `column` is where their texts stand."""

    column: str
    guessed: bool  # the column, since none has the name that the settings give
    stretches: Iterator[tuple[int, list[Row]]]


def kind_of(head: bytes) -> str:
    """`parquet`, `arrow` or `arrow stream` of a file that begins so; empty for others."""
    return next((kind for magic, kind in MAGIC.items() if head.startswith(magic)), "")


def rows_of(name: str, kind: str, stream: IO[bytes], field: str, label: str, guess: bool) -> Rows:
    """The rows of a table whose texts stand in the column `field`, or, with `guess`, where it has none such, in another.

    DataError, naming the file, where it is damaged or has no column of texts.
    """
    arrow = _arrow()
    try:
        schema, batches = _opened(kind, stream)
        column, guessed, batches = _column(name, schema, batches, field, guess)
    except (arrow.ArrowInvalid, arrow.ArrowNotImplementedError, OSError) as error:
        raise _damaged(name, kind, error, 1) from error
    labels = label if label in schema.names and label != column else ""
    return Rows(column, guessed, _stretches(name, kind, batches, column, labels))


def saved_dataset(folder: Path) -> list[str] | None:
    """The files of a folder that `datasets` saved, those of its split `train` where it has several; None for another folder.

    DataError where there are several splits and none is called so.
    """
    if (folder / _DICTIONARY).is_file():
        splits = _read(folder / _DICTIONARY).get("splits", [])
        if "train" not in splits:
            named = " or ".join(str(folder / split) for split in splits)
            raise DataError(f"{folder} holds the splits {', '.join(splits)}", "a split called train, or one by name", f"name {named}")
        folder = folder / "train"
    if not (folder / _DATASET).is_file() or not (folder / "dataset_info.json").is_file():
        return None
    return [str(folder / one["filename"]) for one in _read(folder / _DATASET).get("_data_files", [])]


def text_bytes(stream: IO[bytes], field: str) -> int:
    """Bytes that the texts of a Parquet file take once decompressed, as its last page tells."""
    from pyarrow import parquet

    file = parquet.ParquetFile(stream)
    names = [file.metadata.schema.column(place).path for place in range(file.metadata.num_columns)]
    sizes = [sum(file.metadata.row_group(group).column(place).total_uncompressed_size for group in range(file.num_row_groups))
             for place in range(len(names))]  # fmt: skip
    return int(sizes[names.index(field)] if field in names else max(sizes, default=0))


def _opened(kind: str, stream: IO[bytes]) -> tuple[Any, Iterator[Any]]:
    """(the schema, batches of rows)."""
    if kind == "parquet":
        from pyarrow import parquet

        file = parquet.ParquetFile(stream)
        return file.schema_arrow, file.iter_batches(batch_size=ROWS)
    from pyarrow import ipc

    if kind == "arrow":
        table = ipc.open_file(stream)
        return table.schema, (table.get_batch(place) for place in range(table.num_record_batches))
    read = ipc.open_stream(stream)
    return read.schema, iter(read)


def _column(name: str, schema: Any, batches: Iterator[Any], field: str, guess: bool) -> tuple[str, bool, Iterator[Any]]:
    """(the column of the texts, whether it is guessed, all the batches)."""
    from pyarrow import types

    texts = [one.name for one in schema if types.is_string(one.type) or types.is_large_string(one.type)]
    listing = ", ".join(f"{one.name} ({one.type})" for one in schema) or "none"
    if field in texts:
        return field, False, batches
    if field in schema.names or not texts:
        wrong = f"{name}: column {field!r} holds no texts" if field in schema.names else f"{name}: no column holds texts"
        raise DataError(f"{wrong}; the columns are {listing}", "a column of strings", f'set corpus.field = "{texts[0]}"' if texts else "")
    if not guess:
        wrong = f"{name}: no column {field!r}; the columns are {listing}"
        raise DataError(wrong, "its text in that column", nearest(field, texts))
    first = next(batches, None)
    if first is None:
        return texts[0], True, iter(())
    longest = max(texts, key=lambda one: sum(len(text) for text in first.column(one).to_pylist() if text))
    return longest, True, chain([first], batches)


def _stretches(name: str, kind: str, batches: Iterator[Any], column: str, label: str) -> Iterator[tuple[int, list[Row]]]:
    number = 1
    while True:
        try:
            if (batch := next(batches, None)) is None:
                return
            texts = batch.column(column).to_pylist()
            labels = batch.column(label).to_pylist() if label else [None] * len(texts)
        except (ValueError, OSError, RuntimeError) as error:  # pyarrow's own are of these; a text that is no UTF-8 is a ValueError
            raise _damaged(name, kind, error, number) from error
        yield number, [Row(text, "" if tag is None else str(tag)) for text, tag in zip(texts, labels, strict=True)]
        number += len(texts)


def _damaged(name: str, kind: str, error: Exception, row: int) -> DataError:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return DataError(f"{name}, from row {row:,} on: {reason}", f"a whole {kind} file", "copy it again; it may be cut short")


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise DataError(f"{path} cannot be read ({error})", "JSON as datasets writes it", "save the dataset again") from error


def _arrow() -> Any:
    try:
        import pyarrow
    except ImportError as error:
        raise MissingExtra("pyarrow", "hub") from error
    return pyarrow.lib
