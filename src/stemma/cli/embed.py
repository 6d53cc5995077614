"""`stemma embed`: one vector a text."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stemma.cli.aligned import number
from stemma.cli.answer import Answer, Printable
from stemma.cli.engine import USUAL, by_engine
from stemma.cli.streamed import Streamed
from stemma.cli.texts import arriving, sound
from stemma.cli.verb import EngineName, File, Files, Flag, RunPath, Share, Texts, Verb
from stemma.errors import DataError, UsageError
from stemma.tokens.files import whole_file

FIRST = 6  # numbers of a vector that a person is shown


@dataclass(frozen=True)
class Embed(Verb):
    """Gives each text one vector: the mean of its tokens' states in a layer, or what a fine-tuned run's head reads.

    Example: stemma embed runs/bert --text "the river bank" --layer -2
    """

    run_folder: RunPath  # a folder made by stemma pretrain
    files: Files = ()  # one text a line; - or none: standard input
    text: Texts = ()  # a text of its own
    engine: EngineName = USUAL  # torch, torch-bf16, onnx, openvino, openvino-bf16, a file.onnx of the run; exact, close: the fastest here
    dev: File = None  # a file that exact and close have to say the same on, or that tells what an engine in 8 bits costs
    max_drop: Share = None  # with an engine in 8 bits: how much worse it may be on the file of --dev
    layer: int = -1  # 0: the embeddings, -1: the last layer
    normalise: Flag = False  # makes each vector's length 1, so that a product of two is their cosine
    out: File = None  # writes the vectors there as one NumPy array (N D, float32) in the order of the texts; none: prints them

    def run(self) -> Printable:
        """One vector a text."""
        from stemma.runs import answers
        from stemma.runs.fitted import FittedRun, load

        run = by_engine(load(self.run_folder), self.engine, "read", self.dev, self.max_drop)
        if isinstance(run, FittedRun) and self.layer != -1:
            raise UsageError(f"--layer {self.layer}: {self.run_folder} is fine-tuned", "the vectors that its head reads", "drop --layer")

        if not isinstance(run, FittedRun):
            run.require("embed")

        def rows(lines: list[str]) -> Iterator[dict[str, Any]]:
            return iter(answers.embed(run, lines, self.layer, self.normalise).rows())

        def shown(row: dict[str, Any]) -> Iterator[str]:
            yield row["text"]
            vector = row["vector"]
            yield f"  {len(vector)} numbers: {' '.join(map(number, vector[:FIRST]))}{' …' * (len(vector) > FIRST)}"

        if self.out is None:
            return Streamed(rows, shown, self.text, self.files)
        parts = [[row["vector"] for row in rows(sound(batch))] for batch in arriving(self.text, self.files)]
        return _saved(self.out, [np.asarray(part, np.float32) for part in parts if part])


def _saved(path: Path, parts: list[np.ndarray]) -> Answer:
    if not parts:
        raise DataError("there is no text to embed", "one text a line or more", "check the input")
    vectors = np.concatenate(parts)
    with whole_file(path) as file:
        # not np.save, which asks for the file's position: a pipe has none
        np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(vectors))
        file.write(np.ascontiguousarray(vectors).data)
    texts, width = vectors.shape
    return Answer({"out": str(path), "texts": texts, "width": width}, [f"{path}: {texts:,} × {width}, float32"])
