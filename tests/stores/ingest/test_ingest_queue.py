"""The queue on both stores: fenced, expiring leases; poison found alone; nobody waits for anybody."""

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from ingest_samples import configuration, mapping, system
from intertie.audit.v1 import audit_pb2
from intertie_ingest.configuration import Configuration
from intertie_ingest.lease_model import Outcome, Settlement
from intertie_ingest.queue_store import MOST_CRASHES

Make = Callable[[Configuration], Any]


async def fill(ingest: Any, count: int) -> None:
    await ingest.commit(*({"id": number} for number in range(count)))


def ids(lease: Any) -> list[str]:
    return [record.external_id for record in lease.records] if lease else []


async def row(ingest: Any, external_id: str = "0") -> Any:
    rows = await ingest.sql("SELECT * FROM {cache} WHERE external_id = :external_id", external_id=external_id)
    return rows[0]


async def test_a_lease_says_all_that_mapper_must_know(ingest: Any) -> None:
    """In the order of arrival, attempts counted in the claim, the end by the database's clock."""
    assert not any(await ingest.queue.lanes())
    body = b'{"id": "0",  "n": 1.0}'
    folded = await ingest.commit(body, {"id": "1"})
    assert any(await ingest.queue.lanes())
    lease = await ingest.lease(seconds=600)
    assert ids(lease) == ["0", "1"]
    record = lease.records[0]
    assert (record.data, record.revision, record.attempts, record.system_id, record.mapping_id) == (body, 1, 1, 1, 1)
    assert record.digest == hashlib.sha256(body).digest()
    assert record.delivery_id == folded.outcomes[0].delivery_id
    stored = await row(ingest)
    assert (stored.attempts, stored.lease_token) == (1, lease.token)
    assert str(stored.available_at)[:19] == str(lease.expires_at)[:19]
    assert not any(await ingest.queue.lanes())
    assert await ingest.lease() is None


async def test_settlements_write_what_became_of_each(ingest: Any) -> None:
    """All four outcomes in one settlement; what is not said of a record stays as it was."""
    await fill(ingest, 4)
    lease = await ingest.lease()
    synced, retried, set_aside, superseded = lease.records
    stale = await ingest.settlements.settle(
        lease.token,
        [
            Settlement(synced.id, 1, Outcome.SYNCED, local_key='{"id": 77}', local_id=77, reason="ignored"),
            Settlement(retried.id, 1, Outcome.RETRY, retry_seconds=60, reason="target_away", message="later"),
            Settlement(set_aside.id, 1, Outcome.SET_ASIDE, reason="not_a_number", field="title", message="no number"),
            Settlement(superseded.id, 1, Outcome.SUPERSEDED, message="the target is newer"),
        ],
    )
    assert stale == []
    rows = [await row(ingest, str(number)) for number in range(4)]
    assert [one.sync_status for one in rows] == ["synced", "pending", "error", "outdated"]
    assert [one.lease_token for one in rows] == [None] * 4
    assert (rows[0].local_id, rows[0].local_key, rows[0].error_reason) == (77, '{"id": 77}', None)
    assert rows[0].last_synced_at is not None
    assert rows[1].attempts == 1
    assert (rows[2].error_reason, rows[2].error_field, rows[2].sync_error) == ("not_a_number", "title", "no number")
    assert await ingest.lease() is None
    await ingest.sql("UPDATE {cache} SET available_at = '2020-01-01 00:00:00'")
    again = await ingest.lease()
    assert [(record.external_id, record.attempts) for record in again.records] == [("1", 2)]


async def test_a_late_worker_changes_nothing(ingest: Any) -> None:
    """Once another has the record, the first one's settlement does not hold."""
    await fill(ingest, 1)
    late = await ingest.lease()
    await ingest.end_leases()
    holder = await ingest.lease()
    assert holder.token != late.token
    assert await ingest.settle_all(late, Outcome.SET_ASIDE, reason="x") == [late.records[0].id]
    assert (await row(ingest)).lease_token == holder.token
    assert await ingest.settle_all(holder) == []
    assert await ingest.settle_all(holder) == [holder.records[0].id]
    assert (await row(ingest)).sync_status == "synced"


async def test_a_lease_that_ran_out_is_good_until_somebody_else_has_it(ingest: Any) -> None:
    """Work that is done is not thrown away for being slow."""
    await fill(ingest, 1)
    slow = await ingest.lease()
    await ingest.end_leases()
    assert await ingest.settle_all(slow) == []


async def test_extended_leases_do_not_end(ingest: Any) -> None:
    """What is lost is said: leases that are settled, ended, or never were."""
    await fill(ingest, 2)
    first, second = await ingest.lease(1, 5), await ingest.lease(1, 5)
    await ingest.settle_all(second)
    assert await ingest.queue.extend([first.token, second.token, "unknown"], 300) == sorted([second.token, "unknown"])
    assert (await row(ingest)).available_at > (await row(ingest, "1")).available_at
    await ingest.end_leases()
    assert await ingest.queue.extend([first.token], 300) == [first.token]


async def test_records_of_a_dead_lease_are_leased_one_by_one(ingest: Any) -> None:
    """And not together with fresh ones; a first death counts for none of them."""
    await fill(ingest, 3)
    await ingest.lease()
    await ingest.end_leases()
    await ingest.commit({"id": "fresh"})
    assert ids(await ingest.lease()) == ["fresh"]
    assert [ids(await ingest.lease(solo_first=True)) for _ in range(4)] == [["0"], ["1"], ["2"], []]
    assert [(await row(ingest, str(number))).crashes for number in range(3)] == [0, 0, 0]
    assert [(await row(ingest, str(number))).attempts for number in range(3)] == [2, 2, 2]


async def test_poison_is_set_aside_and_its_neighbours_are_not(ingest: Any) -> None:
    """Three deaths alone; the batch that it took down first is mapped."""
    await fill(ingest, 3)
    await ingest.lease()
    await ingest.end_leases()
    for _ in range(20):
        lease = await ingest.lease()
        if lease is None:
            break
        assert len(lease.records) == 1
        if ids(lease) == ["1"]:
            await ingest.end_leases()
        else:
            await ingest.settle_all(lease)
    rows = [await row(ingest, str(number)) for number in range(3)]
    assert [one.sync_status for one in rows] == ["synced", "error", "synced"]
    assert (rows[1].error_reason, rows[1].crashes, rows[1].attempts) == ("crashed", MOST_CRASHES, 1 + MOST_CRASHES)
    assert [one.lease_solo for one in (rows[0], rows[2])] == [0, 0]
    assert await ingest.lease() is None
    messages = await ingest.sql("SELECT payload FROM {prefix}ingest_outbox ORDER BY id")
    (entry,) = audit_pb2.AppendEntriesRequest.FromString(bytes(messages[-1].payload)).entries
    # What no mapper lived to say.
    assert (entry.query_type, entry.status, entry.delivery_id) == ("mapping", "error", rows[1].delivery_id)
    assert b"crashed" in entry.response_payload


async def test_poison_never_starves_the_others(ingest: Any) -> None:
    """With a hundred dead records at the head of the queue a fresh one is still next in its lane."""
    await fill(ingest, 100)
    await ingest.lease()
    await ingest.end_leases()
    await ingest.commit({"id": "fresh"})
    assert ids(await ingest.lease(50)) == ["fresh"]
    assert ids(await ingest.lease(50, solo_first=True)) == ["0"]


async def test_a_settled_record_is_no_longer_alone(ingest: Any) -> None:
    """A retry after a solo lease goes back into the common lane."""
    await fill(ingest, 1)
    await ingest.lease()
    await ingest.end_leases()
    lease = await ingest.lease()
    await ingest.settle_all(lease, Outcome.RETRY)
    assert ((await row(ingest)).lease_solo, (await row(ingest)).crashes) == (0, 0)
    assert ids(await ingest.lease()) == ["0"]


async def test_what_was_not_tried_has_its_attempt_back(ingest: Any) -> None:
    """However often that happens; the one beside it, which was tried, has used one up."""
    await fill(ingest, 2)
    for _ in range(3):
        lease = await ingest.lease()
        untried, tried = (Settlement(record.id, 1, Outcome.RETRY) for record in lease.records)
        assert await ingest.settlements.settle(lease.token, [replace(untried, is_untried=True), tried]) == []
    assert [(await row(ingest, name)).attempts for name in "01"] == [0, 3]
    assert [(record.external_id, record.attempts) for record in (await ingest.lease()).records] == [("0", 1), ("1", 4)]


async def test_a_suspect_that_was_not_tried_is_leased_alone_again(ingest: Any) -> None:
    """And what it has done to its workers is not forgotten."""
    await fill(ingest, 1)
    for _ in range(2):
        await ingest.lease()
        await ingest.end_leases()
    lease = await ingest.lease()
    assert (ids(lease), (await row(ingest)).crashes) == (["0"], 1)
    await ingest.settle_all(lease, Outcome.RETRY, is_untried=True)
    stored = await row(ingest)
    assert (stored.lease_solo, stored.crashes, stored.attempts, stored.lease_token) == (1, 1, 2, None)
    await ingest.commit({"id": "fresh"})
    assert ids(await ingest.lease()) == ["fresh"]
    lease = await ingest.lease(solo_first=True)
    assert (ids(lease), (await row(ingest)).crashes) == (["0"], 1)


async def test_a_dead_lease_waits_for_no_delay(ingest: Any) -> None:
    """Its record is available at the lease's end, however often it has been tried before."""
    await fill(ingest, 1)
    await ingest.sql("UPDATE {cache} SET attempts = 8")
    lease = await ingest.lease(seconds=60)
    assert str((await row(ingest)).available_at)[:19] == str(lease.expires_at)[:19]
    await ingest.end_leases()
    assert [(record.external_id, record.attempts) for record in (await ingest.lease()).records] == [("0", 10)]


async def test_records_of_inactive_mappings_are_held_until_they_are_active(make_ingest: Make) -> None:
    """They step out of the queue, so that they stop nobody and nothing spins; visible with their reason."""
    ingest = await make_ingest(configuration(system(mapping(1, "on"), mapping(2, "off"))))
    await fill(ingest, 3)
    only_first = frozenset({1})
    lease = await ingest.queue.lease(2, 60, only_first, solo_first=False)
    assert [record.mapping_id for record in lease.records] == [1]
    rest = await ingest.queue.lease(100, 60, only_first, solo_first=True)
    assert [record.mapping_id for record in rest.records] == [1, 1]
    assert not any(await ingest.queue.lanes())
    held = await ingest.sql("SELECT sync_status, error_reason, available_at FROM {cache} WHERE mapping_id = 2")
    assert [tuple(one) for one in held] == [("pending", "mapping_inactive", None)] * 3
    assert await ingest.queue.release_held(only_first) == 0
    assert await ingest.queue.release_held({1, 2}) == 1
    again = await ingest.queue.lease(100, 60, {1, 2}, solo_first=False)
    assert [record.mapping_id for record in again.records] == [2, 2, 2]
    assert {one.error_reason for one in await ingest.sql("SELECT error_reason FROM {cache}")} == {None}


async def test_waiting_records_are_not_released_with_the_held(make_ingest: Make) -> None:
    """An hourly mapping's records wait for their tick, whatever else happens."""
    ingest = await make_ingest(configuration(system(mapping(frequency="hourly"))))
    await fill(ingest, 1)
    assert await ingest.queue.release_held({1}) == 0
    assert not any(await ingest.queue.lanes())


async def test_claimers_get_different_records(make_ingest: Make, database_url: str) -> None:
    """Four at once on as many connections: together they get everything, each something of its own."""
    replicas = [await make_ingest(configuration()) for _ in range(1 if "sqlite" in database_url else 2)]
    await fill(replicas[0], 40)
    leases = await asyncio.gather(*(replicas[number % len(replicas)].lease(10) for number in range(4)))
    leased = sorted(int(number) for lease in leases for number in ids(lease))
    assert leased == list(range(40))


async def test_a_record_that_another_application_changes_is_mapped_in_its_newest_form(ingest: Any) -> None:
    """Pending again by SQL after it was synced: a state of its own, with what ours ended as kept."""
    await fill(ingest, 1)
    lease = await ingest.lease()
    await ingest.settle_all(lease)
    await ingest.sql("UPDATE {cache} SET data_json = :data, sync_status = 'pending'", data='{"id": 0, "by": "php"}')
    again = await ingest.lease()
    (record,) = again.records
    assert (record.data, record.revision, record.delivery_id) == (b'{"id": 0, "by": "php"}', 2, "")
    assert record.digest == hashlib.sha256(record.data).digest()
    assert await ingest.settle_all(again) == []
    stored = await ingest.browse.delivery(lease.records[0].delivery_id)
    assert stored.state.value == "synced"
    await ingest.sql("UPDATE {cache} SET data_json = :data, sync_status = 'pending'", data='{"id": 0, "by": "php2"}')
    assert (await ingest.lease()).records[0].revision == 3


async def test_rows_that_another_application_inserts_are_leased(ingest: Any) -> None:
    """The existing columns are all that it knows; and a delivery of the same record follows on."""
    await ingest.sql(
        "INSERT INTO {cache} (system_id, mapping_id, external_id, data_json) VALUES (1, 1, '0', :data)",
        data='{"id": "0"}',
    )
    (record,) = (await ingest.lease()).records
    assert (record.external_id, record.data, record.delivery_id, record.revision) == ("0", b'{"id": "0"}', "", 1)
    folded = await ingest.commit({"id": "0"})
    assert not folded.outcomes[0].is_duplicate
    assert (await ingest.lease()).records[0].revision == 2


class TestOnMariaDB:
    """What only a server with row locks can get wrong."""

    @pytest.fixture
    def database_url(self, mariadb_url: str) -> str:
        """No SQLite here."""
        return mariadb_url

    async def test_the_claim_reads_the_index_in_order(self, ingest: Any) -> None:
        """A filesort would lock every pending row: then a second claimer gets nothing and inserts wait."""
        await fill(ingest, 300)
        await ingest.sql("ANALYZE TABLE {cache}")
        for is_solo in (False, True):
            query = ingest.queue._locked(is_solo=is_solo).params(most=5)
            statement = str(query.compile(ingest.database._writer.sync_engine, compile_kwargs={"literal_binds": True}))
            (plan,) = await ingest.sql("EXPLAIN " + statement.replace("{", "{{").replace("}", "}}"))
            assert "filesort" not in (plan.Extra or "").lower()
            assert plan.key == "ix_external_data_cache_claim"

    async def test_a_held_claim_stops_neither_claims_nor_inserts(self, ingest: Any, make_ingest: Make) -> None:
        """While one claim's transaction is open, another one gets the next rows, and a delivery commits."""
        other = await make_ingest(configuration())
        await fill(ingest, 20)
        is_open, may_end = asyncio.Event(), asyncio.Event()

        async def hold(connection: Any) -> list[str]:
            rows = (await connection.execute(ingest.queue._locked(is_solo=False), {"most": 5})).all()
            is_open.set()
            await may_end.wait()
            return [found.external_id for found in rows]

        holding = asyncio.create_task(ingest.database.transaction(hold))
        await is_open.wait()
        assert ids(await other.lease(5)) == ["5", "6", "7", "8", "9"]
        await other.commit({"id": "new"}, {"id": "19", "changed": True})
        may_end.set()
        assert await holding == ["0", "1", "2", "3", "4"]

    async def test_data_changed_under_a_lease_is_not_settled(self, ingest: Any) -> None:
        """The PHP application writes while mapper works: the record stays pending, and is handed out anew."""
        await fill(ingest, 2)
        lease = await ingest.lease()
        await ingest.sql(
            "INSERT INTO {cache} (system_id, mapping_id, external_id, data_json, sync_status)"
            " VALUES (1, 1, '0', :data, 'pending') ON DUPLICATE KEY UPDATE data_json = VALUES(data_json),"
            " sync_status = 'pending'",
            data='{"id": 0, "by": "php"}',
        )
        assert await ingest.settle_all(lease) == [lease.records[0].id]
        (record,) = (await ingest.lease()).records
        assert (record.data, record.revision) == (b'{"id": 0, "by": "php"}', 2)


async def test_of_a_batch_that_is_all_synced_a_settlement_holds_where_its_lease_does(ingest: Any) -> None:
    """One of three has a newer state: it is pending, and leased anew; the others are synced all the same."""
    await fill(ingest, 3)
    lease = await ingest.lease()
    await ingest.commit({"id": 1, "title": "newer"})
    assert await ingest.settle_all(lease, local_id=7) == [(await row(ingest, "1")).id]
    states = [(found.sync_status, found.local_id) for found in [await row(ingest, str(number)) for number in range(3)]]
    assert states == [("synced", 7), ("pending", None), ("synced", 7)]
    assert [record.revision for record in (await ingest.lease()).records] == [2]
