# ruff: noqa: F722 (axis names stand in annotations)
"""Runs whose network is computed by ONNX Runtime or OpenVINO; all else (tokens, windows, decoding, answers) is the run's own.

Axes: B rows, T positions, P positions kept, D width, V vocabulary, H heads, K width of a head, S cells.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from stemma.errors import UsageError
from stemma.export.onnx import fingerprint, onnx_models, open_file, open_session, writing_file
from stemma.export.onnx_answers import answer_batch, scored
from stemma.export.onnx_graphs import KEPT, fed
from stemma.export.onnx_translation import SOURCE
from stemma.layers.weights import to_tensors
from stemma.lineage.gpt import GPT
from stemma.lineage.lstm import LSTM
from stemma.objectives.batch import Batch
from stemma.runs.alike import alike
from stemma.runs.assignment import Scored
from stemma.runs.fitted import FittedRun
from stemma.runs.framing import Framed, framed_together
from stemma.runs.run import Encoded, Run, Vectors
from stemma.tasks.task import Text

Arrays = Mapping[str, np.ndarray]
Opener = Callable[[bytes], Any]  # what a file holds -> a session as ONNX Runtime's


def onnx_run(run: Run | FittedRun, file: Path | None = None, opener: Opener = open_session) -> Run | FittedRun:
    """The run with its graph in ONNX Runtime, or in what `opener` opens it with.

    The graph is that of a file which `stemma convert` made of the run, or one that is made now.
    """
    if isinstance(run, FittedRun) and run.task.per == "target":
        raise UsageError("the graph of a run that has learnt to write targets", "one that reads texts", "use the engine torch")
    session, *others = list(map(opener, onnx_models(run))) if file is None else _opened(run, file, opener)
    if isinstance(run, FittedRun):
        return FittedRun(run.assignment, OnnxAnswers(scored(run), session), run.facts)
    if others:
        return OnnxRun(run, OnnxTranslator(run.network, session, others[0]))
    if isinstance(run.network, GPT):
        return OnnxRun(run, OnnxAttending(run.network, session))
    if isinstance(run.network, LSTM):
        return OnnxRun(run, OnnxRecurring(run.network, session))
    return OnnxRun(run, OnnxEncoder(run.network, session))


class OnnxRun(Run):
    """A pre-trained run that gives vectors of its last layer, and writes where its generation does."""

    def __init__(self, run: Run, network: Any) -> None:
        super().__init__(run.folder, run.row, run.tokenizer, network, run.pooling)

    def embed(self, texts: Iterable[str] | Encoded, layer: int = -1, *, normalise: bool = False) -> np.ndarray:
        """As `Run.embed`, of the last layer; UsageError for another one."""
        if layer != -1:
            raise UsageError(f"layer {layer} of an ONNX graph", "-1: the last one is what comes out of it", "use the engine torch")
        return super().embed(texts, normalise=normalise)

    def vectors(self, texts: Iterable[str]) -> list[Vectors]:
        """UsageError: no graph gives all layers."""
        raise UsageError("all layers of an ONNX graph", "its last one", "use embed, or the engine torch")


class OnnxEncoder:
    """A network's `encode` in ONNX Runtime: the last layer alone."""

    def __init__(self, network: Any, session: Any) -> None:
        self.network, self._session, self._inputs = network, session, _names(session)
        self.frame, self.max_length, self.width, self.vocab_size = network.frame, network.max_length, network.width, network.vocab_size

    def encode(self, batch: Mapping[str, Tensor]) -> list[Float[Tensor, "B T D"]]:
        """The states of the last layer."""
        return [torch.from_numpy(self._states({name: tensor.numpy() for name, tensor in batch.items()}))]

    def vectors_of(self, ids: np.ndarray) -> Float[np.ndarray, "T D"]:
        """The words' vectors."""
        rows = np.asarray(ids, np.int64)[None]
        return self._states({"ids": rows, "segments": np.ones_like(rows)})[0] if rows.size else np.zeros((0, self.width), np.float32)

    @property
    def composes(self) -> bool:
        """As the network."""
        return bool(self.network.composes)

    def compose(self, word: str) -> Any:
        """As the network."""
        return self.network.compose(word)

    def spell(self, words: Sequence[str]) -> np.ndarray:
        """As the network."""
        spelled: np.ndarray = self.network.spell(words)
        return spelled

    def _states(self, batch: Arrays) -> np.ndarray:
        states: np.ndarray = self._session.run(["states"], fed(self._inputs, batch, self.network))[0]
        return states


class Kept:
    """What was read of each row: the ids in its window, which of the kept positions are real, and what the graph gave to be kept."""

    def __init__(self, windows: list[list[int]], segments: np.ndarray, arrays: dict[str, np.ndarray]) -> None:
        self.windows, self.segments, self.arrays = windows, segments, arrays

    def rows(self, chosen: Sequence[int]) -> "Kept":
        """A copy of these rows, in this order; a row may stand several times."""
        place = list(chosen)
        arrays = {name: array[place] for name, array in self.arrays.items()}
        return Kept([list(self.windows[row]) for row in place], self.segments[place], arrays)


class OnnxWriter(OnnxEncoder):
    """A network that also writes."""

    def __init__(self, network: Any, session: Any) -> None:
        super().__init__(network, session)
        self.end: int = network.end
        self._shapes = {value.name.removeprefix(KEPT): value.shape for value in session.get_inputs() if value.name.startswith(KEPT)}

    def _begun(self, windows: list[list[int]]) -> Kept:
        """Rows of which nothing was read yet."""
        return Kept(windows, np.zeros((len(windows), 0), np.int64), self._nothing(len(windows)))

    def _nothing(self, rows: int) -> dict[str, np.ndarray]:
        """What is kept before anything was read: states of zeros, no keys."""
        sizes = {name: [size if isinstance(size, int) else 0 for size in shape[1:]] for name, shape in self._shapes.items()}
        return {name: np.zeros((rows, *own), np.float32) for name, own in sizes.items()}

    def _states(self, batch: Arrays) -> np.ndarray:
        return super()._states({**batch, **_kept(self._nothing(len(batch["ids"])))})


class OnnxAttending(OnnxWriter):
    """A one-way Transformer."""

    def advance(self, prompts: Sequence[Sequence[int]], memory: Kept | None = None) -> tuple[Float[Tensor, "B V"], Kept]:
        """As `network.Generates` has it, and GPT: when `max_length` would be passed a row forgets the older half of its window."""
        unread, most = [list(map(int, ids)) for ids in prompts], self.network.max_length
        before = memory or self._begun([[] for _ in prompts])
        windows = [[*window, *new] for window, new in zip(before.windows, unread, strict=True)]
        if max(map(len, windows)) > most:  # all windows are read again: what the others keep stays the same
            pairs = zip(windows, unread, strict=True)
            windows = [ids if len(ids) <= most else ids[-max(most // 2, min(len(new), most)) :] for ids, new in pairs]
            before, unread = self._begun(windows), windows
        batch = _rows(unread)
        segments = np.concatenate([before.segments, batch["segments"]], 1)
        fed = {"ids": batch["ids"], "segments": segments, **_kept(before.arrays)}
        scores, *kept = self._session.run(["scores", *before.arrays], fed)
        return torch.from_numpy(scores), Kept(windows, segments, dict(zip(before.arrays, kept, strict=True)))


class OnnxRecurring(OnnxWriter):
    """A recurrent language model."""

    def advance(self, prompts: Sequence[Sequence[int]], memory: Kept | None = None) -> tuple[Float[Tensor, "B V"], Kept]:
        """As `network.Generates` has it; rows of a length go together, for a state runs through padding."""
        before = memory or self._begun([[] for _ in prompts])
        scores = np.zeros((len(prompts), self.vocab_size), np.float32)
        after = {name: np.zeros_like(array) for name, array in before.arrays.items()}
        lengths = [len(ids) for ids in prompts]
        for length in sorted(set(lengths)):
            rows = [row for row, own in enumerate(lengths) if own == length]
            ids = np.array([list(map(int, prompts[row])) for row in rows], np.int64)
            own_kept = {name: array[rows] for name, array in before.arrays.items()}
            scores[rows], *kept = self._session.run(["scores", *after], {"ids": ids, **_kept(own_kept)})
            for array, new in zip(after.values(), kept, strict=True):
                array[rows] = new
        return torch.from_numpy(scores), Kept(before.windows, before.segments, after)


class OnnxTranslator(OnnxWriter):
    """A network that writes a target for a source."""

    def __init__(self, network: Any, session: Any, writing: Any) -> None:
        super().__init__(network, writing)
        self.opening: list[int] = network.opening
        self._writing, self._session, self._inputs = writing, session, _names(session)
        self._read = [value.name for value in session.get_outputs() if value.name not in ("states", "summary")]

    def read_sources(self, sources: Sequence[Sequence[int]]) -> Kept:
        """What `advance` begins with, as `network.Translates` has it."""
        batch = _rows(sources)
        found = dict(zip(self._read, self._session.run(self._read, batch), strict=True))
        kept = {name: found.get(name, array) for name, array in self._nothing(len(sources)).items()}
        own = {name: array for name, array in found.items() if name.startswith(SOURCE)}
        return Kept([[] for _ in sources], batch["segments"], own | kept)

    def advance(self, prompts: Sequence[Sequence[int]], memory: Kept | None = None) -> tuple[Float[Tensor, "B V"], Kept]:
        """As `network.Generates` has it; a row reads one token, as all decoding does after the opening."""
        assert memory is not None and all(len(ids) == 1 for ids in prompts), "one token a row after a source"
        fed = {name if name.startswith(SOURCE) else KEPT + name: array for name, array in memory.arrays.items()}
        kept = [name for name in memory.arrays if not name.startswith(SOURCE)]
        batch = {"ids": np.array(prompts, np.int64), "segments": memory.segments}
        scores, *after = self._writing.run(["scores", *kept], batch | fed)
        return torch.from_numpy(scores), Kept(memory.windows, memory.segments, memory.arrays | dict(zip(kept, after, strict=True)))

    def _states(self, batch: Arrays) -> np.ndarray:
        return OnnxEncoder._states(self, batch)


class OnnxAnswers:
    """The model of a run that has learnt a task, whose scores ONNX Runtime computes."""

    def __init__(self, model: Scored, session: Any) -> None:
        self.model, self.assignment, self.facts = model, model.assignment, model.facts
        self._session, self._inputs = session, _names(session)

    def prepare(self, texts: Sequence[Text]) -> Framed:
        """Tokenises and frames, as the model does."""
        framed: Framed = self.model.prepare(texts)
        return framed

    def together(self, several: Sequence[Framed]) -> list[Framed]:
        """All as one."""
        return framed_together(several)

    def answers(self, framed: Framed) -> list[Any]:
        """The task's answer to each text."""
        found: list[Any] = [None] * len(framed.ids)
        for group in alike(framed.lengths.tolist(), self.assignment.settings.batch_tokens):
            rows = np.array(group)
            batch = answer_batch(framed, rows, self.assignment, self._inputs)
            (scores,) = self._session.run(["scores"], fed(self._inputs, batch, self.assignment.network))
            read = self.model.read_off(torch.from_numpy(scores), to_tensors(batch, torch.device("cpu")))
            for row, answer in zip(rows.tolist(), read, strict=True):
                found[row] = answer
        return self.assignment.task.quoted(found, framed.texts)

    def vectors(self, framed: Framed) -> np.ndarray:
        """UsageError: the graph gives answers alone."""
        raise UsageError("the vectors of an ONNX graph of a task", "its answers", "use predict, or the engine torch")

    def arrays(self) -> dict[str, np.ndarray]:
        """The model's."""
        return self.model.arrays()


def _rows(unread: Sequence[Sequence[int]]) -> Batch:
    """The ids in rows padded at their ends, and where they are real."""
    longest = max(map(len, unread))
    batch = {name: np.zeros((len(unread), longest), np.int64) for name in ("ids", "segments")}
    for row, ids in enumerate(unread):
        batch["ids"][row, : len(ids)], batch["segments"][row, : len(ids)] = ids, 1
    return batch


def _kept(arrays: Arrays) -> dict[str, np.ndarray]:
    """What was kept, under the names by which it goes in."""
    return {KEPT + name: array for name, array in arrays.items()}


def _names(session: Any) -> list[str]:
    return [value.name for value in session.get_inputs()]


def _opened(run: Run | FittedRun, file: Path, opener: Opener) -> list[Any]:
    """The sessions of the file, and of what stands beside it to write on; UsageError where one was made of another run."""
    sessions = []
    for path in (file, writing_file(file)) if writing_file(file).exists() else (file,):
        session, facts = open_file(path, opener)
        if facts["fingerprint"] != fingerprint(run):
            cure = f"write it again: stemma convert RUN {file} --to onnx"
            raise UsageError(f"{path} was made of another run, or before this one was changed", "a file made of this run", cure)
        sessions.append(session)
    return sessions
