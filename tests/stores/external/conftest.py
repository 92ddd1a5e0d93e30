"""Fixtures: an external database of each kind in turn, and what reaches it."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from external_databases import External, ExternalMariaDB, ExternalPostgreSQL, ExternalSQLite
from intertie_ingest.databases.databases import Databases
from intertie_ingest.egress import Egress


@pytest.fixture
def sqlite_external(tmp_path: Path) -> Iterator[ExternalSQLite]:
    """An SQLite file."""
    external = ExternalSQLite.make(tmp_path / "external?#%.db")
    yield external
    external.close()


@pytest.fixture
def mariadb_external(request: pytest.FixtureRequest) -> Iterator[ExternalMariaDB]:
    """A MariaDB database."""
    external = ExternalMariaDB.make(request.getfixturevalue("mariadb_server"))
    yield external
    external.close()


@pytest.fixture
def postgresql_external(request: pytest.FixtureRequest) -> Iterator[ExternalPostgreSQL]:
    """A PostgreSQL database."""
    external = ExternalPostgreSQL.make(request.getfixturevalue("postgresql_server"))
    yield external
    external.close()


@pytest.fixture(params=["sqlite", "mariadb", "postgresql"])
def external(request: pytest.FixtureRequest) -> External:
    """The test runs once on each kind."""
    found: External = request.getfixturevalue(f"{request.param}_external")
    return found


@pytest.fixture
async def databases() -> AsyncIterator[Databases]:
    """What is tested."""
    made = Databases(Egress())
    yield made
    await made.close()
