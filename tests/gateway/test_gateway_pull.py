"""What pull answers over HTTP: questions, syncs, verbs behind a colon; and a gateway without it."""

import threading
from concurrent import futures
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message import Message

from gateway_rig import PREFIX, TOKEN, GatewayProcess, Script, Services, problem_of, running_gateway
from intertie.ingest.v1 import query_pb2


def _get(gateway: GatewayProcess, path: str) -> Any:
    return gateway.client.get(f"{PREFIX}{path}", headers=TOKEN)


def _post(gateway: GatewayProcess, path: str, body: bytes) -> Any:
    headers = TOKEN | {"content-type": "application/json"}
    return gateway.client.post(f"{PREFIX}{path}", content=body, headers=headers)


def test_without_pull_it_is_degraded_and_ready(services: Services, script: Script, tmp_path: Path) -> None:
    """Deliveries do not need it: they must not be turned away because nobody can ask external systems."""
    with running_gateway(services.address, tmp_path, {"INTERTIE_PULL_ADDRESS": "127.0.0.1:1"}) as gateway:
        answer = gateway.client.get("/readyz")
        assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
        assert answer.json()["services"]["pull"] == "does not answer"
        assert gateway.webhook().status_code == 202
        sync = gateway.client.post(f"{PREFIX}/sync", json={"system": "s", "mapping": "m"}, headers=TOKEN)
        assert (sync.status_code, problem_of(sync)["reason"]) == (503, "SERVICE_UNAVAILABLE")


def test_a_contract_may_ask_for_more_time(services: Services, script: Script, tmp_path: Path) -> None:
    """A question to an external database is still waited for when others have been given up."""
    gate = threading.Event()

    def wait(request: Any, metadata: dict[str, str]) -> Message:
        gate.wait(20)
        return query_pb2.QueryDatabaseResponse(system="s", count=1)

    script.handlers["GetSystem"] = script.handlers["QueryDatabase"] = wait
    with (
        running_gateway(services.address, tmp_path, {"INTERTIE_GATEWAY_DEADLINE_SECONDS": "0.3"}) as gateway,
        futures.ThreadPoolExecutor() as pool,
    ):
        query = pool.submit(_post, gateway, "/query/database", b'{"system": "s", "query": "SELECT 1"}')
        assert _get(gateway, "/systems/a").status_code == 504
        gate.set()
        assert (query.result().status_code, query.result().json()["count"]) == (200, 1)


def test_a_question_and_its_answer_hold_documents(gateway: GatewayProcess, script: Script) -> None:
    """Parameters, data and results are the JSON that they are, digit for digit, in both directions."""
    rows = b'[{"id": 18446744073709551615, "cost": 1.10, "note": null}]'
    script.handlers["QueryDatabase"] = lambda request, metadata: query_pb2.QueryDatabaseResponse(
        system=request.system, query=request.query, results=rows, count=1
    )
    script.handlers["QueryApi"] = lambda request, metadata: query_pb2.QueryApiResponse(
        system=request.system, endpoint=request.endpoint, method="GET", data=b"null", status=204
    )
    answer = _post(
        gateway,
        "/query/database",
        b'{"system": "s", "query": "SELECT * FROM t WHERE cost > :cost", "params": {"cost" : 1.10}}',
    )
    assert answer.content == (
        b'{"system":"s","query":"SELECT * FROM t WHERE cost > :cost","results":'
        + rows
        + b',"count":1,"truncated":false}'
    )
    answer = _post(gateway, "/query/api", b'{"system": "s", "endpoint": "/a?b=c", "data": [1.0, {"x": "y"}]}')
    assert answer.content == b'{"system":"s","endpoint":"/a?b=c","method":"GET","data":null,"status":204}'
    (_, database, _), (_, api, _) = script.calls
    assert database.params == b'{"cost" : 1.10}'
    assert api.data == b'[1.0, {"x": "y"}]'


@pytest.mark.parametrize(
    ("path", "method", "field", "value"),
    [
        ("/connections/7:test", "TestConnection", "id", 7),
        ("/sync/runs/01JDB2M8W0:cancel", "CancelRun", "run_id", "01JDB2M8W0"),
        ("/sync/runs/01JDB2M8W0:resume", "ResumeRun", "run_id", "01JDB2M8W0"),
        ("/sync/cursor:reset", "ResetCursor", "mapping", "m"),
    ],
)
def test_verbs_behind_a_colon(
    gateway: GatewayProcess, script: Script, path: str, method: str, field: str, value: object
) -> None:
    """They are no part of the id before them; a body is there, be it an empty object."""
    body = b'{"system": "s", "mapping": "m"}' if method == "ResetCursor" else b"{}"
    assert _post(gateway, path, body).status_code == 200
    ((name, request, _),) = script.calls
    assert (name, getattr(request, field)) == (method, value)
    assert _get(gateway, path).status_code == 405
