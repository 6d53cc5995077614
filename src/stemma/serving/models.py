"""The runs that a server has: each under a name, in versions that follow one another without a gap."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stemma.corpus.scripts import LETTERS, count_scripts
from stemma.errors import RunError, StemmaError, UsageError
from stemma.export.huggingface_in.folder import is_huggingface, read_huggingface
from stemma.runs import answers, fitted
from stemma.runs.answers import tokenizer_of
from stemma.runs.decoding import Decoding
from stemma.runs.fitted import FittedRun
from stemma.runs.run import Run
from stemma.serving.batches import Lanes
from stemma.serving.choice import Chosen, Wish, chosen_for
from stemma.serving.limits import Limits, NoSuchModel
from stemma.serving.measured import Measured

PLAINLY, GREEDY = Wish(), Decoding(temperature=0.0)
SCRIPT_SHARE = 0.05  # of the vocabulary's letters, from which on a script is named


@dataclass(frozen=True)
class Version:
    """One loading of a run."""

    name: str
    number: int
    run: Run | FittedRun
    abilities: tuple[str, ...]
    description: dict[str, Any]
    seconds: float  # that loading took
    lanes: Lanes
    engines: dict[str, Chosen]  # by ability

    def run_for(self, ability: str, *, whole: bool = False) -> Any:
        """The run as its engine computes it; `whole`: as it is, for what an engine's does not have."""
        return self.engines[ability].run if ability in self.engines and not whole else self.run

    @property
    def told(self) -> list[str]:
        """What is to be said of its engines."""
        return list(dict.fromkeys(found.told for found in self.engines.values() if found.told))


class Model:
    """A name, the folder behind it, and its versions: the one in use and the one before."""

    def __init__(self, name: str, path: Path, limits: Limits, measured: Measured, wish: Wish) -> None:
        self.name, self.path, self._limits, self._measured, self._wish = name, path, limits, measured, wish
        self.before: Version | None = None
        self.used = self._loaded(1)
        self._last = 1
        self._changing = asyncio.Lock()
        self._show()

    @property
    def versions(self) -> list[int]:
        """Numbers of the versions that are in memory."""
        return sorted(version.number for version in (self.before, self.used) if version)

    async def reload(self) -> Version:
        """Loads the folder anew beside the version in use, warms it, and takes it; an error leaves all as it was."""
        async with self._changing:
            try:
                version = await asyncio.get_running_loop().run_in_executor(None, self._fresh)
            except OSError as error:
                wrong = f"{self.path} cannot be read ({error.strerror or error})"
                raise RunError(wrong, "a folder that this server may read", "see to its permissions, then reload") from error
            self._last = version.number
            self.before, self.used = self.used, version
            self._show()
            return version

    async def roll_back(self) -> Version:
        """Takes the version before again; UsageError where there is none."""
        async with self._changing:
            if self.before is None:
                raise UsageError(f"{self.name} has no version before {self.used.number}", "a model that was reloaded", "reload it first")
            self.before, self.used = self.used, self.before
            self._show()
            return self.used

    def describe(self) -> dict[str, Any]:
        """What the routes of models tell."""
        return {"id": self.name, "object": "model", "version": self.used.number, "versions": self.versions, **self.used.description}

    def warm(self) -> None:
        """Has the version in use do a little of everything, so that the first request finds all in place."""
        warm(self.used)

    def _fresh(self) -> Version:
        version = self._loaded(self._last + 1)
        warm(version)
        return version

    def _loaded(self, number: int) -> Version:
        began = time.perf_counter()
        run = read_huggingface(self.path).run() if is_huggingface(self.path) else fitted.load(self.path, precision="fp32", held=True)
        abilities = tuple(_abilities(run))
        engines = chosen_for(run, abilities, self._wish)
        names = {ability: found.name for ability, found in engines.items()}
        description = {"created": int(time.time()), "owned_by": "stemma", **_described(run, abilities), "engines": names}
        lanes = Lanes(self.name, self._limits, self._measured)
        return Version(self.name, number, run, abilities, description, time.perf_counter() - began, lanes, engines)

    def _show(self) -> None:
        self._measured.loading.labels(self.name).set(self.used.seconds)
        self._measured.version.labels(self.name).set(self.used.number)


class Models:
    """All that a server has, by name, in the order in which they were named."""

    def __init__(self, places: Sequence[str], limits: Limits, measured: Measured, wish: Wish = PLAINLY) -> None:
        self._by_name: dict[str, Model] = {}
        for place in places:
            name, path = named(place)
            if not name.isprintable():
                raise UsageError(f"{name!r} is no name for a model", "letters, digits and signs in UTF-8", f"write other={place!r}")
            if name in self._by_name:
                raise UsageError(f"two runs go by the name {name!r}", "a name for each", f"write other={path}")
            self._by_name[name] = Model(name, path, limits, measured, wish)

    def __iter__(self) -> Iterator[Model]:
        return iter(self._by_name.values())

    def find(self, name: str) -> Model:
        """The model of this name; NoSuchModel otherwise."""
        if name not in self._by_name:
            raise NoSuchModel(f"there is no model {name!r}", f"one of {', '.join(self._by_name)}", "see GET /v1/models")
        return self._by_name[name]

    def able(self, name: str | None, ability: str) -> Version:
        """The version in use of the model that is named, or of the only one that can do this; UsageError where it cannot."""
        able = [model for model in self if ability in model.used.abilities]
        if name is None:
            if len(able) == 1:
                return able[0].used
            which = ", ".join(model.name for model in able)
            wrong = f"no model is named, and {len(able)} here can {ability}" if able else f"no model here can {ability}"
            raise UsageError(wrong, f"one of {which}" if able else "a model that can", 'name one with "model"' if able else "serve one")
        found = self.find(name)
        if found not in able:
            which = ", ".join(model.name for model in able) or "none here"
            own = f"{name} can {', '.join(found.used.abilities)}"
            raise UsageError(f"{name} cannot {ability}", f"a model that can: {which}", own)
        return found.used


def named(place: str) -> tuple[str, Path]:
    """The name and the folder of `name=RUN`, or of RUN, which goes by its folder's name.

    >>> named("films=runs/bert-films"), named("runs/bert")
    (('films', PosixPath('runs/bert-films')), ('bert', PosixPath('runs/bert')))
    """
    name, equals, path = place.partition("=")
    if not equals or "/" in name:
        return Path(place).resolve().name if Path(place).name in ("", ".", "..") else Path(place).name, Path(place)
    if not name or not path:
        raise UsageError(f"{place!r} names no run", "RUN or name=RUN", "write for example films=runs/bert-films")
    return name, Path(path)


def warm(version: Version) -> None:
    """Runs texts of several lengths through what the version can do."""
    tokenizer = tokenizer_of(version.run)
    words = tokenizer.texts[len(tokenizer.specials) :][:128] or ["a"]
    long, short = " ".join(words), words[-1]
    for ability in version.abilities:
        for ask in _WARMING.get(ability, ()):
            for text in (short, long):
                try:
                    ask(version.run_for(ability), text)
                except StemmaError:  # a text that does not suit the run: it has been warmed as far as that
                    continue


def _parts(run: FittedRun, text: str) -> str:
    return "\t".join([text] * len(run.task.parts(run.targets)))


_WARMING: dict[str, tuple[Any, ...]] = {
    "predict": (lambda run, text: answers.predict(run, [_parts(run, text)] * 2).rows(),),
    "embed": (lambda run, text: answers.embed(run, [_parts(run, text) if isinstance(run, FittedRun) else text] * 2).rows(),),
    "score": (lambda run, text: answers.score(run, [text] * 2).rows(), lambda run, text: answers.score(run, [text], True).rows()),
    "fill": (lambda run, text: answers.fill(run, [f"{text} [MASK]"]).rows(),),
    "generate": (lambda run, text: answers.generate(run, [text], length=2, options=GREEDY).rows(),),
    "translate": (lambda run, text: answers.translate(run, [text], GREEDY).rows(),),
    "nearest": (lambda run, text: answers.nearest(run, [text]).rows(),),
    "masks": (lambda run, text: answers.masks(run, [text]).rows(),),
    "tokens": (lambda run, text: answers.tokens(tokenizer_of(run), [text]).rows(),),
}


def _abilities(run: Run | FittedRun) -> Iterator[str]:
    """What the routes ask a version for: not all runs of a generation can what it can."""
    if isinstance(run, FittedRun):
        yield from ("predict", "embed")
        if run.task.per == "target":
            yield from ("translate", *(("attend",) if "attend" in run.row.abilities else ()))
    else:
        for ability in run.row.abilities:
            if ability == "transfer" or (ability == "translate" and not run.translates) or (ability == "fill" and not _fills(run)):
                continue
            yield ability
        if _masks(run):
            yield "masks"
    yield "tokens"


def _fills(run: Run) -> bool:
    try:
        run.network.check_fills()
    except UsageError:
        return False
    return True


def _masks(run: Run) -> bool:
    """Whether its objective hides tokens; read here once, so that what is served does not change with the folder."""
    if "fill" not in run.row.abilities:
        return False
    try:
        _ = run.masks
    except UsageError:
        return False
    return True


def _described(run: Run | FittedRun, abilities: tuple[str, ...]) -> dict[str, Any]:
    """What is told of a run, whatever its name."""
    row, tokenizer = run.row, tokenizer_of(run)
    fine = run if isinstance(run, FittedRun) else None
    whole = fine.assignment.settings.max_length if fine and fine.task.per != "unit" else None
    network = fine.assignment.network if fine else run.network  # type: ignore[union-attr]
    most = min((length for length in (whole, network.max_length) if length is not None), default=None)
    return {
        "generation": row.name,
        "short": row.short,
        "title": row.title,
        "year": row.year,
        "paper": row.paper,
        "colour": row.colour,
        "about": row.about(),
        "abilities": list(abilities),
        "task": fine.task.name if fine else None,
        "parts": list(fine.task.parts(fine.targets)) if fine else None,
        "more_parts": fine.task.more_parts if fine else False,
        "labels": list(fine.labels) if fine else None,
        "scripts": _scripts(tokenizer.texts),
        "vocabulary": tokenizer.vocab_size,
        "tokenizer": tokenizer.kind,
        "max_length": most,
        "layers": None if fine or "embed" not in abilities else len(run.widths),  # type: ignore[union-attr]
        "parameters": sum(int(array.size) for array in fine.model.arrays().values()) if fine else run.parameters,  # type: ignore[union-attr]
        "doubts": [doubt._asdict() for doubt in run.doubts],
    }


def _scripts(texts: Sequence[str]) -> list[str]:
    """The writing systems of a vocabulary's letters, the most frequent first; bytes of byte-level tokens are no letters."""
    counts = count_scripts("".join(text for text in texts if "\\x" not in text))
    letters = {script: count for script, count in counts.most_common() if script in LETTERS}
    return [script for script, count in letters.items() if count >= SCRIPT_SHARE * sum(letters.values())]
