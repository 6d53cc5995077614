"""Graphs in OpenVINO say what they say in PyTorch, and nobody hears of it."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.export.onnx_runs import CHINESE, ENGLISH, UNSEEN, made

from stemma.errors import UsageError
from stemma.lineage.table import find
from stemma.runs.decoding import Decoding
from stemma.serving.engines import through
from stemma.serving.openvino_sessions import OpenVinoSession

pytest.importorskip("openvino")

TEXTS = [*ENGLISH, *CHINESE, "", "x", "🌧"]
LISTENS = """
import sys
calls = []
sys.addaudithook(lambda event, args: calls.append(event) if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto") else None)
from stemma.export.onnx_int8 import imported_quietly
for library in sys.argv[1:]:
    imported_quietly(library)
import threading
print(calls, [name for name in sys.modules if name.startswith("openvino_telemetry.")], threading.active_count())
"""


def test_vectors_are_the_same(exported):
    ours, file = exported("bert")
    np.testing.assert_allclose(through(ours, f"openvino:{file}").embed(TEXTS), ours.embed(TEXTS), atol=1e-4)


def test_written_text_is_the_same(exported):
    ours, file = exported("gpt")
    theirs = through(ours, f"openvino:{file}", "write")
    for mine, other in zip(
        *(run.write(["the old", "大海"], length=9, options=Decoding(temperature=0.0)) for run in (ours, theirs)), strict=True
    ):
        assert mine[0].ids == other[0].ids


def test_answers_are_the_same(exported):
    ours, file = exported("bert", "tag", "frozen", depth=1)
    for mine, other in zip(*(run.answer_rows(UNSEEN["tag"]) for run in (ours, through(ours, f"openvino:{file}"))), strict=True):
        assert mine == other


def test_a_graph_is_made_on_the_spot():
    ours = made(find("glove"))
    np.testing.assert_allclose(through(ours, "openvino").embed(ENGLISH), ours.embed(ENGLISH), atol=1e-6)


def test_bfloat16_is_had_only_where_the_processor_has_it(monkeypatch):
    import openvino

    class Core:
        def get_property(self, device, name):
            return ["FP32", "INT8"]

    monkeypatch.setattr(openvino, "Core", Core)
    with pytest.raises(UsageError, match="AVX512-BF16 or AMX"):
        OpenVinoSession(b"", "bf16")


def test_it_tells_nobody(tmp_path):
    environment = {**os.environ, "HOME": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[2] / "src")}
    for name in ("CI", "GITHUB_ACTIONS", "NNCF_CI", "NNCF_DEV"):  # where it would be silent of itself
        environment.pop(name, None)
    found = subprocess.run([sys.executable, "-c", LISTENS, "openvino", "nncf"], env=environment, capture_output=True, text=True, check=True)
    assert found.stdout.splitlines()[-1] == "[] [] 1", found.stdout
    assert not (tmp_path / "intel").exists()  # where it would keep a number for this user
