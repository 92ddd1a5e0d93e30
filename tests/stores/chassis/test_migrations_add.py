"""Each owner's migrations, one after the other, add and take nothing away: older code goes on beside each of them."""

import importlib
import importlib.resources
import shutil
from pathlib import Path

import pytest

import schema_growth
from intertie_chassis.database import Database
from intertie_chassis.migrations import Migrations
from source_tree import SERVICES

PREFIX = "campaign_department_"


@pytest.fixture
def steps(owner: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Migrations]:
    """The owner's migrations as they were with the first script, the first two, and so on."""
    monkeypatch.syspath_prepend(str(tmp_path))
    scripts = Path(str(importlib.resources.files(f"intertie_{owner}.migrations"))) / "versions"
    files = sorted(scripts.glob("[0-9]*.py"))
    found = []
    importlib.invalidate_caches()
    for number in range(1, len(files) + 1):
        # Of its own: what was imported from the directory of another test stays.
        package = f"{tmp_path.name}_{owner}_until_{number}"
        (tmp_path / package / "versions").mkdir(parents=True)
        (tmp_path / package / "__init__.py").write_text("")
        for file in files[:number]:
            shutil.copy(file, tmp_path / package / "versions")
        found.append(Migrations(owner, package))
    return found


@pytest.mark.parametrize("owner", SERVICES)
async def test_each_migration_adds(steps: list[Migrations], database_url: str) -> None:
    """Compared by what the database itself says of its tables before and after."""
    database = await Database.open(database_url, table_prefix=PREFIX)
    try:
        before: schema_growth.Schema = {}
        for number, step in enumerate(steps, start=1):
            ran = await step.upgrade(database, PREFIX)
            assert len(ran) == 1
            async with database.read() as connection:
                after = await connection.run_sync(schema_growth.of)
            assert list(schema_growth.faults(before, after)) == [], f"migration {number} of {step.owner}"
            before = after
        assert len(before) > 1
    finally:
        await database.close()


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE things DROP COLUMN name",
        "ALTER TABLE things RENAME COLUMN name TO title",
        "ALTER TABLE things RENAME TO others",
        "DROP TABLE things",
        "CREATE UNIQUE INDEX one_name ON things (name)",
    ],
)
async def test_one_that_takes_away_is_seen(statement: str, database_url: str) -> None:
    database = await Database.open(database_url, table_prefix="")
    try:
        async with database.exclusive("test") as connection:
            await connection.exec_driver_sql("CREATE TABLE things (id INTEGER PRIMARY KEY, name VARCHAR(20))")
            before = await connection.run_sync(schema_growth.of)
            await connection.exec_driver_sql(statement)
            after = await connection.run_sync(schema_growth.of)
        assert list(schema_growth.faults(before, after)) != []
    finally:
        await database.close()
