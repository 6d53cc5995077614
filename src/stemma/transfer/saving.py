"""Writes a fine-tuned run as a run folder, with its card."""

from pathlib import Path
from typing import Any

from stemma.checkpoint import RunFolder
from stemma.config import VERSION, to_plain
from stemma.nouns import counted
from stemma.runs.fitted import FittedRun


def save(fitted: FittedRun, path: Path) -> None:
    """Writes the run folder: weights with the head's under `task.`, tokenizer, label space, transfer report, card."""
    run, facts = fitted.assignment, fitted.facts
    sections = {
        "model": to_plain(run.network.config),
        "tokenizer": to_plain(run.tokenizer.config),
        "transfer": to_plain(run.settings),
        "task": to_plain(run.task.config),
    }
    identity = {"generation": run.row.name, "task": run.task.name, "mode": run.settings.mode, "data": facts["data"]}
    folder = RunFolder.create(path, {"stemma": VERSION, "identity": identity, "sections": sections, "task": facts})
    run.tokenizer.save(folder.tokenizer_path)
    folder.append_metrics([{"kind": "trial", **trial} for trial in facts["trials"]])
    folder.append_metrics([{"kind": "seed", **{k: v for k, v in row.items() if k != "predictions"}} for row in facts["seeds"]])
    folder.finish(card(facts), {"examples": facts["examples"], "cut": facts["cut"]}, fitted.model.arrays())


def card(facts: dict[str, Any]) -> str:
    """The model card of a fine-tuned run, for its reader."""
    examples, parameters, knob = facts["examples"], facts["parameters"], facts["knob"]
    lines = [
        f"# {facts['generation']}, {facts['task']}: {', '.join(facts['labels'][:20])}",
        "",
        f"A {facts['generation']} run carried over to the task, {_HOW[facts['mode']]} (`{facts['mode']}`).",
        f"Head: {facts['head']}.",
        "",
        f"- {counted(examples['learning'], 'example')} to learn from, {examples['selection']:,} of the same file to choose "
        f"{knob} = {facts['chosen'][knob]:g} among {len(facts['trials'])} trials; {examples['dev']:,} dev examples for the figures below.",
        f"- {parameters['trained']:,} of {counted(parameters['total'], 'parameter')} learnt the task.",
        f"- It took {facts['seconds']:.0f} s, trials and seeds included.",
        *_unread(facts),
        *(f"- {line}" for line in measured(facts)),
        f"- Saved: seed {facts['saved_seed']}, the best on the selection part.",
        "",
        "Compare with another mode or generation only where the head is the same, or say that it is not.",
    ]
    return "\n".join(lines) + "\n"


def _unread(facts: dict[str, Any]) -> list[str]:
    """That some texts were cut, or units of the training file could not be read, if so."""
    cut, units = facts["cut"], facts["cut"]["units"]
    lines = [f"- {cut['examples']:,} training examples were cut (transfer.max_length), {counted(cut['tokens'], 'token')} of them not read."]
    lines = lines if cut["examples"] else []
    if not units:
        return lines
    lost = f"- {counted(units, 'unit')} of the training examples had no token to be read at: "
    return [*lines, lost + "cut off with their text, or dropped by the tokenizer."]


def measured(facts: dict[str, Any]) -> list[str]:
    """Each of the task's metrics on dev, the primary one first: "accuracy on dev: 0.9100 ± 0.0100 over 3 seeds".

    Of a single seed nothing is known of the luck of training, unless seeds change nothing.
    """
    seeds = len(facts["seeds"])
    alone = "; no seed changes it" if facts["deterministic"] else " of one seed; others may differ"
    told = [(metric["title"], facts[metric["name"]]) for metric in facts["metrics"] if metric["name"] in facts]
    spread = [alone if value["std"] is None else f" ± {value['std']:.4f} over {counted(seeds, 'seed')}" for _, value in told]
    return [f"{title} on dev: {value['mean']:.4f}{after}" for (title, value), after in zip(told, spread, strict=True)]


_HOW = {
    "frozen": "its network kept as pre-trained",
    "finetune": "all of it moving",
    "scratch": "without its pre-training",
    "random": "on a randomly drawn network that is kept fixed",
}
