"""`stemma completion`: the shell completes verbs, options and generations."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Literal

from stemma.cli.answer import Answer, Printable
from stemma.cli.main import TABLE, options
from stemma.cli.verb import Flag, Verb
from stemma.lineage.table import TABLE as LINEAGE
from stemma.tokens.files import write_bytes

HEADS = {  # what stands before the cases: `line` is what is on the line already, with a space at both ends
    "bash": ("_stemma_words() {", '  local line=" ${COMP_WORDS[*]:1:COMP_CWORD-1} " known=""', '  case "$line" in'),
    "zsh": ("#compdef stemma", "_stemma() {", '  local line=" ${(j: :)words[2,CURRENT-1]} " known=""', '  case "$line" in'),
    "fish": ("function __stemma_words", "  set -l words (commandline -opc)", "  set -e words[1]", '  switch " $words "'),
}
ENDS = {  # and after them; where nothing is known the shell's own file names
    "bash": (
        "  esac",
        '  COMPREPLY=($(compgen -W "$known" -- "${COMP_WORDS[COMP_CWORD]}"))',
        "}",
        "complete -o default -F _stemma_words stemma",
    ),
    "zsh": (
        "  esac",
        "  compadd -- ${=known} || _files",
        "}",
        'if [ "$funcstack[1]" = _stemma ]; then _stemma "$@"; else compdef _stemma stemma; fi',  # loaded at its first use, or read by eval
    ),
    "fish": ("  end", "end", "complete -c stemma -a '(__stemma_words)'"),
}
NEXT_STEPS = {
    "bash": "open a new shell; it needs the package bash-completion",
    "zsh": "put `fpath+=~/.zfunc` before `autoload -U compinit; compinit` in ~/.zshrc and open a new shell",
    "fish": "open a new shell",
}


@dataclass(frozen=True)
class Completion(Verb):
    """Prints the completions of a shell, or installs them for you alone.

    Example: stemma completion --install
    """

    shell: Literal["bash", "zsh", "fish"] = "bash"  # whose
    install: Flag = False  # writes them where the shell looks (~/.zfunc; bash-completion's folder, fish's own) instead of printing them

    def run(self) -> Printable:
        """The script, or where it was written."""
        script = "\n".join((*HEADS[self.shell], *_cases(self.shell), *ENDS[self.shell])) + "\n"
        if not self.install:
            return Answer({"shell": self.shell, "script": script}, script.splitlines())
        place = _place(self.shell)
        place.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(place, script.encode())
        return Answer({"shell": self.shell, "file": str(place)}, [f"{place}: written", NEXT_STEPS[self.shell]])


def _place(shell: str) -> Path:
    home = Path.home()
    if shell == "zsh":
        return home / ".zfunc/_stemma"
    if shell == "fish":
        return Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config") / "fish/completions/stemma.fish"
    return Path(os.environ.get("XDG_DATA_HOME") or home / ".local/share") / "bash-completion/completions/stemma"


def _cases(shell: str) -> Iterator[str]:
    """A case for each beginning of a line."""
    for line, known in _known():
        if shell == "fish":
            yield f"    case '{line}'; string split ' ' -- '{' '.join(known)}'"
        else:
            yield f"""    "{line.rstrip("*")}"{"*" * line.endswith("*")}) known="{" ".join(known)}" ;;"""


def _known() -> Iterator[tuple[str, list[str]]]:
    """What may come next after what stands on the line, which has a space at both ends, * for anything more; the first that fits counts."""
    generations = [row.name for row in LINEAGE if row.ready]
    known = {name: _options(place) for name, (place, _) in TABLE.items()}
    yield "  ", sorted({name.split()[0] for name in TABLE})
    yield from ((f" {name} ", [*known[name], *generations]) for name in ("pretrain", "settings", "lineage"))
    yield from ((f" {first} ", seconds) for first, seconds in _pairs().items())
    yield from ((f" {name} *", known[name]) for name in sorted(TABLE, key=len, reverse=True))


def _options(place: str) -> list[str]:
    module, _, cls = place.partition(":")
    return options(getattr(import_module(f"stemma.cli.{module}"), cls))


def _pairs() -> dict[str, list[str]]:
    """The first words of verbs that have two, with the second ones."""
    found: dict[str, list[str]] = {}
    for name in TABLE:
        first, _, second = name.partition(" ")
        if second:
            found.setdefault(first, []).append(second)
    return found
