"""Taking over existing tables: what is planned, what is kept, and that a second run plans nothing."""

import io
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from intertie_chassis.adoption import Plan, adopt_database
from intertie_chassis.database import Database
from intertie_chassis.errors import FailedPrecondition
from intertie_chassis.migrations import Migrations

PREFIX = "acme_"
_EXISTING = """
CREATE TABLE acme_systems (
  id INT UNSIGNED AUTO_INCREMENT PRIMARY KEY,
  name VARCHAR(100) NOT NULL COMMENT 'it''s the name',
  kind ENUM('a','b') NOT NULL DEFAULT 'a',
  settings JSON DEFAULT NULL,
  updated_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
CREATE TABLE acme_entries (
  id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY,
  system_id INT UNSIGNED NOT NULL,
  state ENUM('pending','done') NOT NULL DEFAULT 'pending',
  code VARCHAR(20) NOT NULL,
  KEY idx_state (state),
  CONSTRAINT fk_entries_system FOREIGN KEY (system_id) REFERENCES acme_systems (id) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
INSERT INTO acme_systems (name) VALUES ('one'), ('two');
INSERT INTO acme_entries (system_id, code) VALUES (1, 'x'), (1, 'x'), (2, 'y')
"""


@pytest.fixture
def administrator(mariadb_server: Any, mariadb_url: str) -> Iterator[Any]:
    """A plain connection to the database, as PHP has it."""
    connection = mariadb_server.connect(mariadb_url.rpartition("/")[2])
    yield connection
    connection.close()


@pytest.fixture
async def database(mariadb_url: str, administrator: Any) -> AsyncIterator[Database]:
    """A database with the existing tables and rows."""
    with administrator.cursor() as cursor:
        for statement in _EXISTING.split(";\n"):
            cursor.execute(statement)
    opened = await Database.open(mariadb_url)
    yield opened
    await opened.close()


@pytest.fixture
def migrations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Migrations:
    """An owner whose only revision adoption stamps."""
    package = f"adopted_{tmp_path.name}"
    versions = tmp_path / package / "versions"
    versions.mkdir(parents=True)
    (versions.parent / "__init__.py").write_text("")
    (versions / "0001_all.py").write_text(
        "revision = '0001'\ndown_revision = None\n\n\ndef upgrade():\n    raise SystemError\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    return Migrations("registry", package, ("systems", "entries"))


async def _adopter(plan: Plan) -> None:
    new = sa.Table(
        "acme_deliveries",
        sa.MetaData(),
        sa.Column("id", sa.String(26), primary_key=True),
        sa.Column("entry_id", sa.BigInteger, nullable=False),
        sa.Index("ix_entry", "entry_id"),
        mysql_engine="InnoDB",
    )
    plan.create_table(new, "deliveries are kept")
    plan.modify_column("entries", "state", "our states", type="enum('pending','done','failed')")
    plan.modify_column("entries", "system_id", "entries outlive their system", nullable=True)
    plan.modify_column("systems", "kind", "any kind", type="varchar(40)")
    plan.modify_column("systems", "settings", "remarks", comment="settings as JSON")
    plan.modify_column("systems", "updated_at", "to the microsecond", comment="last change")
    plan.drop_foreign_key("entries", "fk_entries_system", "no cascade across owners")
    plan.add_foreign_key(
        "entries", "fk_entries_system_2", ["system_id"], "systems", ["id"], "kept", on_delete="SET NULL"
    )
    plan.add_index("entries", "ix_state_id", ["state", "id"], "claims without sorting")
    plan.drop_index("entries", "idx_state", "it locks what it scans")
    plan.add_column("entries", "revision", "INT NOT NULL DEFAULT 1", "versions", after="code")
    if not plan.table("entries").index_on("system_id", "code", unique=True):  # type: ignore[union-attr]
        await plan.run_when(
            "SELECT COUNT(*) FROM acme_entries a JOIN acme_entries b ON a.system_id = b.system_id AND a.code = b.code"
            " AND a.id < b.id",
            "UPDATE acme_entries a JOIN acme_entries b ON a.system_id = b.system_id AND a.code = b.code AND a.id < b.id"
            " SET a.code = CONCAT(a.code, ' 100%:', a.id)",
            "older rows are numbered",
        )
    plan.add_unique("entries", "uq_code", ["system_id", "code"], "one row a code")


async def test_an_adoption_keeps_rows_and_attributes_and_happens_once(
    database: Database, migrations: Migrations, administrator: Any
) -> None:
    out = io.StringIO()
    steps = await adopt_database(database, PREFIX, migrations, _adopter, dry_run=False, out=out)
    assert len(steps) == 14
    with administrator.cursor() as cursor:
        cursor.execute("SELECT id, system_id, code, state, revision FROM acme_entries ORDER BY id")
        assert cursor.fetchall() == (
            (1, 1, "x 100%:1", "pending", 1),
            (2, 1, "x", "pending", 1),
            (3, 2, "y", "pending", 1),
        )
        cursor.execute("SHOW CREATE TABLE acme_systems")
        systems = cursor.fetchone()[1]
        cursor.execute("SHOW CREATE TABLE acme_entries")
        entries = cursor.fetchone()[1]
        cursor.execute("INSERT INTO acme_entries (system_id, code) VALUES (NULL, 'as PHP does')")
    assert "`kind` varchar(40)" in systems
    assert "NOT NULL DEFAULT 'a'" in systems
    assert "it''s the name" in systems
    assert "json_valid(`settings`)" in systems
    assert "ON UPDATE current_timestamp()" in systems
    assert "ON DELETE SET NULL" in entries
    assert "CASCADE" not in entries
    assert "idx_state" not in entries
    assert "UNIQUE KEY `uq_code` (`system_id`,`code`)" in entries
    assert (await migrations.state(database, PREFIX)).state == "current"

    again = io.StringIO()
    assert await adopt_database(database, PREFIX, migrations, _adopter, dry_run=False, out=again) == []
    assert "nothing to do" in again.getvalue()


async def test_a_dry_run_prints_the_statements_and_changes_nothing(
    database: Database, migrations: Migrations, administrator: Any
) -> None:
    def schema() -> list[Any]:
        with administrator.cursor() as cursor:
            cursor.execute("SHOW TABLES")
            names = [row[0] for row in cursor.fetchall()]
            found = []
            for name in names:
                cursor.execute(f"SHOW CREATE TABLE {name}")
                found.append(cursor.fetchone())
            cursor.execute("CHECKSUM TABLE acme_entries, acme_systems")
            return [*found, cursor.fetchall()]

    before, out = schema(), io.StringIO()
    steps = await adopt_database(database, PREFIX, migrations, _adopter, dry_run=True, out=out)
    assert schema() == before
    for step in steps:
        assert f"-- {step.reason}\n{step.statement};\n" in out.getvalue()
    assert (await migrations.state(database, PREFIX)).state == "foreign"


async def test_an_adoption_that_broke_off_goes_on(database: Database, migrations: Migrations) -> None:
    async def breaks(plan: Plan) -> None:
        plan.drop_foreign_key("entries", "fk_entries_system", "no cascade")
        plan.run("THIS IS NO SQL", "a fault in the middle")

    with pytest.raises(sa.exc.DBAPIError):
        await adopt_database(database, PREFIX, migrations, breaks, dry_run=False, out=io.StringIO())
    steps = await adopt_database(database, PREFIX, migrations, _adopter, dry_run=False, out=io.StringIO())
    assert "DROP FOREIGN KEY" not in " ".join(step.statement for step in steps)
    assert await adopt_database(database, PREFIX, migrations, _adopter, dry_run=False, out=io.StringIO()) == []


async def test_there_must_be_something_to_adopt(mariadb_url: str, sqlite_url: str, migrations: Migrations) -> None:
    for url, remedy in ((mariadb_url, "intertie db migrate"), (sqlite_url, "only MySQL and MariaDB")):
        database = await Database.open(url)
        with pytest.raises(FailedPrecondition, match=remedy):
            await adopt_database(database, PREFIX, migrations, _adopter, dry_run=True, out=io.StringIO())
        await database.close()
