"""A real Envoy with nothing behind it: what it answers by itself, and which configurations it takes."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import processes
from envoy_rig import Envoy, hear, program
from envoy_samples import plan, told
from intertie_chassis.errors import StartupError
from intertie_gateway.envoy import binary, document
from intertie_gateway.envoy.clusters import Address

API = "/api/v1/integrations"
JWT = "Authorization: Bearer a.b.c"


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Envoy]:
    """An Envoy whose upstreams are ports where nothing listens."""
    envoy = Envoy(tmp_path_factory.mktemp("alone"))
    nowhere = [Address("127.0.0.1", processes.free_port()) for _ in range(6)]
    listening = {
        name: Address("127.0.0.1", port)
        for name, port in (
            ("listen", envoy.port),
            ("grpc_listen", envoy.grpc_port),
            ("admin", envoy.admin_port),
            ("stats_listen", envoy.stats_port),
        )
    }
    here = plan(envoy.directory)
    services = dict(zip(here.services, nowhere, strict=False))
    made = replace(here, services=services, gateway=nowhere[5], **listening)
    for name, content in document.files(made, told()).items():
        (envoy.directory / name).write_bytes(content)
    yield envoy.start()
    envoy.stop()


def ask(envoy: Envoy, method: str, path: str, *headers: str, body: bytes = b"") -> Any:
    """An answer to a request."""
    lines = [f"{method} {path} HTTP/1.1", "Host: t", "Connection: close", *headers]
    return hear(envoy.port, "\r\n".join([*lines, "", ""]).encode() + body, method=method)


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [("GET", f"{API}/systems", [JWT]), ("GET", f"{API}/mappings", [JWT]), ("GET", "/healthz", [])],
    ids=["straight", "detour", "gateway"],
)
def test_whoever_is_away_is_told_of_as_the_gateway_does(
    alone: Envoy, method: str, path: str, headers: list[str]
) -> None:
    """503 in the one shape of errors, with when to come again."""
    answer = ask(alone, method, path, *headers)
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-request-id"]
    assert answer.problem == {
        "code": 14,
        "message": "the service does not answer at the moment; try again",
        "details": [
            {
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "SERVICE_UNAVAILABLE",
                "domain": "intertie",
                "metadata": {},
            },
            {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retry_delay": "1s"},
        ],
    }


def test_envoy_takes_either_form(tmp_path: Path) -> None:
    """Static and watched are checked alike, without a trace in the directory that they are for."""
    program()
    for is_watched in (False, True):
        assert binary.check(plan(tmp_path / "never", is_watched=is_watched), told())
    assert not (tmp_path / "never").exists()


def test_what_envoy_refuses_is_told_in_its_words(tmp_path: Path) -> None:
    program()
    with pytest.raises(StartupError, match=r"refuses the configuration:\n.*malformed IP address"):
        binary.check(plan(tmp_path, listen=Address("not an address", 80)), told())


def test_without_an_envoy_the_check_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binary, "find", lambda: None)
    with pytest.raises(StartupError, match="there is no Envoy on this machine to check with"):
        binary.check(plan(tmp_path), told())


def test_each_annotated_method_has_its_routes(alone: Envoy) -> None:
    """As the running Envoy understood them."""
    dump = json.loads(alone.admin("/config_dump?resource=static_route_configs").text)
    hosts = [config["route_config"]["virtual_hosts"][0] for config in dump["configs"]]
    named = {route["name"] for host in hosts if host["name"] == "http" for route in host["routes"]}
    assert f"GET {API}/systems" in named
    assert f"GET {API}/systems (unless plain)" in named
    assert f"GET {API}/mappings (holds JSON documents)" in named
