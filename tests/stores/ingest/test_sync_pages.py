"""Pages on both stores: what each record comes to, in one transaction with the run's counts, place and cursor."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event

from intertie_chassis import direct
from intertie_chassis.clock import utc_now
from intertie_ingest.cache_walk_store import CacheFilter, CacheWalk
from intertie_ingest.lease_model import Outcome
from intertie_ingest.model import Ending, Fault
from intertie_ingest.syncs.cursors import CursorMismatch, CursorValue
from intertie_ingest.syncs.model import MOST_FAILURES, Mode, PageFailure, PageOutcome
from intertie_ingest.syncs.model import RunState as State
from page_samples import Syncs, page, record

FAULT = Fault("not_a_number", "amount", "it is no number")


@pytest.fixture
def syncs(ingest: Any) -> Syncs:
    """The stores on the test's database."""
    return Syncs.on(ingest.database, ingest.tables)


@contextmanager
def statements(ingest: Any) -> Iterator[list[str]]:
    """What is sent to the database meanwhile."""
    sent: list[str] = []
    engine = ingest.database._writer.sync_engine

    def note(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        sent.append(statement.split()[0])

    async def noted(connection: Any, statement: Any, values: Any) -> Any:
        sent.append(statement.split()[0])
        return await read(connection, statement, values)

    read = direct.read
    event.listen(engine, "before_cursor_execute", note)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(direct, "read", noted)
        yield sent
    event.remove(engine, "before_cursor_execute", note)


def counts(outcome: PageOutcome) -> tuple[int, int, int, int]:
    return outcome.new, outcome.changed, outcome.unchanged, outcome.failed


async def row(ingest: Any, external_id: str) -> Any:
    rows = await ingest.sql("SELECT * FROM {cache} WHERE external_id = :external_id", external_id=external_id)
    return rows[0]


async def another_run(syncs: Syncs, claim: Any, mode: Mode = Mode.FULL) -> Any:
    await syncs.runs.finish(claim.run.run_id, claim.token, State.SUCCEEDED)
    return await syncs.begin(mode)


async def test_new_changed_and_unchanged(ingest: Any, syncs: Syncs) -> None:
    """Each counts once; what is new or changed goes to mapper at once, in the order of the page."""
    claim = await syncs.begin()
    outcome = await syncs.pages.store(claim, page(record("b"), record("a"), skipped=2))
    assert (counts(outcome), outcome.released) == ((2, 0, 0, 0), 2)
    lease = await ingest.lease()
    assert [(one.external_id, one.revision, one.delivery_id) for one in lease.records] == [("b", 1, ""), ("a", 1, "")]
    assert lease.records[0].data == record("b").data.encode()
    await ingest.settle_all(lease)
    claim = await another_run(syncs, claim)
    outcome = await syncs.pages.store(claim, page(record("b"), record("a", "ü"), record("c")))
    assert counts(outcome) == (1, 1, 1, 0)
    run = outcome.run
    assert (run.pages, run.read, run.new, run.changed, run.unchanged, run.skipped) == (1, 3, 1, 1, 1, 0)
    assert await syncs.runs.get(run.run_id) == run
    lease = await ingest.lease()
    assert [(one.external_id, one.revision, one.attempts) for one in lease.records] == [("a", 2, 1), ("c", 1, 1)]
    stored = await row(ingest, "b")
    assert (stored.sync_status, stored.revision, stored.sync_run_id) == ("synced", 1, run.run_id)
    claim = await another_run(syncs, claim)
    assert counts(await syncs.pages.store(claim, page(record("a", "ü")))) == (0, 0, 1, 0)


async def test_only_a_full_run_writes_what_is_unchanged(ingest: Any, syncs: Syncs) -> None:
    """An incremental one tags only what is not settled, and writes nothing for the rest."""
    claim = await syncs.begin()
    first = claim.run.run_id
    await syncs.pages.store(claim, page(record("a"), record("b")))
    lease = await ingest.lease(most=1)
    await ingest.settle_all(lease)
    touched = (await row(ingest, "a")).updated_at
    await ingest.sql("UPDATE {cache} SET updated_at = '2020-01-01 00:00:00'")
    claim = await another_run(syncs, claim, Mode.INCREMENTAL)
    assert counts(await syncs.pages.store(claim, page(record("a"), record("b")))) == (0, 0, 2, 0)
    assert [(await row(ingest, one)).sync_run_id for one in "ab"] == [first, claim.run.run_id]
    claim = await another_run(syncs, claim)
    await syncs.pages.store(claim, page(record("a"), record("b")))
    rows = [await row(ingest, one) for one in "ab"]
    assert {one.sync_run_id for one in rows} == {claim.run.run_id}
    assert all(str(one.updated_at).startswith("2020") for one in rows)
    assert touched is not None


async def test_a_page_is_a_fixed_number_of_statements(ingest: Any, syncs: Syncs) -> None:
    """However many records it has, up to 500 of each lookup."""
    lengths = []
    claim = await syncs.begin()
    for start, size in ((0, 4), (1000, 320)):
        old = [record(str(start + number)) for number in range(size)]
        await syncs.pages.store(claim, page(*old))
        half = size // 2
        mixed = [record(str(start + number), 2) for number in range(half)] + old[half:]
        mixed += [record(f"new {start + number}") for number in range(half)]
        fault = PageFailure(size * 2, FAULT)
        with statements(ingest) as sent:
            outcome = await syncs.pages.store(claim, page(*mixed, failures=[fault], cursor=CursorValue.of(size)))
        assert counts(outcome) == (half, half, half, 1)
        lengths.append([one for one in sent if one not in ("BEGIN", "COMMIT")])
    # the cursor is inserted by the first, updated by the second
    assert [len(one) for one in lengths] == [len(lengths[0])] * 2
    assert len(lengths[0]) <= 12


async def test_a_page_that_is_probably_new_is_not_asked_for_first(ingest: Any, syncs: Syncs) -> None:
    """One that is not, after all, comes to what it comes to otherwise, and nothing of the first try stays."""
    claim = await syncs.begin()
    with statements(ingest) as sent:
        outcome = await syncs.pages.store(claim, page(record("a", version="5"), record("b")))
    lookups = sent.count("SELECT")
    with statements(ingest) as sent:
        outcome = await syncs.pages.store(claim, page(record("c"), record("d"), is_probably_new=True))
    assert (counts(outcome), sent.count("SELECT")) == ((2, 0, 0, 0), lookups - 1)
    mixed = [record("e"), record("a", "old", version="4"), record("b", 2), record("c"), record("f", fault=FAULT)]
    outcome = await syncs.pages.store(claim, page(*mixed, is_probably_new=True))
    assert (counts(outcome), outcome.is_all_new) == ((1, 1, 2, 1), False)
    run = await syncs.runs.get(claim.run.run_id)
    assert (run.pages, run.read, run.new, run.changed, run.unchanged, run.failed) == (3, 9, 5, 1, 2, 1)
    assert [(await row(ingest, one)).revision for one in "abcdef"] == [1, 2, 1, 1, 1, 1]
    assert (await row(ingest, "a")).data_json == record("a", version="5").data


async def test_of_several_with_one_id_the_last_stands(ingest: Any, syncs: Syncs) -> None:
    """Unless it is an older version; one revision is written."""
    claim = await syncs.begin()
    outcome = await syncs.pages.store(
        claim,
        page(
            record("a", 1),
            record("b", 2, version="2"),
            record("a", 2, fault=FAULT),
            record("a", 3),
            record("b", 1, version="1"),
        ),
    )
    assert (counts(outcome), outcome.run.read) == ((2, 0, 2, 1), 5)
    stored = await row(ingest, "a")
    assert (stored.data_json, stored.revision) == (record("a", 3).data, 1)
    assert (await row(ingest, "b")).version_key == "2"
    (failure,) = await syncs.looks.failures(claim.run.run_id, 0, 5)
    assert (failure.external_id, failure.position, failure.fault) == ("a", 3, FAULT)


async def test_an_older_version_never_replaces_a_newer_one(ingest: Any, syncs: Syncs) -> None:
    """It counts as unchanged, and a full run has seen it."""
    claim = await syncs.begin()
    await syncs.pages.store(claim, page(record("a", "new", version="2")))
    await ingest.settle_all(await ingest.lease())
    claim = await another_run(syncs, claim)
    assert counts(await syncs.pages.store(claim, page(record("a", "old", version="1")))) == (0, 0, 1, 0)
    stored = await row(ingest, "a")
    assert (stored.data_json, stored.sync_run_id) == (record("a", "new").data, claim.run.run_id)
    assert counts(await syncs.pages.store(claim, page(record("a", "newer", version="3")))) == (0, 1, 0, 0)


async def test_records_at_fault_are_set_aside_and_listed(ingest: Any, syncs: Syncs) -> None:
    """They count as failed alone; what has no identity is listed only; mended, the same bytes are handed out."""
    claim = await syncs.begin()
    none = PageFailure(3, Fault("missing_external_id", "id", "no id"))
    outcome = await syncs.pages.store(claim, page(record("a"), record("b", fault=FAULT), failures=[none]))
    assert (counts(outcome), outcome.run.read, outcome.released) == ((1, 0, 0, 2), 3, 1)
    failures = await syncs.looks.failures(claim.run.run_id, 0, 5)
    assert [(one.id, one.external_id, one.position, one.fault) for one in failures] == [
        (1, "b", 2, FAULT),
        (2, "", 3, none.fault),
    ]
    stored = await row(ingest, "b")
    assert (stored.sync_status, stored.error_reason, stored.error_field, stored.sync_error) == (
        "error",
        FAULT.reason,
        FAULT.field,
        FAULT.message,
    )
    # The same again: no new state each time.
    outcome = await syncs.pages.store(claim, page(record("b", fault=FAULT)))
    assert (counts(outcome), (await row(ingest, "b")).revision) == ((0, 0, 0, 1), 1)
    assert [one.position for one in await syncs.looks.failures(claim.run.run_id, 2, 5)] == [4]
    assert counts(await syncs.pages.store(claim, page(record("b")))) == (0, 1, 0, 0)
    assert [one.external_id for one in (await ingest.lease()).records] == ["a", "b"]


async def test_what_mapper_set_aside_waits_for_a_replay_or_other_bytes(ingest: Any, syncs: Syncs) -> None:
    """The same bytes would fail the same way."""
    claim = await syncs.begin()
    await syncs.pages.store(claim, page(record("a")))
    await ingest.settle_all(await ingest.lease(), Outcome.SET_ASIDE, reason="no_row", message="no such row")
    assert counts(await syncs.pages.store(claim, page(record("a")))) == (0, 0, 1, 0)
    assert (await row(ingest, "a")).sync_status == "error"
    assert counts(await syncs.pages.store(claim, page(record("a", 2)))) == (0, 1, 0, 0)
    assert (await row(ingest, "a")).sync_status == "pending"


async def test_a_pending_record_that_is_now_at_fault_is_set_aside(ingest: Any, syncs: Syncs) -> None:
    """Its worker's settlement does not hold; a synced one stays in its target, and is said to have failed."""
    claim = await syncs.begin()
    await syncs.pages.store(claim, page(record("a"), record("b")))
    await ingest.settle_all(await ingest.lease(most=1))
    lease = await ingest.lease()
    outcome = await syncs.pages.store(claim, page(record("a", fault=FAULT), record("b", fault=FAULT)))
    assert counts(outcome) == (0, 0, 0, 2)
    assert await ingest.settle_all(lease) == [lease.records[0].id]
    assert [(await row(ingest, one)).sync_status for one in "ab"] == ["synced", "error"]


async def test_failures_are_kept_up_to_a_bound_and_counted_beyond(ingest: Any, syncs: Syncs) -> None:
    """A source of nothing but faults does not fill the database."""
    claim = await syncs.begin()
    many = [PageFailure(place, FAULT) for place in range(1, MOST_FAILURES - 3)]
    await syncs.pages.store(claim, page(failures=many))
    outcome = await syncs.pages.store(claim, page(failures=many[:10]))
    assert outcome.run.failed == len(many) + 10
    assert await ingest.count("sync_run_failures") == MOST_FAILURES
    outcome = await syncs.pages.store(claim, page(failures=many[:10]))
    assert outcome.run.failed == len(many) + 20
    assert await ingest.count("sync_run_failures") == MOST_FAILURES


async def test_deliveries_that_a_page_overtakes_have_their_endings(ingest: Any, syncs: Syncs) -> None:
    """Superseded by the run when mapper had not got that far; else as they ended."""
    folded = await ingest.commit({"id": "a"}, {"id": "b"}, {"id": "c"})
    synced, _ = (await ingest.lease(most=1)), None
    await ingest.settle_all(synced)
    await ingest.settle_all(await ingest.lease(most=1), Outcome.SET_ASIDE, reason="no_row", message="none")
    claim = await syncs.begin()
    assert counts(await syncs.pages.store(claim, page(*(record(one) for one in "abc")))) == (0, 3, 0, 0)
    deliveries = [await ingest.browse.delivery(one.delivery_id) for one in folded.outcomes]
    assert [one.state for one in deliveries] == [Ending.SYNCED, Ending.SET_ASIDE, Ending.SUPERSEDED]
    assert deliveries[1].records[0].fault.reason == "no_row"
    assert deliveries[2].records[0].superseded_by == claim.run.run_id
    assert (await row(ingest, "c")).delivery_id is None
    # And a delivery after the page is a new state: what it brings is not what a delivery brought.
    again = await ingest.commit(record("a").data.encode())
    assert not again.outcomes[0].is_duplicate
    assert (await row(ingest, "a")).revision == 3


async def test_what_another_application_wrote_counts_as_changed(ingest: Any, syncs: Syncs) -> None:
    """Its data under our digest, and data without one."""
    claim = await syncs.begin()
    await syncs.pages.store(claim, page(record("ä", "größe"), record("b", "größe")))
    await ingest.settle_all(await ingest.lease())
    assert counts(await syncs.pages.store(claim, page(record("ä", "größe"), record("b", "größe")))) == (0, 0, 2, 0)
    await ingest.sql("UPDATE {cache} SET data_json = :data WHERE external_id = 'ä'", data='{"id": "ä"}')
    await ingest.sql("UPDATE {cache} SET digest = NULL WHERE external_id = 'b'")
    assert counts(await syncs.pages.store(claim, page(record("ä", "größe"), record("b", "größe")))) == (0, 2, 0, 0)
    assert (await row(ingest, "ä")).data_json == record("ä", "größe").data


async def test_an_outdated_record_that_comes_again_is_pending(ingest: Any, syncs: Syncs) -> None:
    """Also with the same bytes, as a state of its own."""
    claim = await syncs.begin()
    await syncs.pages.store(claim, page(record("a")))
    await ingest.sql("UPDATE {cache} SET sync_status = 'outdated'")
    assert counts(await syncs.pages.store(claim, page(record("a")))) == (0, 1, 0, 0)
    stored = await row(ingest, "a")
    assert (stored.sync_status, stored.revision) == ("pending", 2)


async def test_records_expire_and_are_fresh_again_when_read(ingest: Any, syncs: Syncs) -> None:
    """By any mode; without a limit they do not expire, and none lies beyond what the column can tell."""
    claim = await syncs.begin(Mode.INCREMENTAL)
    walk = CacheWalk(ingest.database, ingest.tables)

    async def fresh() -> list[Any]:
        return (await walk.page(CacheFilter(1), None, 5, 10**6))[0]

    await syncs.pages.store(claim, page(record("a"), record("b"), cache_seconds=3600))
    assert await fresh() == []
    await ingest.settle_all(await ingest.lease())
    assert [one.external_id for one in await fresh()] == ["a", "b"]
    await ingest.sql("UPDATE {cache} SET expires_at = '2020-01-01 00:00:00'")
    assert await fresh() == []
    await syncs.pages.store(claim, page(record("a"), cache_seconds=10 * 366 * 86_400 * 100))
    (shown,) = await fresh()
    assert (shown.external_id, shown.expires_at > utc_now() + timedelta(days=365)) == ("a", True)
    await syncs.pages.store(claim, page(record("b", 2)))
    await ingest.settle_all(await ingest.lease())
    assert [one.expires_at for one in await fresh()] == [shown.expires_at, None]
    await ingest.sql("UPDATE {cache} SET sync_status = 'outdated' WHERE external_id = 'a'")
    assert [one.external_id for one in await fresh()] == ["b"]
    # A delivery makes its record fresh, too.
    await ingest.sql("UPDATE {cache} SET expires_at = '2020-01-01 00:00:00'")
    await ingest.commit({"id": "b", "by": "delivery"})
    await ingest.settle_all(await ingest.lease())
    assert [one.external_id for one in await fresh()] == ["b"]


async def test_a_value_that_the_database_refuses_fails_alone(ingest: Any, syncs: Syncs) -> None:
    """The rest of the page is stored, in one transaction, and the run goes on."""
    claim = await syncs.begin()
    records = [record(str(number)) for number in range(20)]
    for place in (3, 17):
        records[place] = replace(records[place], data="no JSON")
    before = await ingest.count("external_data_cache")
    outcome = await syncs.pages.store(claim, page(*records, cursor=CursorValue.of(5), cursor_field="n"))
    assert (counts(outcome), outcome.run.read, outcome.run.pages) == ((18, 0, 0, 2), 20, 1)
    assert await ingest.count("external_data_cache") == before + 18
    failures = await syncs.looks.failures(claim.run.run_id, 0, 5)
    assert [(one.position, one.fault.reason) for one in failures] == [(4, "unstorable"), (18, "unstorable")]
    cursor = await syncs.cursors.get(1)
    assert cursor is not None
    assert cursor.value == CursorValue.of(5)


async def test_the_cursor_moves_with_its_page_and_never_back(syncs: Syncs) -> None:
    """What was seen is remembered on the run; a field of another name begins anew."""
    claim = await syncs.begin(Mode.INCREMENTAL)
    assert await syncs.cursors.get(1) is None
    late = CursorValue.of("2025-01-01T12:00:00+02:00")
    outcome = await syncs.pages.store(claim, page(seen=late, cursor=late, cursor_field="changed_at"))
    assert outcome.run.seen_cursor == late
    early = CursorValue.of("2025-01-01T09:30:00Z")
    outcome = await syncs.pages.store(claim, page(seen=early, cursor=early, cursor_field="changed_at"))
    assert outcome.run.seen_cursor == late
    cursor = await syncs.cursors.get(1)
    assert cursor is not None
    assert (cursor.value, cursor.cursor_field, cursor.run_id) == (late, "changed_at", claim.run.run_id)
    with pytest.raises(CursorMismatch):
        await syncs.pages.store(claim, page(record("a"), cursor=CursorValue.of(5), cursor_field="changed_at"))
    assert (await syncs.runs.get(claim.run.run_id)).pages == 2
    claim = await another_run(syncs, claim, Mode.INCREMENTAL)
    await syncs.pages.store(claim, page(cursor=CursorValue.of(5), cursor_field="number"))
    cursor = await syncs.cursors.get(1)
    assert cursor is not None
    assert (cursor.value, cursor.cursor_field) == (CursorValue.of(5), "number")


async def test_a_cursor_is_reset_only_between_runs(syncs: Syncs) -> None:
    """Else the run would move it again."""
    claim = await syncs.begin(Mode.INCREMENTAL)
    await syncs.pages.store(claim, page(cursor=CursorValue.of(5), cursor_field="n"))
    with pytest.raises(Exception, match="has a run") as refused:
        await syncs.cursors.reset(1)
    assert getattr(refused.value, "reason", "") == "RUN_STATE"
    await syncs.runs.finish(claim.run.run_id, claim.token, State.SUCCEEDED)
    await syncs.cursors.reset(1)
    assert await syncs.cursors.get(1) is None
    await syncs.cursors.reset(1)
