"""Records that are stored under a lease, on both stores: handed over without a claim, and lost by nobody."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pytest

from ingest_samples import delivery
from intertie_chassis.outbox import Outbox
from intertie_ingest.audit_convert import entries_of_group
from intertie_ingest.gathered_store import GatheredStore
from intertie_ingest.lease_model import Lease, Outcome, Settlement
from intertie_ingest.leases import Leases
from intertie_ingest.reservations import Reservations
from intertie_ingest.store import Store
from intertie_ingest.wakeup import Wakeup
from waiting import eventually


class Line:
    """Ingest's way from a delivery to a worker, in one process."""

    def __init__(self, ingest: Any) -> None:
        self.ingest = ingest
        self.wakeup, self.stopping = Wakeup(), asyncio.Event()
        self.reservations = Reservations(self.wakeup, self.stopping)
        outbox = Outbox(ingest.database, ingest.tables.outbox)
        self.store = Store(ingest.database, ingest.tables, outbox, reservations=self.reservations)
        snapshot: Any = Fixed(ingest.config)
        self.leases = Leases(
            ingest.queue,
            ingest.settlements,
            snapshot,
            self.wakeup,
            self.stopping,
            reservations=self.reservations,
            gathered=GatheredStore(ingest.database, ingest.tables),
        )

    @asynccontextmanager
    async def waiting(self) -> AsyncIterator["asyncio.Task[Lease | None]"]:
        """A worker that waits, and has seen that the queue is empty."""
        asked = asyncio.create_task(self.leases.lease(100, 60, 20.0, may_be_short=True))
        await eventually(lambda: self.reservations._is_wanted() and not self.wakeup.may_wait)
        yield asked

    async def commit(self, *bodies: object) -> int:
        """Commits a group and rings for it; gives how many of its records are leased."""
        folded = await self.store.commit([delivery(body, self.ingest.config) for body in bodies], entries_of_group)
        self.wakeup.ring(folded.released, folded.leased)
        return folded.leased

    async def row(self, external_id: str = "0") -> Any:
        found = await self.ingest.sql("SELECT * FROM {cache} WHERE external_id = :one", one=external_id)
        return found[0]


@dataclass(frozen=True, slots=True)
class Fixed:
    """A snapshot of one configuration."""

    config: Any

    def configuration(self) -> Any:
        return self.config


@pytest.fixture
def line(ingest: Any) -> Line:
    return Line(ingest)


def ids(lease: Lease | None) -> list[str]:
    return [record.external_id for record in lease.records] if lease else []


async def test_a_worker_that_waits_gets_what_is_stored_without_a_claim(line: Line) -> None:
    async with line.waiting() as asked:
        assert await line.commit(b'{"id": "0",  "n": 1.0}', {"id": "1"}) == 2
        stored = await line.row()
        lease = await asked
    assert lease is not None
    assert 5 <= lease.seconds <= 10
    first = lease.records[0]
    assert (first.data, first.revision, first.attempts, first.mapping_id) == (b'{"id": "0",  "n": 1.0}', 1, 1, 1)
    assert (stored.lease_token, stored.attempts, stored.sync_status) == (lease.token, 1, "pending")
    assert (first.id, first.delivery_id, first.digest) == (stored.id, stored.delivery_id, bytes(stored.digest))
    assert await line.ingest.settle_all(lease, local_id=7, local_key="{}") == []
    assert ((await line.row("1")).sync_status, (await line.row("1")).lease_token) == ("synced", None)


async def test_it_is_handed_out_in_the_order_of_arrival(line: Line) -> None:
    async with line.waiting() as asked:
        await line.store.commit([delivery({"id": "9"}, line.ingest.config)], entries_of_group)
        assert await line.commit({"id": "5"}, {"id": "1"}, {"id": "3"}) == 3
        assert ids(await asked) == ["9", "5", "1", "3"]


async def test_without_a_worker_records_wait_in_the_queue(line: Line) -> None:
    assert await line.commit({"id": "0"}) == 0
    assert (await line.row()).lease_token is None
    assert ids(await line.leases.lease(10, 60, 0, may_be_short=True)) == ["0"]


async def test_what_waits_is_claimed_before_anything_is_leased_as_it_is_stored(line: Line) -> None:
    async with line.waiting() as asked:
        await line.ingest.commit({"id": "by another replica"})
        line.wakeup.queue()  # as its announcement says, which wakes the worker a moment later
        assert await line.commit({"id": "0"}) == 0
        assert ids(await asked) == ["by another replica", "0"]


async def test_a_new_state_of_a_record_is_leased_too_and_overtakes_the_one_in_work(line: Line) -> None:
    async with line.waiting() as asked:
        await line.commit({"id": "0", "n": 1})
        first = await asked
    async with line.waiting() as asked:
        assert await line.commit({"id": "0", "n": 2}) == 1
        assert first is not None
        assert await line.ingest.settle_all(first) == [first.records[0].id]
        second = await asked
    assert second is not None
    assert [(record.revision, record.attempts) for record in second.records] == [(2, 1)]
    assert await line.ingest.settle_all(second) == []


async def test_what_is_known_or_set_aside_is_not_leased(line: Line) -> None:
    async with line.waiting() as asked:
        await line.commit({"id": "0"})
        await asked
    async with line.waiting() as asked:
        assert await line.commit({"id": "0"}) == 0
        assert not asked.done()
        asked.cancel()


async def test_a_lease_that_nobody_was_given_ends_and_its_records_come_again(line: Line) -> None:
    """The process may have died: what it had not handed over is leased one by one, and none of it is suspected."""
    async with line.waiting() as asked:
        await line.store.commit(
            [delivery({"id": str(number)}, line.ingest.config) for number in range(2)], entries_of_group
        )
        asked.cancel()
    again = Line(line.ingest)
    assert await again.leases.lease(10, 60, 0, may_be_short=True) is None
    await line.ingest.end_leases()
    for expected in ("0", "1"):
        lease = await again.leases.lease(10, 60, 2, may_be_short=True)
        assert ids(lease) == [expected]
        assert lease is not None
        assert (await again.row(expected)).crashes == 0
        assert await line.ingest.settle_all(lease) == []


async def gathered(line: Line, *bodies: object) -> None:
    """Stores records under a lease that nobody is there to get."""
    async with line.waiting() as asked:
        await line.store.commit([delivery(body, line.ingest.config) for body in bodies], entries_of_group)
        asked.cancel()
    assert line.reservations.is_gathering


async def test_a_lease_with_little_time_left_is_released_and_claimed(line: Line) -> None:
    await gathered(line, {"id": "0"})
    await line.ingest.sql("UPDATE {cache} SET available_at = :soon", soon="2020-01-01 00:00:00.000000")
    (gathering,) = line.reservations._gathering
    gathering.expires_at = datetime(2020, 1, 1)
    lease = await line.leases.lease(10, 60, 0, may_be_short=True)
    assert (ids(lease), lease and lease.seconds, lease and lease.token != gathering.token) == (["0"], 60, True)


async def test_a_worker_that_asks_for_less_than_has_gathered_gets_no_more(line: Line) -> None:
    await gathered(line, *({"id": str(number)} for number in range(5)))
    first = await line.leases.lease(3, 60, 0, may_be_short=True)
    assert ids(first) == ["0", "1", "2"]
    assert first is not None
    await line.leases.settle(first.token, [Settlement(one.id, 1, Outcome.SYNCED) for one in first.records])
    assert ids(await line.leases.lease(3, 60, 2, may_be_short=True)) == ["3", "4"]


async def test_a_group_that_failed_may_come_later_so_its_lease_is_not_handed_over(line: Line) -> None:
    await gathered(line, {"id": "0"})
    (gathering,) = line.reservations._gathering
    gathering.is_unsure = True
    lease = await line.leases.lease(10, 60, 0, may_be_short=True)
    assert lease is not None
    assert (ids(lease), lease.token != gathering.token, lease.records[0].attempts) == (["0"], True, 1)


async def test_a_lease_whose_groups_came_to_nothing_keeps_nobody_waiting(line: Line) -> None:
    async with line.waiting() as asked:
        await line.commit({"id": "0"})
        await asked
    await gathered(line, {"id": "0"})
    await gathered(line, {"id": "1"})
    assert ids(await line.leases.lease(10, 60, 0.5, may_be_short=True)) == ["1"]


async def test_what_nobody_comes_for_goes_into_the_queue(line: Line) -> None:
    await gathered(line, {"id": "0"})
    releasing = asyncio.create_task(line.leases.release_unwanted())
    await eventually(lambda: not line.reservations.is_gathering)
    releasing.cancel()
    await asyncio.wait({releasing})
    lease = await line.ingest.lease()
    assert (ids(lease), lease.records[0].attempts) == (["0"], 1)


async def test_what_was_not_handed_over_when_ingest_stops_goes_into_the_queue(line: Line) -> None:
    await gathered(line, {"id": "0"}, {"id": "1"})
    await line.leases.release()
    row = await line.row()
    assert (row.lease_token, row.attempts, row.lease_crc) == (None, 0, None)
    assert ids(await line.ingest.lease()) == ["0", "1"]


async def test_a_caller_that_takes_no_short_leases_gets_none(line: Line) -> None:
    asked = asyncio.create_task(line.leases.lease(10, 60, 20.0))
    await eventually(lambda: not line.wakeup.may_wait)
    assert await line.commit({"id": "0"}) == 0
    lease = await asked
    assert (ids(lease), lease and lease.seconds) == (["0"], 60)
    await gathered(line, {"id": "1"})
    assert await line.leases.lease(10, 60, 0.5) is None
    assert ids(await line.leases.lease(10, 60, 0, may_be_short=True)) == ["1"]


async def test_when_ingest_stops_what_is_leased_is_handed_over_first(line: Line) -> None:
    async with line.waiting() as asked:
        await line.commit({"id": "0"})
        first = await asked
    assert first is not None  # a small batch holds the next one back
    async with line.waiting() as asked:
        await line.commit({"id": "1"})
        line.stopping.set()
        assert ids(await asked) == ["1"]


@pytest.mark.parametrize("database_url", ["mariadb"], indirect=True)
async def test_what_another_application_has_written_meanwhile_is_a_state_of_its_own(line: Line) -> None:
    await gathered(line, {"id": "0"}, {"id": "1"})
    overwritten = "UPDATE {cache} SET data_json = :data, sync_status = 'pending' WHERE external_id = '0'"
    await line.ingest.sql(overwritten, data='{"id": "0", "php": 1}')
    lease = await line.leases.lease(10, 60, 0, may_be_short=True)
    assert lease is not None
    states = [(record.data, record.revision, bool(record.delivery_id)) for record in lease.records]
    assert states == [(b'{"id": "0", "php": 1}', 2, False), (b'{"id": "1"}', 1, True)]


@pytest.mark.parametrize("database_url", ["mariadb"], indirect=True)
async def test_what_another_application_writes_after_that_is_seen_when_it_is_settled(line: Line) -> None:
    async with line.waiting() as asked:
        await line.commit({"id": "0"})
        lease = await asked
    assert lease is not None
    await line.ingest.sql("UPDATE {cache} SET data_json = :data", data='{"id": "0", "php": 1}')
    assert await line.ingest.settle_all(lease) == [lease.records[0].id]
    assert [record.revision for record in (await line.ingest.lease()).records] == [2]


async def test_settling_by_parts_holds_for_each(line: Line) -> None:
    async with line.waiting() as asked:
        await line.commit({"id": "0"}, {"id": "1"})
        lease = await asked
    assert lease is not None
    first, second = lease.records
    settle = line.ingest.settlements.settle
    assert await settle(lease.token, [Settlement(first.id, 1, Outcome.RETRY, retry_seconds=0, reason="busy")]) == []
    assert await settle(lease.token, [Settlement(second.id, 1, Outcome.SYNCED)]) == []
    assert ((await line.row("0")).sync_status, (await line.row("0")).attempts) == ("pending", 1)
