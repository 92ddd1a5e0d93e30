"""Several batches at once, and a target that is away."""

import asyncio
from typing import Any

import pytest

from intertie_chassis.database import Database
from intertie_chassis.errors import Unavailable
from intertie_mapper.model import Lease, Outcome
from mapper_rig import PREFIX, Rig, record, rig
from passage import Passage
from processes import free_port

SEED = {"field_mappings": {"title": "event_title"}}
MATCHED = {**SEED, "match_fields": ["event_title"]}


@pytest.mark.parametrize("round_", range(3))
async def test_two_states_of_one_record_at_once(database_url: str, round_: int) -> None:
    """Whichever commits first: one row each, with the newer state."""
    async with rig(database_url) as mapper:
        mapper.map("events", SEED)
        older = [record(f"r{n}", {"title": "old"}, revision=1) for n in range(40)]
        newer = [record(f"r{n}", {"title": "new"}, revision=2) for n in range(40)]
        endings = await asyncio.gather(mapper.land(*older), mapper.land(*reversed(newer)))
        assert {ending.outcome for ending in endings[1]} == {Outcome.SYNCED}
        assert {ending.outcome for ending in endings[0]} <= {Outcome.SYNCED, Outcome.SUPERSEDED}
        titles = await mapper.rows("SELECT event_title FROM {p}events")
        assert [row["event_title"] for row in titles] == ["new"] * 40
        assert len(await mapper.rows("SELECT id FROM {p}external_record_links")) == 40


async def test_many_batches_at_once(database_url: str) -> None:
    """Lanes that insert and update different records at the same time do not lose any."""
    async with rig(database_url) as mapper:
        mapper.map("events", SEED)
        for revision in (1, 2):
            lanes = [
                mapper.land(*(record(f"{lane}-{n}", {"title": f"{revision}"}, revision=revision) for n in range(50)))
                for lane in range(6)
            ]
            for endings in await asyncio.gather(*lanes):
                assert {ending.outcome for ending in endings} == {Outcome.SYNCED}
        titles = await mapper.rows("SELECT event_title FROM {p}events")
        assert [row["event_title"] for row in titles] == ["2"] * 300


async def test_two_records_matching_one_row_at_once(database_url: str) -> None:
    """One gets the row; the other is set aside, in whichever order."""
    async with rig(database_url) as mapper:
        mapper.map("events", MATCHED)
        await mapper.run("INSERT INTO {p}events (event_title) VALUES ('one')")
        both = await asyncio.gather(*(mapper.land(record(name, {"title": "one"})) for name in "ab"))
        outcomes = sorted((ending.outcome.value, ending.reason) for endings in both for ending in endings)
        assert outcomes == [("set_aside", "target_linked"), ("synced", "")]


async def test_records_of_a_lease_that_was_lost_are_left_alone(database_url: str) -> None:
    """Nothing is written, noted or settled for them: somebody else may have them by now."""
    async with rig(database_url) as mapper:
        mapper.map("events", {"field_mappings": {"title": "event_title", "date": "date"}})
        lease = Lease("lost", (record("1", {"title": "x"}), record("2", {"date": "never"})))
        assert await mapper.processor.process(lease, lambda: False) == []
        assert await mapper.rows("SELECT id FROM {p}events") == []
        assert await mapper.audited() == []


async def test_a_target_that_is_away_means_another_try() -> None:
    """No record is set aside, be its delays used up; the delay grows with the attempts, and leasing pauses."""
    database = await Database.open(f"mysql://nobody:x@127.0.0.1:{free_port()}/none", table_prefix=PREFIX)
    try:
        mapper = Rig(database, returning=True)
        mapper.map("events", SEED)
        first, later, last = await mapper.land(
            *(record(f"{attempts}", {"title": "x"}, attempts=attempts) for attempts in (1, 4, 9))
        )
        assert (first.outcome, first.reason) == (Outcome.RETRY, "target_unavailable")
        assert 4 <= first.retry_seconds <= 6
        assert 480 <= later.retry_seconds <= 720
        assert (last.outcome, last.reason) == (Outcome.RETRY, "target_unavailable")
        assert mapper.processor.health.is_away
        mapper.processor.health._clock = lambda: 0.0
        (untouched,) = await mapper.land(record("1", {"title": "x"}))
        assert (untouched.reason, untouched.is_untried) == ("target_paused", True)
    finally:
        await database.close()


@pytest.mark.usefixtures("usual_limits")
async def test_a_target_that_hangs_is_worked_on_again_soon_after(mariadb_server: Any, mariadb_url: str) -> None:
    """Leasing pauses while it is away, and goes on within five seconds of its return."""
    with Passage(mariadb_server.port) as passage:
        async with rig(mariadb_url.replace(f":{mariadb_server.port}/", f":{passage.port}/")) as mapper:
            mapper.map("events", SEED)
            passage.narrow(0)
            (ending,) = await mapper.land(record("1", {"title": "x"}))
            assert (ending.outcome, ending.reason) == (Outcome.RETRY, "target_unavailable")
            assert not await mapper.store.is_there()
            passage.widen()
            async with asyncio.timeout(5):
                await mapper.processor.health.room(1)
            (ending,) = await mapper.land(record("1", {"title": "x"}))
            assert ending.outcome == Outcome.SYNCED
            assert len(await mapper.rows("SELECT id FROM {p}events")) == 1


async def test_looking_takes_no_turn_from_those_who_would_land(database_url: str) -> None:
    """After a stall transactions take turns to try: a look that changes nothing must not use them all up."""

    async def hang(connection: Any) -> None:
        await connection.exec_driver_sql("SELECT 1")
        await asyncio.Event().wait()

    async with rig(database_url) as mapper:
        mapper.map("events", SEED)
        for _ in range(2):
            with pytest.raises(Unavailable):
                await mapper.database.transaction(hang, timeout=1)
        assert mapper.database.why_not_ready()
        assert await mapper.store.is_there()
        (ending,) = await mapper.land(record("1", {"title": "x"}))
        assert ending.outcome == Outcome.SYNCED
        assert mapper.database.why_not_ready() is None
