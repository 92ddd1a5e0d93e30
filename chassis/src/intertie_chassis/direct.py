"""Statements that go straight to the MySQL driver: what every group of deliveries runs.

SQLAlchemy makes a context, a result and a stack of its own for each statement, which costs more than the rest of a
short one: 178 µs for reading one row by its key, 58 here; 103 for inserting one, 75 here (both with the server's own
time). Connections, transactions and errors stay SQLAlchemy's.
"""

import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

from asyncmy.connection import MySQLResult
from asyncmy.cursors import Cursor
from asyncmy.errors import Error, InternalError
from asyncmy.protocol import pack_bulk_rows
from sqlalchemy import exc
from sqlalchemy.ext.asyncio import AsyncConnection

from intertie_chassis.bulk_cursor import PreparedStatement, RowStatement

_NOTHING = "DO 0"
_BULK_EXECUTE = 0xFA
_BULK_HEAD = struct.Struct("<IH")
"""Number of the prepared statement, flags."""
_WITH_TYPES = 128
Writing = tuple[RowStatement, Sequence[Sequence[Any]]]
"""A statement, and rows for it, at least one."""
HAS_WRITTEN = "intertie has written"
"""Stands in a connection's `info` when its transaction has changed rows."""


async def write(connection: AsyncConnection, statement: RowStatement, rows: Sequence[Sequence[Any]]) -> int:
    """Runs a statement for rows, at least one; gives how many it inserted or found.

    Raises what SQLAlchemy raises of the driver's errors.
    """
    async with _cursor(connection, statement) as cursor:
        await cursor.executemany(statement, rows)
        count: int = cast(Any, cursor).rowcount
    if count > 0:
        connection.info[HAS_WRITTEN] = True
    return count


async def write_all(connection: AsyncConnection, writings: Sequence[Writing]) -> int:
    """Runs statements in their order; gives how many rows they inserted or found.

    MariaDB gets them all before an answer is waited for, so that they take one round trip. Those behind one that it
    refuses run all the same: after an error the transaction must be rolled back. Raises as `write` does, the first
    error.
    """
    if len(writings) > 1:
        async with _cursor(connection, writings[0][0]) as cursor:
            driver: Any = cursor.connection
            packets = await _bulk_packets(driver, writings)
            count = await _sent_together(driver, packets) if packets is not None else 0
        if packets is not None:
            if count > 0:
                connection.info[HAS_WRITTEN] = True
            return count
    return sum([await write(connection, statement, rows) for statement, rows in writings])


async def read(
    connection: AsyncConnection, statement: PreparedStatement, values: Sequence[Any]
) -> Sequence[tuple[Any, ...]]:
    """The rows that a statement finds, as the driver makes them. Raises as `write` does."""
    async with _cursor(connection, statement) as cursor:
        await cursor.execute(statement, values)
        rows: Sequence[tuple[Any, ...]] = await cursor.fetchall()
    return rows


async def _bulk_packets(driver: Any, writings: Sequence[Writing]) -> list[bytes] | None:
    """What the driver's own `executemany` would send of each; None when one of them cannot go so."""
    if not driver._bulk_supported:
        return None
    packets: list[bytes] = []
    for text, rows in writings:
        statement = await driver._acquire_cached_statement(str(text), len(rows[0]))
        packed = None if statement is None else pack_bulk_rows(rows, len(rows[0]), driver._encoding)
        if packed is None:
            return None
        packets.append(_BULK_HEAD.pack(statement._statement_id, _WITH_TYPES) + packed[0] + packed[1])
    return packets


async def _sent_together(driver: Any, packets: Sequence[bytes]) -> int:
    for packet in packets:
        await driver._execute_command(_BULK_EXECUTE, packet)
    count, refused = 0, None
    for _ in packets:
        driver._next_seq_id = 1  # of each answer its own first packet
        answer: Any = MySQLResult(driver)
        try:
            await answer.read()
        except Error as error:
            refused = refused or error
            if not driver.connected:
                break
        else:
            count += answer.affected_rows
    if refused is not None:
        raise refused
    return count


@asynccontextmanager
async def _cursor(connection: AsyncConnection, statement: str) -> AsyncIterator[Cursor]:
    own: Any = connection.sync_connection
    if own is None or own.invalidated:
        await connection.exec_driver_sql(_NOTHING)  # connects anew, or says in SQLAlchemy's way why it must not
    try:
        async with own.connection.driver_connection.cursor() as cursor:
            yield cursor
    except (Error, AttributeError) as error:
        # The driver's own words for a connection whose transport has gone, as SQLAlchemy takes them.
        lost: Any = InternalError("network operation failed") if isinstance(error, AttributeError) else error
        is_lost = connection.dialect.is_disconnect(lost, None, None)
        if is_lost:
            await _give_up(connection)
        raise exc.DBAPIError.instance(
            statement,
            None,
            lost,
            Error,
            hide_parameters=True,
            connection_invalidated=is_lost,
            dialect=connection.dialect,
        ) from error


async def _give_up(connection: AsyncConnection) -> None:
    """Has SQLAlchemy meet the loss too: it then uses no connection of its pool again that is as old."""
    try:
        await connection.exec_driver_sql(_NOTHING)
    except exc.DBAPIError:
        return
    await connection.invalidate()
