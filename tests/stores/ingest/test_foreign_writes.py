"""Another application writes over cached records, at any moment: its data is mapped, and no history is made up."""

import hashlib
from typing import Any

from intertie_ingest.lease_model import Outcome

FOREIGN = '{"id": 1, "by": "php"}'


async def write(ingest: Any, data: str = FOREIGN) -> None:
    """As the PHP application does."""
    await ingest.sql("UPDATE {cache} SET data_json = :data, sync_status = 'pending'", data=data)


async def test_what_is_written_over_a_suspect_is_a_state_of_its_own(ingest: Any) -> None:
    """Its worker died, perhaps after applying: under the old revision the new data would be taken for applied."""
    (outcome,) = (await ingest.commit({"id": 1})).outcomes
    await ingest.lease()
    await ingest.end_leases()
    await ingest.lease()
    await ingest.end_leases()
    await write(ingest)
    (record,) = (await ingest.lease()).records
    assert (record.revision, record.data, record.attempts) == (2, FOREIGN.encode(), 1)
    assert record.digest == hashlib.sha256(record.data).digest()
    (row,) = await ingest.sql("SELECT crashes FROM {cache}")
    assert row.crashes == 0
    assert (await ingest.browse.delivery(outcome.delivery_id)).state.value == "superseded"


async def test_a_foreign_state_is_one_state_however_often_it_is_tried(ingest: Any) -> None:
    """Its attempts count on, its crashes too: else it would be tried, and take workers down, for ever."""
    await ingest.commit({"id": 1})
    await ingest.settle_all(await ingest.lease())
    await write(ingest)
    await ingest.settle_all(await ingest.lease(), Outcome.RETRY)
    seen = []
    for _ in range(4):
        lease = await ingest.lease()
        seen.append([(record.revision, record.attempts) for record in lease.records] if lease else None)
        await ingest.end_leases()
    assert seen == [[(2, 2)], [(2, 3)], [(2, 4)], [(2, 5)]]
    assert await ingest.lease() is None
    (row,) = await ingest.sql("SELECT sync_status, error_reason FROM {cache}")
    assert tuple(row) == ("error", "crashed")


async def test_a_state_that_never_was_synced_does_not_end_as_synced(ingest: Any) -> None:
    """Though an earlier state of its record was."""
    (first,) = (await ingest.commit({"id": 1})).outcomes
    await ingest.settle_all(await ingest.lease())
    (second,) = (await ingest.commit({"id": 1, "new": True})).outcomes
    await write(ingest)
    await ingest.lease()
    ended = [(await ingest.browse.delivery(one.delivery_id)).state.value for one in (first, second)]
    assert ended == ["synced", "superseded"]


async def test_what_was_overwritten_is_news_when_it_comes_again(ingest: Any) -> None:
    """A, another application's B, A again: three states, also before a claim has met B."""
    await ingest.commit({"id": 1})
    await ingest.settle_all(await ingest.lease())
    await write(ingest)
    (again,) = (await ingest.commit({"id": 1})).outcomes
    assert not again.is_duplicate
    (record,) = (await ingest.lease()).records
    assert (record.data, record.revision) == (b'{"id": 1}', 2)


async def test_how_a_state_ended_is_told_though_its_mapping_is_off_when_it_is_met(ingest: Any) -> None:
    """What is held is a state of its own from then on."""
    (outcome,) = (await ingest.commit({"id": 1})).outcomes
    await ingest.settle_all(await ingest.lease())
    await write(ingest)
    assert await ingest.queue.lease(10, 60, set(), solo_first=False) is None
    assert await ingest.queue.release_held(ingest.config.active_mappings) == 1
    (record,) = (await ingest.lease()).records
    assert (record.revision, record.data) == (2, FOREIGN.encode())
    assert (await ingest.browse.delivery(outcome.delivery_id)).state.value == "synced"


async def test_a_claim_that_begins_with_suspects_finds_those_that_it_makes(ingest: Any) -> None:
    """A lease has died: who looks among suspects first, and then at the rest, does not go away without a record."""
    await ingest.commit({"id": 1})
    await ingest.lease()
    await ingest.end_leases()
    assert (await ingest.lease(solo_first=True)) is not None
