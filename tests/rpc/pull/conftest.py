"""External systems to ask: a database and an API, and modules with grants of every kind."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from external_api import ExternalApi
from external_databases import LOOPBACK, ExternalSQLite
from intertie_ingest.configuration import StoredConnection, StoredGrant
from pull_rig import PullRig, pull_rig, stored, system_of

ROWS = "CREATE TABLE incidents (id INTEGER PRIMARY KEY, title TEXT, secret TEXT);\nCREATE TABLE officers (id INTEGER)"


def _grant(module: str, access: str, *, is_active: bool = True, **permissions: Any) -> StoredGrant:
    return StoredGrant(module, access, is_active, json.dumps(permissions).encode() if permissions else b"")


GRANTS = (
    _grant("reader", "read"),
    _grant("writer", "write"),
    _grant("both", "read_write"),
    _grant("narrow", "read_write", tables=["incidents"], statements=["select"], endpoints=["/items"], methods=["GET"]),
    _grant("columns", "read", columns={"incidents": ["id", "title"]}, max_rows=2),
    _grant("former", "read_write", is_active=False),
    _grant("broken", "read_write", table="incidents"),
    _grant("odd", "everything"),
)


@pytest.fixture
def files(tmp_path: Path) -> ExternalSQLite:
    """A database of three incidents."""
    external = ExternalSQLite.make(tmp_path / "external.db")
    external.execute(ROWS)
    external.insert("incidents", [(1, "first", "a"), (2, "second", "b"), (3, "third", "c")])
    return external


@pytest.fixture
def api() -> Iterator[ExternalApi]:
    """An API."""
    with ExternalApi(records=[{"id": 1, "title": "first"}]) as external:
        yield external


@asynccontextmanager
async def _pull(tmp_path: Path, files: ExternalSQLite, api: ExternalApi, database_url: str) -> AsyncIterator[PullRig]:
    options = json.dumps(LOOPBACK).encode()
    rest = StoredConnection(5, True, options, "rest", api_base_url=api.url, api_auth_type="none")
    systems = (
        system_of(stored(files.connection), rest, grants=GRANTS),
        system_of(stored(files.connection, id=8), number=2, name="closed", grants=GRANTS, is_active=False),
    )
    async with pull_rig(tmp_path, database_url, *systems, pull_query_rows=1000) as rig:
        yield rig


@pytest.fixture
async def pull(tmp_path: Path, files: ExternalSQLite, api: ExternalApi, sqlite_url: str) -> AsyncIterator[PullRig]:
    """Pull, for the system `police` with the database (1) and the API (5), and `closed`, which is not active."""
    async with _pull(tmp_path, files, api, sqlite_url) as rig:
        yield rig


@pytest.fixture
async def pull_on_both(
    tmp_path: Path, files: ExternalSQLite, api: ExternalApi, database_url: str
) -> AsyncIterator[PullRig]:
    """The same, once on SQLite and once on MariaDB, for what depends on our own store."""
    async with _pull(tmp_path, files, api, database_url) as rig:
        yield rig
