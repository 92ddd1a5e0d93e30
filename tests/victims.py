"""Finding the processes of a running suite, so that fault tests can harm them."""

import os
from collections.abc import Iterator
from pathlib import Path

import httpx

from suite import Suite

#: what a client sees of a gateway that dies: never an answer, so nothing was promised
CONNECTION_LOST = (httpx.ConnectError, httpx.ReadError, httpx.RemoteProtocolError, httpx.WriteError)

#: what runs a process, where it is not the package of its name
_MODULES = {"pull": "intertie_ingest.pull"}


def find_process(suite: Suite, service: str) -> int:
    """Find the process id of a service of this suite; LookupError when it does not run."""
    module = _MODULES.get(service, f"intertie_{service}").encode()
    # Where it listens tells it from a second one that a test has started beside it.
    name = f"INTERTIE_{service.upper()}_LISTEN"
    listens = f"{name}={suite.env[name]}".encode()
    for pid, command, environment in _processes(suite):
        if module in command and listens in environment:
            return pid
    raise LookupError(f"no {service} runs in {suite.data}")


def all_processes(suite: Suite) -> list[int]:
    """Find the process ids of all that runs of this suite, its supervisor too."""
    return [pid for pid, _, _ in _processes(suite)]


def _processes(suite: Suite) -> Iterator[tuple[int, list[bytes], list[bytes]]]:
    """Each process of the suite, with its command line and its environment."""
    owned = f"INTERTIE_DATA_DIR={suite.data}".encode()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            command = (entry / "cmdline").read_bytes().split(b"\0")
            environment = (entry / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if owned in environment:
            yield int(entry.name), command, environment
