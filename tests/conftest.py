"""Fixtures shared by all rooms."""

import functools
import os
import shlex
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

settings.register_profile("stemma", deadline=None, derandomize=True)  # the first example may compile a kernel
settings.load_profile("stemma")

SOURCE = Path(__file__).resolve().parents[1] / "src"
SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session", params=["made up", "real"])
def kenlm_models(request: pytest.FixtureRequest) -> Path:
    """A folder of texts with the models that lmplz made of them: our own, and real text where it stands beside this checkout."""
    if request.param == "made up":
        return Path(__file__).parent / "fixtures" / "kenlm"
    return request.getfixturevalue("shared_data") / "fixtures" / "kenlm"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real corpora that stands beside the checkout in development; skips when absent."""
    if not SHARED.is_dir():
        pytest.skip("real corpora are not beside this checkout")
    return SHARED


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """Gives a tiny run and the ONNX file of it, traced once for all tests: `exported("bert")`, or `exported("bert", "tag", "frozen")`."""

    @functools.cache
    def found(name: str, *task_and_way: str, **sizes: Any) -> Any:
        from tests.export.onnx_runs import fitted, made

        from stemma.export.onnx import write_onnx
        from stemma.lineage.table import find

        run = fitted(find(name), *task_and_way, **sizes) if task_and_way else made(find(name), **sizes)
        return run, write_onnx(run, tmp_path_factory.mktemp("onnx") / f"{name}.onnx")[0]

    return found


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory):
    """An empty folder, and an environment in which `stemma` is this checkout's, started quickly (`commands.server`)."""
    folder, commands = tmp_path_factory.mktemp("newcomer"), tmp_path_factory.mktemp("bin")
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "1"}
    address, parts = str(commands / "address"), Path(__file__).parent / "commands"
    script = commands / "stemma"
    script.write_text(f'#!/bin/sh\nexec {shlex.join([sys.executable, "-IS", str(parts / "client.py"), address])} "$@"\n', encoding="utf-8")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    server = [sys.executable, str(parts / "server.py"), address]
    with subprocess.Popen(server, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as running:
        assert running.stdout is not None and running.stdout.readline() == b"ready\n"
        yield folder, {**environment, "PATH": os.pathsep.join((str(commands), os.environ["PATH"]))}
        assert running.stdin is not None
        running.stdin.close()
