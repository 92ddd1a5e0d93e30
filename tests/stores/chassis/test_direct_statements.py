"""Statements that go past SQLAlchemy fail as if they had not, and what is lost with them is noticed as well."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import exc, text
from sqlalchemy.ext.asyncio import AsyncConnection

from intertie_chassis import database_errors, direct
from intertie_chassis.bulk_cursor import PreparedStatement, RowStatement
from intertie_chassis.database import Database

INSERT = RowStatement("INSERT INTO t (id, value) VALUES (%s, %s)")
READ = PreparedStatement("SELECT id, value FROM t WHERE id IN (%s, %s) ORDER BY id")
IDLE = 3


@pytest.fixture
async def database(mariadb_url: str) -> AsyncIterator[Database]:
    """An open database with a table of two rows."""
    opened = await Database.open(mariadb_url, pool_size=4)

    async def work(connection: AsyncConnection) -> int:
        await connection.execute(text("CREATE TABLE t (id INT PRIMARY KEY, value INT NOT NULL) ENGINE=InnoDB"))
        return await direct.write(connection, INSERT, [(1, 10), (2, 20)])

    assert await opened.transaction(work) == 2
    yield opened
    await opened.close()


async def test_what_is_written_can_be_read(database: Database) -> None:
    """Within the transaction, and after it when it is committed, but not when it fails."""

    async def fails(connection: AsyncConnection) -> None:
        await direct.write(connection, INSERT, [(3, 30)])
        assert list(await direct.read(connection, READ, (3, 2))) == [(2, 20), (3, 30)]
        raise LookupError

    with pytest.raises(LookupError):
        await database.transaction(fails)
    async with database.read() as connection:
        assert list(await direct.read(connection, READ, (1, 3))) == [(1, 10)]


@pytest.mark.parametrize(
    ("statement", "kind", "is_data"),
    [
        (INSERT, exc.IntegrityError, True),
        (RowStatement("INSERT INTO nowhere (id, value) VALUES (%s, %s)"), exc.ProgrammingError, False),
    ],
)
async def test_errors_are_sqlalchemys(
    database: Database, statement: RowStatement, kind: type[exc.DBAPIError], is_data: bool
) -> None:
    """With the driver's number, and without the values."""

    async def work(connection: AsyncConnection) -> None:
        await direct.write(connection, statement, [(1, 77_777)])

    with pytest.raises(kind) as caught:
        await database.transaction(work)
    assert database_errors.is_data_error(caught.value) is is_data
    assert not caught.value.connection_invalidated
    assert "77777" not in str(caught.value)


async def test_when_all_connections_are_lost_nobody_notices(
    database: Database, mariadb_server: Any, mariadb_url: str
) -> None:
    """The first of the pool that is used tells of the others: the second try takes none of them."""
    together = asyncio.Barrier(IDLE)

    async def waiting(connection: AsyncConnection) -> None:
        await direct.read(connection, READ, (1, 2))
        await together.wait()

    await asyncio.gather(*(database.transaction(waiting) for _ in range(IDLE)))
    administrator = mariadb_server.connect(mariadb_url.rpartition("/")[2])
    with administrator.cursor() as cursor:
        cursor.execute("SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()")
        killed = [row[0] for row in cursor.fetchall()]
        for identifier in killed:
            cursor.execute(f"KILL {identifier}")
    administrator.close()
    assert len(killed) >= IDLE

    async def work(connection: AsyncConnection) -> int:
        return await direct.write(connection, INSERT, [(5, 50)])

    assert await database.transaction(work) == 1


async def test_a_connection_that_was_lost_is_not_used_again(
    database: Database, mariadb_server: Any, mariadb_url: str
) -> None:
    """Not within its transaction, of which nothing is left."""
    tried: list[int] = []

    async def work(connection: AsyncConnection) -> None:
        await direct.write(connection, INSERT, [(7, 70)])
        administrator = mariadb_server.connect(mariadb_url.rpartition("/")[2])
        with administrator.cursor() as cursor:
            cursor.execute(f"KILL {(await connection.exec_driver_sql('SELECT CONNECTION_ID()')).scalar_one()}")
        administrator.close()
        with pytest.raises(exc.DBAPIError) as caught:
            await direct.write(connection, INSERT, [(8, 80)])
        assert caught.value.connection_invalidated
        with pytest.raises(exc.PendingRollbackError):
            await direct.write(connection, INSERT, [(9, 90)])
        tried.append(1)
        raise LookupError

    with pytest.raises(LookupError):
        await database.transaction(work)
    assert tried
    async with database.read() as connection:
        assert list(await direct.read(connection, READ, (7, 9))) == []
