"""How an owner's schema is made and brought up, once, however many ask."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from intertie_chassis.command import main
from intertie_chassis.database import Database
from intertie_chassis.errors import FailedPrecondition
from intertie_chassis.migrations import Migrations
from intertie_chassis.program import EXIT_CONFIG, EXIT_UNAVAILABLE
from intertie_chassis.settings import Settings

PREFIX = "acme_"

_FIRST = """
import sqlalchemy as sa
from alembic import op
from intertie_chassis.migrations import prefix

revision = "0001"
down_revision = None


def upgrade():
    op.create_table(f"{prefix()}things", sa.Column("id", sa.Integer, primary_key=True), if_not_exists=True)
    op.execute(f"INSERT INTO {prefix()}things VALUES (1)")
"""
_SECOND = """
import sqlalchemy as sa
from alembic import op
from intertie_chassis.migrations import prefix

revision = "0002"
down_revision = "0001"


def upgrade():
    op.add_column(f"{prefix()}things", sa.Column("name", sa.String(20)))
"""


class Scripts:
    """A package of migrations that a test can add to."""

    def __init__(self, root: Path) -> None:
        self.package = f"scripts_{uuid.uuid4().hex}"
        self.directory = root / self.package / "versions"
        self.directory.mkdir(parents=True)
        (self.directory.parent / "__init__.py").write_text("")
        self.write("0001_things", _FIRST)

    def write(self, name: str, script: str) -> None:
        """Adds or replaces a script."""
        (self.directory / f"{name}.py").write_text(script)

    def migrations(self) -> Migrations:
        """The owner's migrations as its code has them."""
        return Migrations("registry", self.package, ("things",))


@pytest.fixture
def scripts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scripts:
    """A package with one script."""
    monkeypatch.syspath_prepend(str(tmp_path))
    return Scripts(tmp_path)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """An open, empty database."""
    opened = await Database.open(database_url)
    yield opened
    await opened.close()


async def _rows(database: Database, query: str) -> list[Any]:
    async with database.read() as connection:
        return list((await connection.execute(text(query))).all())


async def test_a_new_database_is_migrated_once(database: Database, scripts: Scripts) -> None:
    migrations = scripts.migrations()
    assert (await migrations.state(database, PREFIX)).state == "empty"
    assert await migrations.upgrade(database, PREFIX) == ("0001",)
    assert await migrations.upgrade(database, PREFIX) == ()
    state = await migrations.state(database, PREFIX)
    assert (state.current, state.head, state.pending, state.state) == ("0001", "0001", (), "current")
    assert len(await _rows(database, "SELECT * FROM acme_things")) == 1
    assert len(await _rows(database, "SELECT * FROM acme_registry_schema_versions")) == 1


async def test_a_later_version_brings_the_tables_up_and_keeps_their_rows(database: Database, scripts: Scripts) -> None:
    await scripts.migrations().upgrade(database, PREFIX)
    scripts.write("0002_names", _SECOND)
    newer = scripts.migrations()
    check = newer.readiness(database, PREFIX)
    assert (await newer.state(database, PREFIX)).state == "behind"
    assert "intertie db migrate" in str(await check())
    assert await newer.upgrade(database, PREFIX) == ("0002",)
    assert await check() is None
    assert await _rows(database, "SELECT id, name FROM acme_things") == [(1, None)]


async def test_older_code_goes_on_serving_newer_tables(database: Database, scripts: Scripts) -> None:
    older_scripts_directory = scripts.directory
    scripts.write("0002_names", _SECOND)
    await scripts.migrations().upgrade(database, PREFIX)
    (older_scripts_directory / "0002_names.py").unlink()
    older = scripts.migrations()
    assert (await older.state(database, PREFIX)).state == "ahead"
    assert await older.at_head(database, PREFIX)
    assert await older.upgrade(database, PREFIX) == ()


async def test_replicas_that_migrate_together_do_it_once(database_url: str, scripts: Scripts) -> None:
    scripts.write("0002_names", _SECOND)
    replicas = [await Database.open(database_url) for _ in range(4)]
    migrations = scripts.migrations()
    ran = await asyncio.gather(*(migrations.upgrade(replica, PREFIX) for replica in replicas))
    assert sorted(ran) == [(), (), (), ("0001", "0002")]
    for replica in replicas:
        await replica.close()


async def test_foreign_tables_are_left_alone(database: Database, scripts: Scripts) -> None:
    async def make(connection: AsyncConnection) -> None:
        await connection.execute(text("CREATE TABLE acme_things (id INT, note VARCHAR(10))"))

    await database.transaction(make)
    migrations = scripts.migrations()
    with pytest.raises(FailedPrecondition, match="intertie db adopt") as caught:
        await migrations.upgrade(database, PREFIX)
    assert caught.value.reason == "SCHEMA_FOREIGN"
    assert caught.value.metadata == {"tables": "acme_things"}
    assert "adopt" in str(await migrations.readiness(database, PREFIX)())
    assert await _rows(database, "SELECT note FROM acme_things") == []


async def test_owners_in_one_database_do_not_see_each_other(database: Database, scripts: Scripts) -> None:
    registry, ingest = scripts.migrations(), Migrations("ingest", scripts.package, ("other",))
    await registry.upgrade(database, PREFIX)
    assert (await ingest.state(database, PREFIX)).state == "empty"


async def test_a_stamped_schema_is_current(database: Database, scripts: Scripts) -> None:
    migrations = scripts.migrations()
    async with database.exclusive("registry") as connection:
        await migrations.stamp(connection, PREFIX)
    assert (await migrations.state(database, PREFIX)).state == "current"


async def test_a_script_that_fails_on_sqlite_leaves_nothing(sqlite_url: str, scripts: Scripts) -> None:
    scripts.write("0002_names", _SECOND + "    op.execute('nonsense')\n")
    database = await Database.open(sqlite_url)
    migrations = scripts.migrations()
    with pytest.raises(Exception, match="nonsense"):
        await migrations.upgrade(database, PREFIX)
    assert (await migrations.state(database, PREFIX)).state == "empty"
    scripts.write("0002_names", _SECOND)
    assert await scripts.migrations().upgrade(database, PREFIX) == ("0001", "0002")
    await database.close()


class TestVerbs:
    """The verbs of a process, on each store."""

    @pytest.fixture(autouse=True)
    def _environment(self, monkeypatch: pytest.MonkeyPatch, database_url: str, tmp_path: Path) -> None:
        monkeypatch.setenv("INTERTIE_DATABASE_URL", database_url)
        monkeypatch.setenv("INTERTIE_TABLE_PREFIX", PREFIX)
        monkeypatch.setenv("INTERTIE_DATA_DIR", str(tmp_path / "data"))
        monkeypatch.setenv("INTERTIE_LOG_LEVEL", "error")

    def test_migrate_and_status_say_what_is(self, scripts: Scripts, capsys: pytest.CaptureFixture[str]) -> None:
        migrations = scripts.migrations()
        said = []
        for verb in ("status", "migrate", "migrate", "status"):
            assert main("registry", _serve_nothing, Settings, migrations, arguments=[verb]) == 0
            said.append(capsys.readouterr().out.strip())
        assert [json.loads(said[0])["state"], json.loads(said[3])["state"]] == ["empty", "current"]
        assert said[1:3] == ["registry: ran 0001", "registry: nothing to do"]
        assert set(json.loads(said[0])) == {"owner", "dialect", "current", "head", "state", "warnings"}

    def test_serve_migrates_an_embedded_file_and_no_server(
        self, scripts: Scripts, database_url: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        migrations = scripts.migrations()
        assert main("registry", _serve_nothing, Settings, migrations, arguments=[]) == 0
        assert main("registry", _serve_nothing, Settings, migrations, arguments=["status"]) == 0
        state = json.loads(capsys.readouterr().out)["state"]
        assert state == ("current" if database_url.startswith("sqlite") else "empty")

    def test_a_fault_is_one_line_and_an_exit_code(
        self, scripts: Scripts, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], free_port: int
    ) -> None:
        migrations = scripts.migrations()
        codes = []
        for url in (f"mysql://u:hunter2@127.0.0.1:{free_port}/x", "oracle://u:hunter2@h/x"):
            monkeypatch.setenv("INTERTIE_DATABASE_URL", url)
            codes.append(main("registry", _serve_nothing, Settings, migrations, arguments=["status"]))
            err = [line for line in capsys.readouterr().err.splitlines() if line.startswith("registry: ")]
            assert len(err) == 1
            assert "hunter2" not in err[0]
        assert codes == [EXIT_UNAVAILABLE, EXIT_CONFIG]


async def _serve_nothing(_settings: Settings) -> None:
    return None
