"""Runs of earlier formats and of other versions: they open and answer as ever, or say what to do."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.damage.mutations import sealed_again

import stemma
from stemma.checkpoint import FORMAT, READ
from stemma.config import VERSION
from stemma.errors import RunError
from stemma.runs.run import Run
from stemma.tokens.files import checksum, write_json, write_sealed

TEXT = "the old mill"


@pytest.fixture(scope="module")
def latest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run as it is written today."""
    folder = tmp_path_factory.mktemp("latest")
    (folder / "corpus.txt").write_text("the old mill turns\n老磨坊在河边转动\n" * 40, encoding="utf-8")
    small = ["training.steps=2", "training.batch_tokens=64", "training.evaluations=1", "training.precision=fp32"]
    stemma.pretrain("gpt", folder / "corpus.txt", out=folder / "run", preset="tiny", settings=small)
    return folder / "run"


def of_format(number: int, latest: Path, out: Path) -> Path:
    """The run with the manifest that the format had: 1 and 2 without seal and sum of the log, with SHA-256 in place of our own sums."""
    shutil.copytree(latest, out)
    manifest: dict[str, Any] = json.loads((out / "manifest.json").read_text("utf-8")) | {"format": number}
    manifest.pop("seal")
    if number > 2:
        write_sealed(out / "manifest.json", manifest)
        return out
    manifest.pop("metrics_sum")
    manifest["files"] = {name: {"bytes": entry["bytes"], "sha256": checksum(out / name)} for name, entry in manifest["files"].items()}
    write_json(out / "manifest.json", manifest)
    return out


@pytest.mark.parametrize("number", READ)
def test_a_run_of_each_format_answers_as_one_of_today(latest: Path, tmp_path: Path, number: int) -> None:
    older = of_format(number, latest, tmp_path / "run")
    assert Run.open(older).score([TEXT])[0].nats == Run.open(latest).score([TEXT])[0].nats


@pytest.mark.parametrize(("number", "cure"), [(1, "open it with the version that made it"), (FORMAT + 1, "update stemma")])
def test_any_other_format_says_what_to_do(latest: Path, tmp_path: Path, number: int, cure: str) -> None:
    with pytest.raises(RunError, match=rf"has run format {number}.*format {FORMAT}.*{cure}"):
        Run.open(of_format(number, latest, tmp_path / "run"))


def with_settings(latest: Path, out: Path, version: str, change: dict[str, Any] | None) -> Path:
    """The run with a setting more in its model, or with the first one less, as another version would have written it."""
    shutil.copytree(latest, out)
    config = json.loads((out / "config.json").read_text("utf-8")) | {"stemma": version}
    if change:
        config["sections"]["model"] |= change
    else:
        config["sections"]["model"].pop("dropout")
    write_json(out / "config.json", config)
    sealed_again(out)
    return out


def test_a_setting_that_an_older_version_did_not_write_has_its_default(latest: Path, tmp_path: Path) -> None:
    older = with_settings(latest, tmp_path / "run", "0.0.9", None)
    assert Run.open(older).score([TEXT])[0].nats == Run.open(latest).score([TEXT])[0].nats


def test_a_setting_that_another_version_wrote_names_that_version(latest: Path, tmp_path: Path) -> None:
    newer = with_settings(latest, tmp_path / "run", "7.0.0", {"wings": 2})
    with pytest.raises(RunError, match=rf"unknown key \S*wings.*Stemma {VERSION} reads; Stemma 7\.0\.0 wrote.*version that made it"):
        Run.open(newer)
    own = with_settings(latest, tmp_path / "own", VERSION, {"wings": 2})
    with pytest.raises(RunError, match=r"unknown key \S*wings.*restore it from a copy"):
        Run.open(own)
