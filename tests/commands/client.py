"""`stemma` for the shell of a test: has `server.py` run the command with these arguments, folder, environment and streams."""

import json
import os
import socket
import sys

server = socket.socket(socket.AF_UNIX)
server.connect(sys.argv[1])
command = {"arguments": sys.argv[2:], "folder": os.environ["PWD"], "environment": dict(os.environ)}
socket.send_fds(server, [json.dumps(command).encode()], [0, 1, 2])
code = server.recv(1)
sys.exit(code[0] if code else "the command ended without an exit code")
