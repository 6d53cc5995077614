"""Settings as a person reads them: what each takes, its value, and the comment that stands behind it in the code."""

import ast
import dataclasses
import inspect
import io
import tokenize
from collections.abc import Mapping
from typing import Any

from stemma.config import Sections, read_if, resolve, to_plain

WORDS = {"integer": "whole number", "number": "number", "boolean": "true or false", "string": "text", "null": "none"}


@dataclasses.dataclass(frozen=True)
class Setting:
    """One key of a section."""

    key: str
    takes: str  # what values it may have, in words
    value: Any
    about: str


def described(sections: Sections, tables: Mapping[str, Any]) -> dict[str, list[Setting]]:
    """The settings of each section in their order, with the values of `tables` (a preset's) where they win over the defaults."""
    configs = resolve(sections, ("preset", tables))
    return {name: _described(cls, to_plain(configs[name])) for name, cls in sections.items()}


def _described(cls: type, values: Mapping[str, Any]) -> list[Setting]:
    from pydantic import TypeAdapter

    schema = TypeAdapter(cls).json_schema()["properties"]
    about = comments(cls)
    marks = {field.name: " and ".join(map(str, read_if(field))) for field in dataclasses.fields(cls)}
    return [
        Setting(key, takes(schema[key]), value, about.get(key, "") + (f"; read where {marks[key]}" if marks[key] else ""))
        for key, value in values.items()
    ]


def takes(schema: Mapping[str, Any]) -> str:
    """A JSON schema in words.

    >>> takes({"type": "number", "minimum": 0, "maximum": 1}), takes({"enum": ["post", "pre"]})
    ('number from 0 to 1', 'post or pre')
    """
    if "anyOf" in schema:
        return " or ".join(map(takes, schema["anyOf"]))
    if "enum" in schema or "const" in schema:
        return " or ".join(map(str, schema.get("enum", [schema.get("const")])))
    if "items" in schema:
        return f"list, each a {takes(schema['items'])}"
    if "prefixItems" in schema:
        return f"list of {len(schema['prefixItems'])}, each a {takes(schema['prefixItems'][0])}"
    low = f" from {schema['minimum']:g}" if "minimum" in schema else ""
    low = f" above {schema['exclusiveMinimum']:g}" if "exclusiveMinimum" in schema else low
    high = f" to {schema['maximum']:g}" if "maximum" in schema else ""
    high = f" below {schema['exclusiveMaximum']:g}" if "exclusiveMaximum" in schema else high
    return WORDS.get(schema.get("type", ""), "value") + low + high


def comments(cls: type) -> dict[str, str]:
    """The comment behind each field of a dataclass; those of the classes that it extends too."""
    found: dict[str, str] = {}
    for base in reversed([base for base in cls.__mro__ if dataclasses.is_dataclass(base)]):
        source = inspect.cleandoc(inspect.getsource(base))
        body = ast.parse(source).body[0]
        assert isinstance(body, ast.ClassDef)
        ends = {
            node.end_lineno: node.target.id for node in body.body if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
        }
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type == tokenize.COMMENT and token.start[0] in ends:
                found[ends[token.start[0]]] = token.string.removeprefix("#").strip()
    return found
