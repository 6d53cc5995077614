"""The routes under /v1: the verbs of the command line, with its rows."""

from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter
from starlette.responses import Response, StreamingResponse

from stemma.errors import UsageError
from stemma.runs import answers
from stemma.runs.decoding import Decoding
from stemma.serving import bodies
from stemma.serving.asking import Answered, line_of
from stemma.serving.desk import Desk
from stemma.serving.models import Version
from stemma.serving.replies import FAULTS, STREAMED, Json, event, fault_of
from stemma.serving.writing import writing


def routes(desk: Desk) -> APIRouter:
    """All of them, answered at this desk."""
    router = APIRouter(prefix="/v1", responses=FAULTS)
    for group in (_of_texts, _of_words, _that_write, _that_show, _of_models):
        group(router, desk)
    return router


def _of_texts(router: APIRouter, desk: Desk) -> None:
    """What is read of a text as a whole."""

    @router.post("/predict", response_model=bodies.Answer)
    async def predict(body: bodies.Asking) -> Response:
        """The answer of a fine-tuned run to each input."""
        return _reply(*await desk.rows(body.model, "predict", body.listed, answers.predict, strict=body.strict))

    @router.post("/embed", response_model=bodies.Answer)
    async def embed(body: bodies.Embed) -> Response:
        """One vector an input, and with `tokens` one for each of its tokens."""

        def ask(run: Any, texts: list[str]) -> answers.Asked:
            return answers.embed(run, texts, body.layer, body.normalise, body.tokens)

        options = body.layer, body.normalise, body.tokens
        whole = body.layer != -1 or body.tokens
        return _reply(*await desk.rows(body.model, "embed", body.listed, ask, *options, strict=body.strict, whole=whole))

    @router.post("/score", response_model=bodies.Answer)
    async def score(body: bodies.Score) -> Response:
        """What each text costs: its probability, perplexity, bits a character."""

        def ask(run: Any, texts: list[str]) -> answers.Asked:
            return answers.score(run, texts, body.tokens)

        return _reply(*await desk.rows(body.model, "score", body.listed, ask, body.tokens, strict=body.strict))


def _of_words(router: APIRouter, desk: Desk) -> None:
    """What is known of tokens and words."""

    @router.post("/tokens", response_model=bodies.Answer)
    async def tokens(body: bodies.Asking) -> Response:
        """How each text is cut."""

        def ask(run: Any, texts: list[str]) -> answers.Asked:
            return answers.tokens(answers.tokenizer_of(run), texts)

        return _reply(*await desk.rows(body.model, "tokens", body.listed, ask, strict=body.strict))

    @router.post("/fill", response_model=bodies.Answer)
    async def fill(body: bodies.Fill) -> Response:
        """The likeliest tokens of each [MASK]."""

        def ask(run: Any, texts: list[str]) -> answers.Asked:
            return answers.fill(run, texts, body.k)

        return _reply(*await desk.rows(body.model, "fill", body.listed, ask, body.k, strict=body.strict))

    @router.post("/nearest", response_model=bodies.Answer)
    async def nearest(body: bodies.Nearest) -> Response:
        """The nearest words of each word or sum of words, or the odd one of each group."""

        def ask(run: Any, texts: list[str]) -> answers.Asked:
            return answers.outlier(run, texts) if body.outlier else answers.nearest(run, texts, body.k, body.restrict)

        return _reply(*await desk.rows(body.model, "nearest", body.listed, ask, body.k, body.restrict, body.outlier, strict=body.strict))


def _that_write(router: APIRouter, desk: Desk) -> None:
    """Texts that are written."""

    @router.post("/generate", response_model=bodies.Answer, responses=STREAMED)
    async def generate(body: bodies.Generate) -> Response:
        """Texts written on from each prompt, or its likeliest next tokens; with `stream` piece by piece."""
        if body.next:
            if body.stream or body.model_fields_set - {"model", "inputs", "strict", "next"}:
                raise UsageError("next with options of writing", "the likeliest next tokens alone, or a text", "drop next, or the options")
            return _reply(
                *await desk.rows(body.model, "generate", body.listed, lambda run, texts: answers.follow(run, texts, body.next), body.next)
            )
        options = decoding(body)
        desk.check_written(body.length, max(body.samples, body.beams))
        if body.stream:
            return await _streamed(desk, body, options)
        how = body.length, options, body.seed, body.samples

        def ask(run: Any, texts: list[str]) -> answers.Asked:
            return answers.generate(run, texts, *how)

        return _reply(*await desk.rows(body.model, "generate", body.listed, ask, *how, strict=body.strict))

    @router.post("/translate", response_model=bodies.Answer)
    async def translate(body: bodies.Translate) -> Response:
        """The target text of each source."""
        options = Decoding(temperature=1.0 if body.beams > 1 else 0.0, beams=body.beams, length_penalty=body.length_penalty)

        def ask(run: Any, texts: list[str]) -> answers.Asked:
            return answers.translate(run, texts, options, body.samples)

        return _reply(*await desk.rows(body.model, "translate", body.listed, ask, options, body.samples, strict=body.strict))


def _that_show(router: APIRouter, desk: Desk) -> None:
    """How a run reads and learns."""

    @router.post("/attend", response_model=bodies.Answer)
    async def attend(body: bodies.Attend) -> Response:
        """Where each head looks in a text or pair."""

        def ask(run: Any, texts: list[str]) -> answers.Asked:
            return answers.attend(run, texts, body.layer, body.head, desk.limits.weights)

        return _reply(*await desk.rows(body.model, "attend", body.listed, ask, body.layer, body.head, strict=body.strict))

    @router.post("/masks", response_model=bodies.Answer)
    async def masks(body: bodies.Masks) -> Response:
        """What the objective hides of a text, as it was hidden in pre-training."""

        def ask(run: Any, texts: list[str]) -> answers.Asked:
            return answers.masks(run, texts, body.seed)

        return _reply(*await desk.rows(body.model, "masks", body.listed, ask, body.seed, strict=body.strict))


def _of_models(router: APIRouter, desk: Desk) -> None:
    """What is served."""

    @router.get("/models", response_model=bodies.Listed)
    async def models() -> Response:
        """All models, and what each can do."""
        return Json({"object": "list", "data": [model.describe() for model in desk.models]})

    @router.get("/models/{name}", response_model=bodies.Described)
    async def model(name: str) -> Response:
        """One model."""
        return Json(desk.models.find(name).describe())

    @router.post("/models/{name}/reload", response_model=bodies.Described)
    async def reload(name: str) -> Response:
        """Loads the model's folder anew beside the version in use, and takes it; if it cannot be loaded all stays as it is."""
        found = desk.models.find(name)
        await found.reload()
        return Json(found.describe())

    @router.post("/models/{name}/rollback", response_model=bodies.Described)
    async def rollback(name: str) -> Response:
        """Takes the version before the one in use again."""
        found = desk.models.find(name)
        await found.roll_back()
        return Json(found.describe())


def decoding(body: bodies.Generate) -> Decoding:
    """How the body has texts written."""
    return Decoding(body.temperature, body.top_k, body.top_p, body.repetition_penalty, body.beams, body.length_penalty, tuple(body.stop))


def _reply(version: Version, found: Answered) -> Json:
    told = {"model": version.name, "version": version.number, "outputs": found.flat}
    return Json(told | {"usage": {"tokens": found.tokens}, "truncated": found.truncated})


async def _streamed(desk: Desk, body: bodies.Generate, options: Decoding) -> Response:
    """Server-sent events of the first text of `generate`; what is wrong with the request is told before the first of them."""
    if len(body.listed) != 1 or body.samples != 1:
        raise UsageError("stream with several prompts or samples", "one text to write", "send a request for each")
    version, tokens, pieces = await writing(desk, body.model, line_of(body.listed[0]), body.length, options, body.seed)

    async def events() -> AsyncIterator[bytes]:
        try:
            async for piece in pieces:
                yield event({"text": piece})
        except Exception as error:  # told where it can still be told: the status has gone out
            yield event(fault_of(error).told, "error")
            return
        yield event({"model": version.name, "version": version.number, "usage": {"tokens": tokens}}, "done")

    return StreamingResponse(events(), media_type="text/event-stream", headers={"Cache-Control": "no-store"})
