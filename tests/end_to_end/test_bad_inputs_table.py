"""Bad inputs and what each is answered, row by row of the table of bad inputs; a test's id begins with its row.

Where the table and the design differ, the design decides: 202 for a stored delivery, nesting of at most 31, names with
spaces and capitals, unknown members of a push tolerated, sizes of pages cut to the most that there is.
"""

import ast
import base64
import hmac
import json
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from suite import API, SECRET, Suite
from waiting import eventually

SYSTEM = "bad_inputs"
SIGNED_SYSTEM = "bad_inputs_signed"
HOOK = f"/webhook/{SYSTEM}"
SIGNED_HOOK = f"/webhook/{SIGNED_SYSTEM}"
KEY = b"k" * 24
JSON = ("Content-Type", "application/json")
GOOD = b'{"id": "1", "title": "ok"}'
PUSH = {"system": SYSTEM, "mapping": "events", "data": {"id": "push", "title": "ok"}}
CONFIG = {
    "field_mappings": {"title": "event_title", "count": "linked_campaign_id", "date": "date"},
    "transformations": {"date": "date_format"},
}
#: the rows whose inputs need more than a request, and the tests that send them
ELSEWHERE = {
    10: ("gateway/test_gateway_wire.py", "test_broken_framing_is_400_and_the_connection_ends"),
    21: ("gateway/test_gateway_wire.py", "test_a_body_that_is_cut_short_is_not_stored"),
    40: ("unit/mapping/test_mapping_expressions.py", "test_what_grows_too_large_is_stopped"),
    41: ("stores/external/test_external_attacks.py", "test_mariadb"),
    42: ("unit/ingest/test_egress.py", "test_one_text_for_every_refusal"),
    43: ("rpc/pull/test_query_access.py", "test_a_grant_that_is_taken_away_no_longer_answers"),
    44: ("end_to_end/test_bad_calls.py", "test_rows_44_and_45_bytes_that_are_no_message_and_bombs"),
    45: ("end_to_end/test_bad_calls.py", "test_rows_44_and_45_bytes_that_are_no_message_and_bombs"),
    46: ("end_to_end/test_bad_calls.py", "test_row_46_deadlines_and_cancelled_calls_leave_all_or_nothing"),
    47: ("gateway/test_gateway_wire.py", "test_slow_senders_are_cut_off"),
    48: ("gateway/test_gateway_wire.py", "test_broken_framing_is_400_and_the_connection_ends"),
    49: ("stores/ingest/test_ingest_accepting.py", "test_a_store_that_is_away_is_said_to_every_sender"),
}


@dataclass(frozen=True, slots=True)
class Case:
    """A request and the status that it gets."""

    row: int
    what: str
    status: int
    body: bytes = GOOD
    path: str = HOOK
    #: beside the content type and the secret
    headers: tuple[tuple[str, str], ...] = ()
    content_type: str | None = "application/json"
    secret: str | None = SECRET
    method: str = "POST"


def number(digits: str) -> bytes:
    """A record with this number."""
    return b'{"id": "number", "title": "n", "n": %b}' % digits.encode()


def nested(depth: int, kind: str) -> bytes:
    """A record that is nested so deep, itself counted."""
    if kind == "arrays":
        return b'{"id": "deep", "a": ' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"
    return b'{"a":' * depth + b"1" + b"}" * depth


def push(**change: object) -> bytes:
    """A push with something else in it."""
    return json.dumps({**PUSH, **change}).encode()


def signed(shift: int = 0, *, others: int = 0, timestamp: str | None = None) -> tuple[tuple[str, str], ...]:
    """Headers of Standard Webhooks for GOOD, sent so many seconds from now."""
    at = timestamp or str(int(time.time()) + shift)
    digest = hmac.digest(KEY, f"message.{at}.".encode() + GOOD, "sha256")
    signatures = " ".join(["v1,AAAA"] * others + ["v1," + base64.b64encode(digest).decode()])
    return (("webhook-id", "message"), ("webhook-timestamp", at), ("webhook-signature", signatures))


CASES = [
    Case(1, "valid", 202),
    Case(4, "no-secret", 401, secret=None),
    Case(4, "wrong-secret", 401, secret="wrong"),
    Case(4, "empty-secret", 401, secret=""),
    Case(4, "unknown-system", 401, path="/webhook/nobody"),
    Case(5, "secret-not-ascii", 401, secret="é"),
    Case(6, "two-secrets", 400, headers=(("X-Webhook-Secret", SECRET),)),
    Case(6, "two-secrets-one-wrong", 400, headers=(("X-Webhook-Secret", "wrong"),)),
    Case(7, "underscores", 400, secret=None, headers=(("X_Webhook_Secret", SECRET),)),
    Case(8, "header-of-9-kB", 431, headers=(("X-Filler", "x" * 9000),)),
    Case(8, "header-of-20-kB", 431, headers=(("X-Filler", "x" * 20_000),)),
    Case(8, "61-headers", 431, headers=tuple((f"X-{n}", "a") for n in range(61))),
    Case(9, "bin-header", 400, headers=(("x-foo-bin", "!!!notb64"),)),
    Case(12, "nine-signatures", 400, secret=None, path=SIGNED_HOOK, headers=signed(others=8)),
    Case(12, "200-signatures", 400, secret=None, path=SIGNED_HOOK, headers=signed(others=199)),
    Case(13, "slash", 400, path="/webhook/a%2Fb"),
    Case(13, "dots-and-slash", 400, path="/webhook/..%2f..%2fpush"),
    Case(13, "nul", 400, path="/webhook/a%00"),
    Case(13, "101-characters", 400, path="/webhook/" + "x" * 101),
    Case(13, "capitals-and-spaces-are-names", 401, path="/webhook/Bad%20Inputs"),
    Case(14, "not-utf-8", 400, path="/webhook/%ff"),
    Case(15, "escaped-twice", 400, path="/webhook/%2523"),
    Case(16, "system-in-the-query", 400, path=f"{HOOK}?system=evil"),
    Case(16, "the-same-system-in-the-query", 400, path=f"{HOOK}?system={SYSTEM}"),
    Case(16, "system-escaped-in-the-query", 400, path=f"{HOOK}?s%79stem=evil"),
    Case(17, "unknown-parameter-tolerated", 202, path=f"{HOOK}?unknown=1"),
    Case(17, "unknown-parameter", 400, path="/systems?unknown=1", method="GET"),
    Case(18, "unknown-path", 404, path="/nowhere"),
    Case(18, "get", 405, method="GET"),
    Case(18, "empty-system", 404, path="/webhook/"),
    Case(19, "dot-segment", 400, path="/webhook/../push"),
    Case(19, "dot-segment-escaped", 400, path="/webhook/%2e%2e/push"),
    Case(20, "over-1-MiB", 413, body=b'{"id": "1", "t": "' + b"x" * 1024 * 1024 + b'"}'),
    Case(22, "gzip", 415, headers=(("Content-Encoding", "gzip"),)),
    Case(23, "text", 415, body=push(), path="/push", content_type="text/plain"),
    Case(23, "no-type", 415, body=push(), path="/push", content_type=None),
    Case(24, "empty-push", 400, body=b"", path="/push"),
    Case(24, "empty-webhook", 400, body=b""),
    Case(25, "no-json", 400, body=b"not json"),
    Case(25, "truncated", 400, body=b'{"id": "1"'),
    Case(25, "trailing", 400, body=b'{"id": "1"} x'),
    Case(25, "array-push", 400, body=b"[]", path="/push"),
    Case(25, "scalar-push", 400, body=b"3", path="/push"),
    Case(25, "scalar-webhook", 400, body=b'"text"'),
    Case(26, "not-utf-8", 400, body=b'{"id": "\xff"}'),
    Case(26, "half-a-surrogate", 400, body=b'{"id": "1", "a": "\\ud800"}'),
    Case(27, "byte-order-mark", 400, body=b"\xef\xbb\xbf" + GOOD),
    Case(27, "utf-16", 400, body=GOOD.decode().encode("utf-16")),
    Case(27, "utf-16-without-mark", 400, body=GOOD.decode().encode("utf-16-le")),
    Case(28, "nul-in-a-value", 202, body=b'{"id": "nul", "title": "ok", "note": "a\\u0000b"}'),
    Case(28, "nul-in-a-name", 400, body=push(system="a\0b"), path="/push"),
    Case(29, "nan", 400, body=number("NaN")),
    Case(29, "infinity", 400, body=number("-Infinity")),
    Case(29, "1e999", 400, body=number("1e999")),
    Case(29, "tiny-exponent", 400, body=number("1e-99999999999999999999")),
    Case(30, "4300-digits", 202, body=number("9" * 4300)),
    Case(30, "4301-digits", 400, body=number("9" * 4301)),
    Case(30, "minus-4301-digits", 400, body=number("-" + "9" * 4301)),
    Case(30, "4301-decimals", 400, body=number("0." + "1" * 4301)),
    Case(31, "key-twice-in-a-push", 400, body=b'{"system": "a", "system": "b", "data": {}}', path="/push"),
    Case(31, "key-twice-in-its-data", 400, body=push().replace(b'"title"', b'"id"'), path="/push"),
    *(
        Case(32, f"{depth}-{kind}", 202 if depth <= 31 else 400, body=nested(depth, kind))
        for kind in ("objects", "arrays")
        for depth in (31, 32, 64, 65, 100, 5000, 100_000)
    ),
    Case(32, "never-closed", 400, body=b"[" * 100_000),
    Case(33, "a-million-keys", 413, body=b"{" + b",".join(b'"%d":1' % n for n in range(1_000_000)) + b"}"),
    Case(33, "elements-of-a-MB", 202, body=b'{"id": "many", "a": [' + b"0," * 490_000 + b"0]}"),
    Case(33, "key-of-a-MB", 202, body=b'{"id": "long", "' + b"k" * 1_000_000 + b'": 1}'),
    Case(33, "records-of-a-MB", 400, body=b"[" + b"{}," * 300_000 + b"{}]"),
    Case(34, "unknown-member-of-a-push-tolerated", 202, body=push(extra=1), path="/push"),
    Case(34, "unknown-field", 400, body=b'{"system_name": "x", "nonsense": 1}', path="/systems"),
    Case(35, "enum-number", 400, path="/deliveries?state=99", method="GET"),
    Case(35, "enum-lower-case", 400, path="/deliveries?state=delivery_state_synced", method="GET"),
    *(
        Case(36, f"int-{text.strip(chr(34))}", 400, body=b'{"api_timeout": %b}' % text.encode(), path="/connections")
        for text in ("4294967296", "1.5", "-1", '"NaN"', "1e10")
    ),
    Case(37, "page-size-negative", 400, path="/systems?page_size=-1", method="GET"),
    Case(37, "page-size-over-32-bit", 400, path="/systems?page_size=2147483648", method="GET"),
    Case(37, "page-size-cut-to-the-most", 200, path="/systems?page_size=1000000000", method="GET"),
    Case(37, "bad-cursor", 400, path="/systems?page_token=made-up", method="GET"),
    Case(37, "limit-over-32-bit", 400, path="/logs?limit=2147483648", method="GET"),
]  # fmt: skip


@pytest.fixture
def ready(suite: Suite) -> Suite:
    """The suite with the systems that are sent to."""
    if suite.is_first_time(SYSTEM):
        suite.add_system(SYSTEM)
        suite.add_mapping(SYSTEM, "events", CONFIG)
        secret = "whsec_" + base64.b64encode(KEY).decode()
        suite.add_system(SIGNED_SYSTEM, {"webhook_secret": secret, "webhook_auth": "standard-webhooks"})
    return suite


def send(suite: Suite, case: Case) -> Any:
    """The answer to a case; what is no webhook and no push comes from an admin."""
    headers = [*case.headers]
    if case.path.startswith(("/webhook", "/push")):
        headers += [("X-Webhook-Secret", case.secret)] if case.secret is not None else []
    else:
        headers.append(("Authorization", f"Bearer {suite.token()}"))
    if case.content_type is not None and case.method == "POST":
        headers.append(("Content-Type", case.content_type))
    raw = [(name.encode(), value.encode()) for name, value in headers]
    content = case.body if case.method == "POST" else None
    return suite.http.request(case.method, API + case.path, headers=raw, content=content)


@pytest.mark.parametrize("case", CASES, ids=[f"{case.row}-{case.what}" for case in CASES])
def test_row(ready: Suite, case: Case) -> None:
    """Each gets its status; an error has the one shape and nothing of a library in it."""
    answer = send(ready, case)
    assert answer.status_code == case.status, answer.text[:500]
    if case.status >= 400:
        problem = answer.json()
        assert set(problem) == {"code", "message", "details"}
        assert problem["details"][0]["@type"] == "type.googleapis.com/google.rpc.ErrorInfo"
        assert not [word for word in ("Traceback", "Error:", "Exception", "site-packages") if word in answer.text]


def test_rows_2_and_3_a_key_again(ready: Suite) -> None:
    """The same bytes are the same delivery, other bytes a conflict."""
    headers = {"Idempotency_Key": "row-2"}
    first, again, other = (ready.webhook(SYSTEM, body, **headers) for body in (GOOD, GOOD, b'{"id": "2"}'))
    assert (first.status_code, again.status_code, other.status_code) == (202, 202, 409)
    assert again.json() == {**first.json(), "duplicate": True}


def test_row_4_one_answer_for_all_that_are_not_let_in(ready: Suite) -> None:
    """An unknown system, an inactive scheme, no secret and a wrong one: to the byte."""
    cases = [case for case in CASES if case.row in (4, 5)]
    bodies = {send(ready, case).content for case in cases}
    bodies.add(ready.webhook(SIGNED_SYSTEM, GOOD).content)
    assert len(bodies) == 1


@pytest.mark.parametrize(
    ("what", "status"),
    [
        ("on-time", 202), ("late", 401), ("early", 401), ("missing", 401), ("number", 401), ("negative", 401),
        ("huge", 401), ("twice", 400), ("one-of-five", 202),
    ],
)  # fmt: skip
def test_rows_11_and_12_signatures(ready: Suite, what: str, status: int) -> None:
    """Five minutes either way, exactly one of each header, one fitting signature of a few. A header that stands twice
    is the sender's mistake whoever it is, so it is told apart as a second secret is."""
    made: dict[str, Callable[[], tuple[tuple[str, str], ...]]] = {
        "on-time": lambda: signed(),
        "late": lambda: signed(-310),
        "early": lambda: signed(310),
        "missing": lambda: tuple(pair for pair in signed() if pair[0] != "webhook-timestamp"),
        "number": lambda: signed(timestamp="soon"),
        "negative": lambda: signed(timestamp="-1"),
        "huge": lambda: signed(timestamp="1" + "0" * 20),
        "twice": lambda: (*signed(), ("webhook-timestamp", str(int(time.time())))),
        "one-of-five": lambda: signed(others=4),
    }
    answer = send(ready, Case(11, what, status, path=SIGNED_HOOK, secret=None, headers=made[what]()))
    assert answer.status_code == status, answer.text


async def test_rows_28_to_39_what_is_stored_and_set_aside(ready: Suite) -> None:
    """Taken with 202, kept to the byte, and set aside with the reason of its fault; numbers stay exact."""
    reasons = {
        "duplicate_key": [b'{"id": "a", "title": "x", "title": "y"}'],
        "invalid_external_id": [
            json.dumps({"id": bad, "title": "x"}).encode() for bad in ("", "x" * 256, "a\0b", {"a": 1}, True)
        ],
        "out_of_range": [
            b'{"id": "n%d", "title": "x", "count": %d}' % (n, value) for n, value in enumerate((2**63, 2**64, 10**100))
        ],
        "bad_datetime": [
            json.dumps({"id": f"d{n}", "title": "x", "date": text}).encode()
            for n, text in enumerate(("0000-00-00", "2025-02-30", "2025-01-01T00:00:00+25:00", "soon"))
        ],
    }
    ids: dict[str, set[str]] = {}
    for reason, bodies in reasons.items():
        for body in bodies:
            answer = ready.webhook(SYSTEM, body)
            assert answer.status_code == 202, (body, answer.text)
            ids.setdefault(reason, set()).add(answer.json()["delivery_id"])

    def set_aside() -> bool:
        for reason, wanted in ids.items():
            found = ready.get("/records", system=SYSTEM, error_reason=reason, page_size=100)["records"]
            assert wanted <= {record["delivery_id"] for record in found}, reason
        return True

    await eventually(set_aside)
    for value in (2**53 + 1, 2**63, 2**64 - 1, 2**64, 10**100):
        answer = ready.webhook(SYSTEM, b'{"id": "exact", "title": "x", "n": %d}' % value)
        system_id = ready.get(f"/systems/{SYSTEM}")["id"]
        (row,) = ready.rows(
            "external_data_cache", "system_id = %s AND external_id = %s", [system_id, "exact"], owner="ingest"
        )
        assert answer.status_code == 202
        assert f'"n": {value}}}' in row["data_json"]


def test_row_38_ids_are_their_bytes(ready: Suite) -> None:
    """Neither case nor accents nor spaces at the end make two ids one."""
    ids = ["case", "Case", "cäse", "case ", "😀", "😁", "x" * 255]
    for one in ids:
        assert ready.webhook(SYSTEM, {"id": one, "title": "id"}).json()["external_id"] == one
    system_id = ready.get(f"/systems/{SYSTEM}")["id"]
    stored = {
        row["external_id"] for row in ready.rows("external_data_cache", "system_id = %s", [system_id], owner="ingest")
    }
    assert set(ids) <= stored


async def test_row_50_over_a_rate_and_an_allow_list(ready: Suite, system: str) -> None:
    """429 with a time to come back; another system is not harmed. An address that is not allowed is a wrong secret to
    its sender, and told from one in the log of rejections."""
    ready.add_system(system, {"webhook_secret": SECRET, "rate_limit": {"per_second": 0.01, "burst": 2}})
    ready.add_system(f"{system}_far", {"webhook_secret": SECRET, "allowed_sources": ["192.0.2.0/24"]})
    await eventually(lambda: ready.webhook(system, GOOD).status_code == 202)
    assert ready.webhook(system, GOOD, "wrong").status_code == 401
    assert ready.webhook(system, GOOD).status_code == 202
    refused = ready.webhook(system, GOOD)
    assert refused.status_code == 429
    assert 1 <= int(refused.headers["retry-after"]) <= 100
    assert refused.json()["details"][0]["reason"] == "RATE_LIMITED"
    assert ready.webhook(SYSTEM, GOOD).status_code == 202
    assert ready.webhook(f"{system}_far", GOOD).content == ready.webhook("nobody", GOOD).content

    def noted() -> bool:
        reasons = [
            [row["reason"] for row in ready.get("/rejections", system=name)["rejections"]]
            for name in (system, f"{system}_far")
        ]
        return set(reasons[0]) == {"UNAUTHENTICATED", "RATE_LIMITED"} and set(reasons[1]) == {"SOURCE_NOT_ALLOWED"}

    await eventually(noted)


def test_row_19_a_dot_segment_on_the_wire(ready: Suite) -> None:
    """As a client sends it that does not tidy up paths."""
    with socket.create_connection(("127.0.0.1", ready.port), 20) as connection:
        request = f"POST {API}/webhook/../push HTTP/1.1\r\nHost: t\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        connection.sendall(request.encode())
        assert connection.recv(65536).startswith(b"HTTP/1.1 400 ")


def test_every_row_is_tried() -> None:
    """Here, or in a test that is there."""
    here = {case.row for case in CASES} | {2, 3, 11, 28, 30, 31, 38, 39, 50}
    assert here | ELSEWHERE.keys() == set(range(1, 51))
    tests = Path(__file__).parent.parent
    for file, name in ELSEWHERE.values():
        functions = ast.walk(ast.parse((tests / file).read_text()))
        assert name in {one.name for one in functions if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)}
