"""What takes minutes: many clients at once round a reload and a restart, slow sockets, and whatever schemathesis thinks of."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.serving.conftest import fitted, pretrained
from tests.serving.test_process import running

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_under_load_every_answer_is_right_and_none_is_lost(home):
    places = [pretrained(name, home) for name in ("word2vec", "bert", "gpt")] + [fitted("bert-topics", home)]
    few = ["--minutes", "1", "--clients", "16", "--questions", "20", "--slow", "300", "--seconds", "5", "--rounds", "1"]
    command = [sys.executable, "bench/load.py", *map(str, places), *few, "--options", "--queue", "12"]
    environment = {**os.environ, "PYTHONPATH": "src", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=800)
    assert done.returncode == 0, done.stdout + done.stderr
    answered, right = (int(number.replace(",", "")) for number in re.search(r"([\d,]+) answers, ([\d,]+) right", done.stdout).groups())
    assert answered >= right > 50 and "versions [1, 2]" in done.stdout and "exit codes [0, 0]" in done.stdout


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_schemathesis_finds_no_server_error(home, tmp_path):
    """Its requests follow the OpenAPI document, or break it on purpose; whatever they are, no answer may be a server's mistake."""
    beside = Path(sys.executable).with_name("schemathesis")
    program = str(beside) if beside.exists() else shutil.which("schemathesis")
    if program is None:
        pytest.skip("no schemathesis here: pip install schemathesis")
    places = [pretrained(name, home) for name in ("word2vec", "ngram", "bert", "gpt")] + [fitted("bert-topics", home)]
    with running(tmp_path, *map(str, places), within=600) as server:
        where = f"http://127.0.0.1:{server.port}/openapi.json"
        checks = ["--checks", "not_a_server_error", "--max-examples", "40", "--seed", "1", "--suppress-health-check", "all"]
        done = subprocess.run([program, "run", where, *checks], cwd=tmp_path, capture_output=True, text=True, timeout=800)
        assert done.returncode == 0, done.stdout + done.stderr
        assert server.metric('stemma_requests_total{code="500"') == 0
        assert server.leave() == 0
    assert "mistake" not in server.log.read_text(encoding="utf-8")
