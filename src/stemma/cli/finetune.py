"""`stemma finetune`: carries a run over to a task, frozen or fine-tuned."""

import dataclasses
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stemma.cli.aligned import columns
from stemma.cli.answer import Answer, Printable
from stemma.cli.progress import Progress
from stemma.cli.verb import File, Flag, RunPath, Settings, TomlFile, Verb

SHORTCUTS = ("load_layers", "freeze_layers", "lora", "first_on_text", "budget_seconds")  # settings of `transfer` that are options too


@dataclass(frozen=True)
class Finetune(Verb):
    """Carries a run over to a task, frozen or fine-tuned; the dev file is read for reporting alone.

    Repeat the command to go on after a stop.

    Example: stemma finetune runs/bert --train train.tsv --dev dev.tsv --out runs/bert-films --frozen
    """

    run_folder: RunPath  # a folder made by stemma pretrain
    # TSV, CSV, JSON lines with label, text (or label, text_a, text_b; score for regress; label, context, candidates for choice); for tag:
    # a token and its tag a line; for span: JSON as SQuAD's, or JSON lines with question, context, answers; for translate, generate: pairs
    train: Path
    out: Path  # the folder of the fine-tuned run
    dev: File = None  # a file of the same kind to measure on
    task: str = "classify"  # the kind of task: classify, pair, regress, choice, span, tag, generate, translate
    frozen: Flag = False  # keeps the network as it is; only a head learns, linear unless transfer.head=network
    load_layers: str = ""  # the lower layers that are loaded, as 0-3 (0: the embeddings); those above them are drawn anew
    freeze_layers: str = ""  # the lower layers that stand still, as 0-1
    lora: int = 0  # rank of adapters beside attention's matrices, which alone learn with what is new; 0: none
    first_on_text: int = 0  # tokens of the training texts that the network reads first, without their labels, as it was pre-trained
    budget_seconds: float = 0.0  # for trials and seeds together; 0: all are made
    config: TomlFile = None  # a TOML file of settings
    settings: Settings = ()  # one setting, as transfer.epochs=5

    def run(self) -> Printable:
        """Learns the task and reports."""
        from stemma.api import finetune

        options = {name: getattr(self, name) for name in ("train", "dev", "task", "frozen", "config", "out")}
        with Progress() as progress:
            result = finetune(self.run_folder, progress=progress, settings=(*self.settings, *self._shortcuts()), **options)
        return Answer({"run": str(self.out), **result.facts}, finetuned(str(self.out), result.facts))

    def _shortcuts(self) -> Iterator[str]:
        """The settings that have an option of their own, where it is given."""
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name in SHORTCUTS and value != field.default:
                yield f"transfer.{field.name}={json.dumps(value)}"


def finetuned(out: str, facts: dict[str, Any]) -> Iterator[str]:
    """What a person reads of a fine-tuned run."""
    from stemma.runs.doubts import floor_warning
    from stemma.transfer.saving import chosen, grid_table, measured, signed

    how = f"{facts['generation']}, {facts['mode']}; {facts['head']}"
    yield from (f"{out}: done, but {doubt}", f"  {how}") if (doubt := floor_warning(facts)) else (f"{out}: ready ({how})",)
    yield f"  chosen on held-out training examples: {chosen(facts)}"
    if len(facts["trials"]) + len(facts["seeds"]) > 2:
        yield f"  {facts['metrics'][0]['title']} on those, of each value and seed:"
        yield from columns(grid_table(facts), before="    ")
    yield from (f"  {words}" for words in facts["ways"])
    yield from (f"  {line}" for line in (*measured(facts), *signed(facts)))
    yield f"  model card: {Path(out) / 'README.md'}"
