"""The routes that OpenAI's clients ask: /v1/embeddings and /v1/completions."""

import base64
import time
from collections.abc import AsyncIterator, Hashable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter
from pydantic import Field
from starlette.responses import Response, StreamingResponse

from stemma.bounds import MOST_SEED
from stemma.errors import UsageError
from stemma.runs import answers
from stemma.runs.decoding import Decoding, Wanted, always
from stemma.serving import bodies
from stemma.serving.desk import Desk
from stemma.serving.replies import OPENAI_FAULTS, STREAMED, Json, event, fault_of
from stemma.serving.writing import writing

Strings = str | list[str]


class Embeddings(bodies.Foreign):
    """What is asked of /v1/embeddings; what OpenAI's has besides must not be set."""

    model: str | None = None
    input: Strings
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: None = Field(None, description="all of them, always")


class Completions(bodies.Foreign):
    """What is asked of /v1/completions."""

    model: str | None = None
    prompt: Strings = ""
    max_tokens: Annotated[int, Field(ge=0)] = 16
    temperature: Annotated[float, Field(ge=0, le=2, strict=False)] = 1.0
    top_p: Annotated[float, Field(gt=0, le=1, strict=False)] = 1.0
    n: Annotated[int, Field(ge=1, le=64)] = 1
    stream: bool = False
    stop: str | list[str] | None = None
    seed: Annotated[int, Field(ge=0, le=MOST_SEED)] = 0
    echo: bool = False
    logprobs: None = None
    suffix: None = None


class Listed(bodies.BaseModel):
    """An answer of either route."""

    object: str
    model: str
    usage: dict[str, int]
    data: list[dict[str, Any]] | None = None
    choices: list[dict[str, Any]] | None = None


@dataclass(frozen=True)
class Completing(answers.Writing):
    """Texts written on, with how many tokens were added."""

    def rows(self, wanted: Wanted = always) -> list[answers.Row]:
        """What was added, how much, and why no more."""
        return [
            {"added": one.text[len(prompt) :], "tokens": len(one.ids), "ended": "length" if len(one.ids) >= self.length else "stop"}
            for prompt, samples in zip(self.prompts, self.written(wanted), strict=True)
            for one in samples
        ]


def routes(desk: Desk) -> APIRouter:
    """Both, answered at this desk."""
    router = APIRouter(prefix="/v1", responses=OPENAI_FAULTS)

    @router.post("/embeddings", response_model=Listed, response_model_exclude_none=True)
    async def embeddings(body: Embeddings) -> Response:
        """One vector an input, as OpenAI's route of this name gives them."""
        inputs = [body.input] if isinstance(body.input, str) else body.input
        version, found = await desk.rows(body.model, "embed", inputs, answers.embed, -1, False, strict=True)
        vectors: list[Any] = [row["vector"] for row in found.flat]
        if body.encoding_format == "base64":
            vectors = [base64.b64encode(np.asarray(vector, "<f4").tobytes()).decode() for vector in vectors]
        data = [{"object": "embedding", "index": place, "embedding": vector} for place, vector in enumerate(vectors)]
        usage = {"prompt_tokens": found.tokens, "total_tokens": found.tokens}
        return Json({"object": "list", "data": data, "model": version.name, "usage": usage})

    @router.post("/completions", response_model=Listed, responses=STREAMED, response_model_exclude_none=True)
    async def completions(body: Completions) -> Response:
        """Texts written on from each prompt, as OpenAI's route of this name gives them."""
        prompts = [body.prompt] if isinstance(body.prompt, str) else body.prompt
        stop = (body.stop,) if isinstance(body.stop, str) else tuple(body.stop or ())
        options = Decoding(temperature=body.temperature, top_p=body.top_p, stop=stop)
        desk.check_written(body.max_tokens, body.n)
        if body.stream:
            return await _streamed(desk, body, prompts, options)

        def ask(run: Any, texts: list[str]) -> answers.Asked:
            asked = answers.generate(run, texts, body.max_tokens, options, body.seed, body.n)
            return Completing(run, asked.prompts, asked.tokens, body.max_tokens, options, body.seed, body.n)

        how: tuple[Hashable, ...] = ("completions", body.max_tokens, options, body.seed, body.n)
        version, found = await desk.rows(body.model, "generate", prompts, ask, *how, strict=True)
        begun = [prompt if body.echo else "" for prompt in prompts for _ in range(body.n)]
        choices = [
            {"index": place, "text": prompt + row["added"], "finish_reason": row["ended"], "logprobs": None}
            for place, (prompt, row) in enumerate(zip(begun, found.flat, strict=True))
        ]
        new = sum(row["tokens"] for row in found.flat)
        usage = {"prompt_tokens": found.tokens, "completion_tokens": new, "total_tokens": found.tokens + new}
        return Json(_head(version.name) | {"choices": choices, "usage": usage})

    return router


def _head(model: str) -> dict[str, Any]:
    return {"id": f"cmpl-{time.time_ns():x}", "object": "text_completion", "created": int(time.time()), "model": model}


async def _streamed(desk: Desk, body: Completions, prompts: list[str], options: Decoding) -> Response:
    """Events with the pieces of one text, and `[DONE]`."""
    if len(prompts) != 1 or body.n != 1 or body.echo:
        raise UsageError("stream with several prompts, n or echo", "one text to write", "send a request for each")
    version, _, pieces = await writing(desk, body.model, prompts[0], body.max_tokens, options, body.seed)
    head = _head(version.name)

    async def events() -> AsyncIterator[bytes]:
        try:
            async for piece in pieces:
                yield event(head | {"choices": [{"index": 0, "text": piece, "finish_reason": None, "logprobs": None}]})
        except Exception as error:  # told where it can still be told, as OpenAI's clients read it
            yield event(fault_of(error).on("/v1/completions").told)
            return
        yield b"data: [DONE]\n\n"

    return StreamingResponse(events(), media_type="text/event-stream", headers={"Cache-Control": "no-store"})
