"""Text that is sent while it is written."""

import asyncio
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from stemma.runs import answers
from stemma.runs.decoding import Decoding
from stemma.runs.run import Run
from stemma.serving.asking import check_tokens
from stemma.serving.desk import Desk
from stemma.serving.models import Version


async def writing(
    desk: Desk, name: str | None, prompt: str, length: int, options: Decoding, seed: int
) -> tuple[Version, int, AsyncIterator[str]]:
    """The version that writes, the prompt's tokens, and what comes after the prompt, piece by piece.

    What is wrong with the request is raised here and now, with the first piece; later the deadline may end the pieces with a TimeoutError.
    """
    version = desk.models.able(name, "generate")
    run: Any = version.run_for("generate")
    deadline = asyncio.get_running_loop().time() + desk.limits.answer_seconds
    async with asyncio.timeout_at(deadline):
        asked = await version.lanes.tokenising.alone(lambda: answers.generate(run, [prompt], length, options, seed))
        check_tokens(asked, desk.limits)
        pieces = _written(version.lanes.streaming, run, prompt, length, options, seed)
        first = await anext(pieces, "")

    async def all_of_them() -> AsyncIterator[str]:
        async with asyncio.timeout_at(deadline):
            if first:
                yield first
            async for piece in pieces:
                yield piece

    return version, sum(asked.tokens), all_of_them()


async def _written(threads: ThreadPoolExecutor, run: Run, prompt: str, length: int, options: Decoding, seed: int) -> AsyncIterator[str]:
    """The pieces, from a thread that writes them; whoever stops asking stops the writing."""
    loop, queue, left = asyncio.get_running_loop(), asyncio.Queue[str | BaseException | None](), threading.Event()

    def write() -> None:
        end: BaseException | None = None
        if left.is_set():  # before a thread was free
            return
        try:
            for piece in run.stream(prompt, length=length, options=options, seed=seed):
                if left.is_set():
                    return
                loop.call_soon_threadsafe(queue.put_nowait, piece)
        except Exception as error:  # handed to the one who asks
            end = error
        loop.call_soon_threadsafe(queue.put_nowait, end)

    threads.submit(write)
    try:
        while (piece := await queue.get()) is not None:
            if isinstance(piece, BaseException):
                raise piece
            yield piece
    finally:
        left.set()
