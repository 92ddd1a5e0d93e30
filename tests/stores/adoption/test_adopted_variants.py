"""Databases that others built are adopted with every row, by all owners, and however often it breaks off."""

import io
from collections.abc import Iterator

import pytest
from sqlalchemy import exc

import intertie_audit.adopt
import intertie_audit.migrations
import intertie_ingest.adopt
import intertie_ingest.migrations
import intertie_mapper.adopt
import intertie_mapper.migrations
import intertie_registry.adopt
import intertie_registry.migrations
import requirement
from existing_variants import OURS, VARIANTS, build_variant, columns_of, contents, definitions
from intertie_chassis.adoption import Adopter, Plan, adopt_database
from intertie_chassis.database import Database
from intertie_chassis.errors import FailedPrecondition
from intertie_chassis.migrations import Migrations
from mariadb import MariaDBServer
from suite import PREFIX, mysql

OWNERS: tuple[tuple[Migrations, Adopter], ...] = (
    (intertie_registry.migrations.MIGRATIONS, intertie_registry.adopt.adopt),
    (intertie_ingest.migrations.MIGRATIONS, intertie_ingest.adopt.plan),
    (intertie_mapper.migrations.MIGRATIONS, intertie_mapper.adopt.plan),
    (intertie_audit.migrations.MIGRATIONS, intertie_audit.adopt.plan),
)


def _databases(_mariadb_if_here: MariaDBServer | None) -> Iterator[str]:
    """An empty database whose tables are latin1 unless they say otherwise."""
    if _mariadb_if_here is None:
        requirement.missing("mariadb", "install mariadb-server")
    name = _mariadb_if_here.create_database()
    with _mariadb_if_here.connect() as connection, connection.cursor() as cursor:
        cursor.execute(f"ALTER DATABASE `{name}` CHARACTER SET latin1")
    yield _mariadb_if_here.url(name)
    _mariadb_if_here.drop_database(name)


url = pytest.fixture(name="url")(_databases)
other_url = pytest.fixture(name="other_url")(_databases)


async def _adopt(url: str, *, most: int | None = None) -> int:
    """Adopt all owners; with `most`, a run breaks off after so many statements. Gives the statements that were run."""
    database = await Database.open(url, table_prefix=PREFIX)
    count = 0
    try:
        for migrations, adopter in OWNERS:

            async def cut(plan: Plan, adopter: Adopter = adopter) -> None:
                await adopter(plan)
                if most is not None and len(plan.steps) > most:
                    del plan.steps[most:]
                    plan.run("BREAK OFF", "no database knows this statement")

            try:
                steps = await adopt_database(database, PREFIX, migrations, cut, dry_run=False, out=io.StringIO())
            except exc.ProgrammingError:
                count += most or 0
            else:
                count += len(steps)
    finally:
        await database.close()
    return count


@pytest.mark.parametrize("variant", VARIANTS)
async def test_every_variant_is_adopted_with_its_rows(url: str, variant: str) -> None:
    """All values are as they were, but for numbered names of mappings and the fractions of seconds in the log."""
    build_variant(url, variant)
    columns = {table: columns_of(url, table) for table in contents(url)}
    before = contents(url)
    assert await _adopt(url) > 0
    after = contents(url, columns)
    for table, rows in before.items():
        for old, new in zip(rows, after[table], strict=True):
            changed = {name for name in old if old[name] != new[name]}
            assert changed <= {"external_data_mappings": {"mapping_name"}}.get(table, set()) | (
                {"created_at"} if table == "integration_query_logs" else set()
            ), (table, changed)
            if "created_at" in changed:
                assert bytes.fromhex(new["created_at"]) == bytes.fromhex(old["created_at"]) + b".000000"
    assert await _adopt(url) == 0


async def test_tables_without_transactions_get_them(url: str) -> None:
    """A delivery is whole or not at all, so no table of ours stays with an engine that cannot roll back."""
    build_variant(url, "myisam")
    await _adopt(url)
    with mysql(url) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT TABLE_NAME AS t FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() "
                       "AND ENGINE <> 'InnoDB' AND TABLE_TYPE = 'BASE TABLE'")  # fmt: skip
        assert cursor.fetchall() == ()
    assert all(f"{PREFIX}{table}" in definitions(url) for table in OURS)


async def test_a_missing_table_is_named_before_anything_is_done(url: str) -> None:
    """Half a deployment is no deployment; nothing was changed when it is said."""
    build_variant(url, "without_foreign_keys")
    with mysql(url) as connection, connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE {PREFIX}module_system_mappings")
    before = definitions(url)
    with pytest.raises(FailedPrecondition, match="module_system_mappings is missing"):
        await _adopt(url)
    assert definitions(url) == before


async def test_what_php_inserts_in_any_time_zone_is_due_at_once(url: str) -> None:
    """The application's sessions have its own zone; a record of theirs must not wait for hours until it is mapped."""
    build_variant(url, "additions")
    await _adopt(url)
    with mysql(url) as connection, connection.cursor() as cursor:
        for zone in ("+08:00", "-05:00"):
            cursor.execute("SET time_zone = %s", [zone])
            cursor.execute(
                f"INSERT INTO {PREFIX}external_data_cache (system_id, mapping_id, external_id, data_json) "
                "VALUES (1, 1, %s, '{}')",
                [zone],
            )
        cursor.execute(
            f"SELECT COUNT(*) AS due FROM {PREFIX}external_data_cache WHERE external_id IN ('+08:00', '-05:00') "
            "AND available_at BETWEEN UTC_TIMESTAMP(6) - INTERVAL 5 MINUTE AND UTC_TIMESTAMP(6)"
        )
        assert cursor.fetchall() == [{"due": 2}]


async def test_what_is_new_keeps_all_of_unicode(url: str) -> None:
    """Whatever the database's own character set, what we add takes any text, or is ASCII by intent."""
    build_variant(url, "additions")
    old = {(table, column) for table in contents(url) for column in columns_of(url, table)}
    await _adopt(url)
    with mysql(url) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT TABLE_NAME AS t, COLUMN_NAME AS c FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = "
                       "DATABASE() AND CHARACTER_SET_NAME = 'latin1'")  # fmt: skip
        narrow = {(row["t"].removeprefix(PREFIX), row["c"]) for row in cursor.fetchall()} - old
    assert {each for each in narrow if not each[0].endswith("_schema_versions") and each[0] != "notes"} == set()


@pytest.mark.parametrize("variant", ["additions", "myisam"])
async def test_an_adoption_that_breaks_off_after_every_statement_ends_the_same(
    url: str, other_url: str, variant: str
) -> None:
    """Killed after each single statement and begun again, it makes the same tables as in one go."""
    for each in (url, other_url):
        build_variant(each, variant)
    await _adopt(other_url)
    for _ in range(100):
        if await _adopt(url, most=1) == 0:
            break
    assert definitions(url) == definitions(other_url)
    columns = {table: columns_of(other_url, table) for table in contents(other_url)}
    for table in OURS:
        for name in columns[table]:
            if name not in ("created_at", "updated_at", "available_at", "last_synced_at", "expires_at"):
                values = [[row[name] for row in contents(each, columns)[table]] for each in (url, other_url)]
                assert values[0] == values[1], (table, name)
