"""Whom webhooks are taken from: every scheme over HTTP, rotation, replay, handshakes, answers of a connection's own."""

import base64
import hmac
import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from standardwebhooks import Webhook
from stripe import WebhookSignature

from suite import API, Suite
from waiting import eventually

SECRET = "the sender's secret, of some length"
STANDARD = "whsec_" + base64.b64encode(b"thirty-two bytes, more or less..").decode()
JSON = {"Content-Type": "application/json"}
EVERYTHING = {"field_mappings": {"title": "event_title"}}


def send(suite: Suite, system: str, body: bytes, headers: dict[str, str]) -> httpx.Response:
    return suite.http.post(f"{API}/webhook/{system}", content=body, headers={**JSON, **headers})


def mac(body: bytes, secret: str = SECRET, algorithm: str = "sha256") -> bytes:
    return hmac.new(secret.encode(), body, algorithm).digest()


def signed(scheme: str, body: bytes, at: int) -> dict[str, str]:
    """The headers of a sender of this scheme; signed by its own library where there is one."""
    if scheme == "standard-webhooks":
        signature = Webhook(STANDARD).sign("msg_1", datetime.fromtimestamp(at, UTC), body.decode())
        return {"webhook-id": "msg_1", "webhook-timestamp": str(at), "webhook-signature": signature}
    if scheme == "stripe":
        return {"Stripe-Signature": WebhookSignature.generate_signature_header(body.decode(), SECRET, at)}
    if scheme == "slack":
        value = "v0=" + mac(b"v0:%d:%b" % (at, body)).hex()
        return {"X-Slack-Signature": value, "X-Slack-Request-Timestamp": str(at)}
    if scheme == "github":
        return {
            "X-Hub-Signature-256": "sha256=" + mac(body).hex(),
            "X-GitHub-Delivery": "d-1",
            "X-GitHub-Event": "push",
        }
    if scheme == "shopify":
        return {"X-Shopify-Hmac-Sha256": base64.b64encode(mac(body)).decode(), "X-Shopify-Webhook-Id": "d-1"}
    if scheme == "hmac":
        value = base64.b64encode(mac(b"%d/%b" % (at, body), algorithm="sha512")).decode()
        return {"X-Acme-Signature": f"s={value}", "X-Acme-Time": str(at)}
    return {"X-Webhook-Secret": SECRET}


GENERIC = {
    "header": "X-Acme-Signature",
    "algorithm": "sha512",
    "encoding": "base64",
    "prefix": "s=",
    "signed": "{timestamp}/{body}",
    "timestamp_header": "X-Acme-Time",
}
SCHEMES: dict[str, dict[str, Any]] = {
    "secret": {"webhook_secret": SECRET},
    "standard-webhooks": {"webhook_auth": "standard-webhooks", "webhook_secret": STANDARD},
    "github": {"webhook_auth": "github", "webhook_secret": SECRET},
    "stripe": {"webhook_auth": "stripe", "webhook_secret": SECRET},
    "shopify": {"webhook_auth": "shopify", "webhook_secret": SECRET},
    "slack": {"webhook_auth": "slack", "webhook_secret": SECRET},
    "hmac": {"webhook_auth": "hmac", "webhook_secret": SECRET, "webhook_hmac": GENERIC},
}


async def test_every_scheme_over_http(suite: Suite, system: str) -> None:
    """What is signed is taken and known again; another body, an old time and no signature get one and the same 401."""
    body = b'{"id": "evt_1", "title": "signed"}'
    refusals = set()
    for scheme, config in SCHEMES.items():
        name, now = f"{system}_{scheme}", int(time.time())
        suite.add_system(name, config)
        suite.add_mapping(name, "all", EVERYTHING)
        first = await eventually(
            lambda name=name, scheme=scheme, now=now: _accepted(send(suite, name, body, signed(scheme, body, now)))
        )  # type: ignore[misc]
        again = send(suite, name, body, signed(scheme, body, now))
        assert again.json() == {**first, "duplicate": True}, scheme
        bad = [send(suite, name, body, {}), send(suite, f"{name}_unknown", body, signed(scheme, body, now))]
        if scheme != "secret":
            bad.append(send(suite, name, body + b" ", signed(scheme, body, now)))
        if scheme not in ("secret", "github", "shopify"):
            bad.append(send(suite, name, body, signed(scheme, body, now - 302)))
        assert [answer.status_code for answer in bad] == [401] * len(bad), scheme
        refusals |= {(answer.content, tuple(sorted(_headers(answer)))) for answer in bad}
    assert len(refusals) == 1


async def test_what_github_signed_takes_effect_once_whatever_header_it_comes_under(suite: Suite, system: str) -> None:
    """A, B, and A again under a new delivery id: the third is the first, and the row stays B's."""
    suite.add_system(system, SCHEMES["github"])
    suite.add_mapping(system, "all", EVERYTHING)
    bodies = [json.dumps({"id": system, "title": f"{system} {title}"}).encode() for title in "AB"]

    def push(body: bytes, delivery: str) -> httpx.Response:
        return send(suite, system, body, {**signed("github", body, 0), "X-GitHub-Delivery": delivery})

    first = await eventually(lambda: _accepted(push(bodies[0], "d-1")))
    assert push(bodies[1], "d-2").json()["duplicate"] is False
    assert push(bodies[0], "d-3").json() == {**first, "duplicate": True}
    assert push(bodies[1], "d-1").status_code == 409
    (row,) = await eventually(lambda: suite.rows("events", "event_title LIKE %s", [f"{system} B"]))
    assert row["event_title"] == f"{system} B"
    assert suite.rows("events", "event_title LIKE %s", [f"{system} A"]) == []


async def test_a_secret_is_rotated_and_the_log_says_which_one_matched(suite: Suite, system: str) -> None:
    """By the command with an overlap, by the API with a short one, and by the command at once."""
    suite.add_system(system)
    suite.add_mapping(system, "all", EVERYTHING)
    (connection,) = suite.get("/connections", system=system)["connections"]
    number = str(connection["id"])

    def status(secret: str | None, title: str) -> int:
        return suite.webhook(system, {"id": title, "title": title}, *([] if secret is None else [secret])).status_code

    await eventually(lambda: status(None, "before") == 202)
    rotated = json.loads(suite.cli("connections", "rotate-secret", number, "--overlap", "1", "--output", "json").stdout)
    second = rotated["webhook_secret"]
    suite.secrets.add(second)
    assert len(bytes.fromhex(second)) == 32
    ends = datetime.fromisoformat(rotated["old_secret_ends_at"])
    assert timedelta(minutes=59) < ends - datetime.now(UTC) <= timedelta(hours=1)
    assert [status(None, "old"), status(second, "new"), status("neither", "none")] == [202, 202, 401]

    def matched() -> dict[str, str]:
        entries = suite.get("/logs", system=system, query_type="webhook", limit=100)["logs"]
        payloads = [entry["request_payload"] for entry in entries if entry["status"] == "success"]
        return {payload["external_ids"][0]: payload["verified_by"] for payload in payloads}

    wanted = {"before": "webhook_secret", "old": "webhook_secret_previous", "new": "webhook_secret"}
    await eventually(lambda: matched() == wanted)
    # As docs/webhooks.md has it.
    by_the_old_one = """request_payload LIKE '%%"verified_by":"webhook_secret_previous"%%' AND actor = %s"""
    if suite.database_url is None:
        by_the_old_one = by_the_old_one.replace("%%", "%")
    assert len(suite.rows("integration_query_logs", by_the_old_one, [f"system:{system}"], owner="audit")) == 1

    third = "a third secret, by the API"
    suite.secrets.add(third)
    soon = datetime.now(UTC) + timedelta(seconds=3)
    answer = suite.request(
        "PATCH",
        f"/connections/{number}",
        params={"keep_webhook_secret_until": soon.isoformat().replace("+00:00", "Z")},
        json={"config_json": {"webhook_secret": third}},
    )
    assert answer.status_code == 200, answer.text
    assert set(answer.json()["secrets_set"]) == {"config_json.webhook_secret", "config_json.webhook_secret_previous"}
    assert status(None, "the first is gone") == 401
    assert status(second, "still") == 202
    await eventually(lambda: status(second, "ended") == 401)
    assert status(third, "third") == 202

    fourth = json.loads(suite.cli("connections", "rotate-secret", number, "--revoke-now", "--output", "json").stdout)
    suite.secrets.add(fourth["webhook_secret"])
    assert fourth["old_secret_ends_at"] is None
    assert [status(third, "revoked"), status(fourth["webhook_secret"], "fourth")] == [401, 202]

    # One that was given is not printed: `cli` looks.
    fifth = "a fifth secret, which the provider made"
    suite.secrets.add(fifth)
    suite.cli("connections", "rotate-secret", number, "--secret", fifth)
    assert status(fifth, "fifth") == 202


async def test_handshakes_are_answered_and_not_stored(suite: Suite, system: str) -> None:
    """Slack's with its challenge, one of the connection's own; both are counted in the log."""
    own = {"header": "X-Probe", "equals": "1", "status": 204}
    config = {
        **SCHEMES["slack"],
        "webhook_handshakes": [own],
        "webhook_response": {"status": 200, "body": "ok {external_id}"},
    }
    created = suite.add_system(system, config)
    now = int(time.time())
    body = json.dumps({"type": "url_verification", "challenge": "3eZbrw1aBm2rZgRNFdxV"}).encode()
    answer = await eventually(
        lambda: (answer := send(suite, system, body, signed("slack", body, now))).status_code == 200 and answer
    )
    assert (answer.text, answer.headers["content-type"]) == ("3eZbrw1aBm2rZgRNFdxV", "text/plain")
    assert send(suite, system, body, {**signed("slack", body, now), "X-Slack-Signature": "v0=00"}).status_code == 401
    probe = send(suite, system, b"{}", {**signed("slack", b"{}", now), "X-Probe": "1"})
    assert (probe.status_code, probe.content) == (204, b"")
    assert "content-length" not in probe.headers
    event = b'{"type": "event_callback", "id": "e1"}'
    accepted = send(suite, system, event, signed("slack", event, now))
    assert (accepted.status_code, accepted.text) == (200, "ok e1")
    assert len(suite.rows("inbound_deliveries", "system_id = %s", [created["id"]], owner="ingest")) == 1

    def greeted() -> int:
        entries = suite.get("/logs", system=system, query_type="webhook")["logs"]
        return sum(entry["request_payload"].get("handshakes", 0) for entry in entries)

    await eventually(lambda: greeted() >= 1)


def test_all_that_is_wrong_with_a_connections_webhooks_is_told_at_once(suite: Suite, system: str) -> None:
    """Before it is saved."""
    config = {
        "webhook_auth": "hmac",
        "webhook_secret_previous": "x",
        "webhook_hmac": {"header": "a b", "algorithm": "md5", "typo": 1},
        "webhook_handshakes": [{"field": "type", "status": 302}],
        "webhook_response": {"body": "{challenge}"},
    }
    suite.add_system(system)
    wanted = {"system": system, "connection_type": "api", "config_json": config}
    answer = suite.request("POST", "/connections", json=wanted)
    assert answer.status_code == 400
    at = "connection.config_json."
    (violations,) = [detail["field_violations"] for detail in answer.json()["details"] if "field_violations" in detail]
    assert {violation["field"].removeprefix(at) for violation in violations} == {
        "webhook_secret",
        "webhook_secret_previous_expires_at",
        "webhook_hmac.header",
        "webhook_hmac.algorithm",
        "webhook_hmac.typo",
        "webhook_handshakes[0].equals",
        "webhook_handshakes[0].status",
        "webhook_response.body",
    }


def _headers(answer: httpx.Response) -> list[tuple[str, str]]:
    return [(name, value) for name, value in answer.headers.items() if name not in ("date", "x-request-id")]


def _accepted(answer: httpx.Response) -> Any:
    return answer.status_code == 202 and answer.json()
