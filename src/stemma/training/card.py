"""The model card of a run folder: what it was trained on, how long, how good, and how to use it."""

from collections.abc import Mapping
from typing import Any

from stemma.corpus.read import PAIRS
from stemma.nouns import counted


def write_card(
    title: str, paper: str, config: Mapping[str, Any], done: Mapping[str, Any], ledger: Mapping[str, Any], abilities: tuple[str, ...]
) -> str:
    """The card as Markdown."""
    identity, sections = config["identity"], config["sections"]
    characters = ledger["characters"]
    used = f"{characters['characters_used']:,} of {counted(characters['characters_in'], 'character')} used"
    lines = [
        f"# {identity['generation']}: {title}",
        "",
        f"Made by Stemma {config['stemma']}. The method: {paper}.",
        "",
        "## Trained on",
        "",
        f"{', '.join((*identity['corpus'], *identity.get('targets', ())))}: {_documents(characters)},",
        f"{used}; the others, itemised: {_items(characters['rejected'])}.",
        f"Tokens: {_items(ledger['tokens'])}.",
        *_drawn(ledger.get("drawn")),
        *_continued(identity),
        *_taught(identity),
        "",
        "## How long, how good",
        "",
        "| measure | value |",
        "|---|---|",
        *(
            f"| {name.replace('_', ' ')} | {_value(value)} |"
            for name, value in done.items()
            if value not in (None, []) and name not in ("kind", "message")
        ),
        "",
        "## Settings",
        "",
        *(f"- **{name}**: {_items(values)}" for name, values in sections.items()),
        "",
        "## Use",
        "",
        "```python",
        "import stemma",
        'run = stemma.load("path/to/this/folder")',
        *_USES.get(next((a for a in ("embed", "score") if a in abilities), ""), []),
        "```",
        "",
        "It knows what its corpus knows, errors and slants included; nothing was filtered but what the ledger lists.",
    ]
    return "\n".join(lines) + "\n"


_USES = {"embed": ['run.embed(["a sentence", "another"])  # one row each'], "score": ['run.score(["a sentence"])  # nats and tokens']}


def _documents(characters: Mapping[str, Any]) -> str:
    if characters["notes"].get(PAIRS) == characters["documents"]:
        return counted(characters["documents"], "pair of a source and its target", "pairs of a source and its target")
    return f"{counted(characters['documents'], 'document')}, {counted(characters['sentences'], 'sentence')}"


def _drawn(part: Mapping[str, Any] | None) -> list[str]:
    """What a budget below one pass saw of the text, and what saw all of it."""
    if not part:
        return []
    note = f"{part['tokens']:,} of {counted(part['of_tokens'], 'token')} were drawn by lot to be read."
    learnt = "The vocabulary was learnt from the whole text; how unknown words are spelt, from what was drawn."
    return ["", f"{note} {learnt}"]


def _continued(identity: Mapping[str, Any]) -> list[str]:
    if "continued" not in identity:
        return []
    note = f"Continued from the run {identity['continued']['run']}: its words kept their ids and began with its vectors; words that it"
    return ["", f"{note} lacked were added, and its counts and those of this text are summed."]


def _taught(identity: Mapping[str, Any]) -> list[str]:
    if "teacher" not in identity:
        return []
    teacher = identity["teacher"]
    note = f"It imitates the run {teacher['run']} of {teacher['generation']}, whose tokens it reads."
    return ["", f"{note} To be used it needs that run no more."]


def _items(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {_value(value)}" for name, value in values.items()) or "none"


def _value(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, Mapping):
        return f"({_items(value)})"
    if isinstance(value, list):
        return " · ".join(map(_value, value if len(value) <= 10 else [*value[:5], "…", *value[-5:]]))
    return f"{value:.5g}" if isinstance(value, float) else str(value)
