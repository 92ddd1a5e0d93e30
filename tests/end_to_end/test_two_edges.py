"""One behaviour at both edges: the same bytes to the gateway, and to an Envoy in front of the same services."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

import bad_inputs
from edge_requests import ASKED, CLOSURES, LIFE, MODULE, ROWS, WIRE, Asked
from envoy_rig import Envoy, Heard, hear
from intertie_gateway import contracts, templates
from suite import API, Suite
from waiting import eventually

EDGES = ("edge_1", "edge_2")
"""What the gateway and Envoy are called in names that requests make."""
ENVIRONMENT = {"INTERTIE_GATEWAY_TRUSTED_PROXIES": "127.0.0.1", "INTERTIE_GATEWAY_HEADERS_SECONDS": "3"}

#: Where the edges cannot agree: what Envoy's parser reads, where the gateway's reads nothing. It hands on what it read
#: in framing of its own, so nobody behind it can read it differently. docs/envoy.md has the same list.
WIRE_EXCEPTIONS = {
    "a-chunk-that-is-longer": 202,
    "a-folded-header": 202,
    "bare-line-feeds": 202,
    "return-in-a-header": 202,
    "version-9": 415,
}
_VARIES = re.compile(r"(delivery_id|run_id|id|duration_ms|[a-z_]+_at)")
#: ids that are made up for a record without one; and how large headers are: Envoy's own count, too
_VARIES_IN_TEXT = re.compile(r"[0-9A-HJKMNP-TV-Z]{26}|the headers are \d+ bytes in \d+ fields")


class Edges:
    """A suite with its demo, and an Envoy in front of it."""

    def __init__(self, suite: Suite, envoy: Envoy) -> None:
        self.suite = suite
        self.envoy = envoy
        self.ports = dict(zip(EDGES, (suite.port, envoy.port), strict=True))

    def ask(self, asked: Asked) -> list[Heard]:
        """The gateway's answer, and Envoy's."""
        token = self.suite.token(asked.role) if asked.role else None
        return [hear(port, asked.message(edge, token), method=asked.method) for edge, port in self.ports.items()]


@pytest.fixture(scope="module")
def edges(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edges]:
    """Both edges, with the systems that the table of bad inputs sends to."""
    directory = tmp_path_factory.mktemp("edges")
    suite = Suite(directory, env=ENVIRONMENT)
    envoy = Envoy(directory / "envoy")
    suite.start("--demo")
    try:
        bad_inputs.set_up(suite)
        # From now on it has read everything, and each further time finds the same.
        assert suite.request("POST", "/sync", json=CLOSURES, role=MODULE).status_code == 200
        envoy.configure(suite, "--check")
        envoy.start()
        yield Edges(suite, envoy)
    finally:
        envoy.stop()
        suite.stop()


def same(inner: Heard, outer: Heard) -> None:
    """Raise AssertionError unless two answers say the same."""
    assert outer.status == inner.status, (outer, inner)
    assert alike(outer.body, EDGES[1]) == alike(inner.body, EDGES[0])
    for header in ("content-type", "allow", "retry-after", "www-authenticate"):
        assert outer.headers.get(header) == inner.headers.get(header), header
    if inner.status >= 400:
        assert set(inner.problem) == {"code", "message", "details"}
    assert not [name for name in outer.headers if name.startswith(("grpc-", "x-envoy-")) or name == "server"]


def alike(body: bytes, edge: str) -> Any:
    """The body without what differs from one time to the next, or by the edge's name.

    Envoy leaves out what has no value where the gateway prints null: an exception, see docs/envoy.md.
    """
    text = _VARIES_IN_TEXT.sub("…", body.decode().replace(edge, "@"))
    if not text.startswith(("{", "[")):
        return text
    return _settled(json.loads(text))


def _settled(value: Any) -> Any:
    if isinstance(value, list):
        return [_settled(one) for one in value]
    if isinstance(value, dict):
        return {key: "…" if _VARIES.fullmatch(key) else _settled(one) for key, one in value.items() if one is not None}
    return value


@pytest.mark.parametrize("asked", [*ASKED, *ROWS], ids=lambda asked: asked.name)
def test_a_request_is_answered_alike(edges: Edges, asked: Asked) -> None:
    inner, outer = edges.ask(asked)
    assert inner.status == asked.status, inner.body[:500]
    same(inner, outer)
    if any(name == "X-Request-Id" for name, _ in asked.headers):
        assert outer.headers["x-request-id"] != "no id!"
    else:
        assert outer.headers["x-request-id"] == inner.headers["x-request-id"] == asked.name


def test_a_resource_lives_alike(edges: Edges) -> None:
    for asked in LIFE:
        inner, outer = edges.ask(asked)
        assert (asked.name, inner.status) == (asked.name, asked.status), inner.body[:500]
        same(inner, outer)


@pytest.mark.parametrize("name", WIRE)
def test_bytes_are_answered_alike(edges: Edges, name: str) -> None:
    message, status = WIRE[name]
    inner, outer = (
        hear(port, message.replace(b"@", edge.encode()), method=message.split(b" ")[0].decode("latin-1"))
        for edge, port in edges.ports.items()
    )
    assert inner.status == status, inner.body[:500]
    if name in WIRE_EXCEPTIONS:
        assert outer.status == WIRE_EXCEPTIONS[name], outer.body[:500]
        return
    same(inner, outer)


def test_headers_that_do_not_end_are_answered_alike(edges: Edges) -> None:
    inner, outer = (hear(port, b"GET /healthz HTTP/1.1\r\nHost: t\r\n", method="GET") for port in edges.ports.values())
    assert inner.status == 408
    same(inner, outer)


async def test_what_goes_straight(edges: Edges) -> None:
    """Envoy transcodes the plain requests of the table, and hands all others to the gateway."""
    asked = [one for one in (*ASKED, *LIFE) if not any(name == "X-Request-Id" for name, _ in one.headers)]
    edges.ask(asked[-1])

    def ways() -> dict[str, bool]:
        found = {line["request_id"]: line["upstream"] != "gateway" for line in edges.envoy.lines() if line["upstream"]}
        assert {one.name for one in asked} <= found.keys()
        return found

    found = await eventually(ways)
    assert {one.name: found[one.name] for one in asked} == {one.name: one.straight for one in asked}


def test_every_route_is_asked() -> None:
    """No annotated route is left out of the table."""
    tree = templates.RouteTree()
    routes = list(contracts.routes())
    for number, route in enumerate(routes):
        tree.add(route.verb, templates.parse(route.template), number)
    found = (tree.find(one.method, f"{API}{one.path}".partition("?")[0].encode()) for one in (*ASKED, *LIFE))
    asked = {one.number for one in found if isinstance(one, templates.Found)}
    assert {f"{route.verb} {route.template}" for number, route in enumerate(routes) if number not in asked} == set()
