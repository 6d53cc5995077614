"""Replies: rows as JSON, and errors in the one form that they have."""

from typing import Any

from starlette.responses import Response

from stemma.errors import BudgetError, DataError, StemmaError, UsageError
from stemma.runs.json_text import dumps
from stemma.serving.bodies import Fault, OpenaiFault
from stemma.serving.limits import NoSuchModel, Overloaded, TooLarge

STATUSES: tuple[tuple[type[StemmaError], int], ...] = (  # the first that an error is of
    (NoSuchModel, 404),
    (TooLarge, 413),
    (Overloaded, 429),
    (UsageError, 422),
    (DataError, 422),
    (BudgetError, 503),
    (StemmaError, 500),
)
BY_CODE = {
    400: "validation", 401: "unauthorized", 403: "forbidden", 404: "not_found", 405: "method_not_allowed", 408: "timeout", 413: "too_large",
    415: "validation", 422: "validation", 429: "overloaded", 500: "backend", 503: "unhealthy", 504: "timeout",
}  # fmt: skip
FAULTS: dict[int | str, dict[str, Any]] = {code: {"model": Fault} for code in BY_CODE}  # for the OpenAPI document
STREAMED: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/event-stream": {}}}
}  # events, which no schema of a whole answer describes
OPENAI_FAULTS: dict[int | str, dict[str, Any]] = {code: {"model": OpenaiFault} for code in BY_CODE}
OPENAI = frozenset({"/v1/embeddings", "/v1/completions", "/v1/chat/completions"})  # the last is no route here, and is told to be none
MISTAKE = "this should not happen: it is Stemma's mistake, not yours. Please report it."


class Json(Response):
    """A value as JSON."""

    media_type = "application/json"

    def __init__(self, told: Any, status_code: int = 200, headers: dict[str, str] | None = None) -> None:
        self.told = told
        super().__init__(told, status_code, headers)

    def render(self, content: Any) -> bytes:
        """Its bytes."""
        return encoded(content)


def encoded(value: Any) -> bytes:
    """The value as JSON in UTF-8; what is no character, half a surrogate pair say, stays escaped as it came."""
    text = dumps(value)
    try:
        return text.encode()
    except UnicodeEncodeError:
        return "".join(char if char < "\ud800" or char > "\udfff" else f"\\u{ord(char):04x}" for char in text).encode()


def event(value: Any, name: str = "") -> bytes:
    """The value as one server-sent event."""
    return (f"event: {name}\n".encode() if name else b"") + b"data: " + encoded(value) + b"\n\n"


class Refusal(Json):
    """An error, in the one form that they have."""

    def __init__(self, code: int, text: str, headers: dict[str, str] | None = None) -> None:
        self._parts = code, text, headers
        super().__init__({"error": text, "error_type": BY_CODE.get(code, "backend")}, code, headers)

    def on(self, path: str) -> Json:
        """The same as the clients of this route read it: OpenAI's show the words of an error in their own form alone."""
        code, text, headers = self._parts
        return Json(openai_fault(code, text), code, headers) if path in OPENAI else self


def openai_fault(code: int, text: str) -> dict[str, Any]:
    """An error as OpenAI's routes tell it."""
    return {"error": {"message": text, "type": BY_CODE.get(code, "backend"), "param": None, "code": None}}


def fault(code: int, text: str, headers: dict[str, str] | None = None) -> Refusal:
    """The reply of this code."""
    return Refusal(code, text, headers)


def fault_of(error: BaseException) -> Refusal:
    """The reply to an error; of our own mistakes the kind is told and nothing that a text may stand in."""
    for kind, code in STATUSES:
        if isinstance(error, kind):
            return fault(code, str(error), {"Retry-After": "1"} if code in (429, 503) else None)
    if isinstance(error, TimeoutError):
        return fault(504, "not answered in time. Expected: an answer before the deadline. Send less, or come again.")
    return fault(500, f"{type(error).__name__}: {MISTAKE}")
