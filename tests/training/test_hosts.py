"""Training over two hosts: network namespaces of this machine with a link between them, a process killed, and the link cut.

The hosts share their disk, as those of a cluster do. Needs root and `ip` (iproute2); where that is not to be had the tests are skipped.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from stemma.checkpoint import RunFolder
from stemma.training import ranks
from stemma.training.facts import Fact
from stemma.training.pretrain import pretrain
from stemma.training.request import Request

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

HOSTS = {"stemma-a": "10.77.0.1", "stemma-b": "10.77.0.2"}
LINK = "eth0"  # what it is called on either host
STEPS, KILLED_AT, CUT_AT = 10, 3, 7
SECONDS = 1200.0  # that a machine with much else to do may take for a run of a few seconds
BERT = [
    *(
        "tokenizer.vocab_size=300",
        "training.batch_tokens=256",
        "training.threads=1",
        "training.precision=fp32",
        "training.save_seconds=1e-9",
    ),
    *("model.width=32", "model.depth=1", "model.inner=64", f"training.steps={STEPS}", "training.evaluations=1", "training.sharding=full"),
]


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@pytest.fixture
def hosts() -> Iterator[None]:
    """Two hosts that see each other and nothing else."""
    if os.geteuid() or not shutil.which("ip"):
        pytest.skip("network namespaces need root and iproute2")
    try:
        for host in HOSTS:
            ip("netns", "add", host)
        ip("link", "add", "stemma-va", "type", "veth", "peer", "name", "stemma-vb")
        for (host, address), end in zip(HOSTS.items(), ("stemma-va", "stemma-vb"), strict=True):
            ip("link", "set", end, "netns", host)
            ip("-n", host, "link", "set", end, "name", LINK)
            ip("-n", host, "address", "add", f"{address}/24", "dev", LINK)
            ip("-n", host, "link", "set", LINK, "up")
            ip("-n", host, "link", "set", "lo", "up")
    except subprocess.CalledProcessError as error:
        remove_hosts()
        pytest.skip(f"network namespaces are not allowed here: {error.stderr.decode().strip()}")
    yield
    remove_hosts()


def remove_hosts() -> None:
    for host in HOSTS:
        subprocess.run(["ip", "netns", "delete", host], check=False, capture_output=True)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    lines = ["the old sailor told a story of the sea", "老水手讲了一个大海的故事", "rain fell on the quiet harbour all night"]
    path = tmp_path_factory.mktemp("corpus") / "text.txt"
    path.write_text("\n\n".join("\n".join(rng.permutation(lines * 4).tolist()) for _ in range(16)), encoding="utf-8")
    return path


def bert(corpus: Path, out: Path, faults: Path) -> None:
    """What each process does; what goes wrong, once each, is noted in `faults`, and nothing does where there is no such folder."""
    ranks.WAIT_SECONDS = 60.0

    def fail(fact: Fact) -> None:
        if not faults.is_dir():
            return
        if fact.kind == "save" and fact.step == KILLED_AT and not (faults / "killed").exists():
            (faults / "killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if fact.kind == "step" and fact.step == CUT_AT and not (faults / "cut").exists():
            ip("link", "set", LINK, "down")
            (faults / "cut").touch()

    try:
        pretrain(Request.of("bert", corpus, preset="tiny", settings=BERT), out=out, progress=fail)
    except Exception:
        if (faults / "cut").exists():
            (faults / f"gave-up-{os.environ['RANK']}").touch()
        raise


def ngram(corpus: Path, out: Path, faults: Path) -> None:
    """Counts; killed in the midst of it where there is a folder `faults`."""

    def fail(fact: Fact) -> None:
        if faults.is_dir() and fact.kind == "step" and fact.step > 1:
            (faults / "killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)

    pretrain(Request.of("ngram", corpus, preset="tiny"), out=out, progress=fail)


def script(function: Callable[[Path, Path, Path], None], *arguments: Path) -> list[str]:
    imports = f"import sys\nfrom pathlib import Path\nsys.path.insert(0, {str(Path(__file__).parent)!r})\nimport test_hosts"
    place = arguments[1].with_suffix(".py")
    place.write_text(f"{imports}\ntest_hosts.{function.__name__}(*map(Path, {[str(one) for one in arguments]!r}))\n", encoding="utf-8")
    return [str(place)]


def launched(command: list[str]) -> dict[str, subprocess.Popen]:
    """The command under torchrun on both hosts, a process each."""
    running = {}
    for host, address in HOSTS.items():
        first = address == next(iter(HOSTS.values()))
        settings = f"--rdzv-conf=is_host={int(first)},join_timeout=600,read_timeout=300"
        where = [
            "--rdzv-backend=c10d",
            f"--rdzv-endpoint={next(iter(HOSTS.values()))}:29400",
            "--rdzv-id=stemma",
            f"--local-addr={address}",
        ]
        run = ["-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=1", "--max-restarts=3", *where, settings, *command]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": LINK}
        running[host] = subprocess.Popen(["ip", "netns", "exec", host, sys.executable, *run], env=environment)
    return running


def ended(running: dict[str, subprocess.Popen], seconds: float) -> list[int | None]:
    """How each has ended within so many seconds; None for one that has not."""
    until = time.monotonic() + seconds
    for one in running.values():
        try:
            one.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            continue
    return [one.returncode for one in running.values()]


def waited_for(sign: Path, running: dict[str, subprocess.Popen]) -> None:
    """Returns when there is a file so called; fails where both launchers have ended without one."""
    until = time.monotonic() + SECONDS
    while not list(sign.parent.glob(sign.name)):
        assert None in ended(running, 0.5) and time.monotonic() < until, f"no {sign.name}"


def same(run: Path, other: Path) -> bool:
    files = ("model.safetensors", "tokenizer.json")
    return all((run / name).read_bytes() == (other / name).read_bytes() for name in files)


def test_two_hosts_learn_bert_as_one_does_though_a_process_is_killed_and_the_link_is_cut(hosts: None, corpus: Path, tmp_path: Path) -> None:
    alone = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    one, two, faults = tmp_path / "one", tmp_path / "two", tmp_path / "faults"
    subprocess.run([*alone, *script(bert, corpus, one, tmp_path / "none")], env={**os.environ, "OMP_NUM_THREADS": "1"}, check=True)
    faults.mkdir()
    command = script(bert, corpus, two, faults)
    running = launched(command)
    try:
        waited_for(faults / "cut", running)
        assert (faults / "killed").exists(), "after the kill torchrun has taken the run up again"
        waited_for(faults / "gave-up-*", running)
        for host in HOSTS:
            ip("-n", host, "link", "set", LINK, "up")
        if ended(running, SECONDS) != [0, 0]:  # a launcher may have given up too: then the same command goes on
            assert not RunFolder.open(two).finished
            running = launched(command)
            assert ended(running, SECONDS) == [0, 0]
    finally:
        for process in running.values():
            process.kill()
    assert RunFolder.open(two).finished and same(one, two)


def test_an_ngram_model_begun_on_one_host_goes_on_at_another(hosts: None, corpus: Path, tmp_path: Path) -> None:
    one, two, faults = tmp_path / "one", tmp_path / "two", tmp_path / "faults"
    ngram(corpus, one, tmp_path / "none")
    faults.mkdir()
    first, second = (["ip", "netns", "exec", host, sys.executable, *script(ngram, corpus, two, faults)] for host in HOSTS)
    assert subprocess.run(first, check=False).returncode == -signal.SIGKILL and not (two / "model.safetensors").exists()
    faults.rename(tmp_path / "mended")
    subprocess.run(second, check=True)
    assert same(one, two)
