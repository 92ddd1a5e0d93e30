"""Limits of addresses at a real gateway: on every route, before the body, and by the client behind a trusted proxy."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from gateway_rig import (
    PREFIX,
    PUSH,
    WEBHOOK,
    GatewayProcess,
    Script,
    Services,
    problem_of,
    request,
    running_gateway,
    status_of,
)
from waiting import eventually

BURST = 5
AT_ONCE = 2


@pytest.fixture(scope="module")
def limiting(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """A gateway behind a trusted proxy, which is this test, with hardly any rate: what is used up stays so."""
    env = {
        "INTERTIE_GATEWAY_TRUSTED_PROXIES": "127.0.0.1",
        "INTERTIE_GATEWAY_ADDRESS_RATE": "0.001",
        "INTERTIE_GATEWAY_ADDRESS_BURST": str(BURST),
        "INTERTIE_GATEWAY_ADDRESS_IN_FLIGHT": str(AT_ONCE),
        "INTERTIE_GATEWAY_ADDRESS_CONNECTIONS": "1",
    }
    with running_gateway(services.address, tmp_path_factory.mktemp("limits"), env) as gateway:
        yield gateway


def ask(gateway: GatewayProcess, address: str, method: str = "POST", path: str = WEBHOOK) -> httpx.Response:
    """A request that the proxy took from this address."""
    headers = {"content-type": "application/json", "x-forwarded-for": address, "authorization": "Bearer a"}
    return gateway.client.request(method, path, headers=headers, content=b'{"id": 1}' if method == "POST" else None)


def test_an_address_has_its_rate_and_others_theirs(limiting: GatewayProcess, script: Script) -> None:
    """A burst passes, then all is 429 with a time to come back and the one error shape; nothing of it is stored."""
    answers = [ask(limiting, "192.0.2.1") for _ in range(BURST + 2)]
    assert [answer.status_code for answer in answers] == [202] * BURST + [429] * 2
    assert len(script.deliveries) == BURST
    refused = answers[-1]
    assert 1 <= int(refused.headers["retry-after"]) <= 1000
    problem = problem_of(refused)
    assert (problem["code"], problem["reason"]) == (8, "RATE_LIMITED")
    assert problem["details"][1]["@type"].endswith("google.rpc.RetryInfo")
    assert refused.headers["x-request-id"]
    assert ask(limiting, "192.0.2.2").status_code == 202


def test_a_whole_ipv6_network_is_one_address(limiting: GatewayProcess, script: Script) -> None:
    """Who has one has 2^64 of them."""
    statuses = [ask(limiting, f"2001:db8:0:1::{n:x}").status_code for n in range(BURST + 2)]
    assert statuses == [202] * BURST + [429] * 2
    assert ask(limiting, "2001:db8:0:2::1").status_code == 202


@pytest.mark.parametrize(
    ("number", "method", "path"),
    [
        (1, "POST", WEBHOOK),
        (2, "POST", PUSH),
        (3, "GET", f"{PREFIX}/systems"),
        (4, "GET", "/healthz"),
        (5, "GET", "/readyz"),
        (6, "GET", "/openapi.json"),
        (7, "GET", "/nowhere"),
        (8, "DELETE", WEBHOOK),
        (9, "GET", "/a/../b"),
    ],
)
def test_every_route_has_the_limit(
    limiting: GatewayProcess, script: Script, number: int, method: str, path: str
) -> None:
    """Whatever is asked for, and whether it is there."""
    address = f"198.51.100.{number}"
    for _ in range(BURST):
        assert ask(limiting, address, "GET", "/healthz").status_code == 200
    refused = ask(limiting, address, method, path)
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) >= 1
    problem_of(refused)


def test_it_is_refused_before_its_body_is_sent(limiting: GatewayProcess, script: Script) -> None:
    """No byte of the body is waited for."""
    for _ in range(BURST):
        ask(limiting, "203.0.113.1", "GET", "/healthz")
    head = request(headers=(b"X-Forwarded-For: 203.0.113.1", b"Expect: 100-continue"), body=b"x" * 1000)
    answer = limiting.raw(head.partition(b"\r\n\r\n")[0] + b"\r\n\r\n")
    assert status_of(answer) == 429
    assert b"100 Continue" not in answer


async def test_an_address_is_answered_so_often_at_once(limiting: GatewayProcess, script: Script) -> None:
    """What is beyond is 429; what was answered makes room, in three waves."""
    gate = threading.Event()
    script.on_group = lambda group: gate.wait(20)
    message = request(headers=(b"X-Forwarded-For: 203.0.113.9",))
    going: list[socket.socket] = []
    try:
        for _ in range(AT_ONCE):
            going.append(socket.create_connection(("127.0.0.1", limiting.port), 20))
            going[-1].sendall(message)
        # The first ones are with ingest; others wait in the gateway, which took them before it hears what follows.
        await eventually(lambda: script.deliveries)
        for _ in range(3):
            refused = ask(limiting, "203.0.113.9")
            assert refused.status_code == 429
            assert refused.headers["retry-after"] == "1"
        gate.set()
        assert [status_of(connection.recv(65536)) for connection in going] == [202] * AT_ONCE
    finally:
        for connection in going:
            connection.close()
    # The rate holds five of a burst: two are gone.
    assert [ask(limiting, "203.0.113.9").status_code for _ in range(4)] == [202, 202, 202, 429]


async def test_an_address_opens_so_many_connections(services: Services, script: Script, tmp_path: Path) -> None:
    """One too many is told so and closed; one that ends makes room. What stands in front counts when it is trusted
    by nobody."""
    env = {"INTERTIE_GATEWAY_ADDRESS_CONNECTIONS": "3"}
    with running_gateway(services.address, tmp_path, env) as gateway:
        gateway.client.close()

        def answer() -> bytes:
            return gateway.raw(request("/healthz", method="GET", length=False, body=b""))

        held = [socket.create_connection(("127.0.0.1", gateway.port), 20) for _ in range(3)]
        await eventually(lambda: status_of(answer()) == 429)
        refused = answer()
        assert b"connection: close" in refused
        assert b"retry-after: 1" in refused
        assert problem_of(refused)["reason"] == "RATE_LIMITED"
        held.pop().close()
        await eventually(lambda: status_of(answer()) == 200)
        for connection in held:
            connection.close()
