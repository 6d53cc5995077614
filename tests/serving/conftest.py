"""Tiny runs of every generation and some that learnt a task; the application round them, and a client that needs no socket."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import httpx
import pytest

import stemma
from stemma.lineage.table import TABLE
from stemma.serving.app import application
from stemma.serving.choice import Wish
from stemma.serving.desk import Desk
from stemma.serving.limits import Limits
from stemma.serving.measured import Measured
from stemma.serving.models import Models

ENGLISH = [
    "the old sailor told the young sailor a story",
    "a story of the sea is a story of rain",
    "the cat of the old sailor sat in the rain",
]
CHINESE = ["老水手给年轻的水手讲了一个故事", "大海的故事就是雨的故事", "老水手的猫坐在雨里"]
PAIRS = "a red house\tein rotes Haus\na blue house\tein blaues Haus\nthe dog sleeps\tder Hund schläft\n红房子\tein rotes Haus\n"
TOPICS = [("sea", text) for text in ENGLISH] + [("雨", text) for text in CHINESE]
FAST = ["transfer.updates=2", "transfer.budget=1", "transfer.seeds=[1]", "transfer.precision=fp32"]
SPECIAL = {"tinybert": ["model.depth=1", "model.masked_loss=1", "objective.mask_share=0.15"]}


def pretrained(name: str, home: Path) -> Path:
    """A run of the generation, made if it is not there."""
    row, out = next(row for row in TABLE if row.name == name), home / name
    if out.exists():
        return out
    small = {"wordpiece": "tokenizer.vocab_size=160", "unigram": "tokenizer.vocab_size=160", "bpe": "tokenizer.vocab_size=300"}
    settings = [] if row.teacher else [small.get(row.tokenizer, "tokenizer.min_count=1")]
    settings += [] if row.learns == "count" else ["training.steps=12", "training.batch_tokens=128", "training.threads=1"]
    settings += ["training.precision=fp32"] if row.updates == "backprop" else []
    settings += SPECIAL.get(name, [])
    corpus, pairs = home / "both.txt", home / "pairs.tsv"
    if not corpus.exists():
        corpus.write_text("\n\n".join("\n".join(ENGLISH + CHINESE) for _ in range(12)), encoding="utf-8")
        pairs.write_text(PAIRS * 12, encoding="utf-8")
    if row.teacher:
        stemma.distill(pretrained(row.teacher, home), corpus, out=out, preset="tiny", settings=settings)
    elif "translate" in row.abilities:
        stemma.pretrain(name, pairs, out=out, preset="tiny", settings=[*settings, "corpus.format=pairs", "training.held_out=0"])
    else:
        stemma.pretrain(name, corpus, out=out, preset="tiny", settings=settings)
    return out


def fitted(name: str, home: Path) -> Path:
    """A run that has learnt a task: "bert-topics" is `bert`, fine-tuned to tell topics."""
    base, _, task = name.partition("-")
    out = home / name
    if out.exists():
        return out
    rows: Any = {
        "topics": TOPICS * 4,
        "frozen": TOPICS * 4,
        "pairs": [(label, text, other) for label, text in TOPICS for _, other in TOPICS],
        "numbers": [(str(len(text)), text, other) for _, text in TOPICS for _, other in TOPICS[:3]],
    }.get(task)
    kind = {"topics": "classify", "frozen": "classify", "pairs": "pair", "numbers": "regress", "tags": "tag", "answers": "span"}[task]
    if task == "tags":
        rows = home / "tags.txt"
        rows.write_text("The\tDET\nsea\tNOUN\nsleeps\tVERB\n\n老\tADJ\n水\tNOUN\n手\tNOUN\n\n" * 8, encoding="utf-8")
    if task == "answers":
        rows = home / "questions.json"
        rows.write_text(QUESTIONS, encoding="utf-8")
    frozen = task in ("frozen", "tags", "answers")
    settings = [] if base == "ngram" else ["transfer.precision=fp32"] if frozen else FAST
    stemma.finetune(pretrained(base, home), task=kind, train=rows, frozen=frozen, out=out, settings=settings)
    return out


QUESTIONS = (
    '{"data": [{"paragraphs": [{"context": "The sailor told a story. The sea is old.", "qas": ['
    '{"id": "1", "question": "What is old?", "answers": [{"text": "The sea", "answer_start": 25}]},'
    '{"id": "2", "question": "Who told?", "answers": [{"text": "The sailor", "answer_start": 0}]}]},'
    '{"context": "老水手讲故事。大海很老。", "qas": ['
    '{"id": "3", "question": "谁讲故事?", "answers": [{"text": "老水手", "answer_start": 0}]}]}]}]}'
)


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the runs stand, each made when it is first asked for."""
    return tmp_path_factory.mktemp("served")


@contextlib.asynccontextmanager
async def served(
    places: list[str], keys: tuple[str, ...] = (), said: list[str] | None = None, engine: str = "torch", **limits: Any
) -> AsyncIterator[Any]:
    """A client of an application that serves the runs; `client.desk` is its desk."""
    bounds, measured = Limits(**limits), Measured()
    desk = Desk(Models(places, bounds, measured, Wish(engine)), bounds, measured, warmed=True)
    say = print if said is None else said.append
    transport = httpx.ASGITransport(application(desk, keys, say))
    async with httpx.AsyncClient(transport=transport, base_url="http://stemma") as client:
        client.desk = desk  # type: ignore[attr-defined]
        yield client


def run_async(call: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """What the coroutine gives, under a deadline."""
    return asyncio.run(asyncio.wait_for(call(), 120))


async def ask(client: Any, route: str, code: int = 200, **body: Any) -> Any:
    """The JSON of a POST, whose status must be `code`."""
    reply = await client.post(route, json=body)
    assert reply.status_code == code, reply.text
    return reply.json()


def texts(count: int) -> list[str]:
    """Texts of many lengths in both languages, with the odd ones that people send."""
    words = [*" ".join(ENGLISH).split(), *CHINESE]
    many = [" ".join(words[(n * 7 + i) % len(words)] for i in range(1 + (n * 5) % 13)) for n in range(count)]
    return ["", "sea", "🙂", "雨", *many][:count]
