"""A running registry, on both databases."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from intertie_chassis.database import Database
from intertie_registry.migrations import MIGRATIONS
from registry_rig import Installation
from suite import PREFIX
from waiting import eventually


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A new database with the registry's tables."""
    opened = await Database.open(database_url, table_prefix=PREFIX)
    await MIGRATIONS.upgrade(opened, PREFIX)
    yield opened
    await opened.close()


@pytest.fixture
async def installation(tmp_path: Path, database_url: str, database: Database) -> AsyncIterator[Installation]:
    """A running registry whose image is loaded; mapper and audit are away."""
    installed = Installation(tmp_path, database_url)
    await installed.start()
    await eventually(installed.answers)
    yield installed
    await installed.close()
