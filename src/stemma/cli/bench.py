"""`stemma bench`: how fast each engine computes a run here."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from tyro.conf import arg

from stemma.cli.answer import Answer, Printable
from stemma.cli.verb import RunPath, Verb
from stemma.nouns import counted

if TYPE_CHECKING:
    from stemma.serving.bench import Cell

Engines = Annotated[tuple[str, ...], arg(metavar="ENGINE …", help_behavior_hint="(optional)")]
Numbers = Annotated[tuple[int, ...], arg(metavar="N …")]


@dataclass(frozen=True)
class Bench(Verb):
    """Measures the engines that can compute a run on this machine: latency (batch 1), throughput, and how close they come.

    A pre-trained run gives vectors, a fine-tuned one answers. Engines: torch, torch-bf16, onnx, openvino, openvino-bf16, an .onnx file of
    the run, or openvino: before it; ctranslate2, or a folder of it, of a run that has learnt to translate.

    Example: stemma bench runs/bert --lengths 32 128 --batches 1 32
    """

    run_folder: RunPath  # a folder made by stemma pretrain or stemma finetune
    engines: Engines = ()  # those to measure, the first being what others are compared with; none: all that can compute the run
    lengths: Numbers = (32, 128)  # tokens of a text
    batches: Numbers = (1, 32)  # texts handed over together
    seconds: float = 1.0  # how long each is measured

    def run(self) -> Printable:
        """A row for each length, batch size and engine."""
        import torch

        from stemma.runs.fitted import load
        from stemma.serving.bench import bench

        cells = bench(load(self.run_folder), self.engines, self.lengths, self.batches, self.seconds)
        threads = torch.get_num_threads()
        return Answer({"run": self.run_folder, "threads": threads, "rows": [cell.row() for cell in cells]}, _shown(cells, threads))


def _shown(cells: "list[Cell]", threads: int) -> Iterator[str]:
    yield f"{'engine':<12} {'tokens':>6} {'batch':>5} {'p50 ms':>8} {'p95 ms':>8} {'texts/s':>9}  with {counted(threads, 'thread')}"
    for cell in cells:
        close = f"cosine {cell.cosine:.5f}" if cell.cosine is not None else f"{100 * (cell.same or 0.0):.1f} % same answers"
        figures = f"{cell.tokens:>6.0f} {cell.batch:>5} {cell.p50:>8.2f} {cell.p95:>8.2f} {cell.texts_a_second:>9.1f}"
        yield f"{cell.engine:<12} {figures}  {close}, {cell.tier}"
