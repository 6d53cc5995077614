"""One process that serves: it listens, reloads on SIGHUP, and on SIGTERM finishes what it has taken on and leaves."""

import asyncio
import os
import resource
import signal
import socket
import time
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from stemma.errors import Interrupted, MissingExtra, StemmaError, UsageError
from stemma.serving.limits import Limits

if TYPE_CHECKING:
    from stemma.serving.choice import Wish
    from stemma.serving.models import Version

Say = Callable[[str], None]
BACKLOG = 1024  # connections that wait to be accepted
MOST_FILES = 1 << 16  # open at once, of which a connection is one
OWN_FILES = 64  # for what is no connection


def serve(
    places: Sequence[str], host: str, port: int, limits: Limits, wish: "Wish", keys: Sequence[str] = (), say: Say = print
) -> dict[str, Any]:
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

    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until there is something to reload
    warnings.simplefilter("ignore")  # they quote texts, and what they tell stands in the rows
    port = free_port(host, port)
    measured = Measured()
    desk = Desk(Models(places, limits, measured, wish), limits, measured)
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
                f"{host}:{port}: {error.strerror}", "an address of this machine and a free port", "choose another --port, or --host"
            ) from error
        found: int = probe.getsockname()[1]
        return found


def open_connections() -> int:
    """How many connections may be open at once: this process is allowed as many files as the system lets it have.

    Who only holds a connection open costs next to nothing, and must keep nobody out.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return max(1, most - OWN_FILES)


async def _served(app: Any, desk: Any, host: str, port: int, say: Say) -> dict[str, Any]:
    from granian.constants import HTTPModes, Interfaces
    from granian.http import HTTP1Settings
    from granian.server.embed import Server

    limits = desk.limits
    headers = HTTP1Settings(header_read_timeout=max(1, round(1000 * limits.header_seconds)))
    many: dict[str, Any] = {"backlog": BACKLOG, "backpressure": open_connections()}
    plain: dict[str, Any] = {"interface": Interfaces.ASGINL, "http": HTTPModes.http1, "websockets": False, "log_enabled": False}
    server = Server(app, host, port, **plain, **many, http1_settings=headers)
    loop, began = asyncio.get_running_loop(), time.perf_counter()
    tasks: set[asyncio.Task[None]] = set()

    def leave() -> None:
        if not desk.leaving:
            desk.leaving = True
            say("finishing what was taken on")
            server.stop()

    def interrupt() -> None:
        if desk.leaving:  # asked twice at the keyboard
            say("left at once: what was not answered is lost")
            os._exit(Interrupted.exit_code)
        leave()

    def reload() -> None:
        task = loop.create_task(_reloaded(desk, say))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    for number, call in ((signal.SIGTERM, leave), (signal.SIGINT, interrupt), (signal.SIGHUP, reload)):
        loop.add_signal_handler(number, call)
    names = ", ".join(f"{model.name} ({model.used.run.row.short})" for model in desk.models)
    say(f"serving {names} at http://{f'[{host}]' if ':' in host else host}:{port}")
    for model in desk.models:
        _tell_engines(model.used, say)
    warming = loop.create_task(_warmed(desk, began, say))
    await server.serve()
    warming.cancel()
    return {"seconds": round(time.perf_counter() - began, 3), "requests": app.answered}


async def _warmed(desk: Any, began: float, say: Say) -> None:
    for model in desk.models:
        await asyncio.get_running_loop().run_in_executor(None, model.warm)
    desk.warmed = True
    say(f"ready after {time.perf_counter() - began:.1f} s")


def _tell_engines(version: "Version", say: Say) -> None:
    for told in version.told:
        say(f"{version.name}: {told}")


async def _reloaded(desk: Any, say: Say) -> None:
    for model in desk.models:
        try:
            version = await model.reload()
            say(f"{model.name} has version {version.number}")
            _tell_engines(version, say)
        except StemmaError as error:
            say(f"{model.name} stays at version {model.used.number}: {error}")
