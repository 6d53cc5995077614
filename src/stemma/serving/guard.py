"""What stands before every route: who may ask, how much, how long; and what is counted of it."""

import asyncio
import hashlib
import hmac
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from stemma.serving.limits import Limits
from stemma.serving.measured import Measured
from stemma.serving.replies import Refusal, fault

OPEN = frozenset({"/health", "/ready", "/", "/docs", "/openapi.json"})  # to all, key or none: nothing of a model is told there
PAGE = "/playground/"  # what the page at / is made of: to all as well
METRICS = "/metrics"  # answered however many requests there are, as is what is open to all
GONE = 499  # what a request counts as whose client left
ARRIVING = 64  # of the largest bodies may be on their way at once
MOST_DIGITS = 18  # of a length
DRAINED = 32 << 20  # bytes of a refused body

Scope = dict[str, Any]


class Guard:
    """An ASGI application round another one."""

    def __init__(self, app: Any, limits: Limits, measured: Measured, keys: Sequence[str], say: Callable[[str], None]) -> None:
        self._app, self._limits, self._measured, self._say = app, limits, measured, say
        self._keys = [_digest(key.encode()) for key in keys]
        self._inside = 0  # requests that are being answered
        self._arriving = 0  # bytes of bodies that are not whole yet
        self.answered = 0  # requests so far, refused ones too

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Answers one request, or hands it on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, code, inside = time.perf_counter(), GONE, False
        counts = not _is_open(scope["path"]) and scope["path"] != METRICS

        async def sending(message: Any) -> None:
            nonlocal code
            if message["type"] == "http.response.start":
                code = message["status"]
            await send(message)

        try:
            body = await self._read(scope, receive, counts)
            if isinstance(body, Refusal):
                await body.on(scope["path"])(scope, receive, sending)
            else:
                inside = counts
                self._enter(inside)
                await self._answered(scope, body, receive, sending)
        finally:
            self._enter(-inside)
            self.answered += 1
            route = scope["route"].path if "route" in scope else "other"
            self._measured.requests.labels(route, str(code)).inc()
            self._measured.seconds.labels(route).observe(time.perf_counter() - began)

    def _refusal(self, scope: Scope, counts: bool) -> Refusal | None:
        """Why the request is not even read; None where it is."""
        headers = dict(scope["headers"])
        if self._keys and not _is_open(scope["path"]) and not self._is_known(headers):
            wrong = "the API key is missing or wrong. Expected: the header `Authorization: Bearer KEY`. Ask who runs this server for one."
            return fault(401, wrong, {"WWW-Authenticate": "Bearer", "Connection": "close"})
        origin = headers.get(b"origin", b"")
        if origin and origin.partition(b"://")[2] != headers.get(b"host"):
            wrong = "a page of another site asks. Expected: this server's own pages, or programs. Put both behind one address."
            return fault(403, wrong, {"Connection": "close"})
        if counts and self._inside >= self._limits.queue:
            return self._full()
        length = headers.get(b"content-length", b"0").lstrip(b"0") or b"0"
        is_short = length.isdigit() and len(length) <= MOST_DIGITS
        return None if is_short and int(length) <= self._limits.body_bytes else self._too_large()

    def _is_known(self, headers: dict[bytes, bytes]) -> bool:
        """Compares with every key, in a time that tells nothing of them."""
        scheme, _, bearer = headers.get(b"authorization", b"").partition(b" ")
        given = _digest(bearer.strip() if scheme.lower() == b"bearer" else headers.get(b"x-api-key", b""))
        return any([hmac.compare_digest(given, key) for key in self._keys])  # noqa: C419  (all of them, always)

    def _too_large(self) -> Refusal:
        wrong = f"the body is too large. Expected: {self._limits.body_bytes:,} bytes at most. Send several requests."
        return fault(413, wrong, {"Connection": "close"})

    def _full(self) -> Refusal:
        wrong = f"{self._limits.queue:,} requests are in the house. Expected: fewer. Come again in a second."
        return fault(429, wrong, {"Retry-After": "1", "Connection": "close"})

    def _enter(self, number: int) -> None:
        self._inside += number
        self._measured.inside.set(self._inside)

    async def _read(self, scope: Scope, receive: Any, counts: bool) -> bytes | Refusal:
        """The body, or why it is not taken on.

        Only who has brought all of it takes a place in the house, so that slow bodies keep nobody out.
        """
        body: bytes | Refusal | None = self._refusal(scope, counts)
        more = body is not None
        try:
            if body is None:
                async with asyncio.timeout(self._limits.body_seconds):
                    body, more = await self._body(receive)
        except TimeoutError:
            wrong = f"the body did not arrive. Expected: all of it within {self._limits.body_seconds:g} s. Send it at once."
            return fault(408, wrong, {"Connection": "close"})
        if more:
            await self._drain(scope, receive)
        return self._full() if isinstance(body, bytes) and counts and self._inside >= self._limits.queue else body

    async def _drain(self, scope: Scope, receive: Any) -> None:
        """Takes in the rest of a refused body and forgets it: most clients hear nothing before they have sent all.

        Not more than anybody should send, nor what waits for leave to be sent.
        """
        if any(name == b"expect" for name, _ in scope["headers"]):
            return
        size, more = 0, True
        with suppress(TimeoutError):
            async with asyncio.timeout(self._limits.body_seconds):
                while more and size < DRAINED:
                    message = await receive()
                    size += len(message.get("body", b""))
                    more = message.get("more_body", False)

    async def _answered(self, scope: Scope, body: bytes, receive: Any, send: Any) -> None:
        """Has the application answer, and ends that when the client leaves."""
        left, told = asyncio.Event(), False

        async def replayed() -> dict[str, Any]:
            nonlocal told
            if told:
                await left.wait()
                return {"type": "http.disconnect"}
            told = True
            return {"type": "http.request", "body": body, "more_body": False}

        answering = asyncio.ensure_future(self._app(scope, replayed, send))
        watching = asyncio.ensure_future(receive())  # which gives nothing more until the client leaves
        try:
            await asyncio.wait({answering, watching}, return_when=asyncio.FIRST_COMPLETED)
            if not answering.done():
                left.set()
                answering.cancel()
            await answering
        except asyncio.CancelledError:
            if not left.is_set():
                answering.cancel()
                raise
        except Exception as error:  # the application has told the client, if it still could; here it is told where, and of no text
            frame = traceback.extract_tb(error.__traceback__)[-1]
            self._say(f"a mistake of Stemma's: {type(error).__name__} at {frame.filename}, line {frame.lineno}; please report it")
        finally:
            watching.cancel()

    async def _body(self, receive: Any) -> tuple[bytes | Refusal, bool]:
        """All of the body, or why no more of it is read; True where there may be more."""
        parts, size = [], 0
        try:
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    wrong = "the body broke off. Expected: as much of it as its headers say. Send all of it, and then wait."
                    return fault(400, wrong, {"Connection": "close"}), False
                parts.append(message.get("body", b""))
                size += len(parts[-1])
                self._arriving += len(parts[-1])
                more = bool(message.get("more_body"))
                if size > self._limits.body_bytes:
                    return self._too_large(), more
                if self._arriving > ARRIVING * self._limits.body_bytes:
                    return self._full(), more
                if not more:
                    return b"".join(parts), False
        finally:
            self._arriving -= size


def _is_open(path: str) -> bool:
    return path in OPEN or path.startswith(PAGE)


def _digest(key: bytes) -> bytes:
    """What keys are compared by: all are of one length."""
    return hashlib.sha256(key).digest()
