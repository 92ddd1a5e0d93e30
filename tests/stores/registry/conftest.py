"""The registry's stores on both databases, and SQL as people and the PHP application run it: from outside."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pymysql
import pytest

from intertie_chassis.database import Database
from intertie_chassis.sealing import SealingKey
from intertie_chassis.sealing_sources import GivenKeys
from intertie_registry.credentials import Credentials
from intertie_registry.migrations import MIGRATIONS
from intertie_registry.model import Actor
from intertie_registry.stores import Stores
from suite import PREFIX, mysql

Sql = Callable[..., Awaitable[list[dict[str, Any]]]]


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A new database with the registry's tables."""
    opened = await Database.open(database_url, table_prefix=PREFIX)
    await MIGRATIONS.upgrade(opened, PREFIX)
    yield opened
    await opened.close()


@pytest.fixture
def credentials() -> Credentials:
    """What seals credentials in rows, with a key of the test's own."""
    return Credentials(GivenKeys(SealingKey.new().line()))


@pytest.fixture
def stores(database: Database, credentials: Credentials) -> Stores:
    """The stores on it."""
    return Stores.on(database, PREFIX, poll_seconds=0.05, credentials=credentials)


@pytest.fixture
def actor() -> Actor:
    """Somebody who changes things."""
    return Actor("olga", "request-1")


@pytest.fixture
def sql(database_url: str, database: Database) -> Sql:
    """Run a statement from outside, committed at once; gives its rows. `{p}` stands for the prefix."""

    def run(statement: str, *arguments: Any) -> list[dict[str, Any]]:
        statement = statement.replace("{p}", PREFIX)
        if database.dialect == "sqlite":
            connection = sqlite3.connect(database_url.partition(":///")[2], isolation_level=None, timeout=10)
            try:
                connection.execute("PRAGMA foreign_keys = ON")
                cursor = connection.execute(statement.replace("%s", "?"), arguments)
                names = [column[0] for column in cursor.description or ()]
                return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
            finally:
                connection.close()
        with mysql(database_url) as connection, connection.cursor(pymysql.cursors.DictCursor) as cursor:
            cursor.execute(statement, arguments or None)
            return list(cursor.fetchall())

    async def outside(statement: str, *arguments: Any) -> list[dict[str, Any]]:
        # In a thread: our own transactions must be able to end while this one waits for them.
        return await asyncio.to_thread(run, statement, *arguments)

    return outside
