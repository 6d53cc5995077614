"""The server as people run it: a process with a socket, signals, and clients that dawdle or leave."""

import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.serving.conftest import pretrained

START = [sys.executable, "-c", "import sys; from stemma.cli.main import entry; sys.argv[0] = 'stemma'; entry()"]


class Running:
    """A server in a process of its own."""

    def __init__(self, process: subprocess.Popen, port: int, log: Path) -> None:
        self.process, self.port, self.log = process, port, log

    def ask(self, route: str, body: object = None, method: str = "", timeout: float = 60) -> tuple[int, dict]:
        """Status and JSON; GET without a body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            data = None if body is None else json.dumps(body)
            connection.request(method or ("GET" if body is None else "POST"), route, data, {"Content-Type": "application/json"})
            reply = connection.getresponse()
            return reply.status, json.loads(reply.read())
        finally:
            connection.close()

    def metric(self, start: str) -> float:
        """The sum of the numbers on lines that start so."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request("GET", "/metrics")
        lines = connection.getresponse().read().decode().splitlines()
        connection.close()
        return sum(float(line.split()[-1]) for line in lines if line.startswith(start))

    def raw(self) -> socket.socket:
        """A connection to send bytes on."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)

    def leave(self, number: int = signal.SIGTERM) -> int:
        """Its exit code after the signal."""
        self.process.send_signal(number)
        return self.process.wait(60)


@contextmanager
def running(
    tmp_path: Path, *words: str, program: Sequence[str] = START, environment: Mapping[str, str] = os.environ, within: float = 120
) -> Iterator[Running]:
    """A server with these words on its command line, ready within so many seconds; it ends with the block."""
    log = tmp_path / "log"
    environment = {**environment, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    with log.open("w", encoding="utf-8") as file:
        process = subprocess.Popen([*program, "serve", *words, "--port", "0"], stderr=file, stdout=file, env=environment)
    try:
        deadline = time.monotonic() + within
        while "ready after" not in (said := log.read_text(encoding="utf-8")):
            assert process.poll() is None and time.monotonic() < deadline, said
            time.sleep(0.05)
        yield Running(process, int(re.search(r"127\.0\.0\.1:(\d+)", said)[1]), log)
    finally:
        process.kill()
        process.wait()


def test_sigterm_under_load_loses_nothing_that_was_taken_on(home, tmp_path):
    with running(tmp_path, str(pretrained("gpt", home)), str(pretrained("bert", home))) as server:
        begun, answered, refused = [], [], []

        def ask(n: int) -> None:
            while True:
                body = {"model": "bert", "inputs": [f"the sea {n}"] * 3} if n % 2 else {"model": "gpt", "inputs": f"sea {n}", "length": 30}
                try:
                    begun.append(n)
                    answered.append(server.ask("/v1/embed" if n % 2 else "/v1/generate", body)[0])
                except (ConnectionError, http.client.RemoteDisconnected):  # what nobody had accepted yet goes with the listening socket
                    refused.append(n)
                    return

        with ThreadPoolExecutor(6) as callers:
            asking = [callers.submit(ask, n) for n in range(6)]
            time.sleep(1.0)
            code = server.leave()
            for one in asking:
                one.result(60)
        assert code == 0
        assert set(answered) <= {200, 503} and answered.count(200) > 5
        assert len(answered) + len(refused) == len(begun)
        said = server.log.read_text(encoding="utf-8")
        assert "finishing what was taken on" in said and "Traceback" not in said and "sea" not in said
        taken_on = int(re.search(r"([\d,]+) requests answered", said)[1].replace(",", ""))
        assert taken_on == len(answered)


def test_slow_clients_are_cut_off_and_do_not_hold_others_up(home, tmp_path):
    options = ["--body-timeout", "0.6", "--header-timeout", "0.8", "--max-body-bytes", "5000"]
    with running(tmp_path, str(pretrained("word2vec", home)), *options) as server:
        began = time.monotonic()
        body, headers = server.raw(), server.raw()
        head = b"POST /v1/embed HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        body.sendall(head + b"Content-Length: 100\r\n\r\n{")
        headers.sendall(head)
        assert server.ask("/v1/embed", {"inputs": "sea"})[0] == 200  # meanwhile
        reply = _all(body)
        assert b" 408 " in reply.splitlines()[0] and b'"timeout"' in reply
        assert _all(headers) == b"" or b" 408 " in _all(headers)
        assert time.monotonic() - began < 20
        large = server.raw()
        large.sendall(head + b"Content-Length: 100000\r\n\r\n" + b"x" * 5000)
        assert b" 413 " in _all(large).splitlines()[0]
        lying = server.raw()
        lying.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n" + b"fa0\r\n" + b"x" * 4000 + b"\r\nfa0\r\n" + b"x" * 4000 + b"\r\n")
        assert b" 413 " in _all(lying).splitlines()[0]
        broken = server.raw()
        broken.sendall(head + b"Content-Length: 100\r\n\r\n{")
        broken.shutdown(socket.SHUT_WR)
        assert b" 400 " in _all(broken).splitlines()[0]
        assert server.metric('stemma_requests_total{code="408"') >= 1
        assert server.metric("stemma_requests_in_progress") == 0
        assert server.leave() == 0


def test_idle_connections_keep_nobody_out(home, tmp_path):
    patient = ["--queue", "20", "--header-timeout", "40", "--body-timeout", "40"]
    with running(tmp_path, str(pretrained("ngram", home)), *patient) as server:
        head = b"POST /v1/score HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        idle = [server.raw() for _ in range(300)]
        for n, one in enumerate(idle):
            one.sendall(head + (b"Content-Length: 100\r\n\r\n{" if n % 2 else b""))
        assert server.ask("/v1/score", {"inputs": "sea"}, timeout=20)[0] == 200  # before the first of them is cut off
        for one in idle:
            one.close()
        assert server.ask("/v1/score", {"inputs": "sea " * 2_500_000})[0] == 413  # heard, though the server wants a fifth of it at most
        assert server.leave() == 0


def _all(connection: socket.socket) -> bytes:
    """What comes until the other side closes, or says no more for long."""
    parts = []
    try:
        while part := connection.recv(65536):
            parts.append(part)
    except (ConnectionResetError, TimeoutError):
        pass
    connection.close()
    return b"".join(parts)


def test_the_work_of_a_client_that_left_is_dropped(home, tmp_path):
    with running(tmp_path, str(pretrained("gpt", home)), "--max-written", "1000000") as server:
        long = {
            "inputs": "the sea",
            "length": 500_000,
            "temperature": 1.5,
            "repetition_penalty": 1e9,
            "stop": ["no such text"],
            "stream": True,
        }
        stream = server.raw()
        data = json.dumps(long).encode()
        head = f"POST /v1/generate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
        stream.sendall(head.encode() + data)
        assert b"200" in stream.recv(100)
        stream.close()
        waiting = server.raw()
        waiting.sendall(head.encode() + data[:-1])
        waiting.close()
        deadline = time.monotonic() + 30
        while server.metric("stemma_requests_in_progress"):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert server.ask("/v1/generate", {"inputs": "the sea", "length": 2})[0] == 200
        assert server.leave() == 0  # at once: nothing is written any more


def test_sighup_reloads_what_can_be_loaded(home, tmp_path):
    place = tmp_path / "words"
    shutil.copytree(pretrained("word2vec", home), place)
    with running(tmp_path, f"words={place}", str(pretrained("ngram", home))) as server:
        shutil.rmtree(place)
        server.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + 30
        while "ngram has version 2" not in (said := server.log.read_text(encoding="utf-8")):
            assert time.monotonic() < deadline, said
            time.sleep(0.05)
        assert "words stays at version 1" in said and "no such folder" in said
        assert server.ask("/v1/embed", {"inputs": "sea"})[1]["version"] == 1
        assert server.ask("/v1/score", {"inputs": "sea"})[1]["version"] == 2
        assert server.leave(signal.SIGINT) == 0


def test_a_file_that_is_written_over_changes_nothing_until_a_reload(home, tmp_path):
    """As `cp` does it, in place: what is mapped would change, or end the process."""
    places = {name: tmp_path / name for name in ("word2vec", "ngram")}
    for name, place in places.items():
        shutil.copytree(pretrained(name, home), place)
    with running(tmp_path, *map(str, places.values())) as server:
        asked = [
            ("/v1/embed", {"model": "word2vec", "inputs": "sea"}),
            ("/v1/nearest", {"inputs": "sea"}),
            ("/v1/score", {"inputs": "sea"}),
        ]
        before = [server.ask(route, body) for route, body in asked]
        for place in places.values():
            with (place / "model.safetensors").open("r+b") as file:
                file.truncate(0)
        assert [server.ask(route, body) for route, body in asked] == before and {code for code, _ in before} == {200}
        code, fault = server.ask("/v1/models/ngram/reload", {})
        assert code == 500 and "bytes" in fault["error"]
        assert server.ask("/v1/score", {"inputs": "sea"}) == before[2]
        assert server.leave() == 0


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 5)])
def test_a_second_signal(home, tmp_path, number, code):
    """SIGTERM however often: what was taken on is finished. Twice Ctrl-C: left at once."""
    with running(tmp_path, str(pretrained("ngram", home)), "--max-wait-ms", "4000") as server:
        asked, data = server.raw(), b'{"inputs": "the sea"}'  # which waits so long for company
        head = f"POST /v1/score HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
        asked.sendall(head.encode() + data)
        while not server.metric("stemma_requests_in_progress"):
            time.sleep(0.02)
        server.process.send_signal(number)
        while "finishing" not in server.log.read_text(encoding="utf-8"):
            time.sleep(0.02)
        assert server.leave(number) == code
        assert _all(asked).startswith(b"HTTP/1.1 200") == (code == 0)
        assert ("left at once" in server.log.read_text(encoding="utf-8")) == (code == 5)


def test_what_needs_no_network_loads_none(home, tmp_path):
    """Start-up time is what a scaled-out server pays again and again."""
    script = (
        "import sys, os, signal\n"
        "from stemma.serving import server\n"
        "from stemma.serving.choice import Wish\n"
        "from stemma.serving.limits import Limits\n"
        "def say(text):\n"
        "    if text.startswith('ready'): os.kill(os.getpid(), signal.SIGTERM)\n"
        "server.serve(sys.argv[1:], '127.0.0.1', 0, Limits(), Wish(), say=say)\n"
        "print('LOADED', 'torch' in sys.modules, flush=True)\n"
        "os._exit(0)"
    )
    places = [str(pretrained(name, home)) for name in ("word2vec", "glove", "ngram")]
    done = subprocess.run([sys.executable, "-c", script, *places], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout.split()) == (0, ["LOADED", "False"]), done.stderr


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["no-such-run"], 3, "no such folder"),
        ([], 2, "name them"),
        (["{run}", "{run}"], 2, "two runs go by the name 'ngram'"),
        (["{run}", "--port", "{taken}"], 2, "choose another --port"),
        (["{run}", "--host", "203.0.113.1"], 2, "an address of this machine"),
        (["{run}", "--api-key-file", "{empty}"], 2, "one key a line"),
        (["{run}", "--api-key-file", "{run}/none"], 3, "check the path"),
        (["{run}", "--queue", "0"], 2, "queue"),
        (["{run}", "--engine", "torhc"], 2, "did you mean 'torch'?"),
        (["{run}", "--max-drop", "0.1"], 2, "drop --max-drop"),
    ],
)
def test_what_cannot_be_served_is_told_before_it_listens(home, tmp_path, capsys, words, code, told):
    from stemma.cli.main import main

    (tmp_path / "keys").write_text("# none\n", encoding="utf-8")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        names = {"run": pretrained("ngram", home), "taken": taken.getsockname()[1], "empty": tmp_path / "keys"}
        assert main(["serve", *(word.format(**names) for word in words)]) == code
    assert told in capsys.readouterr().err


def test_keys_are_read_from_the_file(home, tmp_path):
    (tmp_path / "keys").write_text("# of the team\nfirst\n\n  second \n", encoding="utf-8")
    with running(tmp_path, str(pretrained("ngram", home)), "--api-key-file", str(tmp_path / "keys")) as server:
        assert server.ask("/v1/models")[0] == 401
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        connection.request("GET", "/v1/models", headers={"Authorization": "Bearer second"})
        assert connection.getresponse().status == 200
        connection.close()
        assert server.ask("/ready")[0] == 200


def test_a_warming_server_is_not_ready(home):
    from tests.serving.conftest import run_async, served

    async def tried():
        async with served([str(pretrained("ngram", home))]) as client:
            client.desk.warmed = False
            assert (await client.get("/ready")).status_code == 503 and (await client.get("/health")).status_code == 200
            client.desk.warmed = client.desk.leaving = True
            assert "shutting down" in (await client.get("/ready")).json()["error"]

    run_async(tried)


def test_many_threads_of_callers_are_all_answered(home, tmp_path):
    with running(tmp_path, str(pretrained("bert", home)), "--queue", "8") as server:
        codes, lock = [], threading.Lock()

        def ask(n: int) -> None:
            for turn in range(6):
                code, told = server.ask("/v1/embed", {"inputs": [f"the sea {n} {turn}"] * 2})
                with lock:
                    codes.append((code, told.get("error_type")))

        with ThreadPoolExecutor(16) as callers:
            list(callers.map(ask, range(16)))
        assert len(codes) == 96 and set(codes) <= {(200, None), (429, "overloaded")}
        assert server.ask("/v1/embed", {"inputs": "sea"})[0] == 200
        assert server.leave() == 0
