"""The database fixtures: every test gets an empty database of its own, on both stores."""

import sqlalchemy
from sqlalchemy.ext.asyncio import create_async_engine

from mariadb import MariaDBServer


async def _tables(url: str, statement: str) -> list[str]:
    engine = create_async_engine(url)
    async with engine.begin() as connection:
        await connection.execute(sqlalchemy.text(statement))
        names = await connection.run_sync(lambda sync: sqlalchemy.inspect(sync).get_table_names())
    await engine.dispose()
    return names


async def test_first_user_sees_only_its_own_table(database_url: str) -> None:
    """A test's database holds nothing but what it made itself …"""
    assert await _tables(database_url, "CREATE TABLE first_user (id INTEGER)") == ["first_user"]


async def test_second_user_sees_nothing_of_the_first(database_url: str) -> None:
    """… whichever of these two runs first."""
    assert await _tables(database_url, "CREATE TABLE second_user (id INTEGER)") == ["second_user"]


def test_mariadb_is_durable(mariadb_server: MariaDBServer) -> None:
    """The private server keeps the settings on which "stored before acknowledged" rests."""
    with mariadb_server.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT @@innodb_flush_log_at_trx_commit")
        assert cursor.fetchall() == ((1,),)
