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

BASH, ZSH = Path("bash-completion/completions/stemma"), Path(".zfunc/_stemma")


@dataclass(frozen=True)
class Completion(Verb):
    """Prints the completions of a shell, or installs them for you alone.

    Example: stemma completion --install
    """

    shell: Literal["bash", "zsh"] = "bash"  # whose
    install: Flag = False  # writes them where the shell looks (bash-completion's folder; ~/.zfunc) instead of printing them

    def run(self) -> Printable:
        """The script, or where it was written."""
        script = "\n".join(_script(self.shell)) + "\n"
        if not self.install:
            return Answer({"shell": self.shell, "script": script}, script.splitlines())
        place = _place(self.shell)
        place.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(place, script.encode())
        next_steps = {
            "bash": "open a new shell; it needs the package bash-completion",
            "zsh": "put `fpath+=~/.zfunc` before `autoload -U compinit; compinit` in ~/.zshrc and open a new shell",
        }
        return Answer({"shell": self.shell, "file": str(place)}, [f"{place}: written", next_steps[self.shell]])


def _place(shell: str) -> Path:
    if shell == "zsh":
        return Path.home() / ZSH
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share") / BASH


def _script(shell: str) -> Iterator[str]:
    """Words by what stands on the line already; where nothing is known the shell's own file names."""
    yield "#compdef stemma" if shell == "zsh" else "# completions of stemma for bash"
    if shell == "zsh":
        yield "autoload -U +X bashcompinit && bashcompinit"
    verbs = sorted({name.split()[0] for name in TABLE})
    yield "_stemma_words() {"
    yield '  local line=" ${COMP_WORDS[*]:1:COMP_CWORD-1} " word="${COMP_WORDS[COMP_CWORD]}" known=""'
    yield '  case "$line" in'
    for name, (place, _) in sorted(TABLE.items(), key=lambda entry: -len(entry[0])):
        module, _, cls = place.partition(":")
        known = options(getattr(import_module(f"stemma.cli.{module}"), cls))
        yield f'    " {name} "*) known="{" ".join(known)}" ;;'
    yield from (f'    " {first} ") known="{seconds}" ;;' for first, seconds in _pairs().items())
    yield f'    "  "|" ") known="{" ".join(verbs)}" ;;'
    yield "  esac"
    ready = " ".join(row.name for row in LINEAGE if row.ready)
    yield f'  case "$line" in " pretrain "|" settings "|" lineage ") known="$known {ready}" ;; esac'
    yield '  COMPREPLY=($(compgen -W "$known" -- "$word"))'
    yield "}"
    yield "complete -o default -F _stemma_words stemma"


def _pairs() -> dict[str, str]:
    """The first words of verbs that have two, with the second ones."""
    found: dict[str, str] = {}
    for name in TABLE:
        first, _, second = name.partition(" ")
        if second:
            found[first] = f"{found.get(first, '')} {second}".strip()
    return found
