"""Bodies, and later the rest of deliveries, are forgotten on both stores; what is needed stays, keys outlive bodies."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.dialects import mysql, sqlite

from ingest_samples import configuration, delivery, mapping, system
from intertie_chassis.clock import utc_now
from intertie_ingest import retention_store
from intertie_ingest.audit_convert import entries_of_group
from intertie_ingest.errors import DeliveryKeyReused
from intertie_ingest.lease_model import Outcome
from intertie_ingest.migrations.retention_index import AGE_INDEX
from intertie_ingest.model import Ending, Status
from intertie_ingest.retention import Forgotten, Retention
from intertie_ingest.retention_store import Aged, RetentionStore
from intertie_ingest.selection import RecordFilter


def retention(ingest: Any, *, body_days: int = 30, delivery_days: int = 400, later: float = 0) -> Retention:
    """As the process has it, so many days from now."""
    store = RetentionStore(ingest.database, ingest.tables)
    return Retention(store, body_days, delivery_days, clock=lambda: at(later), least_pause=0)


def at(days: float) -> datetime:
    """So many days from now."""
    return utc_now() + timedelta(days=days)


async def test_bodies_go_and_the_rest_stays(ingest: Any) -> None:
    """On the day: not before. What is told of the delivery afterwards is what was told before."""
    (outcome,) = (await ingest.commit({"id": 1}, key="k")).outcomes
    await ingest.settle_all(await ingest.lease())
    assert await retention(ingest, later=29.9).round() == Forgotten(0, 0, 0)
    before = await ingest.browse.delivery(outcome.delivery_id)
    assert (before.body, before.is_body_expired) == (b'{"id": 1}', False)
    assert await retention(ingest, later=30.1).round() == Forgotten(1, 0, 0)
    after = await ingest.browse.delivery(outcome.delivery_id)
    assert (after.body, after.is_body_expired) == (None, True)
    for name in ("delivery_key", "digest", "size", "content_type", "received_at", "state", "records"):
        assert getattr(after, name) == getattr(before, name)


async def test_a_key_outlives_the_body(ingest: Any) -> None:
    """The same bytes are still a duplicate, others are still refused; once the delivery is gone the key is free."""
    (first,) = (await ingest.commit({"id": 1}, key="k")).outcomes
    await ingest.settle_all(await ingest.lease())
    assert (await retention(ingest, later=399).round()).bodies == 1
    (again,) = (await ingest.commit({"id": 1}, key="k")).outcomes
    assert (again.is_duplicate, again.delivery_id) == (True, first.delivery_id)
    (other,) = (await ingest.commit({"id": 2}, key="k")).outcomes
    assert isinstance(other, DeliveryKeyReused)
    assert await retention(ingest, later=401).round() == Forgotten(0, 1, 0)
    assert await ingest.browse.delivery(first.delivery_id) is None
    (new,) = (await ingest.commit({"id": 2}, key="k")).outcomes
    assert not new.is_duplicate


async def test_what_is_needed_stays(ingest: Any) -> None:
    """Bodies of what is pending or set aside stay for years, the deliveries too; when they have ended both go."""
    names = [one.delivery_id for one in (await ingest.commit(*({"id": number} for number in range(3)))).outcomes]
    lease = await ingest.lease()
    for record, outcome in zip(lease.records, (Outcome.SYNCED, Outcome.SET_ASIDE, Outcome.RETRY), strict=True):
        one = lease.__class__(lease.token, (record,), lease.expires_at)
        await ingest.settle_all(one, outcome, reason="bad_datetime", field="date", message="no date")
    assert await retention(ingest, later=5000).round() == Forgotten(0, 1, 0)
    for name, state in zip(names[1:], (Ending.SET_ASIDE, Ending.PENDING), strict=True):
        stored = await ingest.browse.delivery(name)
        assert (stored.state, stored.is_body_expired) == (state, False)
    # What was overtaken, pending or set aside, has ended.
    await ingest.commit({"id": 1, "next": True}, {"id": 2, "next": True})
    await ingest.settle_all(await ingest.lease())
    assert await retention(ingest, body_days=31, later=32).round() == Forgotten(4, 0, 0)
    assert (await retention(ingest, later=401).round()).deliveries == 4
    assert await ingest.count("inbound_deliveries") == 0
    assert await ingest.count("inbound_delivery_endings") == 0


async def test_what_was_set_aside_keeps_its_body_for_thirty_days(ingest: Any) -> None:
    """Though bodies are kept for one day only: also when a newer delivery, or another application, has ended it."""
    names = [one.delivery_id for one in (await ingest.commit({"id": 0}, {"id": 1}, {"id": 2})).outcomes]
    lease = await ingest.lease()
    await ingest.settle_all(lease.__class__(lease.token, lease.records[:2], lease.expires_at), Outcome.SET_ASIDE)
    await ingest.settle_all(lease.__class__(lease.token, lease.records[2:], lease.expires_at))
    (new,) = (await ingest.commit({"id": 0, "next": True})).outcomes
    await ingest.settle_all(await ingest.lease())
    await ingest.sql("DELETE FROM {cache} WHERE external_id = '1'")
    assert (await retention(ingest, body_days=1, later=29).round()).bodies == 2
    expired = {name for name in [*names, new.delivery_id] if (await ingest.browse.delivery(name)).is_body_expired}
    assert expired == {names[2], new.delivery_id}
    assert (await retention(ingest, body_days=1, later=31).round()).bodies == 2


async def test_nothing_set_aside_goes_before_thirty_days(ingest: Any) -> None:
    """Though whole deliveries are kept for one day: not its row of the cache, its delivery, its body, its ending."""
    names = [one.delivery_id for one in (await ingest.commit({"id": 0}, {"id": 1}, received_at=at(-5))).outcomes]
    await ingest.settle_all(await ingest.lease(), Outcome.SET_ASIDE, reason="bad_datetime", message="no date")
    await ingest.commit({"id": 1, "next": True})  # the second is overtaken today, five days after it was received
    await ingest.settle_all(await ingest.lease())
    assert await retention(ingest, body_days=1, delivery_days=1, later=29).round() == Forgotten(0, 1, 0)
    for name, body in zip(names, (b'{"id": 0}', b'{"id": 1}'), strict=True):
        stored = await ingest.browse.delivery(name)
        assert (stored.state, stored.body, stored.records[0].fault.message) == (Ending.SET_ASIDE, body, "no date")
    assert await ingest.count("external_data_cache") == 2
    assert (await retention(ingest, body_days=1, delivery_days=1, later=31).round()).deliveries == 1
    assert (await ingest.browse.delivery(names[0])).body == b'{"id": 0}'  # until it is replayed, or overtaken
    assert await ingest.browse.delivery(names[1]) is None
    assert await ingest.count("external_data_cache") == 2
    (count,) = await ingest.set_aside.counts(RecordFilter(status=Status.ERROR))
    assert (count.count, count.error_reason) == (1, "bad_datetime")


async def test_a_set_aside_record_is_replayed_without_its_body(ingest: Any) -> None:
    """The cache holds the record: a replay needs no delivery."""
    (outcome,) = (await ingest.commit({"id": 1})).outcomes
    await ingest.settle_all(await ingest.lease(), Outcome.SET_ASIDE, reason="bad_datetime")
    await ingest.sql("UPDATE {prefix}inbound_deliveries SET body = NULL")
    await ingest.set_aside.replay(RecordFilter(status=Status.ERROR), lambda ids: b"replayed")
    lease = await ingest.lease()
    assert [(record.data, record.delivery_id) for record in lease.records] == [(b'{"id": 1}', outcome.delivery_id)]


async def test_an_unrouted_delivery_gets_its_body_back_when_it_is_routed(make_ingest: Any) -> None:
    """It came again after its body had gone and found a mapping: what is pending has a body."""
    unmapped = await make_ingest(configuration(system()))
    (first,) = (await unmapped.commit({"id": 1}, key="k")).outcomes
    assert (await retention(unmapped, later=31).round()).bodies == 1
    mapped = await make_ingest(configuration(system(mapping())))
    (again,) = (await mapped.commit({"id": 1}, key="k")).outcomes
    stored = await mapped.browse.delivery(first.delivery_id)
    assert (again.is_duplicate, stored.body, stored.state) == (True, b'{"id": 1}', Ending.PENDING)


async def test_it_goes_by_when_a_delivery_was_received(ingest: Any) -> None:
    """Not by the number that it was given, and in batches without a gap, some of which stay."""
    start = utc_now()
    bodies = [{"id": number} for number in range(9)]
    group = [
        delivery(body, ingest.config, received_at=start - timedelta(days=40 if number % 2 else 20, minutes=number))
        for number, body in enumerate(bodies)
    ]
    await ingest.store.commit(group, entries_of_group)
    lease = await ingest.lease()
    settled = tuple(record for record in lease.records if record.external_id != "5")
    await ingest.settle_all(lease.__class__(lease.token, settled, lease.expires_at))
    assert await retention(ingest).round() == Forgotten(3, 0, 0)
    kept = await ingest.sql("SELECT external_ids FROM {prefix}inbound_deliveries WHERE body IS NOT NULL ORDER BY 1")
    assert [row[0] for row in kept] == ['["0"]', '["2"]', '["4"]', '["5"]', '["6"]', '["8"]']


async def test_two_forget_at_once_in_small_steps(make_ingest: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Together they forget each body once, while others are accepted; a later round begins behind what is done."""
    monkeypatch.setattr(retention_store, "MOST_ROWS", 7)
    first, second = await make_ingest(configuration()), await make_ingest(configuration())
    await first.commit(*({"id": number} for number in range(60)), received_at=at(-50))
    await first.settle_all(await first.lease())
    one, other = retention(first), retention(second)
    went, also, accepted = await asyncio.gather(one.round(), other.round(), first.commit({"id": "new"}))
    assert went.bodies + also.bodies == 60
    assert not accepted.outcomes[0].is_duplicate
    (row,) = await first.sql("SELECT COUNT(*), COUNT(body) FROM {prefix}inbound_deliveries")
    assert tuple(row) == (61, 1)
    await first.commit({"id": "aged"}, received_at=at(-31))
    await first.settle_all(await first.lease())
    assert (await one.round()).bodies == 1


async def test_a_body_that_is_needed_has_nothing_read_again(ingest: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next round begins behind all that was looked at; a day later one begins at the oldest of all."""
    await ingest.commit({"id": "needed"}, received_at=at(-60))
    await ingest.commit({"id": "free"}, received_at=at(-50))
    lease = await ingest.lease()
    settled = tuple(record for record in lease.records if record.external_id != "needed")
    await ingest.settle_all(lease.__class__(lease.token, settled, lease.expires_at))
    hour = [0.0]
    keeper = Retention(
        RetentionStore(ingest.database, ingest.tables), 30, 400, clock=lambda: at(hour[0] / 24), least_pause=0
    )
    asked: list[Aged | None] = []
    aged = RetentionStore.aged

    async def noted(self: RetentionStore, before: datetime, after: Aged | None) -> list[Aged]:
        asked.append(after)
        return await aged(self, before, after)

    monkeypatch.setattr(RetentionStore, "aged", noted)
    assert (await keeper.round()).bodies == 1
    hour[0] = 1
    asked.clear()
    assert (await keeper.round()).bodies == 0
    assert [None if after is None else after.has_body for after in asked] == [None, True]
    hour[0] = 25
    asked.clear()
    assert (await keeper.round()).bodies == 0
    assert asked[:2] == [None, None]


async def test_endings_go_with_their_delivery_or_after_it(ingest: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of one delivery in several steps; what a gone delivery's record still ends as is forgotten in its time."""
    monkeypatch.setattr(retention_store, "MOST_ROWS", 3)
    await ingest.commit([{"id": number} for number in range(8)])
    await ingest.settle_all(await ingest.lease())
    assert (await retention(ingest, later=401).round()).deliveries == 1
    await ingest.commit([{"id": number, "next": 1} for number in range(8)])
    assert await ingest.count("inbound_delivery_endings") == 8  # of a delivery that is gone
    await ingest.settle_all(await ingest.lease())
    assert (await retention(ingest, delivery_days=800, later=799).round()).endings == 0
    assert await retention(ingest, delivery_days=800, later=801).round() == Forgotten(0, 1, 8)
    assert await ingest.count("inbound_delivery_endings") == 0


async def test_the_search_reads_an_index(ingest: Any) -> None:
    """From any place on; it sorts nothing."""
    store = RetentionStore(ingest.database, ingest.tables)
    on_mysql = ingest.database.dialect == "mysql"
    dialect = mysql.dialect() if on_mysql else sqlite.dialect()
    await ingest.commit(*({"id": number} for number in range(50)), received_at=at(-50))
    for after in (None, Aged(at(-50), "0" * 26, 1, True)):
        query = store.aging(at(-30), after).compile(dialect=dialect, compile_kwargs={"literal_binds": True})
        rows = await ingest.sql(f"EXPLAIN {'' if on_mysql else 'QUERY PLAN '}{str(query).replace('%%', '%')}")
        plan = " ".join(str(value) for row in rows for value in row)
        assert AGE_INDEX in plan, plan
        assert "filesort" not in plan, plan
        assert "B-TREE" not in plan, plan
