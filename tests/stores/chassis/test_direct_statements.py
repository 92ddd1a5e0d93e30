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


async def test_several_statements_go_together(database: Database) -> None:
    """In their order, with the sum of their rows; one of which a column has values of two types goes, too."""

    async def work(connection: AsyncConnection) -> tuple[int, int]:
        change = RowStatement("UPDATE t SET value = %s WHERE id = %s")
        together = await direct.write_all(connection, [(INSERT, [(3, 30), (4, 40)]), (change, [(31, 3)])])
        mixed = await direct.write_all(connection, [(INSERT, [(5, 50), (6, "60")]), (change, [(32, 3)])])
        return together, mixed

    assert await database.transaction(work) == (3, 3)
    async with database.read() as connection:
        assert list(await direct.read(connection, READ, (3, 6))) == [(3, 32), (6, 60)]


@pytest.mark.parametrize("place", range(3))
async def test_one_of_several_that_is_refused_leaves_nothing(database: Database, place: int) -> None:
    """Wherever it stands, its own error is raised, and the connection can be used as before."""
    writings = [(INSERT, [(10, 1)]), (INSERT, [(11, 1)]), (INSERT, [(12, 1)])]
    writings[place] = (INSERT, [(13, 1), (1, 1)])
    used: list[Any] = []

    async def refused(connection: AsyncConnection) -> None:
        used.append((await connection.exec_driver_sql("SELECT CONNECTION_ID()")).scalar_one())
        await direct.write_all(connection, writings)

    with pytest.raises(exc.IntegrityError):
        await database.transaction(refused)

    async def works(connection: AsyncConnection) -> int:
        used.append((await connection.exec_driver_sql("SELECT CONNECTION_ID()")).scalar_one())
        return await direct.write_all(connection, [(INSERT, [(14, 140)]), (INSERT, [(15, 150)])])

    assert await database.transaction(works) == 2
    assert used[0] == used[1]
    async with database.read() as connection:
        found = (await connection.exec_driver_sql("SELECT id FROM t ORDER BY id")).scalars().all()
    assert list(found) == [1, 2, 14, 15]


async def test_a_deadlock_among_several_leaves_nothing(database: Database) -> None:
    """The server ends the transaction at the first statement; what the others did begins another, and goes with it."""
    both = asyncio.Barrier(2)
    change = RowStatement("UPDATE t SET value = %s WHERE id = %s")
    tries: list[int] = []

    def work(first: int, second: int) -> Any:
        async def locking(connection: AsyncConnection) -> None:
            tries.append(first)
            await direct.write(connection, change, [(100 + first, first)])
            if tries.count(first) == 1:
                await both.wait()
            await direct.write_all(connection, [(change, [(100 + first, second)]), (INSERT, [(20 + first, 0)])])

        return locking

    await asyncio.gather(database.transaction(work(1, 2)), database.transaction(work(2, 1)))
    assert len(tries) == 3
    async with database.read() as connection:
        found = (await connection.exec_driver_sql("SELECT id FROM t ORDER BY id")).scalars().all()
    assert list(found) == [1, 2, 21, 22]


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
