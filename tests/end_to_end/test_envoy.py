"""`intertie envoy` against the running demo: what it writes, and what a real Envoy does with it."""

import re
from collections.abc import Iterator
from typing import Any

import grpc
import httpx
import pytest

import processes
from envoy_rig import Envoy, hear
from intertie.ingest.v1 import ingest_pb2, ingest_pb2_grpc, queue_pb2, queue_pb2_grpc
from intertie.registry.v1 import registry_pb2, registry_pb2_grpc
from suite import API, SEED_SECRET, Suite
from waiting import eventually

WATCHED = "--watched"
INCIDENT = {"event_type": "incident_created", "id": "12345", "title": "Traffic Accident", "date": "2025-01-20"}
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    """The suite with its demo on embedded SQLite, that knows Envoy for its proxy."""
    directory = tmp_path_factory.mktemp("demo")
    running = Suite(directory, env={"INTERTIE_GATEWAY_TRUSTED_PROXIES": "127.0.0.1"}).start("--demo")
    yield running
    running.stop()


@pytest.fixture(scope="module")
def envoy(demo: Suite) -> Iterator[Envoy]:
    """An Envoy that watches its files."""
    running = Envoy(demo.directory / "envoy")
    running.configure(demo, WATCHED, "--check")
    yield running.start()
    running.stop()


def send(envoy: Envoy, path: str, body: Any, **headers: str) -> httpx.Response:
    """Post JSON through Envoy."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.post(
        f"http://127.0.0.1:{envoy.port}{API}{path}", json=body, headers=named, trust_env=False, timeout=30
    )


async def test_the_seeds_examples(demo: Suite, envoy: Envoy) -> None:
    """Webhook and push land in rows; what was delivered is read back, all of it through Envoy."""
    answer = send(envoy, "/webhook/law_enforcement", INCIDENT, X_Webhook_Secret=SEED_SECRET, traceparent=TRACE)
    assert answer.status_code == 202, answer.text
    push = {"system": "law_enforcement", "mapping": "incidents_to_events", "data": {**INCIDENT, "id": "12346"}}
    assert send(envoy, "/push", push).json()["status"] == "success"
    await eventually(lambda: len(demo.rows("events", "event_title = %s", ["Traffic Accident"])) == 2)
    path = f"{API}/deliveries/{answer.json()['delivery_id']}"
    token = {"Authorization": f"Bearer {demo.token()}"}
    read = httpx.get(f"http://127.0.0.1:{envoy.port}{path}", headers=token, trust_env=False).json()
    assert (read["delivery_id"], read["system"]) == (answer.json()["delivery_id"], "law_enforcement")

    def lines() -> list[dict[str, Any]]:
        found = [line for line in envoy.lines() if line["path"].startswith((path, f"{API}/webhook/"))]
        assert len(found) == 2
        return found

    delivered, looked_up = await eventually(lines)
    assert (delivered["method"], delivered["status"], delivered["upstream"]) == ("POST", 202, "gateway")
    assert (delivered["path"], delivered["traceparent"]) == (f"{API}/webhook/law_enforcement", TRACE)
    assert delivered["request_id"] == answer.headers["x-request-id"]
    assert (looked_up["method"], looked_up["status"], looked_up["upstream"]) == ("GET", 200, "ingest")


async def test_what_was_written_is_written_again_to_the_byte(demo: Suite, envoy: Envoy) -> None:
    """Nothing changes, and a difference is shown without being made."""
    before = {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in envoy.directory.iterdir()}
    assert "nothing would change" in envoy.configure(demo, WATCHED, "--diff").stderr
    assert "nothing has changed" in envoy.configure(demo, WATCHED).stdout
    shown = envoy.configure(demo, WATCHED, "--diff", "--gateway=127.0.0.1:9", check=False)
    assert shown.returncode == 1
    assert re.search(r"^\+ +port_value: 9$", shown.stdout, re.MULTILINE)
    assert "--- cds.yaml (on disk)" in shown.stdout
    assert {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in envoy.directory.iterdir()} == before


async def test_a_change_of_the_files_is_taken_up(demo: Suite, envoy: Envoy) -> None:
    """A running Envoy listens elsewhere, and takes other routes, without a restart."""
    port = processes.free_port()
    envoy.configure(demo, WATCHED, f"--stats-listen=127.0.0.1:{port}")
    try:

        def shown() -> bool:
            try:
                page = httpx.get(f"http://127.0.0.1:{port}/stats/prometheus", trust_env=False)
            except httpx.TransportError as error:
                raise AssertionError from error
            return "envoy_cluster_upstream_rq_total" in page.text

        await eventually(shown)
        assert httpx.get(f"http://127.0.0.1:{port}/ready", trust_env=False).text == "LIVE\n"
        assert httpx.get(f"http://127.0.0.1:{port}/clusters", trust_env=False).status_code == 404
        assert httpx.post(f"http://127.0.0.1:{port}/ready", trust_env=False).status_code == 404
    finally:
        envoy.configure(demo, WATCHED)
    assert envoy.count("listener_manager.lds.update_rejected") == 0


def test_a_static_one_leaves_nothing_of_the_other(demo: Suite, envoy: Envoy) -> None:
    """Another Envoy on the same services; its directory holds what belongs to it."""
    static = Envoy(demo.directory / "static")
    static.configure(demo, WATCHED)
    static.configure(demo)
    names = sorted(path.name for path in static.directory.iterdir())
    assert [re.sub("[0-9a-f]{16}", "*", name) for name in names] == ["contracts-*.binpb", "envoy.yaml"]
    static.start()
    try:
        assert hear(static.port, b"GET /readyz HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n").status == 200
    finally:
        static.stop()


def test_modules_call_services_through_it(demo: Suite, envoy: Envoy) -> None:
    """With their tokens, streams too; what only services may call is not there, nor anything without a token."""
    token = (("authorization", f"Bearer {demo.token('module:events')}"),)
    with grpc.insecure_channel(f"127.0.0.1:{envoy.grpc_port}") as channel:
        registry = registry_pb2_grpc.RegistryServiceStub(channel)
        asked = registry_pb2.ListModuleSystemsRequest(module="events")
        assert registry.ListModuleSystems(asked, metadata=token, timeout=10).systems
        cached = ingest_pb2.ListCachedRecordsRequest(system="law_enforcement")
        ingest = ingest_pb2_grpc.IngestServiceStub(channel)
        assert list(ingest.ListCachedRecords(cached, metadata=token, timeout=10))
        refused = {
            grpc.StatusCode.UNAUTHENTICATED: lambda: registry.ListModuleSystems(asked, timeout=10),
            grpc.StatusCode.PERMISSION_DENIED: lambda: registry.DeleteSystem(
                registry_pb2.DeleteSystemRequest(system="law_enforcement"), metadata=token, timeout=10
            ),
            grpc.StatusCode.UNIMPLEMENTED: lambda: queue_pb2_grpc.RecordQueueStub(channel).LeaseRecords(
                queue_pb2.LeaseRecordsRequest(), metadata=token, timeout=10
            ),
        }
        for code, call in refused.items():
            with pytest.raises(grpc.RpcError) as caught:
                call()
            assert caught.value.code() is code, caught.value.details()
        reflection = channel.stream_stream("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo")
        with pytest.raises(grpc.RpcError) as caught:
            list(reflection(iter([b""]), metadata=token, timeout=10))
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_a_service_that_is_away_is_named_and_nothing_is_written(demo: Suite) -> None:
    """And so is one at whose address another one answers."""
    directory = demo.directory / "never"
    env = dict(demo.env)
    try:
        demo.env["INTERTIE_AUDIT_ADDRESS"] = f"127.0.0.1:{processes.free_port()}"
        away = demo.cli("envoy", f"--out={directory}", check=False)
        demo.env["INTERTIE_AUDIT_ADDRESS"] = env["INTERTIE_REGISTRY_ADDRESS"]
        another = demo.cli("envoy", f"--out={directory}", check=False)
    finally:
        demo.env.update(env)
    assert away.returncode == another.returncode == 1
    assert "audit" in away.stderr
    assert "audit and registry both serve" in another.stderr
    assert not directory.exists()


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("--listen=nowhere", "--listen: nowhere is not host:port"),
        ("--certificate=one.pem", "--certificate and --key go together"),
        ("--client-ca=ca.pem", "need --certificate"),
        ("--certs=nowhere", "envoy.pem is not there; `intertie certs issue envoy` makes it"),
    ],
)
def test_options_that_do_not_fit(demo: Suite, option: str, said: str) -> None:
    refused = demo.cli("envoy", option, check=False)
    assert refused.returncode in (1, 2)
    assert said in " ".join(refused.stderr.split())
