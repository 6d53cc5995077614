"""`stemma serve` under load: many clients, mixed routes and lengths, several models; a reload and a restart inside; then slow sockets.

`python bench/load.py RUN… --minutes 5` serves the runs, and compares every answer with what `stemma.load` gives offline. What may
happen to a request: a right answer, once; 429 or 503; or nobody there while the server is started anew. All else ends the program with
code 1, as does a request that the server says it answered and no client read. Memory and CPU are those of the server's process; the
clients share the machine with it.
"""

import argparse
import asyncio
import collections
import json
import math
import os
import random
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

import stemma
from stemma.runs import answers
from stemma.runs.fitted import FittedRun
from stemma.serving.asking import line_of

ENGLISH = [
    "the",
    "old",
    "sailor",
    "told",
    "a",
    "story",
    "of",
    "the",
    "sea",
    "and",
    "of",
    "rain",
    "while",
    "cat",
    "house",
    "sat",
    "by",
    "door",
]
CHINESE = ["老水手给年轻的水手讲了一个故事", "大海的故事就是雨的故事", "老水手的猫坐在雨里", "春眠不觉晓"]
ODD = ["", "🙂", "\u200bzero\u200bwidth", "a\nb\r\nc", "\u202e right to left", "e\u0301te\u0301"]
NEAR = 1e-4  # how far a number may be from the offline one: what it is computed with changes its rounding
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Question:
    """A request, and the rows that answer it."""

    route: str
    body: dict[str, Any]
    rows: list[dict[str, Any]]


@dataclass
class Tally:
    """What became of the requests that were asked until `end`."""

    end: float
    right: int = 0
    wrong: list[str] = field(default_factory=list)
    codes: collections.Counter[int] = field(default_factory=collections.Counter)
    unconnected: int = 0  # nobody listened
    parted: int = 0  # the connection ended before an answer: allowed while the server is started anew, if it never took the request on
    latencies: list[float] = field(default_factory=list)
    versions: set[int] = field(default_factory=set)

    @property
    def answered(self) -> int:
        """Whatever the answer."""
        return sum(self.codes.values())


class Server:
    """`stemma serve` in a process of its own."""

    def __init__(self, places: Sequence[str], port: int, home: Path, options: Sequence[str]) -> None:
        self.log = home / f"log-{time.monotonic_ns()}"
        words = [sys.executable, "-m", "stemma", "serve", *places, "--port", str(port), *options]
        with self.log.open("w", encoding="utf-8") as file:
            self.process = subprocess.Popen(words, stdout=file, stderr=file)
        while "ready after" not in (said := self.said()):
            if self.process.poll() is not None:
                sys.exit(f"the server ended with {self.process.returncode}:\n{said}")
            time.sleep(0.1)
        self.port = int(re.search(r"127\.0\.0\.1:(\d+)", said)[1])  # type: ignore[index]

    def said(self) -> str:
        """Its standard error so far."""
        return self.log.read_text(encoding="utf-8")

    def resident_mib(self) -> float:
        """The memory that it holds."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        return int(status.partition("VmRSS:")[2].split()[0]) / 2**10

    def cpu_seconds(self) -> float:
        """What its process has taken so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="ascii").rpartition(") ")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def answered(self) -> int:
        """How many requests it says it answered, once it has left."""
        return int(re.search(r"([\d,]+) requests answered", self.said())[1].replace(",", ""))  # type: ignore[index]


def questions(name: str, place: str, count: int) -> Iterator[Question]:
    """Requests for what the run can do, of many lengths, and the rows that it gives offline."""
    run: Any = stemma.load(place)
    draws = random.Random(name)
    for _ in range(count):
        texts = [_text(draws) for _ in range(draws.choice([1, 1, 1, 2, 5, 20]))]
        route, options, asked = draws.choice(_routes(run, texts, draws))
        try:
            rows = asked().rows()
        except stemma.StemmaError:  # a text that this run has no answer to
            continue
        yield Question(route, {"model": name, "inputs": texts, **options}, json.loads(json.dumps(rows)))


def _routes(run: Any, texts: list[Any], draws: random.Random) -> list[tuple[str, dict[str, Any], Any]]:
    """The routes that fit the run, each with its options and its offline call."""
    if isinstance(run, FittedRun):
        parts = len(run.task.parts(run.targets))
        if parts > 1:
            texts[:] = [[text or "a", *(_text(draws) or "b" for _ in range(parts - 1))] for text in texts]
        lines = list(map(line_of, texts))
        return [("/v1/predict", {}, lambda: answers.predict(run, lines)), ("/v1/embed", {}, lambda: answers.embed(run, lines))]
    short, seed = texts[:2], draws.randrange(1000)
    options = {"length": draws.choice([1, 5, 30]), "seed": seed}
    known: list[tuple[str, dict[str, Any], Any]] = [("/v1/tokens", {}, lambda: answers.tokens(run.tokenizer, texts))]
    if "embed" in run.row.abilities:
        known.append(("/v1/embed", {"normalise": True}, lambda: answers.embed(run, texts, -1, True)))
    if "score" in run.row.abilities:
        known.append(("/v1/score", {}, lambda: answers.score(run, texts)))
    if "fill" in run.row.abilities and any("[MASK]" in text for text in texts):
        return [("/v1/fill", {"k": 3}, lambda: answers.fill(run, texts, 3))]
    if "generate" in run.row.abilities and draws.random() < 0.5:
        texts[:] = short
        return [("/v1/generate", options, lambda: answers.generate(run, short, options["length"], seed=seed))]
    return known


def _text(draws: random.Random) -> str:
    """A text of 1 to some 100 words in one language or the other, now and then an odd or a masked one."""
    if draws.random() < 0.1:
        return draws.choice(ODD)
    words = draws.choices(draws.choice([ENGLISH, CHINESE]), k=1 + int(draws.expovariate(1 / 12)))
    if draws.random() < 0.2:
        words[draws.randrange(len(words))] = "[MASK]"
    return " ".join(words[:100])


def agree(found: Any, expected: Any) -> bool:
    """True where both are the same, numbers to rounding."""
    if isinstance(expected, float) and isinstance(found, (int, float)):
        return abs(found - expected) <= NEAR * max(1.0, abs(expected))
    if isinstance(expected, list):
        return isinstance(found, list) and len(found) == len(expected) and all(map(agree, found, expected))
    if isinstance(expected, dict):
        return isinstance(found, dict) and found.keys() == expected.keys() and all(agree(found[key], expected[key]) for key in expected)
    return bool(found == expected)


async def client(http: httpx.AsyncClient, asked: Sequence[Question], tally: Tally, seed: int) -> None:
    """Asks one thing after the other until the end."""
    draws = random.Random(seed)
    while time.perf_counter() < tally.end:
        one, began = draws.choice(asked), time.perf_counter()
        try:
            reply = await http.post(one.route, json=one.body)
        except httpx.ConnectError:
            tally.unconnected += 1
            await asyncio.sleep(0.2)
            continue
        except httpx.TransportError:
            tally.parted += 1
            continue
        tally.latencies.append(time.perf_counter() - began)
        tally.codes[reply.status_code] += 1
        if reply.status_code == 200:
            told = reply.json()
            tally.versions.add(told["version"])
            if agree(told["outputs"], one.rows) and told["model"] == one.body["model"]:
                tally.right += 1
            else:
                tally.wrong.append(f"{one.route} {json.dumps(one.body)[:200]}: {reply.text[:300]}")
        elif reply.status_code in (429, 503):
            await asyncio.sleep(0.1)
        else:
            tally.wrong.append(f"{one.route}: {reply.status_code} {reply.text[:300]}")


def connected(port: int, number: int) -> httpx.AsyncClient:
    """So many connections that are kept, and no proxy."""
    limits = httpx.Limits(max_connections=number, max_keepalive_connections=number)
    return httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", limits=limits, timeout=120, trust_env=False)


async def under_load(server: Server, places: Sequence[str], asked: Sequence[Question], options: argparse.Namespace, home: Path) -> bool:
    """The long phase: at a third of the time a reload of each model, at two thirds a SIGTERM and a new server; tells how it went."""
    seconds, began, lives = 60 * options.minutes, time.perf_counter(), [server]
    tally = Tally(began + seconds)
    resident: list[list[float]] = [[]]
    cpu = 0.0

    async def restarted(http: httpx.AsyncClient) -> None:
        nonlocal cpu
        await asyncio.sleep(seconds / 3)
        for place in places:
            while (reply := await http.post(f"/v1/models/{place.partition('=')[0]}/reload")).status_code == 429:
                tally.codes[429] += 1
                await asyncio.sleep(0.1)
            tally.codes[reply.status_code] += 1
            reply.raise_for_status()
        await asyncio.sleep(max(0.0, tally.end - seconds / 3 - time.perf_counter()))
        tally.end = math.inf  # however long the new one takes to start
        cpu += server.cpu_seconds()
        server.process.send_signal(signal.SIGTERM)
        code = await asyncio.to_thread(server.process.wait)
        if code:
            tally.wrong.append(f"the server ended with {code}")
        resident.append([])
        lives.append(await asyncio.to_thread(Server, places, server.port, home, options.options))
        tally.end = time.perf_counter() + seconds / 3

    async def watched() -> None:
        while time.perf_counter() < tally.end:
            with suppress(OSError, IndexError):
                resident[len(lives) - 1].append(lives[-1].resident_mib())
            await asyncio.sleep(0.5)

    async with connected(server.port, options.clients) as http:
        tasks = [client(http, asked, tally, seed) for seed in range(options.clients)]
        await asyncio.gather(restarted(http), watched(), *tasks)
    cpu += lives[-1].cpu_seconds()
    lives[-1].process.send_signal(signal.SIGTERM)
    code = await asyncio.to_thread(lives[-1].process.wait)
    said = sum(life.answered() for life in lives)
    codes, rate, each = dict(tally.codes), tally.answered / (time.perf_counter() - began), 1000 * cpu / max(1, tally.answered)
    print(f"{options.clients} clients, {options.minutes:g} minutes: {tally.answered:,} answers, {tally.right:,} right")
    print(f"  {len(tally.wrong)} wrong; codes {codes}; versions {sorted(tally.versions)}")
    print(f"  nobody there {tally.unconnected} times, parted {tally.parted} times")
    print(f"  the servers say that they answered {said:,}; exit codes {[life.process.returncode for life in lives]}")
    print(f"  {percentiles(tally.latencies)}; {rate:.1f} requests/s, {each:.1f} CPU ms a request")
    for life, seen in enumerate(resident, 1):
        quarters = [f"{statistics.median(seen[n * len(seen) // 4 : (n + 1) * len(seen) // 4] or [0]):.0f}" for n in range(4)]
        print(f"  memory of server {life}, quarter by quarter: {', '.join(quarters)} MiB")
    for fault in tally.wrong[:5]:
        print(f"  wrong: {fault}")
    return not tally.wrong and said == tally.answered and code == 0 and tally.right > 0


def percentiles(latencies: Sequence[float]) -> str:
    """The middle, and the slow ones."""
    took = sorted(latencies) or [0.0]
    middle, late, last = (1000 * took[int(share * (len(took) - 1))] for share in (0.5, 0.95, 0.99))
    return f"p50 {middle:.0f} ms, p95 {late:.0f} ms, p99 {last:.0f} ms"


async def beside_slow_sockets(server: Server, asked: Sequence[Question], options: argparse.Namespace) -> bool:
    """Rounds without and with slow sockets, in turns; False where somebody went without a right answer."""
    sound, latencies = True, {0: list[float](), options.slow: list[float]()}
    for number in (0, options.slow) * options.rounds:
        words = [sys.executable, __file__, "--dawdle", str(server.port), str(number), str(options.seconds + 3)]
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as dawdlers:
            assert dawdlers.stdout is not None
            dawdlers.stdout.readline()  # all are connected
            tally = Tally(time.perf_counter() + options.seconds)
            async with connected(server.port, options.few) as http:
                await asyncio.gather(*(client(http, asked, tally, seed) for seed in range(options.few)))
            dawdlers.terminate()
        sound &= not tally.wrong and not tally.unconnected and not tally.parted and set(tally.codes) == {200}
        latencies[number] += tally.latencies
        for fault in tally.wrong[:5]:
            print(f"  wrong: {fault}")
    for number, took in latencies.items():
        print(f"{options.few} clients beside {number:,} slow sockets: {len(took):,} answers, {percentiles(took)}")
    return sound


async def dawdle(port: int, number: int, seconds: float) -> None:
    """Holds so many connections open that send a byte a second, half of them of headers and half of a body; those cut off come again."""
    end = time.perf_counter() + seconds
    head = b"POST /v1/embed HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"

    async def one(n: int) -> None:
        while time.perf_counter() < end:
            with suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(head + (b"Content-Length: 1000\r\n\r\n" if n % 2 else b"X-Slow: "))
                while time.perf_counter() < end:
                    writer.write(b" " if n % 2 else b"x")
                    await writer.drain()
                    await asyncio.sleep(1)

    tasks = [asyncio.create_task(one(n)) for n in range(number)]
    await asyncio.sleep(1)
    print("connected", flush=True)
    await asyncio.gather(*tasks)


def main() -> None:
    """Both phases."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="*", help="run folders, best a static one, an encoder, a classifier and a generator")
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--questions", type=int, default=60, help="different requests for each run")
    parser.add_argument("--slow", type=int, default=1000, help="slow sockets of the second phase")
    parser.add_argument("--few", type=int, default=8, help="clients of the second phase")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=15.0, help="of a round")
    parser.add_argument("--options", nargs=argparse.REMAINDER, default=[], help="what follows is for the server")
    parser.add_argument("--dawdle", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # offline answers tell of texts without a known word
    if options.dawdle:
        port, number, seconds = options.dawdle
        asyncio.run(dawdle(int(port), int(number), float(seconds)))
        return
    if not options.runs:
        sys.exit("no run to serve: name run folders")
    places = [f"{Path(place).name}={place}" for place in options.runs]
    asked = [one for place in options.runs for one in questions(Path(place).name, place, options.questions)]
    print(f"{len(asked)} questions: {dict(collections.Counter((one.body['model'], one.route) for one in asked))}")
    with tempfile.TemporaryDirectory() as home:
        server = Server(places, 0, Path(home), options.options)
        sound = asyncio.run(under_load(server, places, asked, options, Path(home)))
        if options.slow:
            server = Server(places, 0, Path(home), options.options)
            sound &= asyncio.run(beside_slow_sockets(server, asked, options))
            server.process.send_signal(signal.SIGTERM)
            sound &= server.process.wait() == 0
    print("all as it should be" if sound else "NOT as it should be")
    sys.exit(0 if sound else 1)


if __name__ == "__main__":
    main()
