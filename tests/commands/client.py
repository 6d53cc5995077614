"""`stemma` for the shell of a test: has `server.py` run the command with these arguments, folder, environment and streams."""

import json
import os
import signal
import socket
import sys

server = socket.socket(socket.AF_UNIX)
server.connect(sys.argv[1])
command = {"arguments": sys.argv[2:], "folder": os.environ["PWD"], "environment": dict(os.environ)}
socket.send_fds(server, [json.dumps(command).encode()], [0, 1, 2])
child = int.from_bytes(server.recv(8), "little")
signal.signal(signal.SIGTERM, lambda number, frame: os.kill(child, number))  # what is meant for the command
code = server.recv(1)
sys.exit(code[0] if code else "the command ended without an exit code")
