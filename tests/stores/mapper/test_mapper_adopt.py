"""Taking over an existing deployment's checkpoint tables: every row stays, PHP goes on, and mapper lands beside it."""

import io
from collections.abc import AsyncIterator

import pytest

import existing_deployment
from intertie_chassis.adoption import Step, adopt_database
from intertie_chassis.database import Database
from intertie_chassis.errors import FailedPrecondition
from intertie_mapper.adopt import plan
from intertie_mapper.migrations import MIGRATIONS
from intertie_mapper.model import Action, Outcome
from mapper_rig import PREFIX, Rig, record
from mariadb import MariaDBServer

CHECKPOINTS = "{p}event_integration_checkpoints"
FILLED = {
    "field_mappings": {"title": ["event_title", "event_name"], "date": ["date", "starts_at"]},
    "constants": {"event_type": "drill"},
}
PAYLOAD = {"title": "Flood", "date": "2026-11-30"}


@pytest.fixture
async def existing(mariadb_url: str) -> AsyncIterator[Rig]:
    """A mapper over the existing deployment's database, which is not adopted yet."""
    existing_deployment.build(mariadb_url)
    database = await Database.open(mariadb_url, table_prefix=PREFIX)
    yield Rig(database, returning=True)
    await database.close()


async def _adopt(rig: Rig, *, dry_run: bool = False) -> list[Step]:
    return await adopt_database(rig.database, PREFIX, MIGRATIONS, plan, dry_run=dry_run, out=io.StringIO())


async def test_migrating_is_refused(existing: Rig) -> None:
    """`migrate` names `adopt` and changes nothing."""
    with pytest.raises(FailedPrecondition, match="intertie db adopt"):
        await MIGRATIONS.upgrade(existing.database, PREFIX)


async def test_a_dry_run_changes_nothing_and_a_second_run_plans_nothing(existing: Rig) -> None:
    """The same statements are printed before as are run; after that there is nothing to do."""
    planned = await _adopt(existing, dry_run=True)
    assert await existing.rows("SHOW COLUMNS FROM " + CHECKPOINTS + " LIKE 'system_id'") == []
    assert await _adopt(existing) == planned
    assert await _adopt(existing) == []
    assert await MIGRATIONS.at_head(existing.database, PREFIX)


async def test_no_modules_table_is_altered(existing: Rig) -> None:
    """The DDL of every table but the checkpoints' is what it was."""
    names = [f"{PREFIX}{name}" for name in existing_deployment.TABLES if "checkpoints" not in name]

    async def ddl() -> list[str]:
        return [str((await existing.rows(f"SHOW CREATE TABLE {name}"))[0]["Create Table"]) for name in names]

    before = await ddl()
    await _adopt(existing)
    assert await ddl() == before


async def test_every_row_stays_and_the_newest_gets_its_system(existing: Rig) -> None:
    """Older rows of one event and system stay as history, without a number; unknown systems get none."""
    await existing.run(
        "INSERT INTO {p}survey_integration_checkpoints (survey_id, subsystem_type) VALUES (1, 'event_management')"
    )
    await _adopt(existing)
    rows = await existing.rows(
        "SELECT subsystem_type, integration_status, system_id FROM " + CHECKPOINTS + " ORDER BY id"
    )
    systems = {row["system_name"]: row["id"] for row in await existing.rows("SELECT * FROM {p}external_systems")}
    assert rows == [
        {"subsystem_type": "law_enforcement", "integration_status": "sent", "system_id": None},
        {
            "subsystem_type": "law_enforcement",
            "integration_status": "confirmed",
            "system_id": systems["law_enforcement"],
        },
        {"subsystem_type": "fire_rescue", "integration_status": "pending", "system_id": systems["fire_rescue"]},
    ]
    surveys = await existing.rows("SELECT system_id FROM {p}survey_integration_checkpoints ORDER BY id")
    assert [row["system_id"] for row in surveys] == [None, systems["emergency_response"], None]


async def test_php_goes_on_and_mapper_lands_beside_it(existing: Rig, mariadb_url: str) -> None:
    """PHP's duplicates stay legal; a mapping that fills the required columns inserts and confirms."""
    await _adopt(existing)
    existing_deployment.php_inserts(mariadb_url, mapping_id=1, event_id=1)
    existing.map("events", FILLED)
    (ending,) = await existing.land(record("1", PAYLOAD))
    assert (ending.outcome, ending.action) == (Outcome.SYNCED, Action.INSERT)
    (row,) = await existing.rows(f"SELECT * FROM {{p}}events WHERE id = {ending.local_id}")
    assert (row["event_name"], str(row["starts_at"])) == ("Flood", "2026-11-30 00:00:00")
    (checkpoint,) = await existing.rows(f"SELECT * FROM {CHECKPOINTS} WHERE event_id = {ending.local_id}")
    assert (checkpoint["integration_status"], checkpoint["subsystem_type"]) == ("confirmed", "law_enforcement")
    assert await _adopt(existing) == [], "PHP's new rows are no reason to adopt again"


async def test_the_seeds_mapping_says_what_it_leaves_out(existing: Rig) -> None:
    """On the existing table two required columns would stay empty: said when saving, and record by record."""
    await _adopt(existing)
    mapping = existing.map("events", {"field_mappings": {"title": "event_title", "date": "date"}})
    found = dict(await existing.previews.problems(mapping.target_table, mapping.config, strict=True))
    assert set(found) == {"event_name", "starts_at"}
    (ending,) = await existing.land(record("1", PAYLOAD))
    assert (ending.reason, ending.field) == ("missing_required", "event_name")


async def test_other_checkpoint_tables_are_adopted_too(existing: Rig) -> None:
    """A module's own checkpoint table, by its name; before that none is written for it."""
    await existing.run(
        "CREATE TABLE {p}courses (id INT UNSIGNED AUTO_INCREMENT PRIMARY KEY, title VARCHAR(20))",
        "CREATE TABLE {p}course_integration_checkpoints (id INT UNSIGNED AUTO_INCREMENT PRIMARY KEY, "
        "course_id INT UNSIGNED NOT NULL, subsystem_type ENUM('a', 'b') NOT NULL, "
        "integration_status ENUM('pending', 'confirmed', 'failed') NOT NULL DEFAULT 'pending', sent_data JSON, "
        "received_data JSON, last_sync_at TIMESTAMP NULL, sync_attempts INT UNSIGNED NOT NULL DEFAULT 0, "
        "error_message TEXT, created_at TIMESTAMP NULL, updated_at TIMESTAMP NULL)",
    )
    before = await existing.targets.get(f"{PREFIX}courses")
    assert before.checkpoint is None
    await _adopt(existing)
    existing.map("courses", {"field_mappings": {"title": "title"}})
    (ending,) = await existing.land(record("1", {"title": "x"}))
    assert ending.outcome is Outcome.SYNCED
    (row,) = await existing.rows("SELECT course_id, subsystem_type FROM {p}course_integration_checkpoints")
    assert row == {"course_id": 1, "subsystem_type": "law_enforcement"}


async def test_an_adopted_database_has_what_a_new_one_has(existing: Rig, mariadb_server: MariaDBServer) -> None:
    """Links and checkpoints end with the columns that the migration makes."""
    await _adopt(existing)
    name = mariadb_server.create_database()
    fresh = await Database.open(mariadb_server.url(name), table_prefix=PREFIX)
    try:
        await MIGRATIONS.upgrade(fresh, PREFIX)
        made = Rig(fresh, returning=True)
        query = (
            "SELECT TABLE_NAME, COLUMN_NAME, COLUMN_TYPE FROM information_schema.COLUMNS "
            "WHERE TABLE_SCHEMA = DATABASE() AND (TABLE_NAME LIKE '%checkpoints' "
            "OR TABLE_NAME LIKE '%links' OR TABLE_NAME LIKE '%mapper_outbox') "
            "ORDER BY TABLE_NAME, COLUMN_NAME"
        )
        assert await existing.rows(query) == await made.rows(query)
    finally:
        await fresh.close()
        mariadb_server.drop_database(name)
