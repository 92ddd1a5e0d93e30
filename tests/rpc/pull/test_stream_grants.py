"""A stream that is under way when its grant is withdrawn, ends or is narrowed goes no further, and the log says why."""

import json
from typing import Any

import pytest

from external_databases import ExternalSQLite
from intertie.ingest.v1 import query_pb2
from intertie_chassis.errors import IntertieError
from intertie_ingest.configuration import StoredGrant
from pull_rig import PullRig, named_call, stored, system_of
from waiting import eventually

ROWS = 60
LARGE = "x" * 150_000
"""Sixty of these are far more than lies on the way while the reader waits."""
QUERY = query_pb2.QueryDatabaseRequest(system="police", query="SELECT id, title FROM incidents")
#: the grant as it becomes, and the reason with which the stream ends
CHANGES: dict[str, tuple[tuple[StoredGrant, ...], str]] = {
    "withdrawn": ((), "PERMISSION_DENIED"),
    "ended": ((StoredGrant("reader", "read", True, ends_at=1_600_000_000.0),), "GRANT_EXPIRED"),
    "narrowed": ((StoredGrant("reader", "read", True, b'{"tables": ["officers"]}'),), "QUERY_NOT_PERMITTED"),
}


async def _drain(stream: Any, count: list[int]) -> None:
    async for part in stream:
        count[0] += part.count


@pytest.mark.parametrize("change", CHANGES)
async def test_a_stream_ends_with_its_grant(pull: PullRig, files: ExternalSQLite, change: str) -> None:
    """Behind the parts that were on their way already."""
    files.insert("incidents", [(number, LARGE, "") for number in range(100, 100 + ROWS)])
    grants, expected = CHANGES[change]
    request_id = named_call()
    stream = aiter(pull.query("module:reader").StreamDatabase(query_pb2.StreamDatabaseRequest(query=QUERY)))
    count = [(await anext(stream)).count]
    pull.registry.say(system_of(stored(files.connection), grants=grants))

    async def is_known() -> bool:
        try:
            await pull.query("module:reader").QueryDatabase(QUERY)
        except IntertieError as error:
            return error.reason == expected
        return False

    await eventually(is_known)  # type: ignore[arg-type]
    with pytest.raises(IntertieError) as ended:
        await _drain(stream, count)
    assert ended.value.reason == expected
    assert count[0] < ROWS
    entries = [one for one in await pull.entries(request_id) if one.status == "error"]
    assert {json.loads(entry.response_payload)["reason"] for entry in entries} == {expected}


async def test_a_stream_whose_grant_changed_and_still_covers_it_goes_on(pull: PullRig, files: ExternalSQLite) -> None:
    """A grant that is renewed, or given more, ends nothing."""
    files.insert("incidents", [(number, LARGE, "") for number in range(100, 100 + ROWS)])
    stream = aiter(pull.query("module:reader").StreamDatabase(query_pb2.StreamDatabaseRequest(query=QUERY)))
    count = [(await anext(stream)).count]
    renewed = StoredGrant("reader", "read_write", True, ends_at=4_000_000_000.0)
    pull.registry.say(system_of(stored(files.connection), grants=(renewed,)))

    async def is_known() -> bool:
        # The other module's grant was withdrawn in the same moment.
        with pytest.raises(IntertieError) as refused:
            await pull.query("module:writer").QueryDatabase(QUERY)
        return refused.value.reason == "PERMISSION_DENIED"

    await eventually(is_known)  # type: ignore[arg-type]
    await _drain(stream, count)
    assert count[0] == ROWS + 3
