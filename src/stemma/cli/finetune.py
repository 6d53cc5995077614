"""`stemma finetune`: carries a run over to a task, frozen or fine-tuned."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stemma.cli.answer import Answer, Printable
from stemma.cli.progress import Progress
from stemma.cli.verb import File, Flag, RunPath, Settings, TomlFile, Verb


@dataclass(frozen=True)
class Finetune(Verb):
    """Carries a run over to a task, frozen or fine-tuned; the dev file is read for reporting alone.

    Repeat the command to go on after a stop.

    Example: stemma finetune runs/bert --train train.tsv --dev dev.tsv --out runs/bert-films --frozen
    """

    run_folder: RunPath  # a folder made by stemma pretrain
    # TSV, CSV, JSON lines with label, text (or label, text_a, text_b; score for regress; label, context, candidates for choice); for tag:
    # a token and its tag a line; for span: JSON as SQuAD's; for translate, generate: pairs
    train: Path
    out: Path  # the folder of the fine-tuned run
    dev: File = None  # a file of the same kind to measure on
    task: str = "classify"  # the kind of task: classify, pair, regress, choice, span, tag, generate, translate
    frozen: Flag = False  # keeps the network as it is; only a head learns, linear unless transfer.head=network
    config: TomlFile = None  # a TOML file of settings
    settings: Settings = ()  # one setting, as transfer.epochs=5

    def run(self) -> Printable:
        """Learns the task and reports."""
        from stemma.api import finetune

        options = {name: getattr(self, name) for name in ("train", "dev", "task", "frozen", "config", "settings", "out")}
        with Progress() as progress:
            result = finetune(self.run_folder, progress=progress, **options)
        return Answer({"run": str(self.out), **result.facts}, finetuned(str(self.out), result.facts))


def finetuned(out: str, facts: dict[str, Any]) -> Iterator[str]:
    """What a person reads of a fine-tuned run."""
    from stemma.transfer.doubts import floor_warning
    from stemma.transfer.saving import measured, signed

    state = f"done, but {doubt}" if (doubt := floor_warning(facts)) else "ready"
    yield f"{out}: {state} ({facts['generation']}, {facts['mode']}; {facts['head']})"
    yield f"  chosen on held-out training examples: {facts['knob']} = {facts['chosen'][facts['knob']]:g}, of {len(facts['trials'])} tried"
    yield from (f"  {line}" for line in (*measured(facts), *signed(facts)))
    yield f"  model card: {Path(out) / 'README.md'}"
