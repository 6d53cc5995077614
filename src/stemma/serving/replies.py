"""Replies: rows as JSON, and errors in the one form that they have."""

from typing import Any

from starlette.responses import Response

from stemma.errors import BudgetError, DataError, StemmaError, UsageError
from stemma.runs.json_text import dumps
from stemma.serving.limits import NoSuchModel, Overloaded, TooLarge

STATUSES: tuple[tuple[type[StemmaError], int, str], ...] = (  # the first that an error is of
    (NoSuchModel, 404, "not_found"),
    (TooLarge, 413, "too_large"),
    (Overloaded, 429, "overloaded"),
    (UsageError, 422, "validation"),
    (DataError, 422, "validation"),
    (BudgetError, 503, "unhealthy"),
    (StemmaError, 500, "backend"),
)
BY_CODE = {
    400: "validation", 401: "unauthorized", 404: "not_found", 405: "method_not_allowed", 408: "timeout", 413: "too_large",
    422: "validation", 429: "overloaded", 500: "backend", 503: "unhealthy", 504: "timeout",
}  # fmt: skip
MISTAKE = "this should not happen: it is Stemma's mistake, not yours. Please report it."


class Json(Response):
    """A value as JSON."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """UTF-8; what is no character, half a surrogate pair say, stays escaped as it came."""
        text = dumps(content)
        try:
            return text.encode()
        except UnicodeEncodeError:
            return "".join(char if char < "\ud800" or char > "\udfff" else f"\\u{ord(char):04x}" for char in text).encode()


def fault(code: int, text: str, headers: dict[str, str] | None = None) -> Json:
    """The reply of this code."""
    return Json({"error": text, "error_type": BY_CODE.get(code, "backend")}, code, headers)


def fault_of(error: BaseException) -> Json:
    """The reply to an error; of our own mistakes the kind is told and nothing that a text may stand in."""
    for kind, code, name in STATUSES:
        if isinstance(error, kind):
            headers = {"Retry-After": "1"} if code in (429, 503) else None
            return Json({"error": str(error), "error_type": name}, code, headers)
    if isinstance(error, TimeoutError):
        return fault(504, "not answered in time. Expected: an answer before the deadline. Send less, or come again.")
    return fault(500, f"{type(error).__name__}: {MISTAKE}")
