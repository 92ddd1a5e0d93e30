"""Taking over the cache of an existing deployment: every row stays, and its PHP application goes on."""

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
from intertie_ingest.lease_model import Outcome, Settlement
from intertie_ingest.migrations import MIGRATIONS
from intertie_ingest.queue_store import QueueStore
from intertie_ingest.settlement_store import SettlementStore
from intertie_ingest.store import Store
from intertie_ingest.tables import Tables

PREFIX = "campaign_department_"
EXISTING = f"""
CREATE TABLE {PREFIX}external_systems (id INT UNSIGNED AUTO_INCREMENT PRIMARY KEY, system_name VARCHAR(100));
CREATE TABLE {PREFIX}external_data_mappings (id INT UNSIGNED AUTO_INCREMENT PRIMARY KEY, mapping_name VARCHAR(100));
CREATE TABLE {PREFIX}external_data_cache (
  id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY,
  system_id INT UNSIGNED NOT NULL,
  mapping_id INT UNSIGNED NOT NULL,
  external_id VARCHAR(255) NOT NULL COMMENT 'ID in external system',
  local_id INT UNSIGNED NULL,
  data_json JSON NOT NULL,
  sync_status ENUM('pending','synced','error','outdated') NOT NULL DEFAULT 'pending',
  sync_error TEXT NULL,
  last_synced_at TIMESTAMP NULL,
  expires_at TIMESTAMP NULL,
  created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
  updated_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP,
  UNIQUE KEY unique_external_record (system_id, external_id, mapping_id),
  INDEX idx_sync_status (sync_status),
  INDEX idx_mapping_id (mapping_id),
  FOREIGN KEY (system_id) REFERENCES {PREFIX}external_systems(id) ON DELETE CASCADE,
  FOREIGN KEY (mapping_id) REFERENCES {PREFIX}external_data_mappings(id) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci;
INSERT INTO {PREFIX}external_systems VALUES (1, 'law_enforcement');
INSERT INTO {PREFIX}external_data_mappings VALUES (1, 'incidents_to_events');
INSERT INTO {PREFIX}external_data_cache (id, system_id, mapping_id, external_id, data_json, sync_status, local_id)
VALUES
  (1, 1, 1, 'old-1', '{{"id":"old-1"}}', 'pending', NULL),
  (2, 1, 1, 'old-2', '{{"id":"old-2"}}', 'synced', 9),
  (3, 1, 1, 'old-3', '{{"id":"old-3"}}', 'error', NULL);
"""
PHP_INSERT = f"""
INSERT INTO {PREFIX}external_data_cache (system_id, mapping_id, external_id, data_json, sync_status)
VALUES (1, 1, :external_id, :data, 'pending')
ON DUPLICATE KEY UPDATE data_json = VALUES(data_json), sync_status = 'pending', updated_at = CURRENT_TIMESTAMP
"""


async def run(database: Database, statement: str, **values: Any) -> list[Any]:
    async def work(connection: Any) -> list[Any]:
        result = await connection.execute(text(statement), values)
        return list(result.all()) if result.returns_rows else []

    return await database.transaction(work)


@pytest.fixture
async def existing(mariadb_url: str) -> AsyncIterator[Database]:
    """A database as the PHP application left it."""
    database = await Database.open(mariadb_url, table_prefix=PREFIX)
    for statement in EXISTING.split(";"):
        if statement.strip():
            await run(database, statement.replace(":", r"\:"))
    yield database
    await database.close()


async def adopt(database: Database, *, dry_run: bool = False) -> str:
    out = io.StringIO()
    await adopt_database(database, PREFIX, MIGRATIONS, plan, dry_run=dry_run, out=out)
    return out.getvalue()


async def test_a_dry_run_prints_and_changes_nothing(existing: Database) -> None:
    """Every statement with its reason."""
    printed = await adopt(existing, dry_run=True)
    assert "ADD COLUMN `available_at`" in printed
    assert "DROP INDEX `idx_sync_status`" in printed
    assert (await MIGRATIONS.state(existing, PREFIX)).state == "foreign"
    columns = await run(existing, f"SHOW COLUMNS FROM {PREFIX}external_data_cache")
    assert len(columns) == 12


async def test_adoption_keeps_the_rows_and_a_second_one_does_nothing(existing: Database) -> None:
    """What waits is held for its next sync; the keys are those that the statements name."""
    await adopt(existing)
    assert await MIGRATIONS.at_head(existing, PREFIX)
    rows = await run(
        existing,
        f"SELECT external_id, sync_status, local_id, data_json, available_at IS NULL, revision, attempts"
        f" FROM {PREFIX}external_data_cache ORDER BY id",
    )
    assert [tuple(row) for row in rows] == [
        ("old-1", "pending", None, '{"id":"old-1"}', 1, 1, 0),
        ("old-2", "synced", 9, '{"id":"old-2"}', 0, 1, 0),
        ("old-3", "error", None, '{"id":"old-3"}', 0, 1, 0),
    ]
    ((_, shown),) = await run(existing, f"SHOW CREATE TABLE {PREFIX}external_data_cache")
    assert "FOREIGN KEY" not in shown
    assert "idx_sync_status" not in shown
    assert "UNIQUE KEY `uq_external_data_cache_record`" in shown
    assert "KEY `ix_external_data_cache_claim` (`sync_status`,`lease_solo`,`available_at`,`id`)" in shown
    assert "utf8mb4_nopad_bin" in shown
    assert "COMMENT 'ID in external system'" in shown
    assert "nothing to do" in await adopt(existing)
    assert "nothing to do" in await adopt(existing, dry_run=True)


async def test_the_php_application_goes_on_and_is_seen(existing: Database) -> None:
    """Its inserts and updates are handed to mapper; deliveries of the same records follow on; ids differ by case."""
    await adopt(existing)
    tables = Tables.named(PREFIX)
    store = Store(existing, tables, Outbox(existing, tables.outbox))
    queue = QueueStore(existing, tables, Outbox(existing, tables.outbox), lambda _: b"")
    assert not any(await queue.lanes())
    await run(existing, PHP_INSERT, external_id="new", data='{"id": "new"}')
    await run(existing, PHP_INSERT, external_id="old-2", data='{"id": "old-2", "changed": true}')
    await run(existing, PHP_INSERT, external_id="OLD-2", data='{"id": "OLD-2"}')
    lease = await queue.lease(10, 60, {1}, solo_first=False)
    assert lease is not None
    assert sorted(record.external_id for record in lease.records) == ["OLD-2", "new", "old-2"]
    settled = [Settlement(record.id, record.revision, Outcome.SYNCED, local_id=1) for record in lease.records]
    assert await SettlementStore(existing, tables).settle(lease.token, settled) == []
    config = configuration()
    await store.commit([delivery({"id": "old-1", "by": "webhook"}, config)], entries_of_group)
    again = await queue.lease(10, 60, {1}, solo_first=False)
    assert again is not None
    assert [(record.external_id, record.revision) for record in again.records] == [("old-1", 2)]
    await run(existing, f"DELETE FROM {PREFIX}external_systems")
    assert len(await run(existing, f"SELECT id FROM {PREFIX}external_data_cache")) == 5
