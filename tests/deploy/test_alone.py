"""Each process installs and starts on its own: with contracts, chassis and what it declares, and no other service."""

import json
import subprocess
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import grpc
import httpx
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

import environments
import image_tree
import processes
from source_tree import DISTRIBUTIONS, SERVICES
from waiting import eventually

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
Probe = Callable[[int], Awaitable[bool]]


def health_says(*wanted: int) -> Probe:
    """Ask a gRPC server for its health, without a token."""

    async def probe(port: int) -> bool:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            try:
                answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=2)
            except grpc.aio.AioRpcError:
                return False
            return answer.status in wanted

    return probe


async def http_answers(port: int) -> bool:
    """Ask the gateway for its health, without a token."""
    async with httpx.AsyncClient() as client:
        try:
            return (await client.get(f"http://127.0.0.1:{port}/healthz")).status_code == httpx.codes.OK
        except httpx.TransportError:
            return False


#: registry and audit need nobody; the others say that they are not ready, and keep looking for those whom they need
ALONE: dict[str, Probe] = {
    "registry": health_says(SERVING),
    "ingest": health_says(SERVING, NOT_SERVING),
    "mapper": health_says(SERVING, NOT_SERVING),
    "audit": health_says(SERVING),
    "gateway": http_answers,
    "pull": health_says(SERVING, NOT_SERVING),
}
#: further processes of a distribution: by which setting each listens, and what runs it
BESIDE = {"ingest": (("pull", "intertie_ingest.pull"),)}
#: what a process may bring along
SHARED = {"intertie", "intertie_chassis", "intertie_mapping"}

LIST_IMPORTABLE = """
import importlib.util, json, sys
print(json.dumps([name for name in sys.argv[1:] if importlib.util.find_spec(name)]))
"""


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where wheels of our distributions are kept, so that each is built once."""
    return tmp_path_factory.mktemp("wheels")


@pytest.mark.parametrize("name", [*SERVICES, "gateway"])
async def test_installs_and_starts_alone(name: str, wheels: Path, tmp_path: Path) -> None:
    """In an environment of its own a process comes up, says how it is, ends when told, and knows no other service."""
    if image_tree.missing() is None:
        pytest.skip("test_image proves this, and more, where it can be run")
    package = f"intertie_{name}"
    interpreter = environments.create(tmp_path / "environment", package, wheels)

    listed = subprocess.run(
        [interpreter, "-I", "-c", LIST_IMPORTABLE, *DISTRIBUTIONS], check=True, capture_output=True, cwd=tmp_path
    )
    importable = set(json.loads(listed.stdout))
    assert {package, "intertie", "intertie_chassis"} <= importable <= SHARED | {package}

    # Every address is one where nobody listens: a suite that runs on this machine must not be found.
    ports = {process: processes.free_port() for process in ALONE}
    settings = {f"INTERTIE_{process.upper()}_ADDRESS": f"127.0.0.1:{port}" for process, port in ports.items()}
    for process, module in ((name, package), *BESIDE.get(name, ())):
        settings[f"INTERTIE_{process.upper()}_LISTEN"] = f"127.0.0.1:{ports[process]}"
        settings["INTERTIE_DATA_DIR"] = str(tmp_path / process)
        await _starts_and_ends(
            interpreter, module, settings, tmp_path / f"{process}.log", ALONE[process], ports[process]
        )


async def _starts_and_ends(
    interpreter: Path, module: str, settings: Mapping[str, str], log: Path, probe: Probe, port: int
) -> None:
    process = processes.start([str(interpreter), "-I", "-m", module], log=log, env=settings, cwd=log.parent)
    try:

        async def is_up() -> bool:
            if process.poll() is not None:
                pytest.fail(f"{module} ended with {process.returncode}:\n{log.read_text()}", pytrace=False)
            return await probe(port)

        await eventually(is_up, timeout=30)
    finally:
        status = processes.stop(process)
    assert status == 0, log.read_text()
