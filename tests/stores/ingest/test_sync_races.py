"""A sync beside everything else that writes the cache: nothing is lost, nothing waits for good, indexes are used."""

import asyncio
from typing import Any

import pytest

from ingest_samples import delivery
from intertie_ingest.audit_convert import entries_of_group
from intertie_ingest.errors import Clash
from intertie_ingest.folding import Fold
from intertie_ingest.model import Status
from intertie_ingest.syncs.model import Mode
from intertie_ingest.syncs.page_store import PageStore
from page_samples import Syncs, new_run, page, record

_ROUNDS = 6
_RECORDS = 40


async def commit(ingest: Any, *bodies: object) -> Fold:
    """Commits deliveries as the acceptor does: again when another process was first."""
    group = [delivery(body, ingest.config) for body in bodies]
    for _ in range(20):
        try:
            folded: Fold = await ingest.store.commit(group, entries_of_group)
        except Clash:
            continue
        return folded
    raise AssertionError("no end of clashes")


async def test_a_delivery_and_a_page_of_the_same_records(ingest: Any, make_ingest: Any) -> None:
    """New to both, at once, with mapper settling beside them: each state is the cache's or has its ending."""
    other = await make_ingest(ingest.config)
    syncs = Syncs.on(other.database, other.tables)
    claim = await syncs.begin(Mode.FULL)
    ids = [str(number) for number in range(_RECORDS)]
    deliveries: list[str] = []
    settled: list[bool] = []

    async def deliver() -> None:
        for number in range(_ROUNDS):
            folded = await commit(ingest, *({"id": one, "by": "delivery", "round": number} for one in reversed(ids)))
            deliveries.extend(one.delivery.delivery_id for one in folded.deliveries)

    async def read() -> None:
        for number in range(_ROUNDS):
            outcome = await syncs.pages.store(claim, page(*(record(one, number) for one in ids)))
            assert outcome.new + outcome.changed == _RECORDS

    async def work() -> None:
        for _ in range(_ROUNDS):
            lease = await ingest.lease(most=20)
            if lease is not None:
                await ingest.settle_all(lease)
                settled.append(True)

    await asyncio.gather(deliver(), read(), work())
    rows = await ingest.sql("SELECT external_id, revision, delivery_id FROM {cache}")
    assert {row.external_id for row in rows} == set(ids)
    # One revision for each state that anybody brought: none was lost, none written twice.
    assert {row.revision for row in rows} == {2 * _ROUNDS}
    live = {row.delivery_id for row in rows if row.delivery_id is not None}
    ended = {row.delivery_id for row in await ingest.sql("SELECT delivery_id FROM {prefix}inbound_delivery_endings")}
    assert live.isdisjoint(ended)
    assert live | ended == set(deliveries)
    assert (await syncs.runs.get(claim.run.run_id)).read == _ROUNDS * _RECORDS


async def test_marking_and_deliveries_meet(ingest: Any, make_ingest: Any) -> None:
    """What a delivery brings while the run marks stays; what it does not bring is outdated."""
    other = await make_ingest(ingest.config)
    syncs = Syncs.on(other.database, other.tables)
    claim = await syncs.begin()
    await syncs.pages.store(claim, page(*(record(str(number)) for number in range(_RECORDS))))
    await syncs.runs.put_back(claim.run.run_id, claim.token)
    await ingest.sql("UPDATE {cache} SET sync_run_id = NULL")
    (claim,) = await syncs.runs.claim(1, 60)

    async def mark() -> None:
        while await syncs.settling.mark_vanished(claim, 5):
            pass

    async def deliver() -> None:
        for number in range(0, _RECORDS, 2):
            await commit(ingest, {"id": str(number), "by": "delivery"})

    await asyncio.gather(mark(), deliver())
    rows = await ingest.sql("SELECT external_id, sync_status FROM {cache}")
    assert {row.external_id: row.sync_status for row in rows} == {
        str(number): Status.OUTDATED.value if number % 2 else Status.PENDING.value for number in range(_RECORDS)
    }


async def test_a_page_that_dies_on_its_way_leaves_nothing(
    ingest: Any, make_ingest: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cache, counts, place and cursor are one: the next worker reads the page again and finds it new."""
    syncs = Syncs.on(ingest.database, ingest.tables)
    claim = await syncs.begin(Mode.INCREMENTAL)
    await syncs.pages.store(claim, page(record("a"), position=b"1"))

    async def die(*_: Any) -> None:
        raise ConnectionResetError("killed")

    with monkeypatch.context() as patched:
        patched.setattr(PageStore, "_counted", die)
        with pytest.raises(ConnectionResetError):
            await syncs.pages.store(claim, page(record("a", 2), record("b"), position=b"2"))
    assert (await syncs.runs.get(claim.run.run_id)).position == b"1"
    assert [row.revision for row in await ingest.sql("SELECT revision FROM {cache}")] == [1]
    outcome = await syncs.pages.store(claim, page(record("a", 2), record("b"), position=b"2"))
    assert (outcome.new, outcome.changed, outcome.run.read) == (1, 1, 3)


class TestOnMariaDB:
    """What only a server with row locks and an optimiser can get wrong."""

    @pytest.fixture
    def database_url(self, mariadb_url: str) -> str:
        """No SQLite here."""
        return mariadb_url

    async def explain(self, ingest: Any, query: Any) -> list[Any]:
        engine = ingest.database._writer.sync_engine
        statement = str(query.compile(engine, compile_kwargs={"literal_binds": True}))
        plan: list[Any] = await ingest.sql("EXPLAIN " + statement.replace("{", "{{").replace("}", "}}"))
        return plan

    async def test_the_statements_read_their_indexes(self, ingest: Any) -> None:
        """A sort would lock every row that it reads; a scan would read the whole cache each second."""
        syncs = Syncs.on(ingest.database, ingest.tables)
        for number in range(1, 60):
            await syncs.runs.create(new_run(mapping_id=number))
        (claim,) = await syncs.runs.claim(1, 60)
        for start in range(0, 1500, 500):
            await syncs.pages.store(claim, page(*(record(str(start + number)) for number in range(500))))
        for table in ("sync_runs", "external_data_cache"):
            await ingest.sql(f"ANALYZE TABLE {{prefix}}{table}")
        wanted = [
            (syncs.runs._claim.params(most=5), "ix_sync_runs_claim"),
            (syncs.settling._of(claim.run, Status.PENDING).limit(1), "ix_external_data_cache_claim"),
            (syncs.settling._set_aside(claim.run), "ix_external_data_cache_claim"),
        ]
        for query, index in wanted:
            (plan,) = await self.explain(ingest, query)
            assert plan.key == index
            assert "filesort" not in (plan.Extra or "").lower()
            assert "temporary" not in (plan.Extra or "").lower()

    async def test_a_held_claim_stops_no_other(self, ingest: Any, make_ingest: Any) -> None:
        """While one claim's transaction is open, another one gets the next runs."""
        other = await make_ingest(ingest.config)
        first, second = (Syncs.on(one.database, one.tables) for one in (ingest, other))
        for number in range(1, 5):
            await first.runs.create(new_run(mapping_id=number))
        is_open, may_end = asyncio.Event(), asyncio.Event()

        async def hold(connection: Any) -> list[str]:
            rows = (await connection.execute(first.runs._claim, {"most": 2})).all()
            is_open.set()
            await may_end.wait()
            return [row.run_id for row in rows]

        holding = asyncio.create_task(ingest.database.transaction(hold))
        await is_open.wait()
        claimed = {claim.run.run_id for claim in await second.runs.claim(5, 60)}
        made, is_new = await second.runs.create(new_run(mapping_id=9))
        may_end.set()
        held = set(await holding)
        assert (len(held), len(claimed), is_new) == (2, 2, True)
        assert held.isdisjoint(claimed | {made.run_id})
