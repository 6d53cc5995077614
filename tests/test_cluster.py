"""The page on clusters: what can be run here is run, the recipes must parse, and their commands mean something to the command line."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from stemma.cli.main import parsed

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs/cluster.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)( setup)?\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
RECIPES = [text for kind, setup, text in BLOCKS if kind == "bash" and setup]
COMMANDS = [text for kind, setup, text in BLOCKS if kind == "bash" and not setup]


def launched(words: list[str]) -> list[str]:
    """What torchrun is to start: the words of the stemma command."""
    return words[words.index("-m") + 2 :]


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_is_a_script_that_starts_a_command_of_ours(recipe: str) -> None:
    subprocess.run(["bash", "-n"], input=recipe, text=True, check=True)
    (line,) = (line for line in recipe.splitlines() if "torchrun" in line)
    assert parsed(launched(shlex.split(line))) is not None


def test_the_job_of_kubernetes_starts_a_command_of_ours_at_the_address_of_its_first_pod() -> None:
    (text,) = (text for kind, _, text in BLOCKS if kind == "yaml")
    service, job = yaml.safe_load_all(text)
    pod = job["spec"]["template"]["spec"]
    words = pod["containers"][0]["command"]
    assert parsed(launched(words)) is not None
    assert int(words[words.index("--nnodes") + 1]) == job["spec"]["completions"] == job["spec"]["parallelism"]
    name = service["metadata"]["name"]
    assert service["spec"]["selector"] == {"job-name": job["metadata"]["name"]} and pod["subdomain"] == name
    assert words[words.index("--rdzv-endpoint") + 1] == f"{job['metadata']['name']}-0.{name}:29400"


@pytest.mark.parametrize("command", COMMANDS)
def test_the_command_runs(command: str, tmp_path: Path) -> None:
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    texts = [f"A document of its own, number {n}. It has two sentences." for n in range(200)]
    parquet.write_table(pa.table({"text": texts}), tmp_path / "rows.parquet")
    (tmp_path / "text").mkdir()
    (tmp_path / "text/train.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    line = command.replace("stemma ", f"{shlex.quote(sys.executable)} -m stemma ", 1)
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", line], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=250
    )
    assert done.returncode == 0, done.stdout + done.stderr
