"""What GitHub and Stripe document, signed as they sign it, lands in tables through nested paths and expressions."""

import asyncio
import hashlib
import hmac
import json
import time
from pathlib import Path
from typing import Any

import httpx

from suite import API, Suite
from waiting import eventually

PAYLOADS = Path(__file__).parents[1] / "unit" / "mapping" / "payloads"
SECRET = "sender's own secret"


def _body(name: str) -> bytes:
    return json.dumps(json.loads((PAYLOADS / f"{name}.json").read_text()), separators=(",", ":")).encode()


def _hmac(content: bytes) -> str:
    return hmac.new(SECRET.encode(), content, hashlib.sha256).hexdigest()


def _github(suite: Suite, system: str, event: str, delivery: str, body: bytes) -> httpx.Response:
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "GitHub-Hookshot/044aadd",
        "X-GitHub-Event": event,
        "X-GitHub-Delivery": delivery,
        "X-Hub-Signature-256": "sha256=" + _hmac(body),
    }
    return suite.http.post(f"{API}/webhook/{system}", headers=headers, content=body)


def _stripe(suite: Suite, system: str, body: bytes, age: int = 0) -> httpx.Response:
    timestamp = int(time.time()) - age
    signature = f"t={timestamp},v1={_hmac(str(timestamp).encode() + b'.' + body)}"
    headers = {"Content-Type": "application/json; charset=utf-8", "Stripe-Signature": signature}
    return suite.http.post(f"{API}/webhook/{system}", headers=headers, content=body)


async def test_github_issues_and_pull_requests_become_events(suite: Suite, system: str) -> None:
    """Two events of one sender, told apart by filters, each by its own mapping; a redelivery is a duplicate."""
    suite.add_system(system, {"webhook_auth": "github", "webhook_secret": SECRET})
    issues = {
        "field_mappings": {"issue.title": "event_title", "issue.labels[*].name": "hazard_focus"},
        "transformations": {"event_title": "trim", "hazard_focus": {"name": "join", "separator": ", "}},
        "expressions": {"event_name": "repository.full_name & '#' & issue.number"},
        "external_id_field": "issue.id",
        "version_field": "issue.updated_at",
        "filter": "$exists(issue) and action = 'opened'",
    }
    merged = {
        "field_mappings": {"pull_request.title": "event_title", "pull_request.merged_at": "date"},
        "transformations": {"date": "date"},
        "expressions": {"event_name": "'merged by ' & pull_request.merged_by.login"},
        "external_id_field": "pull_request.id",
        "filter": "action = 'closed' and pull_request.merged",
    }
    suite.add_mapping(system, "issues", issues)
    suite.add_mapping(system, "merged", merged)

    issue = await eventually(lambda: _accepted(_github(suite, system, "issues", "d-1", _body("github_issues"))))
    assert issue["external_id"] == "9007199254740995"
    pull = _github(suite, system, "pull_request", "d-2", _body("github_pull_request"))
    assert (pull.status_code, pull.json()["external_id"]) == (202, "2794710123")
    again = _github(suite, system, "pull_request", "d-2", _body("github_pull_request"))
    assert again.json() == {**pull.json(), "duplicate": True}

    def landed() -> list[dict[str, Any]]:
        return [row for name in ("harbour-town/%", "merged by %") for row in suite.rows("events", *_like(name))]

    rows = await eventually(lambda: len(found := landed()) == 2 and found)
    assert rows[0]["event_title"] == "Siren test fails at low tide"
    assert rows[0]["event_name"] == "harbour-town/drill-planner#42"
    assert rows[0]["hazard_focus"] == "bug, field report"
    assert (rows[1]["event_title"], str(rows[1]["date"])[:10]) == ("Sound the siren also at low tide", "2026-11-22")

    tampered = _body("github_issues").replace(b"opened", b"closed")
    headers = {"Content-Type": "application/json", "X-Hub-Signature-256": "sha256=" + _hmac(_body("github_issues"))}
    refused = suite.http.post(f"{API}/webhook/{system}", headers=headers, content=tampered)
    assert refused.status_code == 401


async def test_stripe_charges_and_invoices_become_campaigns(suite: Suite, system: str) -> None:
    """Cents become decimals, lines are summed, and the event's id is the delivery key; an old timestamp is refused."""
    suite.add_system(system, {"webhook_auth": "stripe", "webhook_secret": SECRET})
    charges = {
        "field_mappings": {"data.object.amount": "budget", "data.object.created": "start_date"},
        "transformations": {
            "budget": [{"name": "multiply", "by": 0.01}, {"name": "decimal", "places": 2}],
            "start_date": {"name": "date", "zone": "Asia/Manila"},
        },
        "expressions": {"title": "data.object.description & ' (' & data.object.metadata.order_ref & ')'"},
        "constants": {"owner_id": 1, "status": "active"},
        "external_id_field": "data.object.id",
        "version_field": "created",
        "filter": "type = 'charge.succeeded' and data.object.paid",
    }
    invoices = {
        "field_mappings": {"data.object.number": "title"},
        "expressions": {"budget": "$sum(data.object.lines.data.amount) / 100"},
        "constants": {"owner_id": 1, "status": "completed"},
        "external_id_field": "data.object.id",
        "filter": "type = 'invoice.paid'",
    }
    suite.add_mapping(system, "charges", charges, "campaigns")
    suite.add_mapping(system, "invoices", invoices, "campaigns")

    first = await eventually(lambda: _accepted(_stripe(suite, system, _body("stripe_charge_succeeded"))))
    assert _stripe(suite, system, _body("stripe_invoice_paid")).status_code == 202
    again = _stripe(suite, system, _body("stripe_charge_succeeded"))
    assert again.json() == {**first, "duplicate": True}
    assert _stripe(suite, system, _body("stripe_charge_succeeded"), age=301).status_code == 401

    (charge,) = await eventually(lambda: suite.rows("campaigns", "title LIKE %s", ["Siren maintenance%"]))
    assert (float(charge["budget"]), charge["status"], str(charge["start_date"])[:10]) == (
        2099.5,
        "active",
        "2026-11-22",
    )
    (invoice,) = await eventually(lambda: suite.rows("campaigns", "title = %s", ["HT-0042"]))
    assert (float(invoice["budget"]), invoice["status"]) == (1500.0, "completed")


def _like(name: str) -> tuple[str, list[str]]:
    return "event_name LIKE %s", [name]


def _accepted(answer: httpx.Response) -> Any:
    return answer.status_code == 202 and answer.json()


async def test_sealed_secrets_are_rotated_while_deliveries_flow(suite: Suite, system: str) -> None:
    """No delivery is refused meanwhile; the command tells what it did, and no clear secret stands in a row."""
    suite.add_system(system, {"webhook_auth": "github", "webhook_secret": SECRET})
    [stored] = suite.sql(
        "registry",
        "SELECT c.config_json AS config FROM campaign_department_external_system_connections c "
        "JOIN campaign_department_external_systems s ON s.id = c.system_id WHERE s.system_name = %s",
        [system],
    )
    assert json.loads(stored["config"])["webhook_secret"].startswith("sealed:v1:")
    before = json.loads(suite.cli("secrets", "status", "--json").stdout)
    rotating = asyncio.create_task(
        asyncio.to_thread(suite.cli, "secrets", "rotate", "--new-key", "--drop-old-keys", "--json")
    )
    answers = []
    while not rotating.done() or len(answers) < 20:
        delivery = f"{system}-{len(answers)}"
        answers.append(await asyncio.to_thread(_github, suite, system, "ping", delivery, b'{"zen":"Keep it simple."}'))
    progress = json.loads((await rotating).stdout)
    assert {answer.status_code for answer in answers} == {200}
    assert (progress["problems"], progress["connections_done"]) == ([], progress["connections_total"])
    after = json.loads(suite.cli("secrets", "status", "-o", "json").stdout)
    assert progress["changed"] == before["sealed"] == after["sealed"]
    assert [key["key_id"] for key in after["keys"]] == [progress["key_id"]] != [key["key_id"] for key in before["keys"]]
    assert suite.get("/secrets")["keys"][0]["key_id"] == progress["key_id"]
