"""Standard streams that are closed or full, and processes that torchrun starts: an exit code, and words where there is a place for them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from stemma.cli.main import main
from stemma.errors import DataError
from stemma.evaluation.measures.probe_files import read_probe
from stemma.evaluation.measures.senses import read_senses
from stemma.tokens.dictionary import read_dictionary

STEMMA = f"{sys.executable} -m stemma"


def shell(command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    words = ["bash", "-c", command]
    return subprocess.run(words, capture_output=True, text=True, timeout=120, check=False, env={**os.environ, **environment})


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize(
    ("command", "code", "message"),
    [
        (f"{STEMMA} lineage >&-", 1, "standard output is closed"),
        (f"{STEMMA} lineage > /dev/full", 4, "standard output: No space left on device"),
        (f"{STEMMA} lineage nosuch 2> /dev/full", 2, ""),
        (f"{STEMMA} lineage nosuch 2>&-", 2, ""),
        (f"{STEMMA} lineage --json 2>&-", 0, ""),
        (f"{STEMMA} corpus check - <&-", 3, ""),
    ],
)
def test_closed_and_full_streams(command: str, code: int, message: str) -> None:
    done = shell(command)
    assert done.returncode == code
    assert message in done.stderr and "Traceback" not in done.stderr and "mistake" not in done.stderr
    assert "error" not in done.stdout  # what is reported stands on standard error, or nowhere


def test_one_process_alone_refuses_what_cannot_be_shared() -> None:
    first, second = (shell(f"{STEMMA} finetune runs/x --train y --out z", WORLD_SIZE="2", RANK=rank) for rank in "01")
    assert first.returncode == second.returncode == 2
    assert "run it without torchrun" in first.stderr and second.stderr == ""


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="no /dev/zero here")
@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["serve", "runs/x", "--api-key-file", "/dev/zero"], 3),
        (["pretrain", "ngram", "x.txt", "--out", "y", "--config", "/dev/zero"], 2),
    ],
)
def test_a_file_without_an_end_is_refused(words: list[str], code: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == code
    assert "/dev/zero is a device" in capsys.readouterr().err
    for read in (read_senses, read_dictionary, read_probe):
        with pytest.raises(DataError, match="is a device"):
            read(Path("/dev/zero"))


def test_what_is_read_twice_is_no_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name, message in ((str(tmp_path / "pipe"), "a pipe, which can be read only once"), ("-", "standard input can be read only once")):
        with pytest.raises(DataError, match=message):
            read_probe(name)


@pytest.mark.parametrize("words", [["pack", "{loop}", "x.zip"], ["convert", "{file}", "{loop}", "--to", "run"]])
def test_a_link_that_leads_back_to_itself_is_named(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    loop, file = tmp_path / "one", tmp_path / "packed.zip"
    loop.symlink_to(tmp_path / "two")
    (tmp_path / "two").symlink_to(loop)
    file.write_bytes(b"2 1\na 1\nb 2\n")
    assert main([word.format(loop=loop, file=file) for word in words]) == 3
    assert "one is a link that leads back to itself" in capsys.readouterr().err
