"""Trials of connections: what they come to, what registry and the log are told, and that no secret is in it."""

import json
from dataclasses import replace

import pytest

from external_api import ExternalApi
from external_databases import ExternalSQLite
from intertie.ingest.v1 import query_pb2
from intertie_chassis.errors import NotFound
from intertie_ingest.configuration import StoredConnection
from pull_rig import PullRig, named_call, stored, system_of
from waiting import eventually

LOOPBACK = b'{"allowed_networks": ["127.0.0.0/8"]}'


async def test_a_trial_says_what_is_wrong_and_registry_keeps_it(
    pull: PullRig, files: ExternalSQLite, api: ExternalApi
) -> None:
    """Of databases and APIs, active or not, with and without a fault."""
    nobody = StoredConnection(
        20, True, LOOPBACK, "database", db_host="127.0.0.1", db_port=1, db_name="x", db_password="db-secret"
    )
    rest = StoredConnection(30, True, LOOPBACK, "rest", api_base_url=f"{api.url}/items", api_auth_type="none")
    pull.registry.say(
        system_of(
            stored(files.connection),
            stored(files.connection, id=10, is_active=False),
            stored(files.connection, id=11, db_name="/nowhere.db"),
            stored(files.connection, id=12, config_json=b"{oops"),
            nobody,
            replace(nobody, id=21, config_json=b"{}"),
            rest,
            replace(rest, id=31, api_base_url="http://127.0.0.1:1"),
            replace(
                rest, id=32, api_base_url=f"{api.url}/auth/bearer", api_auth_type="bearer", api_auth_token="api-secret"
            ),
            replace(rest, id=40, connection_type="telegraph"),
        )
    )
    await eventually(lambda: _is_known(pull, 40))
    expected = {
        1: "connected",
        10: "connected",
        11: "error",
        12: "error",
        20: "disconnected",
        21: "error",
        30: "connected",
        31: "disconnected",
        32: "error",
        40: "error",
    }
    pull.registry.trials.clear()
    for number, status in expected.items():
        request_id = named_call()
        answer = await pull.query("operator").TestConnection(query_pb2.TestConnectionRequest(id=number))
        assert (number, answer.id, answer.connection_status) == (number, number, status), answer.connection_error
        assert bool(answer.connection_error) is (status != "connected")
        assert "secret" not in answer.connection_error
        (entry,) = await pull.entries(request_id)
        assert (entry.query_type, entry.query_string) == ("configuration", f"test connection {number}")
        assert (entry.status, entry.actor, json.loads(entry.response_payload)["connection_status"]) == (
            "success",
            "operator",
            status,
        )
        kept = pull.registry.trials[-1]
        assert (kept.connection_id, kept.connection_status, kept.connection_error) == (
            number,
            status,
            answer.connection_error,
        )
        assert kept.tested_at == answer.last_connection_test


async def test_a_connection_that_is_not_there_cannot_be_tried(pull: PullRig) -> None:
    """And that somebody tried is in the log."""
    request_id = named_call()
    with pytest.raises(NotFound) as refused:
        await pull.query("operator").TestConnection(query_pb2.TestConnectionRequest(id=99))
    assert refused.value.reason == "CONNECTION_NOT_FOUND"
    (entry,) = await pull.entries(request_id)
    assert (entry.status, entry.response_status) == ("error", 404)
    assert not pull.registry.trials


async def _is_known(pull: PullRig, number: int) -> bool:
    try:
        await pull.query("operator").TestConnection(query_pb2.TestConnectionRequest(id=number))
    except NotFound:
        return False
    return True
