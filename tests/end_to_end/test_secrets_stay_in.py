"""Secrets of every kind are given to a running suite and used in every way, failing ones above all: none comes out.

What comes out is looked through by `Suite`: answers, what commands print, the log (at debug) and the databases.
"""

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest

from canaries import canary
from external_api import ExternalApi
from suite import Suite
from waiting import eventually

DB_PASSWORD, API_TOKEN, API_PASSWORD = canary("db-password"), canary("api-token"), canary("api-password")
CLIENT_SECRET, HEADER, NESTED = canary("client-secret"), canary("header"), canary("nested")
WEBHOOK, PREVIOUS = canary("webhook"), canary("webhook-previous")
SENT, TYPED, IN_URL = canary("sent-by-a-stranger"), canary("typed-into-a-wrong-field"), canary("in-a-url")
MODULE = "module:canaries"
Row = dict[str, Any]


@pytest.fixture
def api() -> Iterator[ExternalApi]:
    """An API that tells everybody which credential it refuses."""
    with ExternalApi() as running:
        yield running


def connections(api: ExternalApi) -> dict[str, Row]:
    """A connection for each place where a credential may stand."""
    networks = {"allowed_networks": ["127.0.0.0/8"]}
    bearer = {
        "connection_type": "rest",
        "api_base_url": api.url,
        "api_auth_type": "bearer",
        "api_auth_token": API_TOKEN,
    }
    basic = {**bearer, "api_auth_type": "basic", "api_auth_token": f"user:{API_PASSWORD}"}
    oauth = {**bearer, "api_auth_type": "oauth2", "api_auth_token": ""}
    oauth_config = {"token_url": f"{api.url}/status/401", "client_id": "client", "client_secret": CLIENT_SECRET}
    database = {
        "connection_type": "database",
        "db_driver": "mysql",
        "db_host": "127.0.0.1",
        "db_port": 9,
        "db_name": "nowhere",
        "db_username": "reader",
        "db_password": DB_PASSWORD,
    }
    verifying = {"webhook_secret": WEBHOOK, "webhook_secret_previous": PREVIOUS}
    verifying["webhook_secret_previous_expires_at"] = "2100-01-01T00:00:00Z"
    return {
        "bearer": {**bearer, "config_json": {**networks, **verifying, "deep": {"api_key": NESTED}}},
        "basic": {**basic, "config_json": {**networks, "headers": {"X-Own-Key": HEADER}}},
        "oauth": {**oauth, "config_json": {**networks, "oauth2": oauth_config}},
        "database": {**database, "config_json": networks},
    }


async def test_no_secret_comes_out(suite: Suite, system: str, api: ExternalApi) -> None:
    """Configuration, verification, queries, trials and syncs, each in ways that fail."""
    suite.secrets |= {DB_PASSWORD, API_TOKEN, API_PASSWORD, CLIENT_SECRET, HEADER, NESTED, WEBHOOK, PREVIOUS}
    suite.secrets |= {SENT, TYPED, IN_URL}
    suite.request("POST", "/systems", json={"system_name": system, "display_name": system, "system_type": "hybrid"})
    grant = {"module_name": "canaries", "system": system, "access_type": "read_write"}
    assert suite.request("POST", "/grants", json=grant).status_code == 200
    for number, (kind, body) in enumerate(connections(api).items()):
        made = suite.request("POST", "/connections", json={"system": system, **body})
        assert made.status_code == 200, made.text
        _test_and_ask(suite, system, made.json()["id"], kind)
        await _sync(suite, system, f"canaries_{number}")
        if number == 0:
            _deliver(suite, system)
        _configure_wrongly(suite, made.json()["id"])
    assert suite.request("GET", f"/systems?password={IN_URL}").status_code == 400
    await eventually(lambda: suite.get("/rejections", system=system)["rejections"])
    await eventually(lambda: suite.get("/logs", system=system, status="error", limit=1000)["logs"])
    suite.cli("connections", "list", "--output", "json")
    suite.cli("audit", "list", "--output", "json")
    suite.require_no_secret_seen()


def _configure_wrongly(suite: Suite, number: int) -> None:
    """A secret in the wrong place, or of the wrong type, is refused without being repeated."""
    path = f"/connections/{number}"
    for body in (
        {"db_password": {"value": TYPED}},
        {"db_port": TYPED},
        {"api_auth_type": TYPED},
        {"config_json": f'{{"webhook_secret": "{TYPED}"'},
        {"config_json": {"webhook_secret": [TYPED], "webhook_auth": "standard-webhooks"}},
        {"config_json": {"webhook_secret": f"whsec_{TYPED}!", "webhook_auth": "standard-webhooks"}},
        {"api_base_url": f"https://user:{TYPED}@example.com"},
        {"api_base_url": f"https://example.com/{TYPED}\n"},
    ):
        refused = suite.http.patch(
            f"/api/v1/integrations{path}",
            content=json.dumps(body),
            headers={"Authorization": f"Bearer {suite.token()}", "Content-Type": "application/json"},
        )
        assert refused.status_code < 500, (list(body), refused.text)
    assert suite.request("GET", path).status_code == 200


def _test_and_ask(suite: Suite, system: str, number: int, kind: str) -> None:
    """Trials and questions that fail: nowhere to connect to, and an API that repeats what it refuses."""
    suite.request("POST", f"/connections/{number}:test")
    if kind == "database":
        body = {"system": system, "query": "SELECT a FROM b WHERE c = :c", "params": {"c": 1}, "connection_id": number}
        answer = suite.request("POST", "/query/database", role=MODULE, json=body)
    else:
        body = {"system": system, "endpoint": "status/401", "method": "GET", "connection_id": number}
        answer = suite.request("POST", "/query/api", role=MODULE, json=body)
    assert answer.status_code in (400, 503), answer.text


async def _sync(suite: Suite, system: str, mapping: str) -> None:
    suite.request(
        "POST",
        "/mappings",
        json={
            "system": system,
            "mapping_name": mapping,
            "source_table": "status/401",
            "target_table": "campaign_department_events",
            "mapping_config": {"field_mappings": {"title": "event_title"}},
            "sync_frequency": "manual",
        },
    )
    ended = suite.request("POST", "/sync", json={"system": system, "mapping": mapping})
    assert ended.status_code < 500 or ended.status_code == 503, ended.text


def _deliver(suite: Suite, system: str) -> None:
    """Deliveries with good, old and strange secrets, in each header and in the URL."""
    record = {"id": "1", "title": "canary", "date": "2026-01-01"}
    assert suite.webhook(system, record, WEBHOOK).status_code == 202
    assert suite.webhook(system, {**record, "id": "2"}, PREVIOUS).status_code == 202
    assert suite.webhook(system, record, SENT).status_code == 401
    assert suite.webhook(f"{system}?secret={IN_URL}", record, SENT).status_code in (400, 401)
    assert suite.webhook(system, record, WEBHOOK, X_Api_Key=SENT, Cookie=f"s={SENT}").status_code == 202
    assert suite.webhook(system, b'{"broken', WEBHOOK).status_code == 400
    push = {"system": system, "mapping": "canaries_0", "data": record}
    for header in (f"Bearer {SENT}", f"Basic {base64.b64encode(SENT.encode()).decode()}", SENT):
        answer = suite.http.post("/api/v1/integrations/push", json=push, headers={"Authorization": header})
        assert answer.status_code == 401, answer.text
        asked = suite.http.get("/api/v1/integrations/systems", headers={"Authorization": header})
        assert asked.status_code == 401, asked.text
