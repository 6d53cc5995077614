"""The order of a run: what was asked for, with every setting checked before anything is begun."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stemma.checkpoint import RunFolder
from stemma.config import VERSION, parse_settings, read_toml, resolve, to_plain
from stemma.corpus import read as corpus_read
from stemma.errors import UsageError
from stemma.lineage.table import Generation, find
from stemma.tokens import tokenizer as tokens_tokenizer
from stemma.tokens.tokenizer import Tokenizer
from stemma.training.ingest import Ingested, Source, ingest
from stemma.training.settings import BUDGETS, Config, CountConfig, Fact, HandConfig

Report = Callable[[Fact], None]


@dataclass(frozen=True)
class Order:
    """What was asked for: the generation, its text, and the resolved sections."""

    row: Generation
    source: Source
    sections: Mapping[str, Any]
    earlier: RunFolder | None = None  # the finished run that this one goes on from

    def identity(self) -> dict[str, Any]:
        """What must be the same for a run to go on: all that its result depends on."""
        asked = to_plain(self.sections)
        asked["objective"].pop("memory", None)
        return {
            "generation": self.row.name,
            "corpus": list(self.source.paths),
            "dev": list(self.source.dev),
            **self.source.identity(),
            "asked": asked,
            **(
                {"continued": {"run": str(self.earlier.path), **self.earlier.manifest["files"]["model.safetensors"]}}
                if self.earlier
                else {}
            ),
        }

    def config(self, **settled: Any) -> dict[str, Any]:
        """What stands in config.json; `settled` sections replace those asked for."""
        return {"stemma": VERSION, "identity": self.identity(), "sections": to_plain({**self.sections, **settled})}


def make_order(
    generation: str,
    corpus: str | Path | Sequence[str | Path],
    *,
    preset: str | None,
    config: str | Path | None,
    settings: Sequence[str],
    dev: str | Path | Sequence[str | Path],
    workers: int,
    continue_from: str | Path | None = None,
) -> Order:
    """The order that the arguments of `pretrain` spell, with every setting checked."""
    row = find(generation)
    earlier = _earlier(row, Path(continue_from), preset) if continue_from else None
    asked = [(str(config), read_toml(Path(config)))] if config else []
    asked.append(("--set", parse_settings(settings)))
    where, base = (f"run {earlier.path}", earlier.config["identity"]["asked"]) if earlier else _preset(row, preset or "small")
    if not earlier and _kind(base, asked) == "whitespace":
        base = _spaced(base, row)
    sections = {"corpus": corpus_read.Config, "tokenizer": tokens_tokenizer.Config, **row.sections(), "training": training_config(row)}
    resolved = resolve(sections, (where, _without_rival_budgets(base, asked)), *asked)
    if earlier:
        _check_same_shape(row, earlier, resolved["model"])
    training = resolved["training"]
    if row.learns == "descend":
        given = [name for name in BUDGETS if getattr(training, name)]
        if len(given) != 1:
            raise UsageError(
                f"training has {' and '.join(given) or 'no'} as its budget",
                "one of steps, epochs, tokens, seconds",
                "for example --set training.epochs=3",
            )
        if training.tokens and hasattr(row.load_data(), "prepare"):
            raise UsageError(
                f"training.tokens = {training.tokens}: {generation} reads the text once, before its first step",
                "steps, epochs or seconds of training",
                "set training.epochs; how much of the text is read is objective.tokens",
            )
    source = Source(_paths(corpus), _paths(dev), resolved["corpus"], training.held_out, training.seed, workers)
    return Order(row, source, resolved, earlier)


def training_config(row: Generation) -> type:
    """The class of the section `training` for the manner in which the generation learns."""
    if row.learns == "count":
        return CountConfig
    return HandConfig if hasattr(row.load_network(), "descend") else Config


def take_up(order: Order, path: Path, root: Path, report: Report) -> tuple[RunFolder | None, Ingested | None]:
    """The folder of an earlier call, if any, and the ingested text, unless the run is finished."""
    folder = RunFolder.resume(path, order.identity())
    if folder and folder.finished:
        return folder, None
    earlier = Tokenizer.load(order.earlier.tokenizer_path) if order.earlier else None
    return folder, ingest(order.source, order.sections["tokenizer"], root, lambda text: report(Fact("note", 0, 0, message=text)), earlier)


def _preset(row: Generation, name: str) -> tuple[str, dict[str, Any]]:
    presets = row.presets()
    if name not in presets:
        raise UsageError(f"{row.name} has no preset {name!r}", f"one of {', '.join(presets)}", "choose one of these")
    return f"preset {name}", {**presets[name], "tokenizer": {"kind": row.tokenizer, **presets[name].get("tokenizer", {})}}


def _earlier(row: Generation, path: Path, preset: str | None) -> RunFolder:
    """The finished run to go on from; only networks with `take_over` can, and its settings are the preset."""
    if preset:
        raise UsageError(f"preset {preset} with a run to go on from", "that run's own settings, and --set for others", "drop the preset")
    if row.learns == "count" or not hasattr(row.load_network(), "take_over"):
        raise UsageError(f"{row.name} cannot go on from a finished run on new text", "a generation that can", "pre-train on both texts")
    folder = RunFolder.open(path)
    name = folder.config["identity"]["generation"]
    if name != row.name or not folder.finished:
        wrong = f"{path} is a run of {name}" if name != row.name else f"{path} is not finished"
        raise UsageError(wrong, f"a finished run of {row.name}", "name another run, or finish that one first")
    if "asked" not in folder.config["identity"]:
        raise UsageError(f"{path} was made from a file of vectors", "a run made by stemma pretrain", "pre-train on both texts")
    return folder


def _check_same_shape(row: Generation, earlier: RunFolder, model: Any) -> None:
    """What was learnt must fit: the network names the settings that may not change."""
    told = (str(earlier.path), {"model": earlier.config["sections"]["model"]})  # of an older version, perhaps: defaults fill it
    before, after = to_plain(resolve({"model": type(model)}, told)["model"]), to_plain(model)
    for key in row.load_network().shaped_by:
        if before[key] != after[key]:
            wrong = f"model.{key} = {after[key]}, but {before[key]} in {earlier.path}"
            raise UsageError(wrong, "the same, so that its vectors fit", f"drop model.{key}")


def _kind(base: Mapping[str, Any], asked: Sequence[tuple[str, Mapping[str, Any]]]) -> Any:
    """The tokenizer's kind that will win: `tokenizer = "char"`, `tokenizer.kind = "char"` or `kind = "char"`."""
    kind = base["tokenizer"]["kind"]
    for _, tables in asked:
        named = tables.get("tokenizer", tables)
        kind = named.get("kind", kind) if isinstance(named, Mapping) else named
    return kind


def _spaced(base: dict[str, Any], row: Generation) -> dict[str, Any]:
    """The preset for text whose tokens are spaced, read as lmplz reads it: a line of up to a million characters is a
    sentence, and every letter stands.

    A model of counts learns from all of it, unless a held-out share is asked for.
    """
    tables: dict[str, dict[str, Any]] = {
        "corpus": {"format": "sentences", "max_sentence": 1_000_000},
        "tokenizer": {"lowercase": False},
    }
    if row.learns == "count":
        tables["training"] = {"held_out": 0.0}
    return {**base, **{name: {**_table(base.get(name)), **table} for name, table in tables.items()}}


def _without_rival_budgets(base: dict[str, Any], asked: Sequence[tuple[str, Mapping[str, Any]]]) -> dict[str, Any]:
    """The preset less its own budget when the user names another (`training.seconds` over `epochs`)."""
    named = {key for _, tables in asked for key in (*tables, *_table(tables.get("training")))}
    if not named & set(BUDGETS):
        return base
    return {**base, "training": {k: v for k, v in _table(base.get("training")).items() if k not in BUDGETS}}


def _table(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _paths(given: str | Path | Sequence[str | Path]) -> tuple[str, ...]:
    return (str(given),) if isinstance(given, (str, Path)) else tuple(map(str, given))
