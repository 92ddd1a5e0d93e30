"""Who may ask what: each kind of caller and grant, against statements and calls of each kind. One entry for each."""

import json
from typing import Any

import pytest

from intertie.ingest.v1 import query_pb2
from intertie_chassis.errors import IntertieError
from pull_rig import PullRig, named_call
from waiting import eventually

READ, WRITE = "SELECT title FROM incidents WHERE id = 1", "UPDATE incidents SET title = 'new' WHERE id = 1"
OTHER = "SELECT id FROM officers"

#: role, module of the request, statement, system; the reason with which it is refused, or None
STATEMENTS: list[tuple[str, str, str, str, str | None]] = [
    ("module:reader", "", READ, "police", None),
    ("module:reader", "reader", READ, "police", None),
    ("module:reader", "writer", READ, "police", "MODULE_MISMATCH"),
    ("module:reader", "", WRITE, "police", "QUERY_NOT_PERMITTED"),
    ("module:writer", "", READ, "police", "QUERY_NOT_PERMITTED"),
    ("module:writer", "", WRITE, "police", None),
    ("module:both", "", READ, "police", None),
    ("module:both", "", WRITE, "police", None),
    ("module:both", "", "DELETE FROM incidents WHERE id = 99", "police", None),
    ("module:both", "", "INSERT INTO incidents VALUES (10, 'ten', '')", "police", None),
    ("module:both", "", "DROP TABLE incidents", "police", "QUERY_REFUSED"),
    ("module:both", "", "SELECT 1; DELETE FROM incidents", "police", "QUERY_REFUSED"),
    ("module:both", "", "SELECT * FROM sqlite_master", "police", "QUERY_REFUSED"),
    ("module:both", "", "SELECT nothing FROM incidents", "police", "QUERY_FAILED"),
    ("module:both", "", "SELECT 1 /*" + "x" * 40_000 + "*/", "police", "INVALID_REQUEST"),
    ("module:narrow", "", READ, "police", None),
    ("module:narrow", "", OTHER, "police", "QUERY_NOT_PERMITTED"),
    ("module:narrow", "", WRITE, "police", "QUERY_NOT_PERMITTED"),
    ("module:columns", "", "SELECT id, title FROM incidents", "police", None),
    ("module:columns", "", "SELECT secret FROM incidents", "police", "QUERY_NOT_PERMITTED"),
    ("module:former", "", READ, "police", "PERMISSION_DENIED"),
    ("module:stranger", "", READ, "police", "PERMISSION_DENIED"),
    ("module:stranger", "", READ, "nobody", "PERMISSION_DENIED"),
    ("module:stranger", "", "DROP", "nobody", "PERMISSION_DENIED"),
    ("module:reader", "", READ, "closed", "PERMISSION_DENIED"),
    ("module:reader", "", READ, "", "INVALID_REQUEST"),
    ("module:broken", "", READ, "police", "QUERY_NOT_PERMITTED"),
    ("module:odd", "", READ, "police", "QUERY_NOT_PERMITTED"),
    ("admin", "reader", READ, "police", None),
    ("admin", "reader", WRITE, "police", "QUERY_NOT_PERMITTED"),
    ("admin", "stranger", READ, "police", "PERMISSION_DENIED"),
    ("admin", "reader", READ, "nobody", "SYSTEM_NOT_FOUND"),
    ("admin", "", READ, "police", "INVALID_REQUEST"),
]

#: role, module of the request, method, endpoint; the reason, or None
CALLS: list[tuple[str, str, str, str, str | None]] = [
    ("module:reader", "", "", "/items", None),
    ("module:reader", "", "get", "/items", None),
    ("module:reader", "", "HEAD", "/items", None),
    ("module:reader", "", "POST", "/echo", "QUERY_NOT_PERMITTED"),
    ("module:writer", "", "GET", "/items", "QUERY_NOT_PERMITTED"),
    ("module:writer", "", "POST", "/echo", None),
    ("module:both", "", "PUT", "/echo", None),
    ("module:both", "", "PATCH", "/echo", None),
    ("module:both", "", "DELETE", "/echo", None),
    ("module:both", "", "TRACE", "/echo", "INVALID_REQUEST"),
    ("module:both", "", "GET", "/../admin", "INVALID_REQUEST"),
    ("module:narrow", "", "GET", "/items", None),
    ("module:narrow", "", "GET", "/echo", "QUERY_NOT_PERMITTED"),
    ("module:narrow", "", "POST", "/items", "QUERY_NOT_PERMITTED"),
    ("module:narrow", "", "GET", "/%69tems", None),
    ("module:stranger", "", "GET", "/items", "PERMISSION_DENIED"),
    ("module:former", "", "GET", "/items", "PERMISSION_DENIED"),
    ("module:broken", "", "GET", "/items", "QUERY_NOT_PERMITTED"),
    ("module:odd", "", "GET", "/items", "QUERY_NOT_PERMITTED"),
    ("admin", "both", "GET", "/items", None),
    ("admin", "", "GET", "/items", "INVALID_REQUEST"),
]


async def _reason(call: Any, request: Any) -> str | None:
    try:
        await call(request)
    except IntertieError as error:
        return error.reason
    return None


async def test_statements_are_answered_to_whom_the_grant_covers_and_all_are_taken_down(pull: PullRig) -> None:
    """The reasons, and of each call exactly one entry that tells the same."""
    wrong = []
    for role, module, sql, system, expected in STATEMENTS:
        request_id = named_call()
        request = query_pb2.QueryDatabaseRequest(system=system, query=sql, module=module)
        reason = await _reason(pull.query(role).QueryDatabase, request)
        entries = await pull.entries(request_id)
        told = [json.loads(entry.response_payload).get("reason") for entry in entries]
        if (reason, told) != (expected, [expected]):
            wrong.append((role, module, sql[:60], system, expected, reason, told))
    assert wrong == []


async def test_calls_are_answered_to_whom_the_grant_covers_and_all_are_taken_down(pull: PullRig) -> None:
    """The same for APIs; the query type follows the method."""
    kinds = {"POST": "api_post", "PUT": "api_put", "PATCH": "api_put", "DELETE": "api_delete"}
    wrong = []
    for role, module, method, endpoint, expected in CALLS:
        request_id = named_call()
        request = query_pb2.QueryApiRequest(system="police", endpoint=endpoint, method=method, module=module)
        reason = await _reason(pull.query(role).QueryApi, request)
        entries = await pull.entries(request_id)
        told = [(json.loads(one.response_payload).get("reason"), one.query_type) for one in entries]
        if (reason, told) != (expected, [(expected, kinds.get(method, "api_get"))]):
            wrong.append((role, module, method, endpoint, expected, reason, told))
    assert wrong == []


async def test_who_is_no_module_and_no_admin_asks_nothing(pull: PullRig) -> None:
    """The contract keeps them out, from the stream too."""
    query = query_pb2.QueryDatabaseRequest(system="police", query=READ, module="reader")
    for role in ("operator", "viewer", "service:mapper"):
        assert await _reason(pull.query(role).QueryDatabase, query) == "PERMISSION_DENIED"
        stream = pull.query(role).StreamDatabase(query_pb2.StreamDatabaseRequest(query=query))
        with pytest.raises(IntertieError) as refused:
            await anext(aiter(stream))
        assert refused.value.reason == "PERMISSION_DENIED"
    assert await _reason(pull.query("viewer").TestConnection, query_pb2.TestConnectionRequest(id=1)) == (
        "PERMISSION_DENIED"
    )


async def test_a_grant_that_is_taken_away_no_longer_answers(pull: PullRig) -> None:
    """The configuration is live."""
    request = query_pb2.QueryDatabaseRequest(system="police", query=READ)
    assert await _reason(pull.query("module:reader").QueryDatabase, request) is None
    pull.registry.say()

    async def is_gone() -> bool:
        return await _reason(pull.query("module:reader").QueryDatabase, request) == "PERMISSION_DENIED"

    await eventually(is_gone)
