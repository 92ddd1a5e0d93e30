"""The end of a run on both stores: what vanished, what waited for it, and how its records stand."""

from dataclasses import replace
from typing import Any

import pytest

from ingest_samples import configuration, mapping, system
from intertie_ingest.errors import RunLost
from intertie_ingest.lease_model import Outcome
from intertie_ingest.model import Ending, Fault
from intertie_ingest.syncs import settling_store
from intertie_ingest.syncs.model import MOST_FAILURES, Mode, PageFailure, Settlement
from intertie_ingest.syncs.model import RunState as State
from page_samples import Syncs, page, record


@pytest.fixture
def syncs(ingest: Any) -> Syncs:
    """The stores on the test's database."""
    return Syncs.on(ingest.database, ingest.tables)


async def statuses(ingest: Any) -> dict[str, str]:
    rows = await ingest.sql("SELECT external_id, sync_status FROM {cache} ORDER BY external_id")
    return {row.external_id: row.sync_status for row in rows}


async def vanish(syncs: Syncs, claim: Any, most: int = 100) -> list[int]:
    marked: list[int] = []
    while not marked or marked[-1]:
        marked.append(await syncs.settling.mark_vanished(claim, most))
    return marked


async def next_run(syncs: Syncs, claim: Any, mode: Mode = Mode.FULL) -> Any:
    await syncs.runs.finish(claim.run.run_id, claim.token, State.SUCCEEDED)
    return await syncs.begin(mode)


class TestVanished:
    """What a full run did not see."""

    async def test_what_the_source_no_longer_has_is_outdated(self, ingest: Any, syncs: Syncs) -> None:
        """In batches; what was seen unchanged, and other mappings' records, stay. Mapper gets none of it."""
        claim = await syncs.begin()
        await syncs.pages.store(claim, page(*(record(str(number)) for number in range(7))))
        other = await syncs.begin(mapping_id=2)
        await syncs.pages.store(other, page(record("0", mapping_id=2), record("x", mapping_id=2)))
        claim = await next_run(syncs, claim)
        await syncs.pages.store(claim, page(record("1"), record("3", 2)))
        assert await vanish(syncs, claim, 2) == [2, 2, 1, 0]
        rows = await ingest.sql("SELECT external_id FROM {cache} WHERE sync_status = 'outdated' ORDER BY external_id")
        assert [row.external_id for row in rows] == ["0", "2", "4", "5", "6"]
        assert (await syncs.runs.get(claim.run.run_id)).outdated == 5
        assert [one.external_id for one in (await ingest.lease()).records] == ["1", "3"]
        assert await vanish(syncs, claim) == [0]

    async def test_the_records_are_walked_in_stretches(
        self, ingest: Any, syncs: Syncs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """None is left out between two of them, and another process begins anew without harm."""
        monkeypatch.setattr(settling_store, "_SCANNED_AT_ONCE", 3)
        claim = await syncs.begin()
        await syncs.pages.store(claim, page(*(record(f"{number:02}") for number in range(20))))
        claim = await next_run(syncs, claim)
        kept = [record(f"{number:02}") for number in (0, 1, 2, 3, 4, 5, 11, 19)]
        await syncs.pages.store(claim, page(*kept))
        assert await syncs.settling.mark_vanished(claim, 2) == 2
        again = Syncs.on(ingest.database, ingest.tables)
        assert sum(await vanish(again, claim, 2)) == 10
        stand = await statuses(ingest)
        assert [one for one, status in stand.items() if status != "outdated"] == [one.external_id for one in kept]
        assert sum(await vanish(syncs, claim, 2)) == 0

    async def test_a_delivery_since_the_run_began_keeps_its_record(self, ingest: Any, syncs: Syncs) -> None:
        """The source had it after the run had passed; an earlier delivery's record has vanished, and ends."""
        early = await ingest.commit({"id": "early"}, {"id": "synced"})
        lease = await ingest.lease()
        await ingest.settlements.settle(lease.token, [])
        claim = await syncs.begin()
        await ingest.commit({"id": "late"})
        await ingest.sql("UPDATE {cache} SET sync_status = 'synced' WHERE external_id = 'synced'")
        assert await vanish(syncs, claim) == [2, 0]
        assert await statuses(ingest) == {"early": "outdated", "late": "pending", "synced": "outdated"}
        first, second = [await ingest.browse.delivery(one.delivery_id) for one in early.outcomes]
        assert (first.state, first.records[0].superseded_by) == (Ending.SUPERSEDED, claim.run.run_id)
        assert second.state is Ending.SYNCED
        # Under a lease all the while: the settlement comes too late.
        assert await ingest.settle_all(lease) == sorted(one.id for one in lease.records)
        assert (await statuses(ingest))["early"] == "outdated"

    async def test_what_the_database_refuses_has_not_vanished(self, ingest: Any, syncs: Syncs) -> None:
        """The source has it, only not as it can be stored: the state before stays, and the failure names it."""
        claim = await syncs.begin()
        await syncs.pages.store(claim, page(record("a"), record("b"), record("gone")))
        claim = await next_run(syncs, claim)
        await syncs.pages.store(claim, page(record("a"), replace(record("b"), data="no JSON")))
        assert await vanish(syncs, claim) == [1, 0]
        assert await statuses(ingest) == {"a": "pending", "b": "pending", "gone": "outdated"}
        (failure,) = await syncs.looks.failures(claim.run.run_id, 0, 5)
        assert (failure.external_id, failure.fault.reason) == ("b", "unstorable")

    async def test_what_an_adoption_found_pending_stays(self, ingest: Any, syncs: Syncs) -> None:
        """Nobody knows whether it came from the source; what the existing deployment had synced did."""
        await ingest.commit({"id": "found"}, {"id": "synced"})
        await ingest.sql("UPDATE {cache} SET digest = NULL, delivery_id = NULL, available_at = NULL")
        await ingest.sql("UPDATE {cache} SET sync_status = 'synced' WHERE external_id = 'synced'")
        assert await vanish(syncs, await syncs.begin()) == [1, 0]
        assert await statuses(ingest) == {"found": "pending", "synced": "outdated"}

    async def test_what_vanished_comes_back_by_either_door(self, ingest: Any, syncs: Syncs) -> None:
        """By a page or by a delivery it is pending again; a replay of outdated records hands them out, too."""
        claim = await syncs.begin()
        await syncs.pages.store(claim, page(record("a"), record("b")))
        claim = await next_run(syncs, claim)
        assert await vanish(syncs, claim) == [2, 0]
        assert await ingest.lease() is None
        await ingest.commit(record("a").data.encode())
        claim = await next_run(syncs, claim, Mode.INCREMENTAL)
        outcome = await syncs.pages.store(claim, page(record("b")))
        assert outcome.changed == 1
        lease = await ingest.lease()
        assert [(one.external_id, one.revision) for one in lease.records] == [("a", 3), ("b", 3)]

    async def test_a_lost_worker_marks_nothing(self, ingest: Any, syncs: Syncs) -> None:
        """The run is another's."""
        claim = await syncs.begin()
        await syncs.pages.store(claim, page(record("a")))
        claim = await next_run(syncs, claim)
        await ingest.sql("UPDATE {prefix}sync_runs SET available_at = '2020-01-01' WHERE available_at IS NOT NULL")
        await syncs.runs.claim(1, 60)
        with pytest.raises(RunLost):
            await syncs.settling.mark_vanished(claim, 5)
        assert await statuses(ingest) == {"a": "pending"}


class TestWaiting:
    """What deliveries brought for a mapping that is not real-time."""

    async def test_a_run_releases_what_waits_for_it(self, make_ingest: Any) -> None:
        """In its own mapping only; what is held, and what was there before us, stays."""
        hourly = [mapping(1, frequency="hourly"), mapping(2, "others", frequency="hourly")]
        ingest = await make_ingest(configuration(system(*hourly)))
        syncs = Syncs.on(ingest.database, ingest.tables)
        await ingest.commit({"id": "a"}, {"id": "b"}, {"id": "c"})
        await ingest.sql("UPDATE {cache} SET digest = NULL WHERE external_id = 'b'")
        await ingest.sql("UPDATE {cache} SET error_reason = 'mapping_inactive' WHERE external_id = 'c'")
        assert await ingest.lease() is None
        claim = await syncs.begin(Mode.INCREMENTAL)
        assert await syncs.settling.release_waiting(claim.run) == 1
        assert await syncs.settling.release_waiting(claim.run) == 0
        assert [(one.external_id, one.mapping_id) for one in (await ingest.lease()).records] == [("a", 1)]
        assert (await syncs.runs.get(claim.run.run_id)).read == 0

    async def test_a_run_without_a_source_settles_with_what_it_released(
        self, make_ingest: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """They count as read; what an existing deployment left pending waits for operators."""
        monkeypatch.setattr(settling_store, "_RELEASED_AT_ONCE", 2)
        ingest = await make_ingest(configuration(system(mapping(frequency="hourly"))))
        syncs = Syncs.on(ingest.database, ingest.tables)
        await ingest.commit(*({"id": str(number)} for number in range(5)))
        await ingest.sql("UPDATE {cache} SET digest = NULL, delivery_id = NULL WHERE external_id = '3'")
        claim = await syncs.begin(Mode.RELEASE)
        assert await syncs.settling.release_waiting(claim.run) == 4
        run = await syncs.runs.get(claim.run.run_id)
        assert (run.read, run.unchanged) == (4, 4)
        assert (await syncs.settling.settlement(run)).pending == 4
        await ingest.settle_all(await ingest.lease())
        assert (await syncs.settling.settlement(run)).pending == 0
        await syncs.runs.finish(run.run_id, claim.token, State.SUCCEEDED)
        await ingest.commit({"id": "late"})
        assert await syncs.settling.release_waiting(run) == 0


class TestSettlement:
    """How the records of a run stand."""

    async def test_what_mapper_set_aside_fails_once(self, ingest: Any, syncs: Syncs) -> None:
        """However often it is asked, beside the faults of the pages; the run keeps what was found last."""
        claim = await syncs.begin()
        fault = Fault("not_a_number", "amount", "it is no number")
        records = [record(str(number)) for number in range(4)]
        await syncs.pages.store(claim, page(*records, record("at fault", fault=fault)))
        assert await syncs.settling.settlement(claim.run) == Settlement(4, 1)
        assert (await syncs.runs.get(claim.run.run_id)).pending == 4
        await ingest.settle_all(await ingest.lease(most=1))
        await ingest.settle_all(await ingest.lease(most=2), Outcome.SET_ASIDE, reason="no_row", message="none")
        assert await syncs.settling.settlement(claim.run) == Settlement(1, 1)
        assert await syncs.settling.settlement(claim.run, is_final=True) == Settlement(1, 3)
        await ingest.settle_all(await ingest.lease(), Outcome.SET_ASIDE, reason="no_row", message="none")
        for _ in range(2):
            settlement = await syncs.settling.settlement(claim.run)
            assert settlement == Settlement(0, 4)
        failures = await syncs.looks.failures(claim.run.run_id, 0, 10)
        assert [(one.id, one.external_id, one.position, one.fault.reason) for one in failures] == [
            (1, "at fault", 5, "not_a_number"),
            (2, "1", 0, "no_row"),
            (3, "2", 0, "no_row"),
            (4, "3", 0, "no_row"),
        ]
        assert settlement.run is not None
        assert (settlement.run.read, settlement.run.failed, settlement.run.pending) == (5, 4, 0)

    async def test_a_resumed_run_counts_anew(self, ingest: Any, syncs: Syncs) -> None:
        """A page's failures take the numbers of what was set aside, and that is listed behind them."""
        claim = await syncs.begin()
        await syncs.pages.store(claim, page(record("a")))
        await ingest.settle_all(await ingest.lease(), Outcome.SET_ASIDE, reason="no_row", message="none")
        await syncs.settling.settlement(claim.run)
        await syncs.runs.finish(claim.run.run_id, claim.token, State.FAILED)
        await syncs.runs.resume(claim.run.run_id)
        (claim,) = await syncs.runs.claim(1, 60)
        assert claim.run.failed == 0
        await syncs.pages.store(claim, page(failures=[PageFailure(1, Fault("no_id", "", "none"))]))
        assert await syncs.settling.settlement(claim.run) == Settlement(0, 2)
        failures = await syncs.looks.failures(claim.run.run_id, 0, 10)
        assert [(one.id, one.fault.reason) for one in failures] == [(1, "no_id"), (2, "no_row")]

    async def test_what_is_set_aside_is_listed_while_there_is_room(self, ingest: Any, syncs: Syncs) -> None:
        """And counted beyond."""
        claim = await syncs.begin()
        await syncs.pages.store(claim, page(record("a"), record("b"), record("c")))
        await ingest.settle_all(await ingest.lease(), Outcome.SET_ASIDE, reason="no_row", message="none")
        await ingest.sql("UPDATE {prefix}sync_runs SET failed = :failed", failed=MOST_FAILURES - 2)
        assert await syncs.settling.settlement(claim.run) == Settlement(0, MOST_FAILURES + 1)
        assert await ingest.count("sync_run_failures") == 2

    async def test_unchanged_records_that_are_not_in_the_target_count_too(self, ingest: Any, syncs: Syncs) -> None:
        """Read again they are not synced: they are pending, or set aside still."""
        claim = await syncs.begin()
        await syncs.pages.store(claim, page(record("a"), record("b")))
        await ingest.settle_all(await ingest.lease(most=1), Outcome.SET_ASIDE, reason="no_row", message="none")
        claim = await next_run(syncs, claim, Mode.INCREMENTAL)
        await syncs.pages.store(claim, page(record("a"), record("b")))
        assert await syncs.settling.settlement(claim.run, is_final=True) == Settlement(1, 1)
