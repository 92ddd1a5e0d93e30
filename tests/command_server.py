"""The `intertie` command without its half second of imports, for pages that are full of it.

`python command_server.py SOCKET` imports the command once and then forks for each call. The shim is the program that
stands in for `intertie`: it hands over its arguments, environment, folder and files, and ends as the command ends.
"""

import json
import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

SHIM = """\
#!{python} -IS
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as server:
    server.connect({address!r})
    call = json.dumps([sys.argv, dict(os.environ), os.getcwd()]).encode()
    socket.send_fds(server, [len(call).to_bytes(4, "big")], [0, 1, 2])
    server.sendall(call)
    status = server.recv(1)
sys.exit(status[0] if status else 70)
"""


def write_shim(program: Path, address: Path) -> None:
    """Write the program that calls the server at ``address``."""
    program.write_text(SHIM.format(python=sys.executable, address=str(address)))
    program.chmod(0o755)


def serve(address: str) -> None:
    """Answer calls until the process is ended."""
    from intertie_cli.app import main

    listening = socket.socket(socket.AF_UNIX)
    listening.bind(address)
    listening.listen(16)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        caller, _ = listening.accept()
        # One process waits for the command and one is the command, so that two may run at once, as in a pipe.
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            command = os.fork()
            if command == 0:
                _run(caller, main)
            _, status = os.waitpid(command, 0)
            caller.sendall(bytes([os.waitstatus_to_exitcode(status) & 0xFF]))
            os._exit(0)
        caller.close()


def _run(caller: socket.socket, main: Callable[[], None]) -> None:
    length, files, _, _ = socket.recv_fds(caller, 4, 3)
    call = b""
    while len(call) < int.from_bytes(length, "big"):
        call += caller.recv(1 << 16)
    arguments, environment, folder = json.loads(call)
    for number, file in enumerate(files):
        os.dup2(file, number)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = arguments
    status = 1
    try:
        main()
        status = 0
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    serve(sys.argv[1])
