"""The routes of text-embeddings-inference (/embed, /predict, /rerank, /similarity, /tokenize, /info), and bert-as-service's /encode.

They name no model in their bodies: where several could answer, `?model=` says which. Special tokens are never among the tokens.
"""

from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from stemma.config import VERSION
from stemma.errors import UsageError
from stemma.runs import answers
from stemma.runs.run import unit
from stemma.serving import bodies
from stemma.serving.asking import Input
from stemma.serving.choice import PLAIN
from stemma.serving.desk import Desk
from stemma.serving.engines import tier_of
from stemma.serving.models import Version
from stemma.serving.replies import FAULTS, Json

Named = Annotated[str | None, Query(description="a name that GET /v1/models lists; none: the only one that can")]
Strings = str | list[str]
DTYPES = {"exact": "float32", "close": "bfloat16", "int8": "int8"}  # by an engine's tier


class Embed(bodies.Foreign):
    """Texts to vectors."""

    inputs: Strings
    normalize: bool = True
    truncate: bool = Field(True, description="false: an input whose end would not be read is an error")


class Predict(bodies.Foreign):
    """One input, as a text or a list of its parts, or a list of such lists."""

    inputs: str | list[str] | list[list[str]]
    raw_scores: bool = False
    truncate: bool = True


class Rerank(bodies.Foreign):
    """Texts to be put into the order of their fitness for a query."""

    query: str
    texts: Annotated[list[str], Field(min_length=1)]
    raw_scores: bool = False
    return_text: bool = False
    truncate: bool = True


class Pairs(bodies.Foreign):
    """A sentence, and those that it is compared with."""

    source_sentence: str
    sentences: Annotated[list[str], Field(min_length=1)]


class Similarity(bodies.Foreign):
    """Cosines of one sentence with others."""

    inputs: Pairs


class Tokenize(bodies.Foreign):
    """Texts to tokens."""

    inputs: Strings
    add_special_tokens: bool = False


class Encode(bodies.Foreign):
    """Texts to vectors, as bert-as-service and clip-as-service take them."""

    id: int | str = 0
    texts: Annotated[list[str | list[str]], Field(min_length=1)]
    is_tokenized: bool = False


def routes(desk: Desk) -> APIRouter:
    """All of them, answered at this desk."""
    router = APIRouter(responses=FAULTS)

    async def vectors(name: str | None, inputs: list[Input], normalise: bool, truncate: bool = True) -> list[list[float]]:
        """One an input."""

        def ask(run: Any, texts: list[str]) -> answers.Asked:
            return answers.embed(run, texts, -1, normalise)

        _, found = await desk.rows(name, "embed", inputs, ask, -1, normalise, strict=True)
        _check_cut(found.truncated, truncate)
        return [row["vector"] for row in found.flat]

    @router.post("/embed", response_model=list[list[float]])
    async def embed(body: Embed, model: Named = None) -> Response:
        """One vector a text."""
        return Json(await vectors(model, _listed(body.inputs), body.normalize, body.truncate))

    @router.post("/predict", response_model=list[dict[str, Any]] | list[list[dict[str, Any]]])
    async def predict(body: Predict, model: Named = None) -> Response:
        """The labels of an input by their probability, the likeliest first; of several inputs a list of such lists."""
        if body.raw_scores:
            raise UsageError("raw_scores", "probabilities", "leave raw_scores out")
        several = isinstance(body.inputs, list) and bool(body.inputs) and isinstance(body.inputs[0], list)
        inputs: Any = body.inputs if several else [body.inputs]
        version, found = await desk.rows(model, "predict", inputs, answers.predict, strict=True)
        _check_cut(found.truncated, body.truncate)
        scores = [_scores(version, row) for row in found.flat]
        return Json(scores if several else scores[0])

    @router.post("/rerank", response_model=list[dict[str, Any]])
    async def rerank(body: Rerank, model: Named = None) -> Response:
        """The texts, the fittest first: by a run that learnt numbers for pairs, or else by the cosine of vectors."""
        if name := _judge(desk, model):
            pairs = [[body.query, text] for text in body.texts]
            _, found = await desk.rows(name, "predict", pairs, answers.predict, strict=True)
            _check_cut(found.truncated, body.truncate)
            scores = [row["number"] for row in found.flat]
        else:
            first, *others = await vectors(model, [body.query, *body.texts], True, body.truncate)
            scores = _cosines(first, others)
        order = sorted(range(len(scores)), key=lambda place: -scores[place])
        text = (lambda place: {"text": body.texts[place]}) if body.return_text else (lambda place: {})
        return Json([{"index": place, "score": scores[place], **text(place)} for place in order])

    @router.post("/similarity", response_model=list[float])
    async def similarity(body: Similarity, model: Named = None) -> Response:
        """The cosine of the source sentence with each of the others."""
        first, *others = await vectors(model, [body.inputs.source_sentence, *body.inputs.sentences], True)
        return Json(_cosines(first, others))

    @router.post("/tokenize", response_model=list[list[dict[str, Any]]])
    async def tokenize(body: Tokenize, model: Named = None) -> Response:
        """The tokens of each text, with their places in it."""
        if body.add_special_tokens:
            raise UsageError("add_special_tokens", "the tokens of the text alone", "leave it out")

        def ask(run: Any, texts: list[str]) -> answers.Asked:
            return answers.tokens(answers.tokenizer_of(run), texts)

        _, found = await desk.rows(model, "tokens", _listed(body.inputs), ask, strict=True)
        return Json([[_token(*one) for one in zip(row["ids"], row["tokens"], row["spans"], strict=True)] for row in found.flat])

    @router.get("/info", response_model=dict[str, Any])
    async def info(model: Named = None) -> Response:
        """The model, and the limits."""
        names = [found.name for found in desk.models]
        if model is None and len(names) > 1:
            raise UsageError("no model is named", f"one of {', '.join(names)}", "name it: /info?model=…")
        told, limits = desk.models.find(model or names[0]).describe(), desk.limits
        return Json(
            {
                "model_id": told["id"],
                "model_sha": None,
                "model_dtype": DTYPES[tier_of(told["engines"].get("predict" if told["task"] else "embed", PLAIN))],
                "model_type": {"generation": told["generation"], "task": told["task"]},
                "max_concurrent_requests": limits.queue,
                "max_input_length": min(limits.tokens, told["max_length"] or limits.tokens),
                "max_batch_tokens": limits.batch_tokens,
                "max_client_batch_size": limits.inputs,
                "auto_truncate": True,
                "tokenization_workers": 1,
                "version": VERSION,
            }
        )

    @router.post("/encode", response_model=dict[str, Any])
    async def encode(body: Encode, model: Named = None) -> Response:
        """One vector a text; with `is_tokenized` texts are lists of tokens, which spaces join."""
        tokenized = [isinstance(text, list) for text in body.texts]
        if any(tokenized) != body.is_tokenized or len(set(tokenized)) > 1:
            raise UsageError("texts that do not fit is_tokenized", "texts, or with is_tokenized lists of tokens", "set is_tokenized so")
        texts: list[Input] = [text if isinstance(text, str) else " ".join(text) for text in body.texts]
        return Json({"id": body.id, "result": await vectors(model, texts, False), "status": 200})

    return router


def _listed(inputs: Strings) -> list[Input]:
    return [inputs] if isinstance(inputs, str) else list(inputs)


def _check_cut(truncated: list[bool], truncate: bool) -> None:
    if any(truncated) and not truncate:
        raise UsageError("the end of an input would not be read", "an input that fits", "shorten it, or let it be cut with truncate")


def _scores(version: Version, row: answers.Row) -> list[dict[str, Any]]:
    """The labels of one row."""
    if "probabilities" not in row or isinstance(row["probabilities"], list):
        task = version.description["task"]
        raise UsageError(f"{version.name} has learnt the task {task}", "a run that gives labels to texts", "ask /v1/predict")
    by_share = sorted(row["probabilities"].items(), key=lambda pair: -pair[1])
    return [{"label": label, "score": share} for label, share in by_share]


def _judge(desk: Desk, name: str | None) -> str | None:
    """The model that gives a number to a pair: the one named if it does, the only one that does if none is; None where vectors must do."""
    named = [model for model in desk.models if name in (None, model.name)]
    judges = [model.name for model in named if model.used.description["task"] == "regress" and len(model.used.description["parts"]) == 2]
    return judges[0] if len(judges) == 1 else None


def _cosines(first: list[float], others: list[list[float]]) -> list[float]:
    found: list[float] = (unit(np.asarray(others, np.float64)) @ unit(np.asarray([first], np.float64))[0]).tolist()
    return found


def _token(index: int, text: str, span: tuple[int, int]) -> dict[str, Any]:
    return {"id": index, "text": text, "special": False, "start": span[0], "stop": span[1]}
