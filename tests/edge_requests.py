"""What is asked of both edges alike: every route, good and bad, and bytes that two readers could read in two ways.

``@`` in a path or a body stands for the edge that is asked, so that each has names of its own and the same answer.
"""

import json
from dataclasses import dataclass
from typing import Any

from bad_inputs import CASES, Case
from suite import API, SEED_SECRET

HOOK = "/webhook/law_enforcement"
SECRET = (("X-Webhook-Secret", SEED_SECRET),)
DEMO = "city_roads"
CLOSURES = {"system": DEMO, "mapping": "closures_to_events"}
MODULE = "module:events"


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, and the status that both edges give it."""

    name: str
    method: str
    path: str
    status: int
    body: Any = None
    """Bytes as they are, anything else as JSON; None: none."""
    role: str | None = "admin"
    headers: tuple[tuple[str, str], ...] = ()
    content_type: str | None = "application/json"
    straight: bool = False
    """Whether Envoy transcodes it; else the gateway answers behind it."""

    def message(self, edge: str, token: str | None) -> bytes:
        """The bytes on the wire. Its request id is the name."""
        body = (
            self.body if isinstance(self.body, bytes) else b"" if self.body is None else json.dumps(self.body).encode()
        )
        body = body.replace(b"@", edge.encode())
        lines = [f"{self.method} {API}{self.path.replace('@', edge)} HTTP/1.1", "Host: t", "Connection: close"]
        lines += [f"{name}: {value.replace('@', edge)}" for name, value in self.headers]
        if token is not None:
            lines.append(f"Authorization: Bearer {token}")
        if self.body is not None:
            lines.append(f"Content-Length: {len(body)}")
            if self.content_type is not None:
                lines.append(f"Content-Type: {self.content_type}")
        if not any(name.lower() == "x-request-id" for name, _ in self.headers):
            lines.append(f"X-Request-Id: {self.name}")
        return "\r\n".join([*lines, "", ""]).encode() + body


def get(name: str, path: str, status: int = 200, **more: Any) -> Asked:
    """A question without a body."""
    return Asked(name, "GET", path, status, **more)


def post(name: str, path: str, status: int, body: Any, **more: Any) -> Asked:
    """A request with a body."""
    return Asked(name, "POST", path, status, body, **more)


def of_case(case: Case) -> Asked:
    """A row of the table of bad inputs. What is stored gets a delivery key: without one, the second is a duplicate."""
    is_received = case.path.startswith(("/webhook", "/push"))
    headers = case.headers
    if is_received and case.secret is not None:
        headers += (("X-Webhook-Secret", case.secret),)
    if case.status == 202:
        headers += (("Idempotency-Key", f"{case.row}-{case.what}-@"),)
    body = case.body if case.method == "POST" else None
    name = f"row-{case.row}-{case.what}"
    role = None if is_received else "admin"
    return Asked(name, case.method, case.path, case.status, body, role, headers, case.content_type)


ROWS = [of_case(case) for case in CASES if case.what != "page-size-cut-to-the-most"]

ASKED = [
    # The seed's two examples, and what is wrong with them.
    post("webhook", HOOK, 202, {"id": "@-1", "title": "Traffic Accident", "date": "2025-01-20"}, role=None,
        headers=SECRET),
    post("webhook-of-nobody", "/webhook/nobody", 401, {"id": "1"}, role=None, headers=SECRET),
    post("webhook-form", HOOK, 202, b"id=@-2&title=x", role=None, headers=SECRET,
        content_type="application/x-www-form-urlencoded"),
    post("push", "/push", 202, {"system": "law_enforcement", "mapping": "incidents_to_events", "data": {"id": "@-3",
        "title": "x"}}, role=None),
    post("push-of-no-mapping", "/push", 404, {"system": "law_enforcement", "mapping": "none", "data": {}}, role=None,
        headers=SECRET),
    # Systems.
    get("systems", "/systems", straight=True),
    get("systems-of-a-page", "/systems?page_size=1&active_only=true", straight=True),
    get("system", "/systems/law_enforcement", straight=True),
    get("system-not-there", "/systems/nobody", 404, straight=True),
    get("system-with-a-space", "/systems/no%20body", 404),
    get("systems-without-a-token", "/systems", 401, role=None),
    get("systems-with-a-bad-token", "/systems", 401, role=None, headers=(("Authorization", "Bearer made.up.token"),),
        straight=True),
    get("systems-with-two-tokens", "/systems", 400, headers=(("Authorization", "Bearer another"),)),
    get("systems-as-a-module", "/systems", role=MODULE, straight=True),
    Asked("systems-by-head", "HEAD", "/systems", 200),
    get("systems-with-odd-names", "/systems?pageSize=1", 400),
    get("systems-with-two-sizes", "/systems?page_size=1&page_size=2", 400),
    get("systems-with-no-number", "/systems?page_size=one", 400),
    get("systems-with-a-zero-before", "/systems?page_size=01", 400),
    get("systems-with-an-escaped-name", "/systems?page%5Fsize=1"),
    get("systems-with-nothing-asked", "/systems?"),
    get("system-and-another-in-the-query", "/systems/law_enforcement?system=evil", 400),
    get("system-and-itself-in-the-query", "/systems/law_enforcement?system=law_enforcement", 400),
    get("system-and-another-escaped", "/systems/law_enforcement?s%79stem=evil", 400),
    get("system-not-utf-8", "/systems/%ff", 400),
    get("system-with-a-slash", "/systems/a%2fb", 400),
    get("system-with-nul", "/systems/a%00", 400),
    get("system-escaped-twice", "/systems/%2541", 400),
    get("system-behind-dots", "/systems/../systems", 400),
    get("systems-with-two-slashes", "//systems", 404),
    get("systems-with-a-slash-behind", "/systems/", 404),
    get("systems-with-a-bin-header", "/systems", 400, headers=(("x-foo-bin", "!!!notb64"),)),
    get("systems-with-underscores", "/systems", headers=(("x_foo", "1"),)),
    get("systems-with-large-headers", "/systems", 431, headers=(("X-Filler", "x" * 9000),)),
    get("systems-with-many-headers", "/systems", 431, headers=tuple((f"X-{n}", "a") for n in range(61))),
    get("systems-with-a-strange-id", "/systems", headers=(("X-Request-Id", "no id!"),)),
    get("systems-with-a-deadline-of-its-own", "/systems", headers=(("grpc-timeout", "1n"),), straight=True),
    get("systems-said-to-be-grpc", "/systems", headers=(("Content-Type", "application/grpc"),)),
    Asked("systems-with-a-body", "GET", "/systems", 400, b"{}"),
    Asked("systems-deleted", "DELETE", "/systems", 405),
    Asked("systems-put", "PUT", "/systems", 405, b"{}"),
    post("systems-without-a-type", "/systems", 415, b"{}", content_type=None),
    post("systems-as-text", "/systems", 415, b"{}", content_type="text/plain"),
    post("systems-as-merge-patch", "/systems", 400, b"{}", content_type="application/merge-patch+json"),
    post("systems-compressed", "/systems", 415, b"{}", headers=(("Content-Encoding", "gzip"),)),
    post("systems-empty", "/systems", 400, b""),
    post("systems-too-large", "/systems", 413, b'{"description": "' + b"x" * 1024 * 1024 + b'"}'),
    post("systems-no-json", "/systems", 400, b'{"system_name": "x"'),
    post("systems-twice", "/systems", 400, b'{"system_name": "x", "system_name": "y"}'),
    post("systems-camel", "/systems", 400, {"systemName": "x"}),
    post("systems-with-a-number", "/systems", 400, {"system_name": 5}),
    post("systems-with-an-enum-of-lower-case", "/systems", 400, {"system_type": 7}),
    post("systems-without-a-name", "/systems", 400, {"display_name": "x"}, straight=True),
    post("systems-of-a-viewer", "/systems", 403, {"system_name": "x", "display_name": "x", "system_type": "hybrid"},
        role="viewer", straight=True),
    get("modules", "/modules/events/systems", straight=True),
    get("modules-own", "/modules/events/systems", role=MODULE, straight=True),
    get("modules-other", "/modules/surveys/systems", 403, role=MODULE, straight=True),
    get("access", "/modules/events/systems/law_enforcement:checkAccess"),
    get("secrets", "/secrets", straight=True),
    # Connections, mappings, grants.
    get("connections", "/connections"),
    get("connection", "/connections/1"),
    get("connection-not-there", "/connections/999", 404),
    get("connection-no-number", "/connections/one", 400),
    post("connection-empty", "/connections", 400, {}),
    Asked("connection-patched-with-nothing", "PATCH", "/connections/1", 400, {}),
    Asked("connection-not-there-deleted", "DELETE", "/connections/999", 404, straight=True),
    Asked("connection-deleted-with-a-large-number", "DELETE", "/connections/99999999999", 400),
    post("connection-tested", "/connections/999:test", 404, {}, straight=True),
    post("connection-tested-with-more", "/connections/999:test", 400, {"more": 1}),
    get("connection-test-got", "/connections/1:test", 405),
    get("mappings", "/mappings"),
    get("mapping", "/mappings/1"),
    post("mapping-empty", "/mappings", 400, {}),
    Asked("mapping-patched", "PATCH", "/mappings/999", 404, {"sync_frequency": "realtime"}),
    Asked("mapping-not-there-deleted", "DELETE", "/mappings/999", 404, straight=True),
    post("mapping-validated", "/mappings:validate", 400, {}),
    post("mapping-previewed", "/mappings:preview", 400, {}),
    get("grants", "/grants"),
    get("grant", "/grants/1"),
    post("grant-empty", "/grants", 400, {}),
    Asked("grant-patched", "PATCH", "/grants/999", 404, {"access_type": "read"}),
    Asked("grant-not-there-deleted", "DELETE", "/grants/999", 404, straight=True),
    # Deliveries, records, checkpoints, the log.
    get("deliveries", f"/deliveries?system={DEMO}&page_size=1", straight=True),
    get("deliveries-of-nobody", "/deliveries?system=nobody", 404, straight=True),
    get("delivery-not-there", "/deliveries/01JDB2M8W0F1YJ5Q0X7Q3V9K2C", 404, straight=True),
    get("deliveries-at-a-time", "/deliveries?system=nobody&received_after=soon", 400),
    get("rejections-of-nobody", "/rejections?system=nowhere-at-all", straight=True),
    get("records", "/records?system=nobody", 404),
    get("record-not-there", "/records/999999", 404),
    post("records-counted", "/records:count", 200, {"system": "law_enforcement", "external_id": "none"}, straight=True),
    post("records-counted-by-number", "/records:count", 200, {"ids": ["999999"]}),
    post("records-counted-of-nobody", "/records:count", 404, {"system": "nobody"}, straight=True),
    post("records-replayed", "/records:replay", 200, {"system": "law_enforcement", "external_id": "none"},
        straight=True),
    post("records-replayed-by-a-viewer", "/records:replay", 403, {"system": "law_enforcement"}, role="viewer",
        straight=True),
    get("cache", f"/cache?system={DEMO}"),
    get("target", "/targets/campaign_department_events", straight=True),
    get("target-not-there", "/targets/nowhere", 404, straight=True),
    get("checkpoints", "/checkpoints?system=nobody", 404),
    get("checkpoint-not-there", "/checkpoints/campaign_department_events/999/law_enforcement", 404),
    post("checkpoint-empty", "/checkpoints", 400, {}),
    get("logs", "/logs?system=nobody"),
    get("log-not-there", "/logs/999999", 404),
    get("log-checkpoints", "/logs/checkpoints?page_size=1"),
    # Questions and syncs.
    post("database", "/query/database", 200, {"system": DEMO,
        "query": "SELECT id, title FROM closures WHERE id = 1"}, role=MODULE),
    post("database-refused", "/query/database", 400, {"system": DEMO, "query": "DROP TABLE closures"}, role=MODULE),
    post("database-of-a-viewer", "/query/database", 403, {"system": DEMO, "query": "SELECT 1"}, role="viewer"),
    post("api", "/query/api", 200, {"system": DEMO, "endpoint": "/works/RW-203", "method": "GET"}, role=MODULE),
    post("api-not-there", "/query/api", 404, {"system": DEMO, "endpoint": "/works/none", "method": "GET"}, role=MODULE),
    post("sync", "/sync", 200, CLOSURES, role=MODULE, straight=True),
    post("sync-of-nothing", "/sync", 400, {}, straight=True),
    post("sync-with-null", "/sync", 400, {"system": None}),
    post("sync-with-spaces", "/sync", 404, b' { "system" : "nobody" ,\r\n "mapping" : "m" } ', straight=True),
    post("sync-with-more", "/sync", 400, {**CLOSURES, "more": 1}),
    post("sync-with-letters-beyond-ascii", "/sync", 404, {"system": "é", "mapping": "m"}),
    get("runs", f"/sync/runs?system={DEMO}&page_size=1", straight=True),
    get("runs-of-nobody", "/sync/runs?system=nobody", 404, straight=True),
    get("runs-in-no-state", "/sync/runs?state=nonsense", 400, straight=True),
    get("run-not-there", "/sync/runs/01JDB2M8W0F1YJ5Q0X7Q3V9K2C", 404, straight=True),
    get("failures-not-there", "/sync/runs/01JDB2M8W0F1YJ5Q0X7Q3V9K2C/failures", 404, straight=True),
    post("run-cancelled", "/sync/runs/01JDB2M8W0F1YJ5Q0X7Q3V9K2C:cancel", 404, {}, straight=True),
    post("run-resumed", "/sync/runs/01JDB2M8W0F1YJ5Q0X7Q3V9K2C:resume", 404, {}, straight=True),
    get("cursor", f"/sync/cursor?system={DEMO}&mapping=closures_to_events", straight=True),
    get("cursor-of-nothing", "/sync/cursor", 404, straight=True),
    post("cursor-reset", "/sync/cursor:reset", 404, {"system": "nobody", "mapping": "m"}, straight=True),
    # Beside the API.
    get("nowhere", "/nowhere", 404),
    get("live", "/../../../healthz", 400),
]  # fmt: skip

LIFE = [
    post("made", "/systems", 200, {"system_name": "life-@", "display_name": "x", "system_type": "hybrid"},
        straight=True),
    post("made-again", "/systems", 409, {"system_name": "life-@", "display_name": "x", "system_type": "hybrid"},
        straight=True),
    get("got", "/systems/life-@", straight=True),
    Asked("changed", "PATCH", "/systems/life-@", 200, {"display_name": "y", "is_active": False}),
    get("got-changed", "/systems/life-@", straight=True),
    post("mapped", "/mappings", 200, {"system": "life-@", "mapping_name": "m",
        "target_table": "campaign_department_events", "mapping_config": {"field_mappings": {"title": "event_title"}},
        "sync_frequency": "realtime"}),
    Asked("deleted-with-a-body", "DELETE", "/systems/life-@", 400, b"{}"),
    Asked("deleted", "DELETE", "/systems/life-@", 200, straight=True),
    get("gone", "/systems/life-@", 404, straight=True),
]  # fmt: skip
"""One after another, each edge with a system of its own."""

_POST = f"POST {API}{HOOK} HTTP/1.1\r\nHost: t\r\nConnection: close\r\nX-Webhook-Secret: {SEED_SECRET}\r\n".encode()
_JSON = _POST + b"Content-Type: application/json\r\n"

WIRE: dict[str, tuple[bytes, int]] = {
    "length-and-chunks": (_JSON + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", 400),
    "two-lengths": (_JSON + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{} ", 400),
    "the-same-length-twice": (_JSON + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}", 400),
    "unknown-coding": (_JSON + b"Transfer-Encoding: xchunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", 400),
    "a-chunk-without-a-size": (_JSON + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n", 400),
    "a-chunk-that-is-longer": (_JSON + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}x\r\n0\r\n\r\n", 400),
    "length-below-zero": (_JSON + b"Content-Length: -2\r\n\r\n{}", 400),
    "length-of-letters": (_JSON + b"Content-Length: 2x\r\n\r\n{}", 400),
    "nul-in-a-header": (_JSON + b"X-A: a\x00b\r\nContent-Length: 2\r\n\r\n{}", 400),
    "return-in-a-header": (_JSON + b"X-A: a\rb\r\nContent-Length: 2\r\n\r\n{}", 400),
    "space-in-a-name": (_JSON + b"X A: b\r\nContent-Length: 2\r\n\r\n{}", 400),
    "space-behind-a-name": (_JSON + b"Content-Length : 2\r\n\r\n{}", 400),
    "no-host": (_JSON.replace(b"Host: t\r\n", b"") + b"Content-Length: 2\r\n\r\n{}", 400),
    "two-hosts": (_JSON + b"Host: other\r\nContent-Length: 2\r\n\r\n{}", 400),
    "a-folded-header": (_JSON + b"X-A: a\r\n folded\r\nContent-Length: 2\r\n\r\n{}", 400),
    "bare-line-feeds": ((_JSON + b"Content-Length: 2\r\n\r\n{}").replace(b"\r\n", b"\n"), 400),
    "version-9": (f"POST {API}{HOOK} HTTP/9.9\r\nHost: t\r\n\r\n".encode(), 400),
    "space-in-the-path": (b"POST /a b HTTP/1.1\r\nHost: t\r\n\r\n", 400),
    "letters-in-the-path": (b"POST /caf\xc3\xa9 HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n", 400),
    "a-tls-handshake": (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400),
    "chunks-over-the-limit": (_JSON + b"Transfer-Encoding: chunked\r\n\r\n" + (b"10000\r\n" + b"a" * 0x10000
        + b"\r\n") * 17, 413),
    "chunks": (_JSON + b"Idempotency-Key: chunks-@\r\nTransfer-Encoding: chunked\r\n\r\n"
        + b'5\r\n{"id"\r\n4\r\n: 1}\r\n0\r\n\r\n', 202),
    "http-1.0": ((_JSON + b"Idempotency-Key: old-@\r\nContent-Length: 8\r\n\r\n{\"id\":1}").replace(b"HTTP/1.1",
        b"HTTP/1.0"), 202),
    "expecting-to-continue": (_JSON
        + b"Idempotency-Key: expect-@\r\nExpect: 100-continue\r\nContent-Length: 8\r\n\r\n{\"id\":1}", 202),
    "an-upgrade": (_JSON.replace(b"Connection: close", b"Connection: Upgrade\r\nUpgrade: h2c")
        + b"Idempotency-Key: upgrade-@\r\nContent-Length: 8\r\n\r\n{\"id\":1}", 202),
    "headers-without-end": (_JSON + b"X-A: " + b"a" * 30_000, 431),
    "a-long-url": (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n", 414),
    "two-content-types": (_JSON + b"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}", 400),
    "unknown-method": (b"BREW / HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n", 400),
    "a-whole-url": ((_JSON + b"Idempotency-Key: whole-@\r\nContent-Length: 8\r\n\r\n{\"id\":1}").replace(b"POST /",
        b"POST http://other.example/"), 202),
    "health": (b"GET /healthz HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n", 200),
    "readiness": (b"GET /readyz HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n", 200),
    "description": (b"GET /openapi.json HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n", 200),
    "pages": (b"GET /docs HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n", 200),
    "health-posted": (b"POST /healthz HTTP/1.1\r\nHost: t\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", 405),
    "grpc-to-the-http-port": (
        b"POST /intertie.registry.v1.RegistryService/ListSystems HTTP/1.1\r\nHost: t\r\nConnection: close\r\n"
        b"Content-Type: application/grpc\r\nContent-Length: 5\r\n\r\n\0\0\0\0\0", 404),
}  # fmt: skip
"""Bytes as they are, and the status that the gateway gives them."""
