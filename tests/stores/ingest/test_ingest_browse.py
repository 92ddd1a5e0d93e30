"""Looking at deliveries, records and refusals, on both stores."""

from datetime import datetime, timedelta
from typing import Any

from ingest_samples import INCIDENT, configuration, delivery, mapping, system
from intertie_chassis.clock import utc_now
from intertie_ingest.audit_convert import entries_of_group
from intertie_ingest.browse_store import DeliveryFilter
from intertie_ingest.lease_model import Outcome
from intertie_ingest.model import Ending, Status
from intertie_ingest.selection import RecordFilter


async def test_deliveries_are_found_by_how_they_stand(ingest: Any) -> None:
    """Each state finds its deliveries, also of records that were overtaken since."""
    outcomes = (await ingest.commit(*({"id": number} for number in range(4)))).outcomes
    names = [outcome.delivery_id for outcome in outcomes]
    lease = await ingest.lease(3)
    await ingest.settlements.settle(lease.token, [])
    for record, outcome in zip(lease.records, (Outcome.SYNCED, Outcome.SET_ASIDE, Outcome.SUPERSEDED), strict=True):
        one = lease.__class__(lease.token, (record,), lease.expires_at)
        await ingest.settle_all(one, outcome, reason="bad_datetime", field="date", message="no date")

    async def found(state: Ending) -> set[str]:
        return {stored.delivery_id for stored in await ingest.browse.deliveries(DeliveryFilter(state=state), None, 50)}

    assert await found(Ending.SYNCED) == {names[0]}
    assert await found(Ending.SET_ASIDE) == {names[1]}
    assert await found(Ending.SUPERSEDED) == {names[2]}
    assert await found(Ending.PENDING) == {names[3]}
    assert await found(Ending.UNROUTED) == set()
    await ingest.commit(*({"id": number, "next": True} for number in range(4)))
    assert await found(Ending.SYNCED) == {names[0]}
    assert await found(Ending.SET_ASIDE) == {names[1]}
    assert await found(Ending.SUPERSEDED) == {names[2], names[3]}
    set_aside = await ingest.browse.delivery(names[1])
    (record,) = set_aside.records
    assert (record.fault.reason, record.fault.field, record.fault.message) == ("bad_datetime", "date", "no date")


async def test_a_delivery_stands_as_its_least_finished_record(make_ingest: Any) -> None:
    """Pending before set aside before synced."""
    mappings = [mapping(1, "a"), mapping(2, "b"), mapping(3, "c")]
    ingest = await make_ingest(configuration(system(*mappings)))
    (outcome,) = (await ingest.commit(INCIDENT)).outcomes
    lease = await ingest.lease()
    states = []
    for record, result in zip(lease.records, (Outcome.SYNCED, Outcome.SET_ASIDE, Outcome.SYNCED), strict=True):
        states.append((await ingest.browse.delivery(outcome.delivery_id)).state)
        await ingest.settle_all(lease.__class__(lease.token, (record,), lease.expires_at), result)
    states.append((await ingest.browse.delivery(outcome.delivery_id)).state)
    assert states == [Ending.PENDING, Ending.PENDING, Ending.PENDING, Ending.SET_ASIDE]


async def test_pages_of_deliveries_meet_without_gap_or_overlap(ingest: Any) -> None:
    """The newest first, narrowed by system and by time."""
    start = utc_now()
    for number in range(5):
        await ingest.commit({"id": number}, received_at=start + timedelta(minutes=number))
    everything = [one.delivery_id for one in await ingest.browse.deliveries(DeliveryFilter(), None, 50)]
    assert everything == sorted(everything, reverse=True)
    paged: list[str] = []
    while page := await ingest.browse.deliveries(DeliveryFilter(), paged[-1] if paged else None, 2):
        paged += [one.delivery_id for one in page]
    assert paged == everything
    window = DeliveryFilter(received_after=start + timedelta(minutes=1), received_before=start + timedelta(minutes=3))
    assert len(await ingest.browse.deliveries(window, None, 50)) == 2
    always = DeliveryFilter(received_after=datetime.min, received_before=datetime.max)
    assert len(await ingest.browse.deliveries(always, None, 50)) == 5
    assert await ingest.browse.deliveries(DeliveryFilter(system_id=9), None, 50) == []
    assert await ingest.browse.delivery("unknown") is None


async def test_records_by_every_filter_and_in_pages(ingest: Any) -> None:
    """The newest change first."""
    await ingest.commit(*({"id": number} for number in range(5)))
    lease = await ingest.lease(3)
    await ingest.settle_all(lease)
    await ingest.sql("UPDATE {cache} SET updated_at = '2024-01-01 00:00:00'")
    await ingest.sql("UPDATE {cache} SET updated_at = '2024-01-02 00:00:00' WHERE external_id = '4'")

    async def found(**wanted: Any) -> list[str]:
        return [one.external_id for one in await ingest.browse.records(RecordFilter(**wanted), None, 50)]

    assert await found() == ["4", "3", "2", "1", "0"]
    assert await found(status=Status.SYNCED) == ["2", "1", "0"]
    assert await found(external_id="3") == ["3"]
    assert await found(system_id=2) == []
    assert await found(mapping_ids=(1, 9)) == ["4", "3", "2", "1", "0"]
    delivery_id = (await ingest.browse.records(RecordFilter(external_id="3"), None, 1))[0].delivery_id
    assert await found(delivery_id=delivery_id) == ["3"]
    day = datetime(2024, 1, 2)
    moment = timedelta(microseconds=1)
    assert await found(changed_after=day) == ["4"]
    assert await found(changed_after=day + moment) == []
    assert await found(changed_before=day) == ["3", "2", "1", "0"]
    assert await found(changed_before=day + moment) == ["4", "3", "2", "1", "0"]
    assert await found(changed_after=datetime.min, changed_before=datetime.max) == ["4", "3", "2", "1", "0"]
    assert await found(changed_after=datetime.min, status=Status.SYNCED, changed_before=day) == ["2", "1", "0"]
    first = await ingest.browse.records(RecordFilter(), None, 2)
    second = await ingest.browse.records(RecordFilter(), (first[-1].updated_at, first[-1].id), 50)
    assert [one.external_id for one in second] == ["2", "1", "0"]
    assert (await ingest.browse.record(first[0].id)).external_id == "4"
    assert await ingest.browse.record(10**6) is None


async def test_a_delivery_that_was_never_a_state_shows_who_is_newer(make_ingest: Any) -> None:
    """An older version that came late."""
    ingest = await make_ingest(configuration(system(mapping(version_field="v"))))
    newer, older = (delivery({"id": 1, "v": version}, ingest.config) for version in (2, 1))
    await ingest.store.commit([newer], entries_of_group)
    await ingest.store.commit([older], entries_of_group)
    stored = await ingest.browse.delivery(older.delivery_id)
    assert (stored.state, stored.records[0].superseded_by) == (Ending.SUPERSEDED, newer.delivery_id)
    assert (await ingest.lease()).records[0].version_key == newer.records[0].version_key
