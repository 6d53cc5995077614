"""Who may ask, how much and how long: every limit is on, says what it is, and lets the next request through."""

import asyncio
import time
from collections import Counter

import pytest
from tests.serving.conftest import ask, fitted, pretrained, run_async, served

from stemma.errors import UsageError
from stemma.serving.limits import Limits
from stemma.serving.measured import Measured
from stemma.serving.models import Models, named

JSON = {"Content-Type": "application/json"}


def test_what_is_too_large_is_refused_and_the_next_request_answered(home):
    async def tried():
        async with served([str(pretrained("word2vec", home))], body_bytes=2000, inputs=3, tokens=20) as client:
            for code, kind, inputs in (
                (413, "too_large", ["sea " * 600]),
                (413, "too_large", ["sea"] * 4),
                (422, "validation", ["sea " * 30]),
            ):
                fault = await ask(client, "/v1/embed", code, inputs=inputs)
                assert fault["error_type"] == kind
                assert "at most" in fault["error"]
            chunked = await client.post("/v1/embed", content=_slices(b'{"inputs": "' + b"sea " * 900 + b'"}'))
            assert chunked.status_code == 413
            assert (await ask(client, "/v1/embed", inputs=["sea", "sea " * 30]))["outputs"][1]["error"]["expected"] == "20 at most."
            assert len((await ask(client, "/v1/embed", inputs=["sea"] * 3))["outputs"]) == 3

    run_async(tried)


async def _slices(data):
    for first in range(0, len(data), 100):
        yield data[first : first + 100]


def test_slow_bodies_keep_nobody_out(home):
    """Only who has brought all of a request takes a place; what has come of the others is bounded too."""

    async def tried():
        async with served([str(pretrained("word2vec", home))], queue=2, body_bytes=1000, body_seconds=5) as client:
            held = asyncio.Event()

            async def dawdling():
                yield b'{"inputs": "sea'
                yield b" " * 900
                await held.wait()
                yield b'"}'

            few = [asyncio.create_task(client.post("/v1/embed", content=dawdling(), headers=JSON)) for _ in range(8)]
            await asyncio.sleep(0.1)
            assert not any(task.done() for task in few)
            assert (await ask(client, "/v1/embed", inputs="sea"))["outputs"]
            held.set()
            assert {reply.status_code for reply in await asyncio.gather(*few)} <= {200, 429}
            held.clear()
        async with served([str(pretrained("word2vec", home))], queue=100, body_bytes=1000, body_seconds=5) as client:
            many = [asyncio.create_task(client.post("/v1/embed", content=dawdling(), headers=JSON)) for _ in range(80)]
            await asyncio.sleep(0.1)
            held.set()
            codes = Counter(reply.status_code for reply in await asyncio.gather(*many))
            assert codes == {200: 64_000 // 915, 429: 80 - 64_000 // 915}

    run_async(tried)


def test_too_much_to_write_is_refused(home):
    async def tried():
        async with served([str(pretrained("ngram", home))], written=40) as client:
            for body in ({"length": 41}, {"length": 10, "samples": 5}, {"length": 10, "beams": 5, "stream": True}):
                assert "40 at most" in (await ask(client, "/v1/generate", 422, **body))["error"]
            assert (await ask(client, "/v1/completions", 422, max_tokens=41))["error"]["type"] == "validation"
            assert (await ask(client, "/v1/generate", length=40))["outputs"]

    run_async(tried)


def test_too_many_requests_are_told_to_come_again_and_then_answered(home):
    async def tried():
        async with served([str(pretrained("bert", home))], queue=4, wait_ms=50) as client:
            replies = await asyncio.gather(*(client.post("/v1/embed", json={"inputs": f"the sea {n}"}) for n in range(12)))
            codes = sorted(reply.status_code for reply in replies)
            assert set(codes) == {200, 429} and codes.count(200) == 4
            refused = next(reply for reply in replies if reply.status_code == 429)
            assert refused.headers["retry-after"] == "1" and refused.json()["error_type"] == "overloaded"
            again = await asyncio.gather(*(client.post("/v1/embed", json={"inputs": "the sea"}) for _ in range(4)))
            assert [reply.status_code for reply in again] == [200] * 4
            assert (await client.get("/health")).status_code == 200

    run_async(tried)


def test_what_is_not_answered_in_time_is_given_up(home):
    async def tried():
        async with served([str(pretrained("gpt", home))], answer_seconds=0.05, written=100_000) as client:
            fault = await ask(client, "/v1/generate", 504, length=20_000, temperature=1.5)
            assert fault["error_type"] == "timeout"

    run_async(tried)


@pytest.mark.parametrize("header", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic first"}, {"X-API-Key": "firs"}])
def test_without_a_right_key_nothing_is_told(home, header):
    async def tried():
        async with served([str(pretrained("word2vec", home))], keys=("first", "zweiter 词")) as client:
            for method, route in (("POST", "/v1/embed"), ("GET", "/v1/models"), ("GET", "/metrics"), ("GET", "/nowhere")):
                reply = await client.request(method, route, headers=header)
                assert (reply.status_code, reply.json()["error_type"]) == (401, "unauthorized")
                assert reply.headers["www-authenticate"] == "Bearer"
            assert [(await client.get(route, headers=header)).status_code for route in ("/health", "/ready", "/docs")] == [200] * 3
            for right in ({"Authorization": "Bearer first"}, {"X-API-Key": "first"}, {"Authorization": "bearer zweiter 词".encode()}):
                assert (await client.get("/v1/models", headers=right)).status_code == 200

    run_async(tried)


def test_a_page_of_another_site_is_refused(home):
    async def tried():
        async with served([str(pretrained("word2vec", home))]) as client:
            codes = [
                (await client.post("/v1/models/word2vec/rollback", headers={"Origin": origin})).status_code
                for origin in ("http://elsewhere.example", "null", "http://stemma")
            ]
            assert codes == [403, 403, 422]  # the last is asked, and has no version before

    run_async(tried)


def test_every_fault_has_the_one_form(home):
    async def tried():
        said: list[str] = []
        async with served([str(pretrained("bert", home)), str(fitted("bert-topics", home))], said=said) as client:
            odd = [
                ("/v1/nowhere", 404, {}), ("/v1/embed", 404, {"model": "none", "inputs": "a"}), ("/v1/embed", 422, {"inputs": "a"}),
                ("/v1/predict", 422, {"model": "bert", "inputs": "a"}), ("/v1/embed", 422, {"inputs": 3}), ("/v1/embed", 422, {}),
                ("/v1/embed", 422, {"model": "bert", "input": "a"}), ("/v1/embed", 422, {"model": "bert", "inputs": "a", "layer": 99}),
                ("/v1/embed", 422, {"model": "bert-topics", "inputs": "a", "layer": 1}),
                ("/v1/attend", 422, {"model": "bert", "inputs": "a", "layer": 99}), ("/v1/predict", 422, {"inputs": [["a", "b"]]}),
            ]  # fmt: skip
            for route, code, body in odd:
                fault = await ask(client, route, code, **body)
                assert fault.keys() == {"error", "error_type"}, (route, body)
            assert "did you mean 'inputs'?" in (await ask(client, "/v1/embed", 422, model="bert", input="a"))["error"]
            assert (await client.get("/v1/embed")).json()["error_type"] == "method_not_allowed"
            for content in (b"{", b"\xff\xfe", b"[" * 100_000, b"nul"):
                reply = await client.post("/v1/embed", content=content, headers={"Content-Type": "application/json"})
                assert reply.status_code in (400, 422) and reply.json().keys() == {"error", "error_type"}
            for content in (b"", b"null", b"[]", b'"a"'):
                reply = await client.post("/v1/embed", content=content, headers=JSON)
                assert reply.status_code == 422 and "not one JSON object" in reply.json()["error"]
            for kind in ("text/plain", "application/x-www-form-urlencoded", "", "application/jsonp"):
                reply = await client.post("/v1/embed", content=b'{"inputs": "a"}', headers={"Content-Type": kind})
                assert reply.status_code == 415 and "Content-Type: application/json" in reply.json()["error"]
            for route, key in (("embed", "layer"), ("fill", "k"), ("predict", "strict")):
                for number in ("NaN", "1e400", "9" * 400, "-" + "9" * 400, "1" * 5000, "null"):
                    body = f'{{"model": "bert", "inputs": "the [MASK]", "{key}": {number}}}'
                    reply = await client.post(f"/v1/{route}", content=body, headers={"Content-Type": "application/json"})
                    assert reply.status_code in (400, 422), (route, key, number, reply.text)
            reply = await client.post("/v1/embed", content=b"{}", headers={"Content-Length": "9" * 5000})
            assert reply.status_code == 413
            assert (await client.head("/health")).status_code == (await client.head("/ready")).status_code == 200
            client.desk.models.find("bert").used.run.network.encode = None  # a mistake of our own
            fault = await ask(client, "/v1/embed", 500, model="bert", inputs="a secret")
            assert fault["error_type"] == "backend" and "secret" not in fault["error"]
        assert len(said) == 1 and "TypeError" in said[0] and "secret" not in said[0]

    run_async(tried)


def test_nothing_to_answer_is_an_answer(home):
    async def tried():
        async with served([str(pretrained(name, home)) for name in ("word2vec", "bert")]) as client:
            for model in ("word2vec", "bert"):
                assert (await ask(client, "/v1/embed", model=model, inputs=[]))["outputs"] == []
                half = f'{{"model": "{model}", "inputs": "a \\ud800 sea"}}'
                for route in ("tokens", "embed"):
                    reply = await client.post(f"/v1/{route}", content=half, headers=JSON)
                    assert reply.status_code == 200 and reply.json()["usage"]["tokens"]

    run_async(tried)


def test_a_client_that_leaves_is_not_worked_for(home):
    """Its work is dropped where it still waits, and a text that is being written for it ends."""

    async def tried():
        async with served([str(pretrained("gpt", home))], written=10**6) as client:
            long = asyncio.create_task(client.post("/v1/generate", json={"length": 3000, "temperature": 1.5, "stop": ["zzz"]}))
            await asyncio.sleep(0.2)
            waiting = [asyncio.create_task(client.post("/v1/generate", json={"inputs": f"sea {n}"})) for n in range(5)]
            await asyncio.sleep(0.2)
            for task in waiting:
                task.cancel()
            lane = client.desk.models.find("gpt").used.lanes.writing
            await asyncio.gather(*waiting, return_exceptions=True)
            long.cancel()
            began = time.perf_counter()
            assert (await ask(client, "/v1/generate", inputs="the sea", length=1))["outputs"]
            assert len(lane._waiting) == 0 and time.perf_counter() - began < 60

    run_async(tried)


@pytest.mark.parametrize("bad", [{"queue": 0}, {"wait_ms": -1}, {"answer_seconds": 0}, {"body_bytes": 0}])
def test_a_limit_out_of_range_is_refused(bad):
    with pytest.raises(UsageError, match=next(iter(bad))):
        Limits(**bad)


def test_names():
    assert named("films=runs/bert-films")[0] == "films"
    assert named("runs/bert/")[0] == "bert"
    assert named("/a/b=c/bert")[0] == "bert"
    with pytest.raises(UsageError, match="name=RUN"):
        named("films=")
    for place in ("runs/\udcff", "a\nb=runs/bert"):  # a folder's name that is not UTF-8 could not be written into an answer
        with pytest.raises(UsageError, match="write other="):
            Models([place], Limits(), Measured())
