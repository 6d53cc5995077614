"""The number of threads is chosen by what is faster here and now, and threads that wait sleep."""

import math
import os
import subprocess
import sys
import time

import pytest
import torch

from stemma.layers import cores, threads
from stemma.layers.cores import cores_free
from stemma.layers.threads import computing_with, faster_threads
from stemma.layers.waiting import ASLEEP, let_threads_sleep


@pytest.fixture
def four(monkeypatch):
    """Torch with four threads on a machine of four cores, their number named by nobody."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(threads, "cores_free", lambda: 4)
    with computing_with(4):
        yield


def taking(monkeypatch, seconds):
    """A call that takes so long with each number of threads; `tried` says how often each was tried."""
    clock, tried = [0.0], []

    def call():
        tried.append(torch.get_num_threads())
        clock[0] += seconds[torch.get_num_threads()]

    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])
    return call, tried


@pytest.mark.parametrize(
    ("seconds", "chosen"),
    [({1: 0.09, 4: 2.2}, 1), ({1: 0.09, 4: 0.03}, 4), ({1: 0.0900, 4: 0.0899}, 1)],
    ids=["busy machine", "quiet machine", "no gain"],
)
def test_the_faster_number_is_chosen(four, monkeypatch, seconds, chosen):
    call, tried = taking(monkeypatch, seconds)
    assert faster_threads(call) == chosen
    assert sorted(set(tried)) == [1, 4] and torch.get_num_threads() == 4


def test_a_long_call_is_tried_once_with_each(four, monkeypatch):
    call, tried = taking(monkeypatch, {1: 9.0, 4: 3.0})
    assert faster_threads(call) == 4 and tried == [1, 1, 4]


def test_what_is_named_or_single_is_not_tried(four, monkeypatch):
    call, tried = taking(monkeypatch, {1: 1.0, 4: 9.0})
    monkeypatch.setattr(threads, "cores_free", lambda: 1)
    assert faster_threads(call) == 1
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    assert faster_threads(call) == 4 and tried == []


@pytest.mark.parametrize(("quota", "free"), [(1.5, 2), (0.5, 1), (100.0, 64), (math.inf, 64)])
def test_a_container_of_one_core_and_a_half_has_two(monkeypatch, quota, free):
    monkeypatch.setattr(cores, "_quota", lambda: quota)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    assert cores_free() == free


def test_this_machine_has_a_core():
    assert 1 <= cores_free() <= (os.cpu_count() or 1)


def test_what_the_user_has_set_stands(monkeypatch):
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    monkeypatch.delenv("OPENBLAS_THREAD_TIMEOUT", raising=False)
    let_threads_sleep()
    assert os.environ["OMP_WAIT_POLICY"] == "ACTIVE"
    assert os.environ.pop("OPENBLAS_THREAD_TIMEOUT") == ASLEEP["OPENBLAS_THREAD_TIMEOUT"]


def test_the_command_line_tells_them_before_torch_is_loaded():
    code = (
        "import sys; sys.argv = ['stemma', '--version']\n"
        "import stemma.cli.main as main, os\n"
        "assert 'torch' not in sys.modules\n"
        "try: main.entry()\nexcept SystemExit: print(os.environ['OMP_WAIT_POLICY'], 'torch' in sys.modules)"
    )
    env = {name: value for name, value in os.environ.items() if name not in ASLEEP}
    printed = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True).stdout
    assert printed.splitlines()[-1] == "PASSIVE False"
