"""A run that has learnt a task: predicts, and is saved and opened as a run folder."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stemma.checkpoint import RunFolder
from stemma.config import VERSION, resolve, to_plain
from stemma.corpus.task import Example
from stemma.errors import RunError, UsageError
from stemma.lineage.table import find
from stemma.runs.run import Run
from stemma.tokens.tokenizer import Tokenizer
from stemma.transfer.recipe import Fitted, Recipe
from stemma.transfer.settings import Config
from stemma.transfer.tasks import find_task


class Classifier:
    """A fine-tuned run. `labels` are the classes in the order of the probabilities; `facts` is the transfer report."""

    def __init__(
        self, run: Any, task: str, config: Config, recipe: Recipe, model: Fitted, labels: Sequence[str], facts: dict[str, Any]
    ) -> None:
        self.run, self.task, self.config = run, task, config
        self.labels, self.facts = tuple(labels), facts
        self._recipe, self._model = recipe, model

    def predict(self, texts: Sequence[str], texts_b: Sequence[str] | None = None) -> tuple[list[str], np.ndarray]:
        """The label of each text (or pair), and the probabilities of all labels (N K)."""
        probabilities = self._model.probabilities(self._prepared(texts, texts_b))
        return [self.labels[k] for k in probabilities.argmax(1)], probabilities

    def vectors(self, texts: Sequence[str], texts_b: Sequence[str] | None = None) -> np.ndarray:
        """The vector of each text that the head reads (N F)."""
        return self._model.vectors(self._prepared(texts, texts_b))

    def save(self, path: Path) -> None:
        """Writes the run folder: weights with the head's under `task.`, tokenizer, labels, transfer report, card."""
        sections = {
            "model": to_plain(self.run.network.config),
            "tokenizer": to_plain(self.run.tokenizer.config),
            "transfer": to_plain(self.config),
        }
        identity = {"generation": self.run.row.name, "task": self.task, "mode": self.config.mode, "data": self.facts["data"]}
        folder = RunFolder.create(path, {"stemma": VERSION, "identity": identity, "sections": sections, "task": self.facts})
        self.run.tokenizer.save(folder.tokenizer_path)
        folder.append_metrics([{"kind": "trial", **trial} for trial in self.facts["trials"]])
        folder.append_metrics([{"kind": "seed", **{k: v for k, v in row.items() if k != "predictions"}} for row in self.facts["seeds"]])
        folder.finish(card(self.facts), {"examples": self.facts["examples"], "cut": self.facts["cut"]}, self._model.arrays())

    @classmethod
    def load(cls, path: str | Path) -> "Classifier":
        """The fine-tuned run of a folder that `save` wrote."""
        folder = RunFolder.open(Path(path))
        config = folder.config
        if "task" not in config:
            raise RunError(f"{path} was pre-trained, not fine-tuned", "a folder made by stemma finetune", "run stemma finetune on it first")
        facts = config["task"]
        row = find(config["identity"]["generation"])
        tokenizer = Tokenizer.load(folder.tokenizer_path)
        sections = _sections(row, str(path), config["sections"])
        arrays = folder.tensors()
        own = {name: array for name, array in arrays.items() if not name.startswith("task.")}
        run = Run(
            folder,
            row,
            tokenizer,
            _network(row, sections["model"], tokenizer, own, fixed=sections["transfer"].mode in ("frozen", "random")),
        )
        settings = dataclasses.replace(sections["transfer"], mode=facts["mode"])
        recipe = find_task(facts["task"]).recipe(run, settings)
        model = recipe.restore(arrays, len(facts["labels"]), facts)
        return cls(run, facts["task"], settings, recipe, model, facts["labels"], facts)

    def _prepared(self, texts: Sequence[str], texts_b: Sequence[str] | None) -> Any:
        if (texts_b is not None and any(texts_b)) != self.facts["pairs"] and len(texts):
            wanted = "pairs of texts" if self.facts["pairs"] else "single texts"
            raise UsageError(
                f"this run learnt from {wanted}", "the same kind of input", "pass texts_b" if self.facts["pairs"] else "leave texts_b out"
            )
        seconds = texts_b if texts_b is not None else [""] * len(texts)
        return self._recipe.prepare([Example(text=a, label="", text_b=b) for a, b in zip(texts, seconds, strict=True)])


def _sections(row: Any, path: str, saved: dict[str, Any]) -> dict[str, Any]:
    wanted = {"model": row.sections()["model"], "transfer": Config}
    return resolve(wanted, (path, {name: saved[name] for name in wanted}))


def card(facts: dict[str, Any]) -> str:
    """The model card of a fine-tuned run, for its reader."""
    examples, parameters, knob = facts["examples"], facts["parameters"], facts["knob"]
    lines = [
        f"# {facts['generation']}, {facts['task']}: {', '.join(facts['labels'][:20])}",
        "",
        f"A {facts['generation']} run carried over to the task, {_HOW[facts['mode']]} (`{facts['mode']}`).",
        f"Head: {facts['head']}.",
        "",
        f"- {examples['learning']:,} examples to learn from, {examples['selection']:,} of the same file to choose "
        f"{knob} = {facts['chosen'][knob]:g} among {len(facts['trials'])} trials; {examples['dev']:,} dev examples for the figures below.",
        f"- {parameters['trained']:,} of {parameters['total']:,} parameters learnt the task.",
        f"- It took {facts['seconds']:.0f} s, trials and seeds included.",
        *(_measure(facts, name) for name in ("accuracy", "macro_f1") if name in facts),
        f"- Saved: seed {facts['saved_seed']}, the best on the selection part.",
        "",
        "Compare with another mode or generation only where the head is the same, or say that it is not.",
    ]
    return "\n".join(lines) + "\n"


def _measure(facts: dict[str, Any], name: str) -> str:
    value, seeds = facts[name], len(facts["seeds"])
    return f"- {name.replace('_', ' ')} on dev: {value['mean']:.4f} ± {value['std']:.4f} over {seeds} seed{'s' * (seeds > 1)}"


_HOW = {
    "frozen": "its network kept as pre-trained",
    "finetune": "all of it moving",
    "scratch": "without its pre-training",
    "random": "on a randomly drawn network that is kept fixed",
}


def _network(row: Any, config: Any, tokenizer: Any, arrays: dict[str, np.ndarray], fixed: bool) -> Any:
    """The generation's network in the saved shape; a moved one gets its weights from the recipe, which may grow it first."""
    if row.learns == "count":
        return row.load_network().from_arrays(config, tokenizer.facts(), arrays)
    from stemma.training.learners import load_weights

    network = row.load_network()(config, tokenizer.facts())
    if fixed:
        load_weights(network, arrays)
    return network
