"""What both clients give piece by piece: the cache in pages that are asked for ahead, and rows as they come."""

import asyncio
from typing import Any

import pytest

from client_rig import Calling, Scripted
from intertie.ingest.v1 import ingest_pb2, query_pb2
from intertie_chassis import errors as chassis_errors
from intertie_client import Cancelled, PermissionDenied, Unavailable
from waiting import eventually

PART = query_pb2.StreamDatabaseResponse
PAGES = 4


def page_of(token: str) -> ingest_pb2.ReadCacheResponse:
    """The page under a token: two records, and the token of the next one."""
    number = int(token or 0)
    records = [ingest_pb2.Record(external_id=f"{number}{place}", data_json=b"{}") for place in "ab"]
    return ingest_pb2.ReadCacheResponse(data=records, next_page_token=str(number + 1) if number + 1 < PAGES else "")


@pytest.fixture
def pages(scripted: Scripted) -> Scripted:
    """A cache of four pages."""

    async def answer(request: Any, _context: Any) -> Any:
        return page_of(request.page_token)

    scripted.answers["ReadCache"] = answer
    return scripted


def tokens(scripted: Scripted) -> list[str]:
    """The pages that were asked for."""
    return [request.page_token for _, request, _ in scripted.asked]


ALL = [f"{number}{place}" for number in range(PAGES) for place in "ab"]


async def test_the_next_page_is_asked_for_while_one_is_read_and_no_further(client: Calling, pages: Scripted) -> None:
    """So memory holds two pages, however many there are."""
    records = client.client.read_cache("police")
    assert tokens(pages) == []
    assert [record.external_id for record in await client.taken(records, 1)] == ["0a"]
    await eventually(lambda: tokens(pages) == ["", "1"])
    assert [record.external_id for record in await client.taken(records, 1)] == ["0b"]
    assert tokens(pages) == ["", "1"]
    assert [record.external_id for record in await client.taken(records)] == ALL[2:]
    assert tokens(pages) == ["", "1", "2", "3"]


async def test_another_reader_goes_on_where_one_stopped(client: Calling, pages: Scripted) -> None:
    """At the page of the next record; when all is read there is nowhere to go on."""
    records = client.client.read_cache("police")
    assert records.resume_token == ""
    await client.taken(records, 3)
    assert records.resume_token == "1"
    await client.taken(records, 1)
    assert records.resume_token == "2"
    await client.of(records, "close")
    rest = client.client.read_cache("police", resume_token="2")
    assert [record.external_id for record in await client.taken(rest)] == ALL[4:]
    assert rest.resume_token is None


async def test_a_reader_goes_on_behind_an_error(client: Calling, scripted: Scripted) -> None:
    """UNAVAILABLE it does not see at all; of another error nothing is lost: the same page is asked for again."""
    failures = {1: chassis_errors.Unavailable(retry_after=0.01), 3: chassis_errors.PermissionDenied()}

    async def answer(request: Any, _context: Any) -> Any:
        failure = failures.pop(len(scripted.asked) - 1, None)
        if failure is not None:
            raise failure
        return page_of(request.page_token)

    scripted.answers["ReadCache"] = answer
    records = client.client.read_cache("police")
    assert [record.external_id for record in await client.taken(records, 4)] == ALL[:4]
    with pytest.raises(PermissionDenied):
        await client.taken(records, 1)
    assert [record.external_id for record in await client.taken(records)] == ALL[4:]


def parts(scripted: Scripted, *given: Any) -> None:
    """Answers StreamDatabase with these, the last one as often as it is asked."""
    left = list(given)

    async def answer(_request: Any, _context: Any) -> Any:
        found = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(found, Exception):
            raise found
        return found

    scripted.answers["StreamDatabase"] = answer


WHOLE = [
    PART(results=b'[{"n":1},{"n":2}]', count=2),
    PART(results=b'[{"n":3}]', count=1, truncated=True, complete=True),
]


async def test_rows_come_part_by_part(client: Calling, scripted: Scripted) -> None:
    """And at the end it is known whether there are more."""
    parts(scripted, WHOLE)
    rows = client.client.stream_database("shop", "SELECT n FROM numbers", {"of": 1})
    assert scripted.asked == []
    assert [row["n"] for row in await client.taken(rows)] == [1, 2, 3]
    assert rows.truncated
    assert scripted.asked[0][1].query.params == b'{"of":1}'


async def test_a_stream_is_begun_again_before_its_first_part_only(client: Calling, scripted: Scripted) -> None:
    """And only for a statement that reads; rows that were given must not come twice."""
    away = chassis_errors.Unavailable(retry_after=0.01)
    parts(scripted, away, WHOLE)
    assert len(await client.taken(client.client.stream_database("shop", "SELECT n FROM numbers"))) == 3
    parts(scripted, away, WHOLE)
    with pytest.raises(Unavailable):
        await client.taken(client.client.stream_database("shop", "DELETE FROM numbers RETURNING n"))

    async def breaks() -> Any:
        raise away

    parts(scripted, [WHOLE[0], breaks])
    scripted.asked.clear()
    rows = client.client.stream_database("shop", "SELECT n FROM numbers")
    assert len(await client.taken(rows, 2)) == 2
    with pytest.raises(Unavailable):
        await client.taken(rows, 1)
    assert len(scripted.asked) == 1


async def test_a_stream_without_its_last_part_was_cut(client: Calling, scripted: Scripted) -> None:
    """Who counts the rows must not take some for all."""
    parts(scripted, WHOLE[:1])
    rows = client.client.stream_database("shop", "SELECT n FROM numbers")
    assert len(await client.taken(rows, 2)) == 2
    with pytest.raises(Cancelled, match="cut off"):
        await client.taken(rows, 1)


async def test_who_reads_no_further_ends_the_question(client: Calling, scripted: Scripted) -> None:
    """The service is told, and stops."""
    gone = asyncio.Event()

    async def waits() -> Any:
        try:
            await asyncio.Event().wait()
        finally:
            gone.set()

    parts(scripted, [WHOLE[0], waits])
    rows = client.client.stream_database("shop", "SELECT n FROM numbers")
    assert len(await client.taken(rows, 1)) == 1
    await client.of(rows, "close")
    await asyncio.wait_for(gone.wait(), 10)
    assert await client.taken(rows) == [{"n": 2}]
    await client("close", grace=60)
