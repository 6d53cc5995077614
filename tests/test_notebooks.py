"""The notebooks as they lie there: executed whole, in order, without an error, and of no particular machine (`make notebooks`)."""

import ast
import json
import re
import shlex
from pathlib import Path

import pytest

from stemma.cli.main import parsed

NOTEBOOKS = sorted((Path(__file__).resolve().parents[1] / "examples/notebooks").glob("*.ipynb"))
PATHS = re.compile(r"/(home|root|tmp|work|Users)/|[A-Z]:\\\\")


def cells(path: Path, kind: str) -> list[dict]:
    return [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == kind]


def test_there_are_two():
    assert [path.stem for path in NOTEBOOKS] == ["lesson", "tickets"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_was_executed_from_its_first_cell_to_its_last(path):
    code = cells(path, "code")
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    assert not [output for cell in code for output in cell["outputs"] if output["output_type"] == "error"]
    assert sum(bool(cell["outputs"]) for cell in code) >= len(code) / 2


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_names_no_place_of_the_machine_it_was_executed_on(path):
    assert not PATHS.search(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_its_code_is_python_and_its_commands_are_ours(path):
    for cell in cells(path, "code"):
        lines = "".join(cell["source"]).splitlines()
        commands = [line[1:].removesuffix(" 2>/dev/null") for line in lines if line.startswith("!")]
        ast.parse("\n".join(line for line in lines if not line.startswith("!")))
        for command in commands:
            program, *words = shlex.split(re.sub(r"\{SECONDS\}", "30.0", re.sub(r"\{(?!SECONDS)\w+\}", "a", command)))
            assert program == "stemma" and parsed(words) is not None, command
