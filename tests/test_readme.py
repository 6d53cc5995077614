"""Runs every command of the README and of the guides, in order, in an empty folder; holds the tables against the code.

Commands of blocks marked `setup` take an installation, or texts that do not come with the project: they must parse, there and on the
pages of the documentation, whose other blocks `test_pages` runs.
"""

import json
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from stemma.cli.main import TABLE, parsed
from stemma.lineage.table import TABLE as LINEAGE

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
FENCED = re.compile(r"^```(\w+)( setup)?\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)
BLOCKS = FENCED.findall(README)
MEASURED = FENCED.findall((ROOT / "docs/measured.md").read_text(encoding="utf-8"))
GUIDE = [(kind, text) for kind, _, text in FENCED.findall((ROOT / "docs/coming-from.md").read_text(encoding="utf-8")) if kind != "text"]
SHIP = {name: FENCED.findall((ROOT / f"docs/{name}.md").read_text(encoding="utf-8")) for name in ("ship", "ship.zh")}
RUNNABLE = [(kind, text) for kind, setup, text in BLOCKS if not setup and kind != "text"]
PAGES = [block for path in sorted((ROOT / "docs/site").rglob("*.md")) for block in FENCED.findall(path.read_text(encoding="utf-8"))]
SHOWN = [*BLOCKS, *MEASURED, *SHIP["ship"], *PAGES]
SETUP = [line.partition("#")[0].strip() for _, setup, text in SHOWN if setup for line in text.splitlines()]


def test_every_block_says_what_it_is():
    assert len(BLOCKS) == len(re.findall(r"^```\w", README, flags=re.MULTILINE))
    assert {kind for kind, _, _ in BLOCKS} <= {"bash", "python", "text"}


@pytest.mark.timeout(900)  # half a minute when nothing else runs
@pytest.mark.parametrize(("kind", "text"), RUNNABLE, ids=[text.splitlines()[0][:60] for _, text in RUNNABLE])
def test_the_block_runs(newcomer, kind, text):
    folder, environment = newcomer
    command = {"bash": ["bash", "-euo", "pipefail", "-c", text], "python": [sys.executable, "-c", text]}[kind]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=850)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture(scope="module")
def convert(newcomer):
    """A folder with the texts that the guide's commands need."""
    folder = newcomer[0] / "guide"
    folder.mkdir()
    sentences = [
        "the river runs past the bank to the lake .",
        "a keyboard stands on the desk by the lamp .",
        "peter lives in london by the river .",
    ]
    (folder / "corpus.txt").write_text("\n".join(sentences * 60), encoding="utf-8")
    rows = [f"{label}\t{text}" for label, text in zip(("water", "desk", "water"), sentences, strict=True)]
    (folder / "train.tsv").write_text("\n".join(["label\ttext", *rows * 8]) + "\n", encoding="utf-8")
    (folder / "labelled.txt").write_text("".join(f"__label__{row}\n".replace("\t", " ") for row in rows * 8), encoding="utf-8")
    (folder / "entities.conll").write_text("Peter B-PER\nlives O\nin O\nLondon B-LOC\n\n" * 12, encoding="utf-8")
    return folder, newcomer[1]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("kind", "text"), GUIDE, ids=[text.splitlines()[0][:60] for _, text in GUIDE])
def test_the_guide_s_block_runs(convert, kind, text):
    test_the_block_runs(convert, kind, text)


REVIEWS = {  # good and bad ones, and some that might be either
    "ship": [("good", "a clean room and a kind staff"), ("bad", "the bed was hard and the room cold"), *(2 * [("good", "it was a room")])],
    "ship.zh": [("1", "房间很干净，服务员热情"), ("0", "床太硬，房间又冷又吵"), *(2 * [("1", "这是一个房间")])],
}


@pytest.mark.timeout(900)
@pytest.mark.parametrize("page", SHIP)
def test_what_is_shipped_answers_as_it_was_measured(newcomer, page):
    folder, rows = newcomer[0] / page, REVIEWS[page]
    other = {"good": "bad", "bad": "good", "1": "0", "0": "1"}
    folder.mkdir()
    for name, some in (("train", [*rows, (other[rows[-1][0]], rows[-1][1])] * 8), ("dev", [*rows, (other[rows[-1][0]], rows[-1][1])])):
        (folder / f"{name}.tsv").write_text("label\ttext\n" + "".join(f"{label}\t{text}\n" for label, text in some), encoding="utf-8")
    printed = ""
    for kind, setup, text in SHIP[page]:
        if kind != "text" and not setup:
            command = {"bash": ["bash", "-euo", "pipefail", "-c", text], "python": [sys.executable, "-c", text]}[kind]
            done = subprocess.run(command, cwd=folder, env=newcomer[1], capture_output=True, text=True, timeout=300)
            assert done.returncode == 0 and "Traceback" not in done.stderr, done.stdout + done.stderr
            printed = done.stdout if kind == "python" else printed
    measured = ["stemma", "evaluate", "runs/reviews", "dev.tsv", "--json"]
    done = subprocess.run(measured, cwd=folder, env=newcomer[1], capture_output=True, text=True, check=True)
    assert float(printed) == json.loads(done.stdout)["task"]["accuracy"]["value"] < 1


def test_both_pages_show_the_same_commands():
    english, chinese = ([text for kind, _, text in SHIP[name] if kind != "text"] for name in SHIP)
    assert len(english) == len(chinese)
    for ours, theirs in zip(english, chinese, strict=True):
        ours, theirs = (re.sub(r"834[67]|\[\".*?\"\]", "", text) for text in (ours, theirs))
        assert ours == theirs


@pytest.mark.parametrize("command", sorted({line for line in SETUP if line}))
def test_the_setup_command_means_something_here(command):
    words = shlex.split(command)
    if words[0] == "make":
        assert subprocess.run(["make", "--dry-run", "PYTHON=python3", *words[1:]], cwd=ROOT, capture_output=True).returncode == 0
    elif words[0] == ".venv/bin/pip":
        extras = re.search(r"\[(.*)\]", words[-1])
        declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
        assert (ROOT / words[words.index("-c") + 1]).is_file()
        assert not extras or set(extras[1].split(",")) <= declared.keys()
    elif words[0] in (".venv/bin/stemma", "torchrun"):
        assert parsed(words[next(n for n, word in enumerate(words) if word.endswith("stemma")) + 1 :]) is not None
    else:
        assert words[:3] == ["python3", "-m", "venv"]


def test_every_verb_is_shown_once_at_least():
    shown = " ".join(text for _, text in RUNNABLE) + " ".join(SETUP)
    assert {name for name in TABLE if f"stemma {name} " not in shown and f"stemma {name}\n" not in shown} == set()


def test_the_lineage_table_is_the_code_s():
    for row in LINEAGE:
        cells = (f"`{row.name}`", row.title, row.year, row.predicts, ", ".join(row.abilities), "yes" if row.ready else "no")
        assert f"| {' | '.join(map(str, cells))} |" in README


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(([^):]+)\)", README))))
def test_a_link_leads_somewhere(target):
    assert (ROOT / target).is_file()
