"""Bad inputs and what each is answered, row by row of the table of bad inputs; a test's id begins with its row."""

import ast
import json
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bad_inputs import CASES, GOOD, SIGNED_HOOK, SIGNED_SYSTEM, SYSTEM, Case, set_up, signed
from suite import API, SECRET, Suite
from waiting import eventually

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


@pytest.fixture
def ready(suite: Suite) -> Suite:
    """The suite with the systems that are sent to."""
    if suite.is_first_time(SYSTEM):
        set_up(suite)
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
