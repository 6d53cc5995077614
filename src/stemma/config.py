"""Strict TOML and command-line settings <-> frozen typed configs; the one reader for all.

A run is configured by *sections*: name -> frozen dataclass (`corpus`, `tokenizer`, `model`,
`objective`, `training`, ...). Sources are merged left to right: defaults, a preset, a TOML file,
`a.b=c` settings. An unknown key is an error that names the nearest known one.
"""

import dataclasses
import difflib
import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

from stemma.errors import StemmaError, UsageError

VERSION = "0.1.0"  # of the package; every run folder says which one wrote it

OPTIONS = ("preset", "out", "dev", "train", "workers", "continue-from", "generations", "dry-run")  # of verbs that read settings

Sections = Mapping[str, type]
C = TypeVar("C")


class ReadIf:
    """Marks a field that is read only where another key of its section has one of these values; none given: where it is above 0.

    negatives: Annotated[Length, ReadIf("output", "sampled")] = 1024
    """

    def __init__(self, key: str, *values: str | bool) -> None:
        self.key, self.values = key, values

    def holds(self, config: Any) -> bool:
        """True where the config's other key is so."""
        found = getattr(config, self.key)
        return found in self.values if self.values else found > 0

    def __str__(self) -> str:
        """As a person writes it: `output = sampled or both`."""
        return f"{self.key} = {' or '.join(map(_shown, self.values))}" if self.values else f"{self.key} above 0"


def read_toml(path: Path) -> dict[str, Any]:
    """The TOML file's tables as nested dictionaries."""
    if path.is_char_device():
        raise UsageError(f"{path} is a device", "a TOML config", "name a file")
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except FileNotFoundError as error:
        raise UsageError(f"{path}: no such file", "a TOML config", "check the path") from error
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", "a TOML config that may be read", "check the path and its rights") from error
    except (ValueError, RecursionError) as error:
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


def restore(cls: type[C], table: Mapping[str, Any], where: str) -> C:
    """The config that `to_plain` made the table of, lists as tuples again; `where` names the file in errors.

    Keys that an older version did not write take their defaults. Raises UsageError for an unknown key and for a wrong value.
    """
    return resolve({"config": cls}, (where, {"config": table}))["config"]


def read_if(field: dataclasses.Field[Any]) -> list[ReadIf]:
    """The marks of a config's field, all of which must hold."""
    return [mark for mark in getattr(field.type, "__metadata__", ()) if isinstance(mark, ReadIf)]


def knows(sections: Sections, setting: str) -> bool:
    """True where the setting's key is one of the sections', with or without its section's name."""
    first, *rest = [part.strip() for part in setting.partition("=")[0].split(".")]
    if first in sections:
        return not rest or any(field.name == rest[0] for field in dataclasses.fields(sections[first]))
    return not rest and any(field.name == first for cls in sections.values() for field in dataclasses.fields(cls))


def unread(sections: Sections, base: Mapping[str, Any], settings: Iterable[str], shared: Iterable[str]) -> list[str]:
    """Those of the `shared` settings that nothing reads: no section knows their key, or a mark says so (`ReadIf`).

    The marks are held to `base` and to all that is set over it by `settings`, those of them that the sections know.
    """
    known = parse_settings(setting for setting in settings if knows(sections, setting))
    values = {name: {field.name: field.default for field in dataclasses.fields(cls)} for name, cls in sections.items()}
    for where, tables in (("base", base), ("--set", known)):
        for name, table in _placed(sections, tables, where).items():
            values[name].update(table)
    return [setting for setting in shared if not knows(sections, setting) or not _reads(sections, values, setting)]


def _reads(sections: Sections, values: Mapping[str, Mapping[str, Any]], setting: str) -> bool:
    """False where a mark keeps a setting that is known, and other than its default, from being read beside these values."""
    ((name, table),) = _placed(sections, parse_settings([setting]), "--set").items()
    beside = SimpleNamespace(**values[name])
    fields = [field for field in dataclasses.fields(sections[name]) if field.name in table and table[field.name] != field.default]
    return all(mark.holds(beside) for field in fields for mark in read_if(field))


def check_read(configs: Mapping[str, Any], *sources: tuple[str, Mapping[str, Any]]) -> None:
    """UsageError for a setting of these sources, other than its default, that nothing reads beside the others (`ReadIf`)."""
    for where, tables in sources:
        for name, table in _placed({name: type(config) for name, config in configs.items()}, tables, where).items():
            config = configs[name]
            for field in dataclasses.fields(config):
                value = getattr(config, field.name)
                for mark in read_if(field) if field.name in table and value != field.default else ():
                    if not mark.holds(config):
                        other = f"{name}.{mark.key} = {_shown(getattr(config, mark.key))}"
                        wrong = f"{where}: {name}.{field.name} = {_shown(value)} with {other}, where nothing reads it"
                        raise UsageError(wrong, f"{name}.{mark}", f"drop {name}.{field.name}, or set {name}.{mark.key}")


def as_read(config: C) -> C:
    """The config with the defaults of all that nothing reads beside the others (`ReadIf`)."""
    for field in dataclasses.fields(config):  # type: ignore[arg-type]
        if not all(mark.holds(config) for mark in read_if(field)):
            config = dataclasses.replace(config, **{field.name: field.default})  # type: ignore[type-var]
    return config


Settings = Iterable[str] | Mapping[str, Any]


def as_texts(settings: Settings) -> tuple[str, ...]:
    """Settings as the command line writes them, given so or as a mapping: by dotted names, or nested.

    >>> as_texts({"model.width": 64, "training": {"schedule": "cosine", "betas": (0.9, 0.95)}})
    ('model.width=64', 'training.schedule="cosine"', 'training.betas=[0.9, 0.95]')
    """
    if isinstance(settings, str):
        raise UsageError(f"settings is one string, {settings!r}", "a list of them, or a mapping", f"write [{settings!r}]")
    if not isinstance(settings, Mapping):
        return tuple(settings)
    found: list[str] = []
    for key, value in settings.items():
        if isinstance(value, Mapping):
            found += [f"{key}.{inner}" for inner in as_texts(value)]
        else:
            found.append(f"{key}={json.dumps(to_plain(value), ensure_ascii=False, default=str)}")
    return tuple(found)


def checked(section: str, config: C, where: str) -> C:
    """The config that a program made, if every value of it is one that a file could set; UsageError names the one that is not."""
    return resolve({section: type(config)}, (where, {section: to_plain(config)}))[section]


def parse_settings(settings: Iterable[str]) -> dict[str, Any]:
    """`["model.width=64", "order=5"]` as nested tables; values are read as TOML, else as text.

    >>> parse_settings(["model.width=64", "tokenizer=word"])
    {'model': {'width': 64}, 'tokenizer': 'word'}
    """
    tables: dict[str, Any] = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        path = [part.strip() for part in key.split(".")]
        if not equals or not all(path):
            raise UsageError(f"--set {setting!r} is not key=value", "section.key=value", "write it like --set model.width=64")
        table = tables
        for part in path[:-1]:
            table = table.setdefault(part, {})
            if not isinstance(table, dict):
                raise _set_twice(setting, part)
        if isinstance(table.get(path[-1]), dict):
            raise _set_twice(setting, path[-1])
        table[path[-1]] = _value(text.strip())
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
    """`did you mean …?` for a mistyped word, or the list of what is known.

    >>> nearest("widht", ["width", "depth"])
    "did you mean 'width'?"
    """
    known = list(dict.fromkeys(known))
    close = difflib.get_close_matches(word.lower(), known, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(sorted(known))}"


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(to_plain(value), ensure_ascii=False)


def _set_twice(setting: str, name: str) -> UsageError:
    return UsageError(
        f"--set {setting!r}: {name!r} is set both whole and by its keys", "one of the two", f"drop one of the settings of {name!r}"
    )


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):  # no TOML, or numbers and brackets without end: text
        return text


def _placed(sections: Sections, tables: Mapping[str, Any], where: str) -> dict[str, dict[str, Any]]:
    """Tables by section. `order = 5` finds its section when one alone has the key, and
    `tokenizer = "word"` sets the first field of the section `tokenizer`.
    """
    fields = {name: [f.name for f in dataclasses.fields(cls)] for name, cls in sections.items()}
    placed: dict[str, dict[str, Any]] = {}
    for key, value in tables.items():
        if key not in sections:
            placed.setdefault(_owner(fields, key, value, where), {})[key] = value
        elif not isinstance(value, Mapping):
            if not fields[key]:
                raise UsageError(f"{where}: [{key}] has no keys to set", "no such setting for this generation", f"drop {key}")
            placed.setdefault(key, {})[fields[key][0]] = value
        else:
            for inner in value:
                if inner not in fields[key]:
                    mend = _as_option(inner, value[inner]) or nearest(inner, fields[key])
                    raise UsageError(f"{where}: unknown key {key}.{inner}", f"a key of [{key}]", mend)
            placed.setdefault(key, {}).update(value)
    return placed


def _owner(fields: Mapping[str, list[str]], key: str, value: Any, where: str) -> str:
    owners = [name for name in fields if key in fields[name]]
    if len(owners) > 1:
        choices = " or ".join(f"{name}.{key}" for name in owners)
        raise UsageError(f"{where}: {key!r} stands in several sections", "a key that names its section", f"write {choices}")
    if not owners or isinstance(value, Mapping):
        known = [*fields] if isinstance(value, Mapping) else [*fields, *(name for keys in fields.values() for name in keys)]
        mend = _as_option(key, value) or nearest(key, known)
        raise UsageError(f"{where}: unknown key {key!r}", f"one of the sections {', '.join(fields)}, or a key of one", mend)
    return owners[0]


def _as_option(key: str, value: Any) -> str:
    """How a key is meant that is an option of the command line and no setting; empty for any other."""
    option = key.replace("_", "-")
    if option not in OPTIONS:
        return ""
    shown = value if isinstance(value, (str, int, float)) else "…"
    return f"it is an option of the command line, no setting: write --{option} {shown}"


def _built(cls: type, section: str, values: dict[str, Any], origin: dict[tuple[str, str], str]) -> Any:
    """The config itself. Values pass through JSON so that they are taken strictly: "64" is no number, true no count."""
    from pydantic import TypeAdapter, ValidationError  # 0.1 s to import: only where a config is read

    try:
        return TypeAdapter(cls).validate_json(json.dumps(to_plain(values), default=str), strict=True)
    except ValidationError as error:
        raise _refused(cls, section, values, origin, error.errors()[0]) from None


def _refused(cls: type, section: str, values: dict[str, Any], origin: dict[tuple[str, str], str], problem: Any) -> UsageError:
    cause = problem.get("ctx", {}).get("error")
    if isinstance(cause, StemmaError):  # a config's own check across several keys
        keys = [word for word in re.findall(r"\w+", cause.wrong) if word in values]  # the one named first is at fault
        named = origin[section, keys[0]] if keys else ""
        return UsageError(f"{named}: {cause.wrong}" if named else cause.wrong, cause.expected, cause.mend)
    key = str(problem["loc"][0]) if problem["loc"] else ""
    if problem["type"] == "missing":
        return UsageError(f"{section}.{key} is not set", "a value: it has no default", f"set {section}.{key}")
    setting = f"{section}.{key} = {values[key]!r}" if key in values else f"[{section}]"
    expected = problem["msg"].removeprefix("Value error, ").replace("Input should be", "it should be")
    return UsageError(
        f"{origin.get((section, key), 'defaults')}: {setting}", expected, _example(cls, section, key, values.get(key), problem)
    )


def _example(cls: type, section: str, key: str, value: Any, problem: Any) -> str:
    if problem["type"] == "literal_error" and isinstance(value, str):
        choices = re.findall(r"'([^']*)'", problem["ctx"]["expected"])
        return nearest(value, choices)
    if problem["type"] == "string_type":
        return f"""quote it: {section}.{key} = "{value}\""""
    if problem["type"] in ("tuple_type", "list_type"):
        return f"write it like {section}.{key}=[{json.dumps(value, ensure_ascii=False)}]"
    for field in dataclasses.fields(cls):
        if field.name == key and field.default not in (dataclasses.MISSING, None):
            return f"the default is {json.dumps(to_plain(field.default), ensure_ascii=False)}"
    return f"mend {section}.{key}"
