"""One process that serves: it listens, reloads on SIGHUP, and on SIGTERM finishes what it has taken on and leaves."""

import asyncio
import signal
import socket
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from stemma.errors import MissingExtra, StemmaError, UsageError
from stemma.serving.limits import Limits

Say = Callable[[str], None]


def serve(places: Sequence[str], host: str, port: int, limits: Limits, keys: Sequence[str] = (), say: Say = print) -> dict[str, Any]:
    """Serves the runs until it is told to stop, and says how it goes; gives back what it did.

    UsageError, NoRunError or the like before it listens.
    """
    try:
        import granian  # noqa: F401
        import prometheus_client  # noqa: F401

        from stemma.serving.app import application
    except ImportError as error:
        raise MissingExtra(error.name or "fastapi", "serve") from error
    from stemma.serving.desk import Desk
    from stemma.serving.measured import Measured
    from stemma.serving.models import Models

    warnings.simplefilter("ignore")  # they quote texts, and what they tell stands in the rows
    port = free_port(host, port)
    measured = Measured()
    desk = Desk(Models(places, limits, measured), limits, measured)
    return asyncio.run(_served(application(desk, keys, say), desk, host, port, say))


def free_port(host: str, port: int) -> int:
    """The port, or for 0 one that is free; UsageError where somebody listens there already."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise UsageError(
                f"{host}:{port}: {error.strerror}", "an address of this machine and a free port", "choose another --port"
            ) from error
        found: int = probe.getsockname()[1]
        return found


async def _served(app: Any, desk: Any, host: str, port: int, say: Say) -> dict[str, Any]:
    from granian.constants import HTTPModes, Interfaces
    from granian.http import HTTP1Settings
    from granian.server.embed import Server

    limits = desk.limits
    headers = HTTP1Settings(header_read_timeout=max(1, round(1000 * limits.header_seconds)))
    server = Server(
        app, host, port, interface=Interfaces.ASGINL, http=HTTPModes.http1, websockets=False, log_enabled=False, http1_settings=headers
    )
    loop, began = asyncio.get_running_loop(), time.perf_counter()
    tasks: set[asyncio.Task[None]] = set()

    def leave() -> None:
        if not desk.leaving:
            desk.leaving = True
            say("finishing what was taken on")
            server.stop()

    def reload() -> None:
        task = loop.create_task(_reloaded(desk, say))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    for number, call in ((signal.SIGTERM, leave), (signal.SIGINT, leave), (signal.SIGHUP, reload)):
        loop.add_signal_handler(number, call)
    names = ", ".join(f"{model.name} ({model.used.run.row.short})" for model in desk.models)
    say(f"serving {names} at http://{f'[{host}]' if ':' in host else host}:{port}")
    warming = loop.create_task(_warmed(desk, began, say))
    await server.serve()
    warming.cancel()
    return {"seconds": round(time.perf_counter() - began, 3), "requests": app.answered}


async def _warmed(desk: Any, began: float, say: Say) -> None:
    for model in desk.models:
        await asyncio.get_running_loop().run_in_executor(None, model.warm)
    desk.warmed = True
    say(f"ready after {time.perf_counter() - began:.1f} s")


async def _reloaded(desk: Any, say: Say) -> None:
    for model in desk.models:
        try:
            version = await model.reload()
            say(f"{model.name} has version {version.number}")
        except StemmaError as error:
            say(f"{model.name} stays at version {model.used.number}: {error}")
