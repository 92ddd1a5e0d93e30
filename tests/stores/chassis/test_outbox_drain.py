"""What is written to the outbox in a transaction reaches the receiver, whatever happens in between."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from sqlalchemy import MetaData, Table, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection
from structlog.testing import capture_logs

from intertie_chassis.clock import utc_now
from intertie_chassis.database import Database
from intertie_chassis.errors import InvalidArgument, Unavailable
from intertie_chassis.outbox import Outbox, outbox_table
from waiting import eventually


@pytest.fixture
def table() -> Table:
    """The outbox's table."""
    return outbox_table(MetaData(), "acme_outbox")


@pytest.fixture
async def database(database_url: str, table: Table) -> AsyncIterator[Database]:
    """An open database with an empty outbox."""
    opened = await Database.open(database_url)

    async def make(connection: AsyncConnection) -> None:
        await connection.run_sync(table.metadata.create_all)

    await opened.transaction(make)
    yield opened
    await opened.close()


async def _append(database: Database, outbox: Outbox, *payloads: bytes) -> None:
    async def work(connection: AsyncConnection) -> None:
        for payload in payloads:
            await outbox.append(connection, payload)

    await database.transaction(work)
    outbox.wake()


async def _left(database: Database, table: Table) -> int:
    async with database.read() as connection:
        return int(await connection.scalar(select(func.count()).select_from(table)) or 0)


async def _is_empty(database: Database, table: Table) -> bool:
    return await _left(database, table) == 0


async def test_messages_arrive_in_the_order_of_writing_and_go(database: Database, table: Table) -> None:
    outbox, received = Outbox(database, table), []

    async def send(payload: bytes) -> None:
        received.append(payload)

    drain = asyncio.create_task(outbox.drain(send))
    written = [b"%03d\x00\xff" % number for number in range(100)]
    await _append(database, outbox, *written[:50])
    await _append(database, outbox, *written[50:])
    await eventually(lambda: _is_empty(database, table), timeout=20)
    drain.cancel()
    assert received == written


async def test_what_comes_while_a_batch_is_sent_goes_together(database: Database, table: Table) -> None:
    """Small batches cost what large ones do, so behind one of them more gathers."""
    outbox, sizes = Outbox(database, table), []

    async def send(payload: bytes) -> None:
        sizes.append(len(payload))
        await _append(database, outbox, *([b"x"] * (3 if len(sizes) < 4 else 0)))

    drain = asyncio.create_task(outbox.drain(send, joined=True))
    await _append(database, outbox, b"x")
    await eventually(lambda: sum(sizes) == 10, timeout=20)
    await eventually(lambda: _is_empty(database, table), timeout=20)
    drain.cancel()
    assert sizes == [1, 3, 3, 3]


async def test_what_is_rolled_back_is_never_sent(database: Database, table: Table) -> None:
    outbox = Outbox(database, table)

    async def work(connection: AsyncConnection) -> None:
        await outbox.append(connection, b"never")
        raise LookupError

    with pytest.raises(LookupError):
        await database.transaction(work)

    async def send(payload: bytes) -> None:
        pytest.fail(f"sent {payload!r}")

    assert await outbox.drain_once(send) == 0


async def test_a_message_of_a_lost_wake_up_is_found_by_the_poll(database: Database, table: Table) -> None:
    draining, writing, received = Outbox(database, table), Outbox(database, table), []

    async def send(payload: bytes) -> None:
        received.append(payload)

    drain = asyncio.create_task(draining.drain(send))
    await _append(database, writing, b"from another process")
    await eventually(lambda: received == [b"from another process"], timeout=10)
    drain.cancel()


async def test_messages_outlast_a_receiver_that_is_away(database: Database, table: Table) -> None:
    outbox, received = Outbox(database, table), []
    failures = 2

    async def send(payload: bytes) -> None:
        nonlocal failures
        if failures:
            failures -= 1
            raise Unavailable
        received.append(payload)

    drain = asyncio.create_task(outbox.drain(send))
    await _append(database, outbox, b"a", b"b")
    await eventually(lambda: _is_empty(database, table), timeout=20)
    drain.cancel()
    assert received == [b"a", b"b"]


async def test_what_was_sent_before_a_failure_is_not_sent_again(database: Database, table: Table) -> None:
    outbox, received = Outbox(database, table), []

    async def send(payload: bytes) -> None:
        if payload == b"c":
            raise Unavailable
        received.append(payload)

    await _append(database, outbox, b"a", b"b", b"c")
    for _ in range(2):
        with pytest.raises(Unavailable):
            await outbox.drain_once(send)
    assert received == [b"a", b"b"]
    assert await _left(database, table) == 1


async def test_a_refused_message_stays_and_holds_nobody_up(database: Database, table: Table) -> None:
    outbox, received = Outbox(database, table), []

    async def send(payload: bytes) -> None:
        if payload == b"poison":
            raise InvalidArgument("not an entry")
        received.append(payload)

    await _append(database, outbox, b"a", b"poison", b"b")
    with capture_logs() as logged:
        assert await outbox.drain_once(send) == 2
        assert await outbox.drain_once(send) == 0
    assert received == [b"a", b"b"]
    assert await _left(database, table) == 1
    assert len([line for line in logged if line["log_level"] == "error"]) == 1


async def test_joined_messages_arrive_as_one(database: Database, table: Table) -> None:
    """In the order of writing, and a large one for itself."""
    outbox, received, large = Outbox(database, table), [], b"x" * (1 << 20)

    async def send(payload: bytes) -> None:
        received.append(payload)

    await _append(database, outbox, b"a", b"b", large, b"c")
    assert await outbox.drain_once(send, joined=True) == 4
    assert received == [b"ab", large, b"c"]
    assert await _left(database, table) == 0


async def test_joined_messages_that_are_refused_are_sent_one_by_one(database: Database, table: Table) -> None:
    """The one at fault stays; the others have arrived."""
    outbox, received = Outbox(database, table), []

    async def send(payload: bytes) -> None:
        if b"!" in payload:
            raise InvalidArgument("not an entry")
        received.append(payload)

    await _append(database, outbox, b"a", b"!", b"b")
    assert await outbox.drain_once(send, joined=True) == 2
    assert received == [b"a", b"b"]
    assert await _left(database, table) == 1


async def test_replicas_that_drain_together_lose_nothing(database: Database, database_url: str, table: Table) -> None:
    other = await Database.open(database_url)
    received: Counter[bytes] = Counter()

    async def send(payload: bytes) -> None:
        await asyncio.sleep(0)
        received[payload] += 1

    outboxes = [Outbox(database, table), Outbox(other, table)]
    drains = [asyncio.create_task(outbox.drain(send)) for outbox in outboxes]
    written = [b"%d" % number for number in range(150)]
    for start in range(0, 150, 30):
        await _append(database, outboxes[0], *written[start : start + 30])
    await eventually(lambda: _is_empty(database, table), timeout=20)
    for drain in drains:
        drain.cancel()
    await asyncio.gather(*drains, return_exceptions=True)
    assert set(received) == set(written)
    await other.close()


async def test_of_an_outbox_that_another_process_drains_its_own_messages_are_sent_and_what_is_left(
    database: Database, table: Table
) -> None:
    """What the other one wrote is sent once the oldest has waited for long."""
    other, shared = Outbox(database, table), Outbox(database, table, is_shared=True)
    sent: list[bytes] = []

    async def send(payload: bytes) -> None:
        sent.append(payload)

    await other.post(b"first")
    assert await shared.drain_once(send) == 0
    await shared.post(b"own")
    await other.post(b"second")
    assert await shared.drain_once(send) == 1
    assert await shared.drain_once(send) == 0
    early = utc_now() - timedelta(seconds=61)

    async def age(connection: AsyncConnection) -> None:
        await connection.execute(update(table).where(table.c.payload == b"first").values(created_at=early))

    await database.transaction(age)
    assert await shared.drain_once(send) == 2
    assert sent == [b"own", b"first", b"second"]
