"""The process: health, pages, restarts of what is behind it, stopping, several workers, what it logs."""

import json
import os
import re
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest
from grpc_health.v1 import health_pb2

import processes
from gateway_rig import (
    PREFIX,
    PUSH,
    TOKEN,
    WEBHOOK,
    GatewayProcess,
    Script,
    Services,
    accepted,
    problem_of,
    running_gateway,
)
from intertie.ingest.v1 import ingest_pb2
from intertie_chassis.errors import (
    Internal,
    IntertieError,
    InvalidArgument,
    PermissionDenied,
    ResourceExhausted,
    Unauthenticated,
)
from waiting import eventually


def test_alive(gateway: GatewayProcess, services: Services) -> None:
    """Liveness says nothing of others: a restart would not mend them."""
    services.stop()
    answer = gateway.client.get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


async def test_ready_names_what_is_missing(gateway: GatewayProcess, services: Services) -> None:
    """200 while ingest serves; else 503 in the shape of errors, each that is missing by name."""
    await eventually(lambda: gateway.client.get("/readyz").status_code == 200)
    assert set(gateway.client.get("/readyz").json()["services"]) == {"registry", "ingest", "mapper", "audit", "pull"}

    services.health = health_pb2.HealthCheckResponse.NOT_SERVING
    await eventually(lambda: gateway.client.get("/readyz").status_code == 503)
    assert problem_of(gateway.client.get("/readyz"))["metadata"]["ingest"] == "not serving"

    services.health = health_pb2.HealthCheckResponse.SERVING
    services.stop()
    await eventually(lambda: "does not answer" in gateway.client.get("/readyz").text)
    assert gateway.client.get("/readyz").headers["retry-after"] == "1"

    services.start()
    await eventually(lambda: gateway.client.get("/readyz").status_code == 200)


@pytest.mark.parametrize("away", ["registry", "mapper", "audit"])
def test_receiving_is_ready_without_the_others(services: Services, tmp_path: Path, away: str) -> None:
    """Deliveries need ingest alone: a balancer must not turn them away because another part is down."""
    with running_gateway(services.address, tmp_path, {f"INTERTIE_{away.upper()}_ADDRESS": "127.0.0.1:1"}) as gateway:
        answer = gateway.client.get("/readyz")
        assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
        assert answer.json()["services"][away] == "does not answer"


def test_the_description_needs_no_token(gateway: GatewayProcess) -> None:
    """OpenAPI 3.1 with every annotated route and the two receiving ones."""
    answer = gateway.client.get("/openapi.json")
    assert answer.status_code == 200
    document = answer.json()
    assert document["openapi"].startswith("3.1")
    assert {f"{PREFIX}/webhook/{{system}}", PUSH, f"{PREFIX}/systems", "/readyz"} <= set(document["paths"])


def test_the_page_loads_nothing_from_elsewhere(gateway: GatewayProcess) -> None:
    """A token is typed into it: it talks to this origin only, and no other page frames it."""
    answer = gateway.client.get("/docs")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert not re.search(r"https?://", answer.text)


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/openapi.json", "/docs"])
def test_pages_take_get_only(gateway: GatewayProcess, path: str) -> None:
    """405 with Allow."""
    answer = gateway.client.post(path)
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET, HEAD"


def test_without_ingest_deliveries_are_503_and_others_go_on(gateway: GatewayProcess, services: Services) -> None:
    """With Retry-After, never a 5xx that says it was the delivery."""
    services.stop()
    answer = gateway.webhook()
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) >= 1
    problem_of(answer)
    call = gateway.client.get(f"{PREFIX}/systems", headers=TOKEN)
    assert call.status_code == 503
    assert gateway.client.get("/healthz").status_code == 200


def test_a_restart_of_ingest_costs_a_moment_only(gateway: GatewayProcess, services: Services) -> None:
    """A delivery that finds no connection waits for one: many senders never try again."""
    services.stop()
    back = threading.Timer(0.5, services.start)
    back.start()
    answer = gateway.webhook()
    back.join()
    assert answer.status_code == 202


@pytest.mark.parametrize("error", [Unauthenticated(), PermissionDenied(), ResourceExhausted()])
def test_a_refusal_of_the_gateway_is_not_told_to_the_sender(
    gateway: GatewayProcess, script: Script, error: IntertieError
) -> None:
    """A wrong service token is our fault: no sender may be told that its secret is wrong."""

    def refuse(request: Any) -> None:
        raise error

    script.on_group = refuse
    answer = gateway.webhook()
    assert answer.status_code == 503
    assert "retry-after" in answer.headers


@pytest.mark.parametrize("error", [InvalidArgument(reason="MALFORMED_REQUEST"), Internal()])
def test_an_item_that_breaks_its_group_fails_alone(
    gateway: GatewayProcess, script: Script, error: IntertieError
) -> None:
    """The group is halved until the item stands alone; its neighbours are stored."""

    def break_down(request: ingest_pb2.AcceptDeliveriesRequest) -> None:
        if any(b"poison" in delivery.body for delivery in request.deliveries):
            raise error

    script.on_group = break_down
    answers: dict[int, httpx.Response] = {}

    def send(number: int) -> None:
        answers[number] = gateway.webhook(b'{"id": "poison"}' if number == 3 else b'{"id": %d}' % number)

    threads = [threading.Thread(target=send, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    statuses = {number: answer.status_code for number, answer in answers.items()}
    broken = statuses.pop(3)
    assert broken == (400 if isinstance(error, InvalidArgument) else 500)
    assert set(statuses.values()) == {202}


def test_more_than_may_wait_is_503(services: Services, script: Script, tmp_path: Path) -> None:
    """A bounded queue: what does not fit is told so at once, what does is answered."""
    gate = threading.Event()
    script.on_group = lambda request: gate.wait(20)
    settings = {"INTERTIE_GATEWAY_GROUP_CALLS": "1", "INTERTIE_GATEWAY_WAITING_DELIVERIES": "2"}
    with running_gateway(services.address, tmp_path, settings) as gateway:
        answers: list[httpx.Response] = []

        def send(number: int) -> None:
            answers.append(gateway.webhook(path=f"{PREFIX}/webhook/system_{number}"))

        threads = [threading.Thread(target=send, args=(number,)) for number in range(10)]
        for thread in threads:
            thread.start()
        while len(answers) < 6:
            assert threads[0].is_alive() or answers
            threading.Event().wait(0.01)
        assert {answer.status_code for answer in answers} == {503}
        assert {problem_of(answer)["reason"] for answer in answers} == {"OVERLOADED"}
        gate.set()
        for thread in threads:
            thread.join()
    assert sum(answer.status_code == 202 for answer in answers) == len(script.deliveries) > 0


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_answers_what_is_in_flight_and_exits_0(
    services: Services, script: Script, tmp_path: Path, signal_number: signal.Signals
) -> None:
    """Accepted requests get their answers; new connections are refused; the exit code says that all is well."""
    gate, entered = threading.Event(), threading.Event()

    def hold(request: Any) -> None:
        entered.set()
        gate.wait(20)

    script.on_group = hold
    with running_gateway(services.address, tmp_path) as gateway:
        answers: list[httpx.Response] = []
        thread = threading.Thread(target=lambda: answers.append(gateway.webhook()))
        thread.start()
        assert entered.wait(10)
        gateway.process.send_signal(signal_number)
        _until_refused(gateway.port)
        gate.set()
        thread.join()
        assert answers[0].status_code == 202
        assert gateway.process.wait(20) == 0


def _until_refused(port: int) -> None:
    for _ in range(500):
        try:
            httpx.get(f"http://127.0.0.1:{port}/healthz", timeout=1)
        except httpx.TransportError:
            return
        threading.Event().wait(0.02)
    raise AssertionError("the gateway still accepts connections")


async def test_several_workers_share_the_port(services: Services, script: Script, tmp_path: Path) -> None:
    """One that is killed is started again; a stop ends them all. Each shows its own metrics, one port further on."""
    shown, _next_one = processes.free_port(), processes.free_port()
    env = {"INTERTIE_GATEWAY_WORKERS": "2", "INTERTIE_GATEWAY_METRICS_LISTEN": f"127.0.0.1:{shown}"}
    with running_gateway(services.address, tmp_path, env) as gateway:
        await eventually(lambda: len(gateway.lines("listening")) == 2)
        await eventually(lambda: len(gateway.lines("metrics are shown")) == 2)
        pages = [httpx.get(f"http://127.0.0.1:{port}/metrics").text for port in (shown, shown + 1)]
        assert all("process_resident_memory_bytes" in page for page in pages)
        assert gateway.webhook().status_code == 202
        victim = gateway.lines("worker started")[0]["pid"]
        os.kill(victim, signal.SIGKILL)
        await eventually(lambda: len(gateway.lines("worker started")) == 3)
        await eventually(lambda: len(gateway.lines("listening")) == 3)
        started = [line["pid"] for line in gateway.lines("worker started")]
        assert gateway.stop() == 0
    for pid in started:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


async def test_workers_end_with_their_parent(services: Services, script: Script, tmp_path: Path) -> None:
    """A parent that is killed leaves none behind that keeps the port."""
    with running_gateway(services.address, tmp_path, {"INTERTIE_GATEWAY_WORKERS": "2"}) as gateway:
        await eventually(lambda: len(gateway.lines("listening")) == 2)
        gateway.process.kill()
        await eventually(lambda: len(gateway.lines("stopped")) == 2)
    _until_refused(gateway.port)


async def test_each_request_is_one_line_without_secrets(services: Services, script: Script, tmp_path: Path) -> None:
    """Method, path, status, time and id; never a header's or a parameter's value."""
    with running_gateway(services.address, tmp_path) as gateway:
        answer = gateway.webhook(
            b'{"id": "canary-body"}', f"{WEBHOOK}?token=canary-query", x_webhook_secret="canary-secret"
        )
        gateway.client.get(f"{PREFIX}/systems?page_token=canary-page", headers={"authorization": "Bearer canary-token"})
        gateway.client.get(f"{PREFIX}/nothing%0d%0aforged")
        await eventually(lambda: len(gateway.lines()) >= 4)
        assert gateway.stop() == 0
        lines = {line["request_id"]: line for line in gateway.lines()}
        line = lines[answer.headers["x-request-id"]]
    assert (line["method"], line["path"], line["status"]) == ("POST", f"{WEBHOOK}?token=***", 202)
    assert line["peer"] == "127.0.0.1"
    text = gateway.log.read_text()
    assert "canary" not in text
    assert all(json.loads(line) for line in text.splitlines())


def test_trusted_proxies_name_their_clients(services: Services, script: Script, tmp_path: Path) -> None:
    """With the setting, the address that the proxy saw is the peer."""
    with running_gateway(services.address, tmp_path, {"INTERTIE_GATEWAY_TRUSTED_PROXIES": "127.0.0.0/8"}) as gateway:
        gateway.webhook(x_forwarded_for="203.0.113.9")
        # As sent by a proxy on this machine for somebody on this machine, and for somebody who says to be.
        gateway.webhook(x_forwarded_for="127.0.0.1")
        gateway.webhook(x_forwarded_for="127.0.0.1, 203.0.113.10")
    assert [delivery.peer for delivery in script.deliveries] == ["203.0.113.9", "127.0.0.1", "203.0.113.10"]


def test_where_all_are_proxies_nobody_is_local(services: Services, script: Script, tmp_path: Path) -> None:
    """Whoever calls could name the loopback, to which `push_auth: none` opens."""
    with running_gateway(services.address, tmp_path, {"INTERTIE_GATEWAY_TRUSTED_PROXIES": "*"}) as gateway:
        gateway.webhook(x_forwarded_for="127.0.0.1")
        gateway.webhook(x_forwarded_for="203.0.113.9")
    assert [delivery.peer for delivery in script.deliveries] == ["", "203.0.113.9"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("INTERTIE_GATEWAY_LISTEN", "nonsense"),
        ("INTERTIE_GATEWAY_MAX_BODY_BYTES", str(26 * 1024 * 1024)),
        ("INTERTIE_GATEWAY_ACCESS_LOG", "some"),
    ],
)
def test_settings_that_do_not_fit_stop_the_start(tmp_path: Path, name: str, value: str) -> None:
    """One line that names the variable, exit code 78, no stack."""
    log = tmp_path / "log"
    process = processes.start(
        [sys.executable, "-m", "intertie_gateway"],
        log=log,
        env={"INTERTIE_DATA_DIR": str(tmp_path), name: value},
    )
    assert process.wait(30) == 78
    assert name in log.read_text()
    assert "Traceback" not in log.read_text()


def test_the_body_limit_is_a_setting(services: Services, script: Script, tmp_path: Path) -> None:
    """Up to 25 MiB; a body of that size makes a group of its own."""
    size = 25 * 1024 * 1024
    with running_gateway(services.address, tmp_path, {"INTERTIE_GATEWAY_MAX_BODY_BYTES": str(size)}) as gateway:
        assert gateway.webhook(b'"' + b"a" * (size - 2) + b'"').status_code == 202
        assert gateway.webhook(b'"' + b"a" * (size - 1) + b'"').status_code == 413
    assert accepted(script.deliveries[0]).acceptance.system == "law_enforcement"
    assert len(script.deliveries[0].body) == size
