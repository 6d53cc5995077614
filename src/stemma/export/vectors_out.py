"""Word vectors as other programs read them: word2vec's text and binary files, GloVe's text.

Text holds the shortest decimals that give the same float32 back: nothing is lost on the way, unlike with the six
decimals of the original tools. V vocabulary, D width.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np

from stemma.errors import DataError
from stemma.export.spelling import joined, spelled
from stemma.export.streams import writing
from stemma.kernels import vector_lines
from stemma.kernels.decimals import NUMBER
from stemma.runs.run import Run

Form = Literal["word2vec", "word2vec-binary", "glove"]  # glove: as word2vec's text, without its first line
NUMBERS_AT_ONCE = 1 << 20


def write_vectors(run: Run, path: Path, form: Form) -> None:
    """Writes every word that has a vector, in the order of ids; words that were never trained have none and are left out."""
    vectors = run.word_vectors()
    trained = np.flatnonzero(np.any(vectors, axis=1))
    names = spelled([run.tokenizer.token(row) for row in trained.tolist()], form)
    with writing(path) as file:
        if form != "glove":
            file.write(f"{len(trained)} {vectors.shape[1]}\n".encode())
        for chunk in _chunks(names, vectors, trained, form):
            file.write(chunk)


def _chunks(names: list[bytes], vectors: np.ndarray, trained: np.ndarray, form: Form) -> Iterator[memoryview]:
    step = max(1, NUMBERS_AT_ONCE // vectors.shape[1])
    for begin in range(0, len(trained), step):
        spelling, borders = joined(names[begin : begin + step])
        rows = np.ascontiguousarray(vectors[trained[begin : begin + step]], np.dtype("<f4"))
        if not np.isfinite(rows).all():
            name = names[begin + int(np.isfinite(rows).all(axis=1).argmin())]
            raise DataError(f"the vector of {name.decode()!r} is not finite", "numbers alone", "train again with a lower rate")
        out = np.empty(len(spelling) + rows.size * (NUMBER + 1) + 2 * len(rows), np.uint8)
        if form == "word2vec-binary":
            size = vector_lines.put_records(spelling, borders, rows.view(np.uint8), out)
        else:
            size = vector_lines.put_lines(spelling, borders, rows, out)
        yield out[:size].data
