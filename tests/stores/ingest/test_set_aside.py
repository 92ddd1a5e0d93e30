"""What was set aside is counted and replayed, in part, at a rate, and beside everything else, on both stores."""

import asyncio
import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.dialects import mysql, sqlite

from ingest_samples import configuration
from intertie_ingest.lease_model import Lease, Outcome
from intertie_ingest.migrations.first_tables import CLAIM_INDEX
from intertie_ingest.model import Status
from intertie_ingest.pace import Pace
from intertie_ingest.selection import RecordFilter

SET_ASIDE = RecordFilter(status=Status.ERROR)
WAITING = RecordFilter(status=Status.PENDING, is_waiting=True)


def said(ids: Sequence[int]) -> bytes:
    return ",".join(map(str, ids)).encode()


def of(lease: Lease, *numbers: int) -> Lease:
    """A lease of some of its records only."""
    return Lease(lease.token, tuple(lease.records[number] for number in numbers), lease.expires_at)


async def set_aside(ingest: Any, count: int, **values: Any) -> Lease:
    """So many records, set aside one after the other."""
    await ingest.commit(*({"id": number} for number in range(count)))
    lease: Lease = await ingest.lease(count)
    await ingest.settle_all(lease, Outcome.SET_ASIDE, **({"reason": "bad_datetime", "field": "date"} | values))
    return lease


async def test_a_replay_hands_out_what_was_set_aside_and_says_so(ingest: Any) -> None:
    """Narrowed by reason; attempts begin anew; nothing else is touched; one audit message with it."""
    await ingest.commit(*({"id": number} for number in range(3)))
    lease = await ingest.lease()
    for number, reason in enumerate(("too_long", "too_long", "crashed")):
        await ingest.settle_all(of(lease, number), Outcome.SET_ASIDE, reason=reason)
    before = await ingest.count("ingest_outbox")
    wanted = RecordFilter(status=Status.ERROR, error_reason="too_long")
    replayed = await ingest.set_aside.replay(wanted, said)
    assert replayed.ids == tuple(record.id for record in lease.records[:2])
    assert (await ingest.set_aside.replay(wanted, said)).ids == ()
    assert await ingest.count("ingest_outbox") == before + 1
    row = (await ingest.browse.records(RecordFilter(external_id="0"), None, 1))[0]
    assert (row.attempts, row.sync_error, row.error_reason, row.error_field) == (0, None, None, None)
    again = await ingest.lease()
    assert [(record.external_id, record.attempts) for record in again.records] == [("0", 1), ("1", 1)]


async def test_a_replay_releases_what_waits(ingest: Any) -> None:
    """Records without a time, as adoption leaves them; taken once each, also when they wait again meanwhile."""
    await ingest.commit(*({"id": number} for number in range(4)))
    await ingest.sql("UPDATE {cache} SET available_at = NULL WHERE external_id <> '0'")
    assert [one.count for one in await ingest.set_aside.counts(WAITING)] == [3]
    first = await ingest.set_aside.replay(WAITING, said, Pace(most=2))
    await ingest.sql("UPDATE {cache} SET available_at = NULL WHERE external_id = '1'")
    rest = await ingest.set_aside.replay(WAITING, said, Pace(most=2), first.place)
    assert (len(first.ids), len(rest.ids), rest.place) == (2, 1, None)
    assert sorted(record.external_id for record in (await ingest.lease()).records) == ["0", "2", "3"]


async def test_what_a_choice_comes_to_is_counted(ingest: Any) -> None:
    """By mapping, state and reason, the most first, with the first and the last change."""
    lease = await set_aside(ingest, 4)
    await ingest.set_aside.replay(RecordFilter(ids=(lease.records[0].id,), status=Status.ERROR), said)
    await ingest.settle_all(await ingest.lease())
    await ingest.sql("UPDATE {cache} SET updated_at = '2024-01-01 00:00:00'")
    await ingest.sql("UPDATE {cache} SET updated_at = '2024-01-03 00:00:00' WHERE external_id = '2'")
    found = await ingest.set_aside.counts(RecordFilter(ids=tuple(record.id for record in lease.records)))
    assert [(one.status, one.error_reason, one.count) for one in found] == [
        (Status.ERROR, "bad_datetime", 3),
        (Status.SYNCED, "", 1),
    ]
    assert (found[0].first_changed_at.day, found[0].last_changed_at.day) == (1, 3)
    many = RecordFilter(ids=tuple(range(10**6, 10**6 + 10_000)))
    assert await ingest.set_aside.counts(many) == []


async def test_a_time_range_of_what_was_set_aside(ingest: Any) -> None:
    """From the first moment up to, not with, the last; what was set aside outside stays."""
    lease = await set_aside(ingest, 4)
    for number in range(4):
        await ingest.sql(
            f"UPDATE {{cache}} SET updated_at = '2024-01-0{number + 1} 00:00:00' WHERE external_id = '{number}'"
        )
    rows = await ingest.browse.records(SET_ASIDE, None, 50)
    second, fourth = rows[2].updated_at, rows[0].updated_at
    wanted = RecordFilter(status=Status.ERROR, changed_after=second, changed_before=fourth)
    replayed = await ingest.set_aside.replay(wanted, said)
    assert replayed.ids == tuple(lease.records[number].id for number in (1, 2))


async def test_a_rate_spreads_them_in_the_order_in_which_they_were_set_aside(ingest: Any) -> None:
    """The first at once, each later one by its time; a call takes what it is told, the next goes on with the rest."""
    await ingest.commit(*({"id": number} for number in range(5)))
    lease = await ingest.lease()
    order = [3, 0, 4, 1, 2]
    for number in order:
        await ingest.settle_all(of(lease, number), Outcome.SET_ASIDE)
    first = await ingest.set_aside.replay(SET_ASIDE, said, Pace(per_second=0.5, most=3))
    assert first.ids == tuple(lease.records[number].id for number in order[:3])
    rows = {row.id: row for row in await ingest.browse.records(RecordFilter(ids=first.ids), None, 50)}
    times = [rows[number].available_at for number in first.ids]
    assert [time - times[0] for time in times] == [timedelta(seconds=2 * index) for index in range(3)]
    assert first.last_available_at == times[-1]
    assert [record.external_id for record in (await ingest.lease()).records] == ["3"]
    rest = await ingest.set_aside.replay(SET_ASIDE, said, Pace(most=3), first.place)
    assert (rest.ids, rest.place) == (tuple(lease.records[number].id for number in order[3:]), None)
    assert [record.external_id for record in (await ingest.lease()).records] == ["1", "2"]


async def test_a_replay_ends_though_its_records_are_set_aside_again(ingest: Any) -> None:
    """What has failed since the first call is not taken by the later ones; a replay of its own takes it."""
    await set_aside(ingest, 5)
    taken: list[int] = []
    place = None
    for _ in range(10):
        replayed = await ingest.set_aside.replay(SET_ASIDE, said, Pace(most=2), place)
        taken += replayed.ids
        while lease := await ingest.lease():
            await ingest.settle_all(lease, Outcome.SET_ASIDE, reason="bad_datetime")
        place = replayed.place
        if place is None:
            break
    assert (place, len(taken), len(set(taken))) == (None, 5, 5)
    assert [one.count for one in await ingest.set_aside.counts(SET_ASIDE)] == [5]
    assert await ingest.set_aside.counts(
        SET_ASIDE, (await ingest.set_aside.replay(SET_ASIDE, said, Pace(most=4))).place
    )


async def test_what_is_under_a_lease_is_not_replayed(ingest: Any) -> None:
    """Nor what is synced or pending: only what was set aside."""
    await ingest.commit(*({"id": number} for number in range(3)))
    lease = await ingest.lease(2)
    await ingest.settle_all(of(lease, 0))
    everything = tuple(range(1, 10))
    assert (await ingest.set_aside.replay(RecordFilter(ids=everything, status=Status.ERROR), said)).ids == ()
    assert (
        await ingest.set_aside.replay(RecordFilter(ids=everything, status=Status.PENDING, is_waiting=True), said)
    ).ids == ()
    assert await ingest.settle_all(of(lease, 1)) == []


async def test_the_worker_of_an_old_lease_says_nothing_about_a_replay(ingest: Any) -> None:
    """Taken for crashed three times, then replayed: what the first worker comes to is of no account."""
    await ingest.commit({"id": 1})
    late = await ingest.lease()
    await ingest.end_leases()
    while await ingest.lease() is not None:
        await ingest.end_leases()
    assert [one.error_reason for one in await ingest.set_aside.counts(SET_ASIDE)] == ["crashed"]
    await ingest.set_aside.replay(SET_ASIDE, said)
    assert await ingest.settle_all(late, Outcome.SET_ASIDE) == [late.records[0].id]
    again = await ingest.lease()
    assert [(record.external_id, record.attempts) for record in again.records] == [("1", 1)]


async def test_two_replays_at_once_take_each_record_once(make_ingest: Any) -> None:
    """Both are told what they took, and the log has the same."""
    one, other = await make_ingest(configuration()), await make_ingest(configuration())
    lease = await set_aside(one, 60)
    before = await one.count("ingest_outbox")
    calls = [replica.set_aside.replay(SET_ASIDE, said, Pace(most=20)) for replica in (one, other) * 3]
    taken = [number for replayed in await asyncio.gather(*calls) for number in replayed.ids]
    while rest := (await one.set_aside.replay(SET_ASIDE, said)).ids:
        taken += rest
    assert sorted(taken) == sorted(record.id for record in lease.records)
    messages = await one.sql("SELECT payload FROM {prefix}ingest_outbox ORDER BY id")
    logged = [int(number) for row in messages[before:] for number in bytes(row.payload).decode().split(",")]
    assert sorted(logged) == sorted(taken)


async def test_replays_beside_settlements_claims_and_deliveries(make_ingest: Any) -> None:
    """Whatever comes first: in the end each record is synced in its newest state, and none waits."""
    one, other = await make_ingest(configuration()), await make_ingest(configuration())
    await set_aside(one, 30)

    async def work(replica: Any, outcome: Outcome) -> None:
        for _ in range(8):
            if lease := await replica.lease(7):
                await replica.settle_all(lease, outcome, reason="bad_datetime")
            await asyncio.sleep(0)

    async def replay(replica: Any) -> None:
        for _ in range(8):
            await replica.set_aside.replay(SET_ASIDE, said, Pace(most=5))

    async def deliver(replica: Any) -> None:
        for start in range(0, 15, 5):
            await replica.commit(*({"id": number, "next": True} for number in range(start, start + 5)))

    await asyncio.gather(
        work(one, Outcome.SET_ASIDE), work(other, Outcome.SYNCED), replay(one), replay(other), deliver(one)
    )
    await one.set_aside.replay(SET_ASIDE, said)
    while lease := await one.lease():
        assert await one.settle_all(lease) == []
    rows = await one.browse.records(RecordFilter(), None, 50)
    assert {row.sync_status for row in rows} == {Status.SYNCED}
    newest = {str(number): {"id": number} | ({"next": True} if number < 15 else {}) for number in range(30)}
    assert {row.external_id: json.loads(row.data_json) for row in rows} == newest
    assert sum(row.revision for row in rows) == 45


@pytest.mark.parametrize("wanted", [SET_ASIDE, WAITING])
async def test_the_search_reads_the_claims_index_in_its_order(ingest: Any, wanted: RecordFilter) -> None:
    """A sort would lock all that could be replayed, and a second operator would get nothing."""
    await set_aside(ingest, 50)
    on_mysql = ingest.database.dialect == "mysql"
    dialect = mysql.dialect() if on_mysql else sqlite.dialect()
    query = ingest.set_aside.choosing(wanted, 10).compile(dialect=dialect, compile_kwargs={"literal_binds": True})
    rows = await ingest.sql(f"EXPLAIN {'' if on_mysql else 'QUERY PLAN '}{str(query).replace('%%', '%')}")
    plan = " ".join(str(value) for row in rows for value in row)
    assert CLAIM_INDEX in plan, plan
    assert "filesort" not in plan, plan
    assert "B-TREE" not in plan, plan
