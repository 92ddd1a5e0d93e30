"""Taking over the log of an existing deployment: rows, PHP's inserts, and the same table as a new installation's."""

import io
from collections.abc import AsyncIterator

import pytest

import existing_deployment
from intertie_audit.adopt import plan
from intertie_audit.migrations import MIGRATIONS
from intertie_audit.model import EntryFilter, SystemFilter
from intertie_audit.store import Store
from intertie_chassis.adoption import adopt_database
from intertie_chassis.database import Database
from intertie_chassis.errors import FailedPrecondition
from mariadb import MariaDBServer
from suite import PREFIX, mysql

LOGS = f"{PREFIX}integration_query_logs"


@pytest.fixture
async def existing(mariadb_url: str) -> AsyncIterator[Database]:
    """The existing deployment with its rows."""
    existing_deployment.build(mariadb_url)
    database = await Database.open(mariadb_url, table_prefix=PREFIX)
    yield database
    await database.close()


async def adopt(database: Database, *, dry_run: bool = False) -> tuple[int, str]:
    """Adopt, and give the number of statements and what was printed."""
    out = io.StringIO()
    steps = await adopt_database(database, PREFIX, MIGRATIONS, plan, dry_run=dry_run, out=out)
    return len(steps), out.getvalue()


def columns(url: str) -> dict[str, tuple[str, str, str | None, str | None]]:
    """Type, nullability, default and collation of each column of the log."""
    with mysql(url) as connection, connection.cursor() as cursor:
        cursor.execute(f"SHOW FULL COLUMNS FROM {LOGS}")
        return {row["Field"]: (row["Type"], row["Null"], row["Default"], row["Collation"]) for row in cursor.fetchall()}


def keys(url: str) -> set[tuple[int, str]]:
    """Whether each index is not unique, and its column."""
    with mysql(url) as connection, connection.cursor() as cursor:
        cursor.execute(f"SHOW INDEX FROM {LOGS}")
        return {(row["Non_unique"], row["Column_name"]) for row in cursor.fetchall()}


async def test_every_row_stays_and_is_listed(existing: Database, mariadb_url: str) -> None:
    """PHP's rows are there afterwards as they were, and ours go beside them."""
    before = _rows(mariadb_url)
    await adopt(existing)
    after = _rows(mariadb_url)
    assert [{name: row[name] for name in old} for old, row in zip(before, after, strict=True)] == before
    page = await Store(existing).page(EntryFilter(system=SystemFilter("law_enforcement", 1)), limit=10)
    assert [entry.query_string for entry in page.entries] == ["/incidents", "SELECT 1"]
    assert await MIGRATIONS.at_head(existing, PREFIX)


async def test_php_goes_on_inserting_and_is_seen(existing: Database, mariadb_url: str) -> None:
    """PHP's own INSERT is legal afterwards, and deleting a system no longer deletes what happened to it."""
    await adopt(existing)
    existing_deployment.php_inserts(mariadb_url, mapping_id=1, event_id=1)
    with mysql(mariadb_url) as connection, connection.cursor() as cursor:
        cursor.execute(f"DELETE FROM {PREFIX}external_systems WHERE id = 1")
    page = await Store(existing).page(EntryFilter(), limit=10)
    assert [entry.query_string for entry in page.entries] == ["/incidents from PHP", "/incidents", "SELECT 1"]
    assert page.entries[0].created_at.microsecond != 0 or page.entries[0].created_at >= page.entries[1].created_at


async def test_the_adopted_log_is_as_a_new_one(
    existing: Database, mariadb_url: str, mariadb_server: MariaDBServer
) -> None:
    """Adopting ends where migrating begins: same columns, same indexes, no foreign key."""
    await adopt(existing)
    name = mariadb_server.create_database()
    new_url = mariadb_server.url(name)
    new = await Database.open(new_url, table_prefix=PREFIX)
    await MIGRATIONS.upgrade(new, PREFIX)
    await new.close()
    adopted, fresh = columns(mariadb_url), columns(new_url)
    # Texts that PHP writes keep the collation that its queries are used to.
    ours = [name for name in fresh if name in ("entry_id", "system_name", "actor", "delivery_id", "request_id")]
    assert {name: adopted[name] for name in ours} == {name: fresh[name] for name in ours}
    assert {name: column[:3] for name, column in adopted.items()} == {
        name: column[:3] for name, column in fresh.items()
    }
    assert keys(mariadb_url) == keys(new_url)
    with mysql(mariadb_url) as connection, connection.cursor() as cursor:
        cursor.execute(f"SHOW CREATE TABLE {LOGS}")
        row = cursor.fetchone()
        assert row is not None
        assert "FOREIGN KEY" not in row["Create Table"]
    mariadb_server.drop_database(name)


async def test_a_second_run_does_nothing(existing: Database) -> None:
    """All is there already."""
    first, _ = await adopt(existing)
    assert first > 10
    assert await adopt(existing) == (0, "-- audit: nothing to do\n")


async def test_an_adoption_that_broke_off_goes_on(existing: Database, mariadb_url: str) -> None:
    """What an earlier run did is not done again, and the rest is."""
    steps = await adopt_database(existing, PREFIX, MIGRATIONS, plan, dry_run=True, out=io.StringIO())
    statements = [step.statement for step in steps]
    with mysql(mariadb_url) as connection, connection.cursor() as cursor:
        for statement in statements[:5]:
            cursor.execute(statement)
    rest = "".join(f"-- {step.reason}\n{step.statement};\n" for step in steps[5:])
    assert await adopt(existing) == (len(statements) - 5, rest)


async def test_a_dry_run_changes_nothing(existing: Database, mariadb_url: str) -> None:
    """It prints every statement with its reason; the table stays."""
    before = columns(mariadb_url)
    count, script = await adopt(existing, dry_run=True)
    assert (
        sum(script.count(what) for what in ("ALTER TABLE", "CREATE T", "INSERT INTO")) == script.count("-- ") == count
    )
    assert columns(mariadb_url) == before


async def test_migrating_an_existing_deployment_is_refused(existing: Database, mariadb_url: str) -> None:
    """Only adopting may alter it, and the refusal says so."""
    before = columns(mariadb_url)
    with pytest.raises(FailedPrecondition, match="intertie db adopt") as refused:
        await MIGRATIONS.upgrade(existing, PREFIX)
    assert refused.value.reason == "SCHEMA_FOREIGN"
    assert columns(mariadb_url) == before


def _rows(url: str) -> list[dict[str, object]]:
    with mysql(url) as connection, connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM {LOGS} ORDER BY id")
        return list(cursor.fetchall())
