"""`stemma settings`: every setting of a generation or of fine-tuning, with what it takes, its value and what it is for."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

from tyro.conf import arg

from stemma.cli.aligned import columns
from stemma.cli.answer import Answer, Printable
from stemma.cli.described import Setting, described
from stemma.cli.verb import Positional, Verb
from stemma.config import nearest
from stemma.errors import UsageError
from stemma.lineage.table import TABLE
from stemma.runs.json_text import dumps

TASKS_OF = ("transfer", "distill")  # the sections by which tasks are learnt


@dataclass(frozen=True)
class Settings(Verb):
    """Lists what --set and --config may set: for pretrain those of a generation, for finetune those of `transfer`.

    To distill a task takes those of `transfer` and of `distill`.

    Example: stemma settings bert --preset tiny
    """

    of: Annotated[Positional[str], arg(metavar="GENERATION")]  # a name that stemma lineage prints; or transfer, or distill
    preset: str = ""  # shows its values: tiny, small or base; none: the defaults beneath every preset
    task: str = "classify"  # of transfer: the kind of task whose settings are shown too

    def run(self) -> Printable:
        """The settings, section by section."""
        found = described(*self._sections())
        return Answer({name: [_row(one) for one in settings] for name, settings in found.items()}, _lines(found))

    def _sections(self) -> tuple[dict[str, type], dict[str, Any]]:
        """The config classes by section, and the tables of the preset."""
        if self.of in TASKS_OF:
            from stemma.tasks.table import task_config
            from stemma.transfer.settings import Config, Distilling

            if self.preset:
                raise UsageError(f"--preset {self.preset} with {self.of}", "a generation: fine-tuning has no presets", "drop --preset")
            return {"distill": Distilling} if self.of == "distill" else {"transfer": Config, "task": task_config(self.task)}, {}
        from stemma.training.request import section_types

        ready = {row.name: row for row in TABLE if row.ready}
        if self.of not in ready:
            expected = f"one of {', '.join((*ready, *TASKS_OF))}"
            raise UsageError(f"there are no settings of {self.of!r}", expected, _meant(self.of, [*ready, *TASKS_OF]))
        presets = ready[self.of].presets()
        if self.preset and self.preset not in presets:
            raise UsageError(f"{self.of} has no preset {self.preset!r}", f"one of {', '.join(presets)}", nearest(self.preset, presets))
        values = presets.get(self.preset, {})
        kind = {"kind": ready[self.of].tokenizer}  # as pre-training has it
        return section_types(ready[self.of]), {**values, "tokenizer": {**kind, **values.get("tokenizer", {})}}


def _meant(word: str, known: list[str]) -> str:
    """What to write in place of a verb, a task or a section."""
    from stemma.tasks.table import TASKS

    word = word.lower().replace("-", "")
    if word in TASKS:
        return f"write stemma settings transfer --task {word}"
    if word in ("finetune", "finetuning", "predict", "task"):
        return "those of stemma finetune stand in the section transfer: write stemma settings transfer"
    if word in ("pretrain", "pretraining", "corpus", "tokenizer", "model", "objective", "training"):
        return "name the generation that is pre-trained: stemma settings bert"
    if word in ("compare", "demo"):
        return "its own are options (stemma compare --help); those of what it trains stand here, by generation and under transfer"
    return nearest(word, known)


def _row(setting: Setting) -> dict[str, Any]:
    return {"key": setting.key, "takes": setting.takes, "value": setting.value, "about": setting.about}


def _lines(found: dict[str, list[Setting]]) -> Iterator[str]:
    for name, settings in found.items():
        if settings:
            yield f"[{name}]"
            yield from columns((one.key, "–" if one.value is None else dumps(one.value), one.takes, one.about) for one in settings)
            yield ""
    yield "set one with --set section.key=value, or several in a TOML file with --config"
