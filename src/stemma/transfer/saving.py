"""The run folder of a fine-tuning: begun, and finished with its card."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from stemma.checkpoint import RunFolder
from stemma.config import VERSION, to_plain
from stemma.errors import RunError
from stemma.nouns import counted
from stemma.runs.assignment import Assignment
from stemma.runs.doubts import floor_warning
from stemma.runs.fitted import FittedRun
from stemma.tokens.files import one_writer


def save(fitted: FittedRun, path: Path) -> None:
    """Writes a fine-tuned run that no folder was kept for as one, which is finished at once."""
    settings, data = fitted.assignment.settings, fitted.facts["data"]
    identity = {"generation": fitted.row.name, "task": fitted.task.name, "mode": settings.mode, "data": data}
    with one_writer(path):
        if RunFolder.resume(path, identity):
            raise RunError(f"{path} holds a run already", "an empty or a new folder", "choose another --out")
        finish(fitted, begin(path, fitted.assignment, identity, fitted.facts["threads"]))


def identity_of(run: Any, assignment: Assignment, data: dict[str, Any]) -> dict[str, Any]:
    """What must be the same for a fine-tuning to go on: all that its result depends on. `data` are the examples' fingerprints."""
    settings, task = to_plain(assignment.settings), to_plain(assignment.task.config)
    return {
        "generation": run.row.name,
        "task": assignment.task.name,
        "mode": assignment.settings.mode,
        "data": data,
        "pretrained": weights_identity(run),
        "asked": {"transfer": settings, "task": task},
    }


def begin(path: Path, assignment: Assignment, identity: dict[str, Any], threads: int) -> RunFolder:
    """The new run folder, with its tokenizer and the settings, of which `threads` were settled."""
    assignment.tokenizer.save(path / "tokenizer.json")
    sections = {
        "model": to_plain(assignment.network.config),
        "tokenizer": to_plain(assignment.tokenizer.config),
        "transfer": to_plain(assignment.settings) | {"threads": threads},
        "task": to_plain(assignment.task.config),
    }
    return RunFolder.create(path, {"stemma": VERSION, "identity": identity, "sections": sections})


def settled_threads(folder: RunFolder) -> int:
    """How many threads an earlier call began with: another number would round otherwise."""
    threads: int = folder.config["sections"]["transfer"]["threads"]
    return threads


def finish(fitted: FittedRun, folder: RunFolder) -> None:
    """Commits the fine-tuned run: weights with the head's under `task.`, label space, transfer report, card."""
    facts = fitted.facts
    folder.append_metrics([{"kind": "trial", **trial} for trial in facts["trials"]])
    folder.append_metrics([{"kind": "seed", **{k: v for k, v in row.items() if k != "predictions"}} for row in facts["seeds"]])
    ledger = {"examples": facts["examples"], "cut": facts["cut"]}
    folder.finish(card(facts), ledger, fitted.model.arrays(), folder.config | {"task": facts})


def weights_identity(run: Any) -> Any:
    """What tells the weights of a run from others, be they in a folder or in memory."""
    return run.folder.manifest["files"]["model.safetensors"] if run.folder else _digest(run)


def _digest(run: Any) -> str:
    """What distinguishes the weights of runs without a folder."""
    from stemma.layers.weights import weights

    digest, network = hashlib.blake2b(digest_size=16), run.module()
    for name, array in sorted((network.arrays() if run.row.learns == "count" else weights(network)).items()):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def card(facts: dict[str, Any]) -> str:
    """The model card of a fine-tuned run, for its reader."""
    examples, parameters = facts["examples"], facts["parameters"]
    lines = [
        f"# {facts['generation']}, {facts['task']}" + (f": {', '.join(facts['labels'][:20])}" if facts["labels"] else ""),
        "",
        f"A {facts['generation']} run carried over to the task, {_HOW[facts['mode']]} (`{facts['mode']}`).",
        f"Head: {facts['head']}.",
        *(f"- {words[:1].upper()}{words[1:]}." for words in facts["ways"]),
        *_taught(facts),
        "",
        f"- {counted(examples['learning'], 'example')} to learn from, {examples['selection']:,} of the same file to choose "
        f"{chosen(facts)}; {examples['dev']:,} dev examples for the figures below.",
        *_left_out(facts),
        f"- {parameters['trained']:,} of {counted(parameters['total'], 'parameter')} learnt the task.",
        f"- It took {facts['seconds']:.0f} s, trials and seeds included{_before(facts)}.",
        *_unread(facts),
        *_crossing(facts),
        *(f"- {line}" for line in (*measured(facts), *signed(facts))),
        *([f"- Doubt it: it is {doubt}."] if (doubt := floor_warning(facts)) else []),
        f"- Saved: seed {facts['saved_seed']}, the best on the selection part{_after(facts)}.",
        "",
        *_markdown(grid_table(facts)),
        "",
        "Compare with another mode or generation only where the head is the same, or say that it is not.",
    ]
    return "\n".join(lines) + "\n"


def grid_table(facts: dict[str, Any]) -> list[tuple[str, ...]]:
    """The primary metric on the selection part, a row a value of the knob and a column a seed, under a line of headings.

    The first seed is that of the trials; of the others the chosen value alone is tried, unless they are crossed: then the mean, by which
    it is chosen, stands behind. A trial that failed says so.
    """
    knob, metric, seeds = facts["knob"], facts["metrics"][0], [row["seed"] for row in facts["seeds"]]
    if facts.get("crossed"):
        return _crossed_table(facts)
    table = [(knob, *(f"seed {seed}" for seed in seeds), "seconds")]
    for trial in sorted(facts["trials"], key=lambda trial: trial[knob]):
        chosen = trial[knob] == facts["chosen"][knob]
        first = "failed" if "failed" in trial else f"{trial[metric['name']]:.4f}"
        others = [f"{row['selection'][metric['name']]:.4f}" if chosen else "–" for row in facts["seeds"][1:]]
        took = trial["seconds"] + sum(row["seconds"] for row in facts["seeds"][1:]) * chosen
        table.append((f"{trial[knob]:g}" + " (chosen)" * chosen, first, *others, f"{took:.1f}"))
    return table


def _crossed_table(facts: dict[str, Any]) -> list[tuple[str, ...]]:
    """The same, where each value was learnt with each seed; "–" for which there was no time."""
    knob, name, trials = facts["knob"], facts["metrics"][0]["name"], facts["trials"]
    seeds = list(dict.fromkeys(trial["seed"] for trial in trials))
    table = [(knob, *(f"seed {seed}" for seed in seeds), "mean", "seconds")]
    for value in sorted({trial[knob] for trial in trials}):
        own = {trial["seed"]: trial for trial in trials if trial[knob] == value}
        cells = [f"{own[seed][name]:.4f}" if name in own.get(seed, {}) else "failed" if seed in own else "–" for seed in seeds]
        found = [trial[name] for trial in own.values() if name in trial]
        mean = f"{sum(found) / len(found):.4f}" if len(found) == len(own) else "–"
        named = f"{value:g}" + " (chosen)" * (value == facts["chosen"][knob])
        table.append((named, *cells, mean, f"{sum(trial['seconds'] for trial in own.values()):.1f}"))
    return table


def chosen(facts: dict[str, Any]) -> str:
    """The value of the knob, and of how many it was chosen: "rate = 0.001, of 3 tried"."""
    knob, trials = facts["knob"], facts["trials"]
    found = f"{knob} = {facts['chosen'][knob]:g}, of {len({trial[knob] for trial in trials}):,} tried"
    seeds = len({trial["seed"] for trial in trials}) if facts.get("crossed") else 1
    return f"{found} with {counted(seeds, 'seed')} each, by their mean" if seeds > 1 else found


def _markdown(table: list[tuple[str, ...]]) -> list[str]:
    head, *rows = (f"| {' | '.join(row)} |" for row in table)
    return [head, "|---" * len(table[0]) + "|", *rows]


def _left_out(facts: dict[str, Any]) -> list[str]:
    """What there was no time for, if anything."""
    found = dict(facts["left_out"])
    pairs = found.pop("pairs", [])
    named = [f"{name} {', '.join(f'{value:g}' for value in values)}" for name, values in found.items()]
    named += [f"{facts['knob']} {value:g} with seed {seed}" for value, seed in pairs]
    return [f"- For want of time these were not tried: {'; '.join(named)} (transfer.budget_seconds)."] if named else []


def _before(facts: dict[str, Any]) -> str:
    """What reading the task's text took before, where it was read."""
    return f", and {facts['first_on_text']['seconds']:.0f} s of reading before" if "first_on_text" in facts else ""


def _after(facts: dict[str, Any]) -> str:
    """After which of its updates, where what was learnt was measured on the way."""
    made = facts.get("steps", 0)
    kept = facts.get("kept_step", made)
    return f", after {counted(kept, 'update')} of the {made:,} made" if kept != made else ""


def _taught(facts: dict[str, Any]) -> list[str]:
    """Whom it imitated, how, and both side by side, where it did."""
    if not (taught := facts.get("taught")):
        return []
    first, (teacher, student) = facts["first_step"], taught["rows"]
    return [
        "",
        f"Its teacher is the run {taught['run']} of {taught['generation']}. First it imitated its layers ({taught['imitates']}) for "
        f"{counted(first['steps'], 'update')}, then its answers; {counted(facts['augmented'], 'further text')} were made of the examples. "
        "To be used it needs its teacher no more.",
        "",
        f"| | teacher, {teacher['generation']} | student, {student['generation']} |",
        "|---|---|---|",
        *(f"| {name} | {theirs} | {own} |" for name, theirs, own in side_by_side(facts)),
    ]


def side_by_side(facts: dict[str, Any]) -> list[tuple[str, str, str]]:
    """(what is measured, the teacher's, the student's): size, time and the task's metrics."""
    taught = facts["taught"]
    theirs, own = taught["rows"]
    rows = [
        ("parameters", f"{theirs['parameters']:,}", f"{own['parameters']:,}"),
        (f"ms for {counted(taught['texts_at_once'], 'text')}", f"{theirs['ms']:.1f}", f"{own['ms']:.1f} ({theirs['ms'] / own['ms']:.1f}x)"),
    ]
    judged = f"of {counted(taught['examples'], taught['of'])}"
    named = [(metric["title"], metric["name"]) for metric in facts["metrics"] if metric["name"] in theirs]
    return rows + [(f"{title} {judged}", f"{theirs[name]:.4f}", f"{own[name]:.4f}") for title, name in named]


def _crossing(facts: dict[str, Any]) -> list[str]:
    """How many answers of the training file cross the border of two windows, if any."""
    count = facts["cut"].get("crossing", 0)
    return [f"- {counted(count, 'training answer crosses', 'training answers cross')} the border of two windows."] if count else []


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
    found = [(metric["title"], facts[metric["name"]]) for metric in facts["metrics"] if metric["name"] in facts]
    spread = [alone if value["std"] is None else f" ± {value['std']:.4f} over {counted(seeds, 'seed')}" for _, value in found]
    return [f"{title} on dev: {value['mean']:.4f}{after}" for (title, value), after in zip(found, spread, strict=True)]


def signed(facts: dict[str, Any]) -> list[str]:
    """The signature of each metric that has one, by which others of its name are told apart."""
    found, titles = facts["targets"].get("signatures", {}), {metric["name"]: metric["title"] for metric in facts["metrics"]}
    return [f"signature of {titles[name]}: {signature}" for name, signature in found.items()]


_HOW = {
    "frozen": "its network kept as pre-trained",
    "finetune": "fine-tuned",
    "scratch": "without its pre-training",
    "random": "on a randomly drawn network that is kept fixed",
}
