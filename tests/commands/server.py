"""Runs `stemma` commands, each in a process forked from one that has imported PyTorch and Numba already.

A command then starts in a tenth of the time; the rest is as ever: arguments, folder, environment, standard streams, exit code.
`python server.py SOCKET` serves until its standard input ends.
"""

import ctypes
import importlib
import json
import os
import pkgutil
import select
import signal
import socket
import sys
import traceback

import stemma
from stemma.cli.main import entry

STREAMS = 3
DIES_WITH_PARENT = 1  # PR_SET_PDEATHSIG


def serve(path: str) -> None:
    """Forks a command for each client: a line of JSON with its three streams beside it; its exit code goes back."""
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while server in select.select([server, sys.stdin], [], [])[0]:
        client, _ = server.accept()
        if os.fork() == 0:
            server.close()
            try:
                _command(client)
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(0)
        client.close()


def _command(client: socket.socket) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    ctypes.CDLL(None).prctl(DIES_WITH_PARENT, signal.SIGTERM)  # a command that was left running, a server say
    client.sendall(os.getpid().to_bytes(8, "little"))
    asked, files, _, _ = socket.recv_fds(client, 1 << 20, STREAMS)
    command = json.loads(asked)
    for place, file in enumerate(files):
        os.dup2(file, place)
        os.close(file)
    streams = [open(place, mode, buffering=1, closefd=False) for place, mode in enumerate("rww")]  # noqa: SIM115
    sys.stdin, sys.stdout, sys.stderr = sys.__stdin__, sys.__stdout__, sys.__stderr__ = streams
    os.chdir(command["folder"])
    os.environ.clear()
    os.environ.update(command["environment"])
    sys.argv = ["stemma", *command["arguments"]]
    try:
        entry()
    except SystemExit as left:
        sys.stdout.flush()
        sys.stderr.flush()
        client.sendall(bytes([left.code]) if isinstance(left.code, int) else b"\1")


def _import_all() -> None:
    for module in pkgutil.walk_packages(stemma.__path__, "stemma."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)


if __name__ == "__main__":
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # ended commands leave nothing behind
    _import_all()
    serve(sys.argv[1])
