"""The tables of syncs come to a database that is in use, whether we made it or took it over; older code goes on."""

import io
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import text

from ingest_samples import configuration, delivery
from intertie_chassis.adoption import adopt_database
from intertie_chassis.database import Database
from intertie_chassis.outbox import Outbox
from intertie_ingest.adopt import plan
from intertie_ingest.audit_convert import entries_of_group
from intertie_ingest.migrations import MIGRATIONS
from intertie_ingest.migrations.retention_index import AGE_INDEX, DELIVERIES
from intertie_ingest.queue_store import QueueStore
from intertie_ingest.store import Store
from intertie_ingest.syncs.model import RunState
from intertie_ingest.tables import Tables
from page_samples import Syncs, page, record

PREFIX = "t_"
EXISTING = f"""
CREATE TABLE {PREFIX}external_data_cache (
  id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY,
  system_id INT UNSIGNED NOT NULL,
  mapping_id INT UNSIGNED NOT NULL,
  external_id VARCHAR(255) NOT NULL,
  local_id INT UNSIGNED NULL,
  data_json JSON NOT NULL,
  sync_status ENUM('pending','synced','error','outdated') NOT NULL DEFAULT 'pending',
  sync_error TEXT NULL,
  last_synced_at TIMESTAMP NULL,
  expires_at TIMESTAMP NULL,
  created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
  updated_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP,
  UNIQUE KEY unique_external_record (system_id, external_id, mapping_id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci
"""
LATER = ("0002", "0003", "0004", "0005")
SYNC_TABLES = ("sync_runs", "sync_run_failures", "sync_cursors", "inbound_delivery_replays")


async def run(database: Database, statement: str, **values: Any) -> list[Any]:
    async def work(connection: Any) -> list[Any]:
        result = await connection.execute(text(statement), values)
        return list(result.all()) if result.returns_rows else []

    return await database.transaction(work)


async def adopt(database: Database, *, dry_run: bool = False) -> str:
    out = io.StringIO()
    await adopt_database(database, PREFIX, MIGRATIONS, plan, dry_run=dry_run, out=out)
    return out.getvalue()


async def to_first_revision(database: Database) -> None:
    """Takes away what revision 0002 and those after it made, so that the database is one of revision 0001."""
    for table in SYNC_TABLES:
        await run(database, f"DROP TABLE {PREFIX}{table}")
    for column in ("sync_run_id", "traceparent"):
        await run(database, f"ALTER TABLE {PREFIX}external_data_cache DROP COLUMN {column}")
    on_mysql = database.dialect == "mysql"
    await run(database, f"DROP INDEX {AGE_INDEX}" + (f" ON {PREFIX}{DELIVERIES}" if on_mysql else ""))
    await run(database, f"UPDATE {PREFIX}ingest_schema_versions SET version_num = '0001'")


async def deliver(database: Database, external_id: str) -> None:
    """What every version does."""
    tables = Tables.named(PREFIX)
    store = Store(database, tables, Outbox(database, tables.outbox))
    await store.commit([delivery({"id": external_id}, configuration())], entries_of_group)


async def check_a_sync(database: Database, unchanged: int) -> None:
    """A run reads, tags and ends on the database; what it brings is handed out."""
    tables = Tables.named(PREFIX)
    syncs = Syncs.on(database, tables)
    claim = await syncs.begin()
    outcome = await syncs.pages.store(claim, page(record("new")))
    assert outcome.new == 1
    assert await syncs.settling.mark_vanished(claim, 10) == unchanged
    await syncs.runs.finish(claim.run.run_id, claim.token, RunState.SUCCEEDED)
    lease = await QueueStore(database, tables, Outbox(database, tables.outbox), lambda _: b"").lease(
        10, 60, {1}, solo_first=False
    )
    assert lease is not None
    assert [one.external_id for one in lease.records] == ["new"]


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """The test's database, empty."""
    opened = await Database.open(database_url, table_prefix=PREFIX)
    yield opened
    await opened.close()


@pytest.fixture
async def existing(mariadb_url: str) -> AsyncIterator[Database]:
    """A database as another application left it, with one record."""
    opened = await Database.open(mariadb_url, table_prefix=PREFIX)
    await run(opened, EXISTING)
    await run(
        opened,
        f"INSERT INTO {PREFIX}external_data_cache (system_id, mapping_id, external_id, data_json, sync_status)"
        " VALUES (1, 1, 'old', :data, 'synced')",
        data='{"id": "old"}',
    )
    yield opened
    await opened.close()


async def test_a_database_of_the_first_revision_is_upgraded(database: Database) -> None:
    """Its rows stay; code of the first revision goes on, before and after."""
    await MIGRATIONS.upgrade(database, PREFIX)
    await to_first_revision(database)
    assert (await MIGRATIONS.state(database, PREFIX)).pending == LATER
    await deliver(database, "before")
    assert await MIGRATIONS.upgrade(database, PREFIX) == LATER
    assert await MIGRATIONS.upgrade(database, PREFIX) == ()
    await deliver(database, "after")
    rows = await run(database, f"SELECT external_id, sync_run_id FROM {PREFIX}external_data_cache ORDER BY id")
    assert [tuple(row) for row in rows] == [("before", None), ("after", None)]
    await check_a_sync(database, 2)


async def test_an_upgrade_that_broke_off_goes_on(database: Database) -> None:
    """The column was there already, and one of the tables."""
    await MIGRATIONS.upgrade(database, PREFIX)
    for table in SYNC_TABLES[1:]:
        await run(database, f"DROP TABLE {PREFIX}{table}")
    await run(database, f"UPDATE {PREFIX}ingest_schema_versions SET version_num = '0001'")
    assert await MIGRATIONS.upgrade(database, PREFIX) == LATER
    await check_a_sync(database, 0)


async def test_an_adoption_makes_them(existing: Database) -> None:
    """It is at the newest revision then, and a second adoption does nothing."""
    await adopt(existing)
    assert (await MIGRATIONS.state(existing, PREFIX)).state == "current"
    assert "nothing to do" in await adopt(existing, dry_run=True)
    await check_a_sync(existing, 1)


async def test_what_was_adopted_before_is_upgraded(existing: Database) -> None:
    """By `migrate`, or by adopting once more and then migrating: they end alike."""
    await adopt(existing)
    await to_first_revision(existing)
    printed = await adopt(existing)
    assert "ADD COLUMN `sync_run_id`" in printed
    assert "CREATE TABLE" in printed
    assert await MIGRATIONS.upgrade(existing, PREFIX) == LATER
    await to_first_revision(existing)
    assert await MIGRATIONS.upgrade(existing, PREFIX) == LATER
    assert "nothing to do" in await adopt(existing)
    await check_a_sync(existing, 1)


async def test_both_ways_make_the_same_tables(existing: Database) -> None:
    """Column for column, index for index."""
    await adopt(existing)
    shown = [(await run(existing, f"SHOW CREATE TABLE {PREFIX}{table}"))[0][1] for table in (*SYNC_TABLES, DELIVERIES)]
    await to_first_revision(existing)
    await MIGRATIONS.upgrade(existing, PREFIX)
    again = [(await run(existing, f"SHOW CREATE TABLE {PREFIX}{table}"))[0][1] for table in (*SYNC_TABLES, DELIVERIES)]

    def lines(tables: list[str]) -> list[list[str]]:
        return [sorted(line.rstrip(",") for line in one.splitlines()) for one in tables]

    assert lines(shown) == lines(again)
    assert "UNIQUE KEY `uq_sync_runs_tick` (`mapping_id`,`tick_at`)" in again[0]
    assert "UNIQUE KEY `uq_sync_runs_active` (`active_mapping_id`)" in again[0]
