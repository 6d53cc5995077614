"""What an ONNX file computes of a run that has learnt a task: from texts, and where their units stand, to the scores of the task's head.

What the scores mean is `read_off` of the run's model: labels, tags along a lawful path, spans, numbers.
Axes: B examples, W windows, T positions, U units, K scores.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from stemma.errors import UsageError
from stemma.export.onnx_graphs import AXES, Axes, Graph, Tensors, drawn, longest, text_inputs
from stemma.objectives.batch import Batch
from stemma.runs.assignment import Assignment, Scored
from stemma.runs.fitted import FittedRun
from stemma.runs.fixed import Networked, Probed
from stemma.runs.framing import Framed, collate_halves
from stemma.runs.moved import Moved, batch_of, new_tokens
from stemma.tasks.task import PLACES

UNITS = ("columns", "places", "sites")


class Answering(nn.Module):
    """A batch of texts -> the scores of a task."""

    def __init__(self, model: Scored, names: Sequence[str]) -> None:
        super().__init__()
        self.model, self.names, self.module = model, tuple(names), model.module

    def forward(self, *inputs: Tensor) -> tuple[Tensor]:
        """The scores alone."""
        return (self.model.scores(dict(zip(self.names, inputs, strict=True))),)


def answering(run: FittedRun) -> Graph:
    """The graph of a run that has learnt a task; UsageError where no network answers it, or one that writes."""
    model = scored(run)
    network, task = run.assignment.network, run.task
    names = text_inputs(network, model.frames, run.row)
    pairs = task.per == "text" and len(task.parts(run.targets)) > 1 and new_tokens(network, task)
    names += UNITS if task.per == "unit" else ["windows"] if pairs else []
    names += ["halves"] if isinstance(model, Probed | Networked) and run.assignment.of_pairs else []
    most = min(longest(model.frames), run.assignment.settings.max_length)

    def batches(rows: int, length: int) -> list[Tensors]:
        batch = drawn(names, rows, length, network)
        return [batch | {name: tensor for name, tensor in _sites(rows, length).items() if name in names}]

    (example,) = batches(2, 3)
    with torch.no_grad():
        shape = model.scores(example).shape
    axes: Axes = ("examples", "units", shape[-1]) if task.per == "unit" else ("examples" if pairs else "batch", shape[-1])
    inputs = {name: AXES[name] for name in names}
    return Graph("answer", Answering(model, names), inputs, {"scores": axes}, batches, model.frames, most)


def scored(run: FittedRun) -> Scored:
    """The run's model; UsageError for one whose answers are not read off scores."""
    if not isinstance(run.model, Moved | Probed | Networked):
        wrong = f"a run of {run.row.name} that has learnt the task {run.task.name}"
        raise UsageError(wrong, "scores that a network computes", "use PyTorch, or for what writes --to ctranslate2")
    return run.model


def answer_batch(framed: Framed, rows: np.ndarray, assignment: Assignment, names: Sequence[str]) -> Batch:
    """The batch of these examples, with what a graph that has such inputs reads beside."""
    batch = batch_of(framed, rows, assignment)
    if "windows" in names and "windows" not in batch:  # one a text
        batch["windows"] = np.arange(len(rows))[:, None]
    if "halves" in names:
        batch |= collate_halves(framed, rows)
    return batch


def _sites(rows: int, length: int) -> Tensors:
    """Where units stand: one a position of each row, of which the second row has half; each row as a window, and as a pair."""
    sites = torch.ones(rows, length, dtype=torch.bool)
    sites[1:2, length // 2 + 1 :] = False
    columns = torch.arange(rows * length).view(rows, length).masked_fill(~sites, -1)
    places = torch.from_numpy(np.random.default_rng(length).integers(0, PLACES, (rows, length)))
    halves = (torch.arange(length) > length // 3).long() + 1  # of a pair, in which a half may be empty
    windows = torch.arange(rows)[:, None]
    return {"sites": sites, "columns": columns, "places": places, "windows": windows, "halves": halves.repeat(rows, 1) * sites}
