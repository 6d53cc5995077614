"""`stemma settings`: every setting of a generation or of fine-tuning, with what it takes, its value and what it is for."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

from tyro.conf import arg

from stemma.cli.aligned import columns
from stemma.cli.answer import Answer, Printable, dumps
from stemma.cli.described import Setting, described
from stemma.cli.verb import Positional, Verb
from stemma.config import nearest
from stemma.errors import UsageError
from stemma.lineage.table import TABLE


@dataclass(frozen=True)
class Settings(Verb):
    """Lists what --set and --config may set: for pretrain those of a generation, for finetune those of `transfer`.

    Example: stemma settings bert --preset tiny
    """

    of: Annotated[Positional[str], arg(metavar="GENERATION")]  # a name that stemma lineage prints; or transfer
    preset: str = ""  # shows its values: tiny, small or base; none: the defaults beneath every preset
    task: str = "classify"  # of transfer: the kind of task whose settings are shown too

    def run(self) -> Printable:
        """The settings, section by section."""
        found = described(*self._asked())
        return Answer({name: [_row(one) for one in settings] for name, settings in found.items()}, _lines(found))

    def _asked(self) -> tuple[dict[str, type], dict[str, Any]]:
        """The config classes by section, and the tables of the preset."""
        if self.of == "transfer":
            from stemma.tasks.table import task_config
            from stemma.transfer.settings import Config

            if self.preset:
                raise UsageError(f"--preset {self.preset} with transfer", "a generation: fine-tuning has no presets", "drop --preset")
            return {"transfer": Config, "task": task_config(self.task)}, {}
        from stemma.training.request import section_types

        ready = {row.name: row for row in TABLE if row.ready}
        if self.of not in ready:
            raise UsageError(f"there are no settings of {self.of!r}", f"one of {', '.join(ready)}, transfer", nearest(self.of, ready))
        presets = ready[self.of].presets()
        if self.preset and self.preset not in presets:
            raise UsageError(f"{self.of} has no preset {self.preset!r}", f"one of {', '.join(presets)}", nearest(self.preset, presets))
        return section_types(ready[self.of]), presets.get(self.preset, {})


def _row(setting: Setting) -> dict[str, Any]:
    return {"key": setting.key, "takes": setting.takes, "value": setting.value, "about": setting.about}


def _lines(found: dict[str, list[Setting]]) -> Iterator[str]:
    for name, settings in found.items():
        if settings:
            yield f"[{name}]"
            yield from columns((one.key, "–" if one.value is None else dumps(one.value), one.takes, one.about) for one in settings)
            yield ""
    yield "set one with --set section.key=value, or several in a TOML file with --config"
