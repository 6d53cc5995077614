"""The unit and the image: systemd reads the one, and the steps of the other are taken in a clean folder."""

import json
import os
import re
import shlex
import shutil
import site
import subprocess
import sys
import tomllib
import urllib.request
from pathlib import Path

import pytest
from tests.serving.conftest import pretrained
from tests.serving.test_process import Running, running

from stemma.cli.main import parsed

ROOT = Path(__file__).resolve().parents[2]
UNIT = (ROOT / "deploy/stemma.service").read_text(encoding="utf-8")
STEPS = [line.split(" ", 1) for line in (ROOT / "deploy/Dockerfile").read_text(encoding="utf-8").splitlines() if line and line[0] != "#"]


def arguments(step: str) -> list[str]:
    """The words of the image's step in the exec form."""
    return json.loads(next(rest[rest.index("[") :] for name, rest in STEPS if name == step))


def test_systemd_reads_the_unit(tmp_path):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("there is no systemd-analyze here")
    command = re.search(r"^ExecStart=(\S+)", UNIT, re.MULTILINE)[1]
    unit = tmp_path / "stemma.service"
    unit.write_text(UNIT.replace(command, sys.executable), encoding="utf-8")  # which must be there
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True, timeout=120)
    assert (done.returncode, [line for line in done.stderr.splitlines() if "stemma.service" in line]) == (0, [])
    unit.write_text(UNIT.replace("Type=exec", "Type=nothing"), encoding="utf-8")
    broken = subprocess.run(["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True, timeout=120)
    assert "stemma.service" in broken.stderr


def test_what_they_start_is_a_command_of_ours():
    words = shlex.split(re.search(r"^ExecStart=(.*)$", UNIT, re.MULTILINE)[1])
    serve = parsed(words[1:])
    assert Path(words[0]).name == "stemma" and serve.port == 8000
    assert int(re.search(r"^TimeoutStopSec=(\d+)$", UNIT, re.MULTILINE)[1]) > serve.timeout + serve.body_timeout
    assert parsed([*arguments("ENTRYPOINT")[1:], "reviews=/runs/reviews"]).host == "0.0.0.0"
    extras = set(re.search(r'"\.\[(.*)\]"', " ".join(rest for _, rest in STEPS))[1].split(","))
    assert extras <= tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"].keys()


@pytest.mark.slow
@pytest.mark.timeout(1800)  # it compiles every kernel anew
def test_the_steps_of_the_image_make_a_server(home, tmp_path):
    """In a clean folder that holds what the image would; the packages that pip would fetch are this environment's."""
    kept = [line[1:] for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line.startswith("!")]
    made, environment = tmp_path / "image", {**os.environ, "TORCH_ARGS": "", "PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0"}
    environment.pop("PYTHONPATH", None)
    for step, rest in STEPS:
        if step == "WORKDIR":
            made.mkdir()
        elif step == "COPY":
            *sources, target = rest.split()
            assert set(sources) <= set(kept)
            for source in sources:
                if (ROOT / source).is_dir():
                    shutil.copytree(ROOT / source, made / target, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
                else:
                    shutil.copy(ROOT / source, made / target)
        elif step == "RUN":
            done = subprocess.run(["sh", "-ec", rest], cwd=made, env=environment, capture_output=True, text=True, timeout=900)
            assert done.returncode == 0, done.stdout + done.stderr
            if "-m venv" in rest:
                folder = next((made / "venv/lib").glob("python*/site-packages"))
                for old in folder.glob("setuptools*"):  # an interpreter's own, which would come before this environment's
                    shutil.rmtree(old)
                (folder / "those-of-here.pth").write_text("\n".join(site.getsitepackages()), encoding="utf-8")
        elif step == "ENV":
            environment |= dict(word.replace("/opt/stemma", str(made), 1).split("=") for word in rest.split())
    program = made / arguments("ENTRYPOINT")[0]
    found = [str(made / "venv/bin/python"), "-c", "import stemma; print(stemma.__file__)"]
    where = subprocess.run(found, env=environment, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert where.startswith(str(made / "venv"))
    with running(tmp_path, str(pretrained("ngram", home)), program=[str(program)], environment=environment, within=600) as server:
        check_health(server, made, environment)
        assert server.ask("/v1/score", {"inputs": "the sea"})[0] == 200
        assert server.leave() == 0
    assert any((made / "cache").iterdir())  # machine code is kept for the next start


def check_health(server: Running, made: Path, environment: dict[str, str]) -> None:
    """The image's own check, at this server's port, and at one where nobody listens."""
    words = arguments("HEALTHCHECK")
    for port, code in ((server.port, 0), (1, 1)):
        command = [str(made / words[0]), *(word.replace("8000", str(port)) for word in words[1:])]
        assert subprocess.run(command, env=environment, capture_output=True, timeout=120).returncode == code
    assert urllib.request.urlopen(f"http://127.0.0.1:{server.port}/ready").status == 200
