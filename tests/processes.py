"""Child processes that never outlive the test run, however it ends."""

import ctypes
import itertools
import os
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

PR_SET_PDEATHSIG = 1

# `start` forks (preexec_fn wants it), and the test process may have gRPC's threads. gRPC's own fork handlers then close
# descriptors in the child before it becomes another program, and some children die of it. They never use our channels.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")


def _die_with_parent() -> None:
    """Ask Linux to kill this process when the one that started it is gone; elsewhere only the fixtures stop it."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def start(
    command: Sequence[str], *, log: Path, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> subprocess.Popen[bytes]:
    """Start ``command`` with its output in the file ``log``.

    ``env`` is added to this process's environment without its INTERTIE_ variables: what whoever runs the tests has set
    for an installation of theirs must not reach a test's.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("INTERTIE_")}
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**inherited, **(env or {})},
            cwd=cwd,
            preexec_fn=_die_with_parent,
        )


def open_shell(folder: Path, env: Mapping[str, str], programs: Path) -> "subprocess.Popen[str]":
    """Start a shell in ``folder`` that reads commands from its standard input and ends at the first that fails.

    ``programs`` comes first on its path, this interpreter's folder second.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("INTERTIE_")}
    path = os.pathsep.join([str(programs), str(Path(sys.executable).parent), os.environ["PATH"]])
    shell = subprocess.Popen(
        ["bash", "--noprofile", "--norc"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**inherited, "PATH": path, **env},
        cwd=folder,
        preexec_fn=_die_with_parent,
    )
    assert shell.stdin is not None
    shell.stdin.write("set -eu -o pipefail\n")
    return shell


def stop(process: subprocess.Popen[bytes], *, grace: float = 20) -> int:
    """Ask the process to end, kill it after ``grace`` seconds, and return its exit status."""
    process.terminate()
    try:
        return process.wait(grace)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def free_port() -> int:
    """Find a TCP port of the loopback that nothing listens on.

    Below the ports that systems give to outgoing connections, and from a range of this test process's own: else what is
    free now may be taken by another process of the same run before it is used.
    """
    for _ in range(_PORTS_A_PROCESS):
        port = next(_ports)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError("no port of the loopback is free")


# Of twelve thousand ports each process of one run has a twelfth; a run by itself has all, and begins anywhere, so that
# two runs on one machine seldom meet.
_PORTS_A_PROCESS = 1000 if "PYTEST_XDIST_WORKER" in os.environ else 12_000
_first_port = 20_000 + _PORTS_A_PROCESS * (int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 12)
_ports = itertools.cycle(
    _first_port + (offset + _start) % _PORTS_A_PROCESS
    for _start in [secrets.randbelow(_PORTS_A_PROCESS)]
    for offset in range(_PORTS_A_PROCESS)
)
