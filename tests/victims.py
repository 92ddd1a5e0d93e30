"""Finding the processes of a running suite, so that fault tests can harm them."""

import os
from pathlib import Path

import httpx

from suite import Suite

#: what a client sees of a gateway that dies: never an answer, so nothing was promised
CONNECTION_LOST = (httpx.ConnectError, httpx.ReadError, httpx.RemoteProtocolError, httpx.WriteError)

#: what runs a process, where it is not the package of its name
_MODULES = {"pull": "intertie_ingest.pull"}


def find_process(suite: Suite, service: str) -> int:
    """Find the process id of a service of this suite; LookupError when it does not run."""
    owned = f"INTERTIE_DATA_DIR={suite.data}".encode()
    module = _MODULES.get(service, f"intertie_{service}").encode()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            command = (entry / "cmdline").read_bytes().split(b"\0")
            environment = (entry / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if module in command and owned in environment:
            return int(entry.name)
    raise LookupError(f"no {service} runs in {suite.data}")
