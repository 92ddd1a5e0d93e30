"""Mapper's loop over real servers: lease, apply, settle, audit; through outages of its neighbours."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from intertie.ingest.v1 import queue_pb2
from intertie_mapper import landing
from mapper_neighbours import PREFIX, Installation, installation
from waiting import eventually

SEED = {"field_mappings": {"title": "event_title", "date": "date"}}
SYNCED = queue_pb2.Settlement.OUTCOME_SYNCED
SET_ASIDE = queue_pb2.Settlement.OUTCOME_SET_ASIDE
RETRY = queue_pb2.Settlement.OUTCOME_RETRY


@pytest.fixture
async def running(database_url: str, tmp_path: Path) -> AsyncIterator[Installation]:
    """Mapper with its neighbours, on both stores."""
    async with installation(database_url, tmp_path) as made:
        yield made


async def _titles(made: Installation) -> list[str]:
    async with made.database.read() as connection:
        rows = await connection.execute(text(f"SELECT event_title FROM {PREFIX}events ORDER BY id"))
        return [row.event_title for row in rows]


async def test_records_are_leased_applied_settled_and_audited(running: Installation) -> None:
    """What is put into the queue ends in the table, in a settlement with the row's key, and in the log."""
    running.feed.change(running.system(("events", SEED)))
    good = await running.queue.put("1", {"title": "Flood", "date": "2026-11-30"})
    bad = await running.queue.put("2", {"title": "Fire", "date": "tomorrow"})
    await eventually(lambda: len(running.queue.settled) == 2)
    settled = running.queue.settled[good]
    assert (settled.outcome, settled.local_id, json.loads(settled.local_key)) == (SYNCED, 1, {"id": 1})
    refused = running.queue.settled[bad]
    assert (refused.outcome, refused.reason, refused.field) == (SET_ASIDE, "bad_datetime", "date")
    assert await _titles(running) == ["Flood"]
    await eventually(lambda: len(running.log.entries) == 2)
    assert {entry.status for entry in running.log.entries.values()} == {"success", "error"}
    assert {entry.system for entry in running.log.entries.values()} == {"law_enforcement"}


async def test_nothing_is_leased_before_the_configuration_is_known(running: Installation) -> None:
    """A record is not taken for one without a mapping while registry has not answered yet."""
    await running.server.stop()
    number = await running.queue.put("1", {"title": "early"})
    running.feed.hush()
    leases = running.queue.leases
    await running.start_mapper()
    await eventually(lambda: running.feed.watchers > 0)
    assert running.queue.leases == leases
    running.feed.change(running.system(("events", SEED)))
    running.feed.speak()
    await eventually(lambda: number in running.queue.settled)
    assert [one.outcome for one in running.queue.settlements] == [SYNCED]


async def test_a_mapping_that_is_not_known_is_tried_again_and_then_set_aside(running: Installation) -> None:
    """The snapshot may be behind; three attempts later the mapping is gone."""
    running.feed.change(running.system(("events", SEED)))
    number = await running.queue.put("1", {"title": "x"}, mapping_id=77)
    await eventually(lambda: running.queue.settled.get(number, queue_pb2.Settlement()).outcome == SET_ASIDE)
    outcomes = [(one.outcome, one.reason, one.retry_seconds) for one in running.queue.settlements]
    assert outcomes == [
        (RETRY, "mapping_gone", 5), (RETRY, "mapping_gone", 5), (SET_ASIDE, "mapping_gone", 0),
    ]  # fmt: skip


async def test_a_changed_mapping_is_used_at_once(running: Installation) -> None:
    """The next record after the change is mapped by the new configuration."""
    running.feed.change(running.system(("events", SEED)))
    first = await running.queue.put("1", {"title": "a", "name": "b"})
    await eventually(lambda: first in running.queue.settled)
    running.feed.change(running.system(("events", {"field_mappings": {"name": "event_title"}})))
    await eventually(lambda: b"name" in (running.mapper.configuration.mapping(1) or _none()).config)
    second = await running.queue.put("2", {"title": "a", "name": "b"})
    await eventually(lambda: second in running.queue.settled)
    assert await _titles(running) == ["a", "b"]


def _none() -> None:
    raise AssertionError("the mapping is not known yet")


async def test_settling_is_tried_again_until_ingest_takes_it(running: Installation) -> None:
    """The rows are committed once, however often ingest refuses the settlement."""
    running.queue.refuses_to_settle = 3
    running.feed.change(running.system(("events", SEED)))
    number = await running.queue.put("1", {"title": "Flood"})
    await eventually(lambda: number in running.queue.settled)
    assert running.queue.settled[number].outcome == SYNCED
    assert await _titles(running) == ["Flood"]


async def test_mapper_goes_on_after_all_its_neighbours_restarted(running: Installation) -> None:
    """Queue, feed and audit go away and come back at the same address; nothing is lost or done twice."""
    running.feed.change(running.system(("events", SEED)))
    first = await running.queue.put("1", {"title": "before"})
    await eventually(lambda: first in running.queue.settled)
    await eventually(lambda: len(running.log.entries) == 1)
    await running.restart_neighbours()
    second = await running.queue.put("2", {"title": "after"})
    await eventually(lambda: second in running.queue.settled, timeout=20)
    await eventually(lambda: len(running.log.entries) == 2, timeout=20)
    assert await _titles(running) == ["before", "after"]


async def test_records_land_again_when_the_target_is_back(
    mariadb_server: Any, mariadb_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While nothing can be written nothing is leased; then a few are, and with the first that land all the others."""
    monkeypatch.setattr(landing, "LOCK_WAIT_SECONDS", 1)
    async with installation(mariadb_url, tmp_path) as running:
        running.feed.change(running.system(("events", SEED)))
        first = await running.queue.put("first", {"title": "first"})
        await eventually(lambda: first in running.queue.settled)
        with mariadb_server.connect(mariadb_url.rpartition("/")[2]) as module, module.cursor() as cursor:
            cursor.execute(f"LOCK TABLES {PREFIX}external_record_links WRITE")
            numbers = [await running.queue.put(f"{n}", {"title": f"{n}"}) for n in range(50)]
            await eventually(lambda: running.mapper.processor.health.is_away, timeout=30)
        await eventually(lambda: all(n in running.queue.settled for n in numbers), timeout=30)
        await eventually(lambda: {running.queue.settled[n].outcome for n in numbers} == {SYNCED}, timeout=30)
        assert not running.mapper.processor.health.is_away
        assert len(await _titles(running)) == 51


async def test_stopping_finishes_what_is_being_applied(running: Installation) -> None:
    """Every record that was leased is settled before the process ends, or still waits."""
    running.feed.change(running.system(("events", SEED)))
    for number in range(500):
        await running.queue.put(str(number), {"title": f"t{number}"})
    await eventually(lambda: running.queue.leases > 0)
    await running.server.stop()
    assert len(await _titles(running)) == len(running.queue.settled)
