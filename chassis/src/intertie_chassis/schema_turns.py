"""Turns at changing the schema: one process at a time holds a connection for it, also of several machines."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import exc, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from intertie_chassis import database_errors, mysql
from intertie_chassis.availability import away


@asynccontextmanager
async def turn_on_sqlite(writer: AsyncEngine, wait: float) -> AsyncIterator[AsyncConnection]:
    """A connection in a transaction that holds the file's write lock, committed at the end.

    Raises Unavailable when others hold it longer than `wait` seconds; errors of the database as SQLAlchemy's.
    """
    connection = await _begun_within(writer, wait)
    try:
        yield connection
        await connection.commit()
    finally:
        await connection.close()


@asynccontextmanager
async def turn_on_mysql(url: str, name: str, wait: float) -> AsyncIterator[AsyncConnection]:
    """A connection on which every statement commits by itself, as DDL does anyway, under a lock of this name.

    Raises Unavailable when others hold it longer than `wait` seconds; errors of the database as SQLAlchemy's.
    """
    engine = mysql.schema_engine(url)
    try:
        async with engine.connect() as connection:
            # Lock names are the server's, not the database's, and at most 64 characters.
            lock = text("SELECT GET_LOCK(LEFT(CONCAT('intertie:', :name, ':', DATABASE()), 64), :wait)")
            if await connection.scalar(lock, {"name": name, "wait": wait}) != 1:
                raise away(f"another process has been changing the {name} tables for {wait:.0f} s; try again")
            yield connection
    finally:
        await engine.dispose()  # ends the session, and with it the lock


async def _begun_within(writer: AsyncEngine, wait: float) -> AsyncConnection:
    try:
        async with asyncio.timeout(wait) as limit:
            while True:
                try:
                    return await _begun(writer)
                except exc.SQLAlchemyError as error:
                    if not database_errors.is_conflict(error):
                        raise
    except TimeoutError as error:
        if not limit.expired():
            raise
        raise away(f"another process has been writing to the database for {wait:.0f} s; try again") from error


async def _begun(writer: AsyncEngine) -> AsyncConnection:
    connection = await writer.connect()
    try:
        await connection.begin()
    except BaseException:
        await connection.close()
        raise
    return connection
