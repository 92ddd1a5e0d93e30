"""Bad input on the receiving routes: a clear 4xx, nothing stored, and good neighbours unharmed."""

import asyncio
import json
from typing import Any

import httpx
import pytest

from suite import API, SECRET, Suite
from waiting import eventually

CONFIG = {"field_mappings": {"title": "event_title"}}
GOOD = b'{"id": "1", "title": "ok"}'
JSON = ("Content-Type", "application/json")
WITH_SECRET = ("X-Webhook-Secret", SECRET)
DEEP = b'{"id": "1", "a": ' + b"[" * 40 + b"]" * 40 + b"}"


@pytest.fixture
def target_system(suite: Suite) -> str:
    """A system with a mapping, whose tables must stay empty."""
    if suite.is_first_time("bad_deliveries"):
        suite.add_system("bad_deliveries")
        suite.add_mapping("bad_deliveries", "events", CONFIG)
    return "bad_deliveries"


@pytest.mark.parametrize(
    ("path", "headers", "body", "status"),
    [
        ("{s}", [JSON], GOOD, 401),
        ("{s}", [JSON, ("X-Webhook-Secret", "wrong")], GOOD, 401),
        ("{s}", [JSON, ("X-Webhook-Secret", "")], GOOD, 401),
        ("{s}", [JSON, ("X-Webhook-Secret", "é")], GOOD, 401),
        ("nobody", [JSON, WITH_SECRET], GOOD, 401),
        ("{s}", [JSON, WITH_SECRET, WITH_SECRET], GOOD, 400),
        ("{s}?system=other", [JSON, WITH_SECRET], GOOD, 400),
        ("{s}%2Fx", [JSON, WITH_SECRET], GOOD, 400),
        ("{s}%00", [JSON, WITH_SECRET], GOOD, 400),
        ("%ff", [JSON, WITH_SECRET], GOOD, 400),
        ("x" * 101, [JSON, WITH_SECRET], GOOD, 400),
        ("", [JSON, WITH_SECRET], GOOD, 404),
        ("{s}", [JSON, WITH_SECRET], b"", 400),
        ("{s}", [JSON, WITH_SECRET], b'{"id": "1"', 400),
        ("{s}", [JSON, WITH_SECRET], b'{"id": "1"} x', 400),
        ("{s}", [JSON, WITH_SECRET], b"3", 400),
        ("{s}", [JSON, WITH_SECRET], b'{"id": "\xff"}', 400),
        ("{s}", [JSON, WITH_SECRET], b'{"id": "1", "a": "\\ud800"}', 400),
        ("{s}", [JSON, WITH_SECRET], b'\xef\xbb\xbf{"id": "1"}', 400),
        ("{s}", [JSON, WITH_SECRET], '{"id": "1"}'.encode("utf-16"), 400),
        ("{s}", [JSON, WITH_SECRET], b'{"id": NaN}', 400),
        ("{s}", [JSON, WITH_SECRET], b'{"id": "1", "n": 1e999}', 400),
        ("{s}", [JSON, WITH_SECRET], b'{"id": "1", "n": 1e-99999999999999999999}', 400),
        ("{s}", [JSON, WITH_SECRET], b'{"id": "1", "n": ' + b"9" * 5000 + b"}", 400),
        ("{s}", [JSON, WITH_SECRET], DEEP, 400),
        ("{s}", [JSON, WITH_SECRET], b"[" * 100_000, 400),
        ("{s}", [JSON, WITH_SECRET], b'{"id": "1", "t": "' + b"x" * 1_100_000 + b'"}', 413),
        ("{s}", [("Content-Type", "text/plain"), WITH_SECRET], GOOD, 415),
        ("{s}", [WITH_SECRET], GOOD, 415),
        ("{s}", [JSON, WITH_SECRET, ("Content-Encoding", "gzip")], GOOD, 415),
        ("{s}", [JSON, WITH_SECRET, ("X-Filler", "x" * 9000)], GOOD, 431),
    ],
)
def test_a_bad_webhook_is_refused_with_one_error_shape(
    suite: Suite, target_system: str, path: str, headers: list[tuple[str, str]], body: bytes, status: int
) -> None:
    """Each gets its status, the shape of google.rpc.Status and no 5xx; nothing is stored."""
    raw = [(name, value.encode()) for name, value in headers]
    answer = suite.http.post(f"{API}/webhook/" + path.replace("{s}", target_system), headers=raw, content=body)
    assert answer.status_code == status, answer.text
    problem = answer.json()
    assert set(problem) == {"code", "message", "details"}
    assert problem["details"][0]["@type"] == "type.googleapis.com/google.rpc.ErrorInfo"
    system_id = suite.get(f"/systems/{target_system}")["id"]
    assert suite.rows("inbound_deliveries", "system_id = %s", [system_id], owner="ingest") == []
    assert suite.rows("external_data_cache", "system_id = %s", [system_id], owner="ingest") == []


def test_an_unknown_system_answers_as_a_wrong_secret_does(suite: Suite, target_system: str) -> None:
    """Names cannot be probed."""
    answers = [
        suite.http.post(f"{API}/webhook/{name}", headers=[JSON, ("X-Webhook-Secret", "wrong")], content=GOOD)
        for name in (target_system, "nobody")
    ]
    assert [answer.status_code for answer in answers] == [401, 401]
    assert answers[0].content.replace(target_system.encode(), b"") == answers[1].content.replace(b"nobody", b"")


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"mapping": "unknown"}, 404),
        ({"system": "nobody"}, 401),
        ({"system": None}, 400),
        ({"mapping": 7}, 400),
        ({"data": 3}, 400),
        ({"data": None}, 400),
    ],
)
def test_a_bad_push_is_refused(suite: Suite, target_system: str, change: dict[str, Any], status: int) -> None:
    """A push says what it wants, so its faults are answered at once."""
    push = {"system": target_system, "mapping": "events", "data": {"id": "p1", "title": "push"}, **change}
    headers = {"X-Webhook-Secret": SECRET}
    answer = suite.http.post(f"{API}/push", json=push, headers=headers)
    assert answer.status_code == status, answer.text


def test_wrong_methods_and_unknown_routes_are_told_apart(suite: Suite, target_system: str) -> None:
    """405 names what is allowed; 404 is for what is not there."""
    wrong = suite.http.get(f"{API}/webhook/{target_system}")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")
    assert suite.http.post(f"{API}/nowhere", json={}).status_code == 404
    assert suite.request("GET", "/systems", params={"unknown": "1"}).status_code == 400
    assert suite.request("GET", "/systems", params={"page_size": "-1"}).status_code == 400
    assert suite.request("GET", "/systems", params={"page_token": "made-up"}).status_code == 400
    assert suite.request("GET", "/systems", role=None).status_code == 401
    assert suite.request("POST", "/systems", role="viewer", json={"system_name": "x"}).status_code == 403
    assert suite.request("GET", "/logs", role="module:events").status_code == 403


async def test_bad_deliveries_never_harm_those_that_arrive_with_them(suite: Suite, system: str) -> None:
    """Two hundred at once, every third one bad: each good one lands, each bad one is refused."""
    suite.add_system(system)
    suite.add_mapping(system, "events", CONFIG)
    await eventually(lambda: suite.webhook(system, {"id": "first", "title": "crowd first"}).status_code == 202)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{suite.port}", timeout=30, trust_env=False) as client:

        async def send(number: int) -> int:
            body = json.dumps({"id": str(number), "title": f"crowd {number}"}).encode()
            if number % 3 == 0:
                body = body[:-1]
            headers = [JSON, WITH_SECRET]
            return (await client.post(f"{API}/webhook/{system}", headers=headers, content=body)).status_code

        statuses = await asyncio.gather(*(send(number) for number in range(200)))
    assert statuses == [400 if number % 3 == 0 else 202 for number in range(200)]
    expected = {f"crowd {number}" for number in range(200) if number % 3} | {"crowd first"}
    await eventually(
        lambda: {row["event_title"] for row in suite.rows("events", "event_title LIKE 'crowd %%'")} == expected
    )


async def test_refusals_are_counted_and_logged(suite: Suite, system: str) -> None:
    """What was refused can be seen, with its reason and without its secret."""
    suite.add_system(system)
    for _ in range(3):
        suite.webhook(system, {"id": "1"}, "a-wrong-secret-to-look-for")

    def counted() -> bool:
        rejections = suite.get("/rejections", system=system)["rejections"]
        return sum(row["count"] for row in rejections if row["reason"] == "UNAUTHENTICATED") == 3

    await eventually(counted)
    await eventually(lambda: suite.get("/logs", system=system, query_type="webhook", status="error")["logs"])
    assert "a-wrong-secret-to-look-for" not in json.dumps(suite.get("/logs", limit=1000))
