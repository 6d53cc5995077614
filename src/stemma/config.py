"""Strict TOML and command-line settings <-> frozen typed configs; the one reader for all.

A run is configured by *sections*: name -> frozen dataclass (`corpus`, `tokenizer`, `model`,
`objective`, `training`, ...). Sources are merged left to right: defaults, a preset, a TOML file,
`a.b=c` settings. An unknown key is an error that names the nearest known one.
"""

import dataclasses
import difflib
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Ge, Gt, Le

from stemma.errors import UsageError

Positive = Annotated[int, Gt(0)]
Natural = Annotated[int, Ge(0)]
PositiveFloat = Annotated[float, Gt(0)]
NonNegative = Annotated[float, Ge(0)]
Share = Annotated[float, Ge(0), Le(1)]

Sections = Mapping[str, type]


def read_toml(path: Path) -> dict[str, Any]:
    """The TOML file's tables as nested dictionaries."""
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except FileNotFoundError as error:
        raise UsageError(f"{path}: no such file", "a TOML config", "check the path") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: {error}", "a TOML file", "mend the line it names") from error


def resolve(sections: Sections, *sources: tuple[str, Mapping[str, Any]]) -> dict[str, Any]:
    """One frozen config per section from named sources, the later ones winning.

    Each source is (where it came from, nested tables). Raises UsageError for an unknown
    section or key, and for a value of the wrong type or outside its range.
    """
    merged: dict[str, dict[str, Any]] = {name: {} for name in sections}
    origin: dict[tuple[str, str], str] = {}
    for where, tables in sources:
        for name, table in _placed(sections, tables, where).items():
            for key, value in table.items():
                merged[name][key] = value
                origin[name, key] = where
    return {name: _built(cls, name, merged[name], origin) for name, cls in sections.items()}


def parse_settings(settings: Iterable[str]) -> dict[str, Any]:
    """`["model.width=64", "order=5"]` as nested tables; values are read as TOML, else as text."""
    tables: dict[str, Any] = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals or not key.strip():
            raise UsageError(f"--set {setting!r} has no key=value form", "section.key=value", "for example --set model.width=64")
        *path, leaf = key.strip().split(".")
        table = tables
        for part in path:
            table = table.setdefault(part, {})
            if not isinstance(table, dict):
                raise UsageError(f"--set {setting!r} sets a key inside {part!r}, which is a value already", "one setting a key", f"drop one of the two settings of {part!r}")
        table[leaf] = _value(text.strip())
    return tables


def to_plain(config: Any) -> Any:
    """A config (or a mapping of sections) as plain JSON-able values, defaults included."""
    if dataclasses.is_dataclass(config) and not isinstance(config, type):
        return {f.name: to_plain(getattr(config, f.name)) for f in dataclasses.fields(config)}
    if isinstance(config, Mapping):
        return {key: to_plain(value) for key, value in config.items()}
    if isinstance(config, (list, tuple)):
        return [to_plain(value) for value in config]
    return str(config) if isinstance(config, Path) else config


def nearest(word: str, known: Iterable[str]) -> str:
    """`Did you mean …?` for a mistyped word, or the list of what is known."""
    known = list(known)
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(sorted(known))}"


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _placed(sections: Sections, tables: Mapping[str, Any], where: str) -> dict[str, dict[str, Any]]:
    """Tables by section. `order = 5` finds its section when one alone has the key, and
    `tokenizer = "word"` sets the first field of the section `tokenizer`."""
    fields = {name: [f.name for f in dataclasses.fields(cls)] for name, cls in sections.items()}
    placed: dict[str, dict[str, Any]] = {}
    for key, value in tables.items():
        if key in sections and isinstance(value, Mapping):
            for inner in value:
                if inner not in fields[key]:
                    raise UsageError(f"{where}: unknown key {key}.{inner}", f"a key of [{key}]", nearest(inner, fields[key]))
            placed.setdefault(key, {}).update(value)
        elif key in sections and fields[key]:
            placed.setdefault(key, {})[fields[key][0]] = value
        else:
            owners = [name for name in sections if key in fields[name]]
            if len(owners) > 1:
                choices = " or ".join(f"{name}.{key}" for name in owners)
                raise UsageError(f"{where}: {key!r} stands in several sections", "a key that names its section", f"write {choices}")
            if not owners or isinstance(value, Mapping):
                known = [*sections, *(f"{n}.{f}" for n in sections for f in fields[n]), *(f for n in sections for f in fields[n])]
                raise UsageError(f"{where}: unknown key {key!r}", f"one of the sections {', '.join(sections)}", nearest(key, known))
            placed.setdefault(owners[0], {})[key] = value
    return placed


def _built(cls: type, section: str, values: dict[str, Any], origin: dict[tuple[str, str], str]) -> Any:
    from pydantic import TypeAdapter, ValidationError  # 0.1 s to import: only where a config is read

    try:
        return TypeAdapter(cls).validate_python(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = str(first["loc"][0]) if first["loc"] else "?"
        where = origin.get((section, key), "defaults")
        told = f"{where}: {section}.{key} = {values.get(key)!r}"
        raise UsageError(told, first["msg"].removeprefix("Value error, "), f"mend {section}.{key}") from error
