"""What docker-compose.yml says is run without its engine: processes with its settings, and its checks of health.

The containers' names and ports become ports of the loopback, their volumes and secrets folders of the test; all else is
as it is in the file.
"""

import asyncio
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import httpx
import pytest

import dockerfile
import processes
from compose_file import PROCESSES, services
from source_tree import ROOT, SERVICES
from waiting import eventually

FINAL = dockerfile.stages()[-1]


class Stack:
    """The processes of the file, each started as its container would start it."""

    def __init__(self, directory: Path, database_url: str) -> None:
        self.directory = directory
        shutil.copy(ROOT / "deploy" / "secrets.sh", directory)
        subprocess.run([directory / "secrets.sh"], check=True, capture_output=True)
        user, _, server = database_url.partition("://")[2].partition("@")
        name, _, password = user.partition(":")
        (directory / "secrets" / "database_password").write_text(f"{password}\n")
        self._database = f"mysql://{name}@{server}"
        self.ports = {name: processes.free_port() for name in (*SERVICES, "pull", "gateway")}
        self.metrics = {name: processes.free_port() for name in self.ports}
        self._running: list[subprocess.Popen[bytes]] = []

    def environment(self, name: str) -> dict[str, str]:
        """Give what the container of the service has in its environment."""
        image = services()[name]["build"]["args"]["SERVICE"]
        given: dict[str, str] = {**FINAL.environment(image), **services()[name]["environment"]}
        del given["PATH"]
        return {variable: self._placed(variable, value) for variable, value in given.items()}

    def run(self, name: str, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the place of the service's container, to its end."""
        binaries = Path(sys.executable).parent
        environment = {**self.environment(name), "PATH": f"{binaries}:/usr/bin:/bin"}
        return subprocess.run(words, capture_output=True, text=True, timeout=90, env=environment, cwd=self.directory)

    def start(self, name: str) -> None:
        """Start the service as its ENTRYPOINT does."""
        path = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}
        command = FINAL.words("ENTRYPOINT")
        self._running.append(
            processes.start(command, log=self.log(name), env={**self.environment(name), **path}, cwd=self.directory)
        )

    def log(self, name: str) -> Path:
        """The file of what the service says."""
        return self.directory / f"{name}.log"

    def stop(self) -> list[int]:
        """End all; give their exit codes."""
        for process in self._running:
            process.terminate()
        return [processes.stop(process) for process in self._running]

    def _placed(self, variable: str, value: str) -> str:
        if variable == "INTERTIE_DATABASE_URL":
            return self._database
        value = re.sub(r"^/(run/)?(secrets|data)(?=/|$)", rf"{self.directory}/\2", value)
        process = variable.removeprefix("INTERTIE_").partition("_")[0].lower()
        if variable.endswith("_METRICS_LISTEN"):
            return f"127.0.0.1:{self.metrics[process]}"
        if variable.endswith(("_LISTEN", "_ADDRESS")):
            return f"127.0.0.1:{self.ports[process]}"
        return value


@pytest.fixture
def stack(tmp_path: Path, mariadb_url: str) -> Iterator[Stack]:
    """The file's processes on a database of the test's own, none started."""
    stack = Stack(tmp_path, mariadb_url)
    yield stack
    stack.stop()


async def test_all_become_healthy_whatever_the_order(stack: Stack) -> None:
    """Those that others wait for start last, and the tables are made after all; each check of health is the image's."""
    order = ("gateway", "mapper", "pull", "ingest", "audit", "registry")
    assert set(order) == set(PROCESSES)
    for name in order:
        stack.start(name)

    def healthy(name: str) -> bool:
        return stack.run(name, *FINAL.words("HEALTHCHECK")).returncode == 0

    await eventually(lambda: stack.run("registry", *FINAL.words("HEALTHCHECK")).stderr != "", timeout=30)
    assert not healthy("ingest")
    migrated = stack.run("migrate", *services()["migrate"]["entrypoint"])
    assert migrated.returncode == 0, migrated.stderr
    for name in order:
        try:
            await eventually(partial(healthy, name), timeout=60, every=0.2)
        except AssertionError:
            pytest.fail(stack.log(name).read_text(), pytrace=False)
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"http://127.0.0.1:{stack.ports['gateway']}/readyz")
        assert answer.json()["status"] == "ready"
        for name, port in stack.metrics.items():
            page = await client.get(f"http://127.0.0.1:{port}/metrics")
            assert "process_cpu_seconds_total" in page.text, name
    sealing_key = (stack.directory / "secrets" / "sealing_keys").read_text()
    status = stack.run("registry", "intertie", "secrets", "status")
    assert sealing_key.partition(":")[0] in status.stdout + status.stderr
    assert not (stack.directory / "data" / "keys" / "secrets.keys").exists()
    assert stack.stop() == [0] * len(order)


async def test_a_secret_that_is_missing_is_named(stack: Stack) -> None:
    (stack.directory / "secrets" / "database_password").unlink()
    failed = stack.run("migrate", *services()["migrate"]["entrypoint"])
    assert failed.returncode == 1
    assert "INTERTIE_DATABASE_PASSWORD_FILE" in failed.stderr
    assert "No such file" in failed.stderr


@pytest.mark.parametrize("name", ["prometheus", "grafana"])
async def test_checks_of_others_tell_ready_from_not(name: str, free_port: int) -> None:
    """By HTTP status: these programs are not here, so a server that answers as they do is asked."""
    if shutil.which("wget") is None:
        pytest.skip("without wget")
    command = services()[name]["healthcheck"]["test"][1:]
    command = [re.sub(r"(127\.0\.0\.1):\d+", rf"\1:{free_port}", word) for word in command]
    path = command[-1].partition(str(free_port))[2].encode()

    async def answers(status: bytes) -> int:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            asked = await reader.readuntil(b"\r\n\r\n")
            found = status if asked.startswith(b"GET " + path + b" ") else b"404 Not Found"
            writer.write(b"HTTP/1.1 " + found + b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            await writer.drain()
            writer.close()

        async with await asyncio.start_server(answer, "127.0.0.1", free_port):
            # One try: by default wget asks again for a minute what is answered 503.
            process = await asyncio.create_subprocess_exec(command[0], "--tries=1", *command[1:])
            return await process.wait()

    assert await answers(b"200 OK") == 0
    assert await answers(b"503 Service Unavailable") != 0


async def test_envoys_check_tells_ready_from_gone(tmp_path: Path, free_port: int) -> None:
    """The command of the file against the real program, on another port."""
    command = [word.replace("/9901", f"/{free_port}") for word in services()["envoy"]["healthcheck"]["test"][1:]]

    async def check() -> int:
        process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.DEVNULL)
        return await process.wait()

    assert await check() != 0
    configuration = tmp_path / "envoy.yaml"
    address = {"socket_address": {"address": "127.0.0.1", "port_value": free_port}}
    configuration.write_text(json.dumps({"admin": {"address": address}}))
    envoy = Path(sys.executable).with_name("envoy")
    process = processes.start([str(envoy), "-c", str(configuration), "--disable-hot-restart"], log=tmp_path / "log")
    try:

        async def is_ready() -> bool:
            return await check() == 0

        await eventually(is_ready, timeout=30)
    finally:
        processes.stop(process)
