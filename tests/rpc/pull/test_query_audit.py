"""What the audit log is told of a query, and what is answered while it cannot be told."""

import asyncio
import json
from typing import Any

import pytest

from external_api import ExternalApi
from external_databases import ExternalSQLite
from intertie.audit.v1 import audit_pb2
from intertie.ingest.v1 import query_pb2
from intertie_chassis.errors import IntertieError, ResourceExhausted, Unavailable
from pull_rig import PullRig, named_call
from waiting import eventually

_REFUSE = {
    dialect: f"CREATE TRIGGER refuse BEFORE INSERT ON campaign_department_ingest_outbox {body}"
    for dialect, body in {
        "sqlite": "BEGIN SELECT RAISE(ABORT, 'refused'); END",
        "mysql": "FOR EACH ROW SIGNAL SQLSTATE '45000'",
    }.items()
}


def _asked(sql: str, **rest: Any) -> query_pb2.QueryDatabaseRequest:
    return query_pb2.QueryDatabaseRequest(system="police", query=sql, **rest)


async def _entry(pull: PullRig, request_id: str) -> audit_pb2.Entry:
    (entry,) = await pull.entries(request_id)
    return entry


async def test_an_answer_is_taken_down_without_its_rows(pull: PullRig) -> None:
    """The statement as asked, its parameters digit by digit, how many rows, how long, who; never what they hold."""
    request_id = named_call()
    sql = "SELECT title FROM incidents WHERE id < :most"
    answer = await pull.query("module:reader").QueryDatabase(_asked(sql, params=b'{"most":3.00}', max_rows=1))
    assert (json.loads(answer.results), answer.count, answer.truncated) == ([{"title": "first"}], 1, True)
    entry = await _entry(pull, request_id)
    assert (entry.query_type, entry.query_string, entry.system, entry.system_id) == ("select", sql, "police", 1)
    assert entry.request_payload == b'{"params":{"most":3.00},"max_rows":1,"connection_id":1}'
    assert json.loads(entry.response_payload) == {"rows": 1, "bytes": len(answer.results), "truncated": True}
    assert (entry.status, entry.response_status, entry.module_name, entry.actor) == (
        "success",
        200,
        "reader",
        "module:reader",
    )


async def test_a_write_is_taken_down_with_what_it_changed(pull: PullRig, files: ExternalSQLite) -> None:
    """As its kind; so is one that was refused."""
    request_id = named_call()
    answer = await pull.query("module:both").QueryDatabase(_asked("DELETE FROM incidents WHERE id > 1"))
    assert (answer.count, answer.results) == (2, b"[]")
    assert files.rows("SELECT count(*) FROM incidents") == [(1,)]
    entry = await _entry(pull, request_id)
    assert (entry.query_type, json.loads(entry.response_payload)["rows"]) == ("delete", 2)
    request_id = named_call()
    with pytest.raises(IntertieError):
        await pull.query("module:reader").QueryDatabase(_asked("INSERT INTO incidents VALUES (9, '', '')"))
    entry = await _entry(pull, request_id)
    assert (entry.query_type, entry.status, entry.response_status) == ("insert", "error", 403)
    assert entry.error_message == "The module's grant to read does not permit INSERT."


async def test_what_takes_too_long_is_a_timeout(pull: PullRig, files: ExternalSQLite) -> None:
    """The database's own limit comes before the caller's deadline; of an API it is the deadline."""
    files.insert("officers", [(number,) for number in range(3000)])
    request_id = named_call()
    with pytest.raises(IntertieError) as late:
        await pull.query("module:reader").QueryDatabase(
            _asked("SELECT count(*) FROM officers a, officers b, officers c"), timeout=2.5
        )
    assert late.value.reason == "QUERY_TIMED_OUT"
    entry = await _entry(pull, request_id)
    assert (entry.status, entry.response_status, entry.query_type) == ("timeout", 504, "select")
    request_id = named_call()
    slow = query_pb2.QueryApiRequest(system="police", endpoint="/slow")
    with pytest.raises(IntertieError) as late:
        await pull.query("module:reader").QueryApi(slow, timeout=1)
    assert late.value.reason == "DEADLINE_EXCEEDED"
    entry = await _entry(pull, request_id)
    assert (entry.status, entry.response_status, entry.query_type) == ("timeout", 504, "api_get")


async def test_who_gives_up_is_taken_down_too(pull: PullRig, api: ExternalApi) -> None:
    """A call that the caller cancels leaves its entry."""
    request_id = named_call()
    call = asyncio.ensure_future(
        pull.query("module:reader").QueryApi(query_pb2.QueryApiRequest(system="police", endpoint="/slow"))
    )
    await eventually(lambda: api.count("/slow"))
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    entry = await _entry(pull, request_id)
    assert (entry.status, entry.response_status) == ("error", 499)
    assert json.loads(entry.response_payload)["reason"] == "CANCELLED"


async def test_a_module_has_so_many_queries_at_once(pull: PullRig, api: ExternalApi) -> None:
    """More are refused with the hint to come again, and taken down; other modules are not held up."""
    slow = query_pb2.QueryApiRequest(system="police", endpoint="/slow")
    reader, quick = pull.query("module:reader"), _asked("SELECT id FROM officers")
    running = [asyncio.ensure_future(reader.QueryApi(slow)) for _ in range(4)]
    await eventually(lambda: api.count("/slow") == 4)
    request_id = named_call()
    with pytest.raises(ResourceExhausted) as refused:
        await reader.QueryDatabase(quick)
    assert refused.value.retry_after == 1
    entry = await _entry(pull, request_id)
    assert (entry.status, entry.response_status) == ("error", 429)
    with pytest.raises(ResourceExhausted):  # before anybody tries to understand it, for that is work
        await reader.QueryDatabase(_asked("SELECT (" * 1000))
    long = _asked(f"SELECT id FROM officers WHERE id IN ({', '.join(map(str, range(1500)))})")
    for asked in (quick, long):
        assert (await pull.query("module:both").QueryDatabase(asked)).count == 0
    for call in running:
        call.cancel()
    await asyncio.gather(*running, return_exceptions=True)

    async def is_free() -> bool:
        return (await reader.QueryDatabase(quick)).count == 0

    await eventually(_unless(ResourceExhausted, is_free))


async def test_a_stream_is_whole_before_it_says_so_and_counted(pull: PullRig, files: ExternalSQLite) -> None:
    """More rows than one answer may have, in parts; the last one says that it is."""
    files.insert("officers", [(number,) for number in range(5000)])
    request_id = named_call()
    request = query_pb2.StreamDatabaseRequest(query=_asked("SELECT id FROM officers"))
    parts = [part async for part in pull.query("module:reader").StreamDatabase(request)]
    assert [row["id"] for part in parts for row in json.loads(part.results)] == list(range(5000))
    assert [part.complete for part in parts] == [False] * (len(parts) - 1) + [True]
    assert (len(parts) > 1, sum(part.count for part in parts), parts[-1].truncated) == (True, 5000, False)
    entry = await _entry(pull, request_id)
    assert json.loads(entry.response_payload)["rows"] == 5000
    assert json.loads(entry.request_payload)["stream"] is True


async def test_a_stream_that_is_left_is_taken_down(pull: PullRig, files: ExternalSQLite) -> None:
    """With what had been read by then, and its place among the module's queries is free again."""
    files.insert("officers", [(number,) for number in range(200_000)])
    request = query_pb2.StreamDatabaseRequest(query=_asked("SELECT id, 'x' AS filler FROM officers"))
    for _ in range(6):
        request_id = named_call()
        stream = pull.query("module:reader").StreamDatabase(request)
        await anext(aiter(stream))
        stream.cancel()
        entry = await _entry(pull, request_id)
        assert (entry.status, json.loads(entry.response_payload)["reason"]) == ("error", "CANCELLED")


async def test_what_an_api_refuses_is_told_with_its_status(pull: PullRig) -> None:
    """Not its answer: that is the caller's."""
    request_id = named_call()
    with pytest.raises(IntertieError) as refused:
        await pull.query("module:reader").QueryApi(query_pb2.QueryApiRequest(system="police", endpoint="/status/418"))
    assert (refused.value.reason, refused.value.metadata["upstream_status"]) == ("EXTERNAL_REFUSED", "418")
    entry = await _entry(pull, request_id)
    assert json.loads(entry.response_payload) == {"reason": "EXTERNAL_REFUSED", "upstream_status": 418}


async def test_nothing_is_asked_that_cannot_be_taken_down(pull_on_both: PullRig, files: ExternalSQLite) -> None:
    """Of a write that has happened the caller is told so; its entry follows once the log can be written again."""
    pull = pull_on_both
    both = pull.query("module:both")
    await both.QueryDatabase(_asked("SELECT 1 AS one FROM officers"))  # so that the journal counts as well
    await _change(pull, _REFUSE[pull.database.dialect])
    request_id = named_call()
    with pytest.raises(Unavailable) as told:
        await both.QueryDatabase(_asked("INSERT INTO officers VALUES (77)"))
    assert (told.value.reason, told.value.retry_after) == ("STORE_UNAVAILABLE", None)
    assert "do not ask for it again" in told.value.message
    with pytest.raises(Unavailable) as told:
        await both.QueryDatabase(_asked("INSERT INTO officers VALUES (78)"))
    assert told.value.retry_after == 1
    assert files.rows("SELECT id FROM officers") == [(77,)]
    await _change(pull, "DROP TRIGGER refuse")
    entry = await _entry(pull, request_id)
    assert (entry.query_type, entry.status) == ("insert", "success")

    async def is_well() -> bool:
        return bool(await both.QueryDatabase(_asked("SELECT id FROM officers")))

    await eventually(_unless(Unavailable, is_well))


def _unless(refused: type[IntertieError], probe: Any) -> Any:
    async def tried() -> bool:
        try:
            return bool(await probe())
        except refused as error:
            raise AssertionError(error.message) from error

    return tried


async def _change(pull: PullRig, statement: str) -> None:
    async with pull.database.exclusive("test") as connection:
        await connection.exec_driver_sql(statement)
