"""What docker-compose.yml says is run without its engine: processes with its settings, and its checks of health."""

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

import processes
from compose_file import PROCESSES, services
from deployed import FINAL, Deployed, without_password
from source_tree import ROOT
from waiting import eventually


@pytest.fixture
def stack(tmp_path: Path, mariadb_url: str) -> Iterator[Deployed]:
    """The file's processes on a database of the test's own, none started."""
    shutil.copy(ROOT / "deploy" / "secrets.sh", tmp_path)
    subprocess.run([tmp_path / "secrets.sh"], check=True, capture_output=True)
    url, password = without_password(mariadb_url)
    (tmp_path / "secrets" / "database_password").write_text(f"{password}\n")
    ours = {name: service for name, service in services().items() if "build" in service}
    environments = {name: service["environment"] for name, service in ours.items()}
    stack = Deployed(
        tmp_path, environments, {name: service["build"]["args"]["SERVICE"] for name, service in ours.items()}, url
    )
    yield stack
    stack.stop()


async def test_all_become_healthy_whatever_the_order(stack: Deployed) -> None:
    """Those that others wait for start last, and the tables are made after all; each check of health is the image's."""
    order = ("gateway", "mapper", "pull", "ingest", "audit", "registry")
    assert set(order) == set(PROCESSES)
    for name in order:
        stack.start(name)
    await eventually(lambda: stack.run("registry", *FINAL.words("HEALTHCHECK")).stderr != "", timeout=30)
    assert not stack.is_healthy("ingest")
    migrated = stack.run("migrate", *services()["migrate"]["entrypoint"])
    assert migrated.returncode == 0, migrated.stderr
    for name in order:
        try:
            await eventually(partial(stack.is_healthy, name), timeout=60, every=0.2)
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


async def test_a_secret_that_is_missing_is_named(stack: Deployed) -> None:
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
