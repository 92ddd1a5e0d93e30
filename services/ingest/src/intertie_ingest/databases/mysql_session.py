"""Sessions on MySQL and MariaDB, by asyncmy."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from typing import Any

import asyncmy
from asyncmy.connection import Connection
from asyncmy.constants.CLIENT import MULTI_STATEMENTS
from asyncmy.constants.FIELD_TYPE import BIT, DATE, DATETIME, JSON, NEWDATE, TIMESTAMP
from asyncmy.converters import conversions
from asyncmy.cursors import SSCursor

from intertie_ingest.databases.session import CONNECT_SECONDS, LOCK_SECONDS, Rows, Session
from intertie_ingest.databases.statements import Statement
from intertie_ingest.databases.values import Encoder, Repair, embedded, moment
from intertie_ingest.databases.volume import PART_BYTES, Meter, TooLarge, weight
from intertie_ingest.errors import QueryRefused
from intertie_ingest.external import ExternalConnection

PORT = 3306

_RESET_CONNECTION = 0x1F
_MOMENTS = (DATE, DATETIME, NEWDATE, TIMESTAMP)
# The statements were written for these rules: with a server's own ANSI_QUOTES or NO_BACKSLASH_ESCAPES the same text
# would be another statement.
_SESSION = (
    "time_zone='+00:00', "
    "sql_mode='STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION', "
    f"innodb_lock_wait_timeout={LOCK_SECONDS}, lock_wait_timeout={LOCK_SECONDS}"
)


async def connect(connection: ExternalConnection, address: str, tls: ssl.SSLContext | None) -> MySQLSession:
    """A session at the address. Raises the driver's errors."""
    driver: Any = Connection(  # type: ignore[no-untyped-call]
        host=address,
        port=connection.db_port or PORT,
        user=connection.db_username,
        # As bytes: of a text the driver makes latin-1, while servers take UTF-8.
        password=connection.db_password.encode(),
        database=connection.db_name or None,
        charset="utf8mb4",
        connect_timeout=int(CONNECT_SECONDS),
        autocommit=True,
        local_infile=False,
        ssl=tls,
        conv={**conversions, BIT: _bits},
    )
    # The driver always asks for it; then one text could be several statements.
    driver._client_flag &= ~MULTI_STATEMENTS
    session = MySQLSession(connection, address, tls, driver)
    try:
        await driver.connect()
        session._meter = Meter(driver._transport)
        await session._prepare()
    except BaseException:
        driver.close()
        raise
    return session


class MySQLSession(Session):
    """A connection of asyncmy's."""

    def __init__(self, connection: ExternalConnection, address: str, tls: ssl.SSLContext | None, driver: Any) -> None:
        self._connection, self._address, self._tls = connection, address, tls
        self._driver = driver
        self._cursor: Any = None
        self._meter: Any = None
        #: the statement timeout that the session has, in seconds
        self._seconds = 0.0
        #: whether the server may be at work on a statement
        self._is_busy = False

    async def begin(self, statement: Statement, arguments: Sequence[Any], seconds: float) -> Encoder:
        self._is_busy = True
        self._meter.begin()
        await self._limit(seconds)
        await self._driver.query("START TRANSACTION READ ONLY")
        self._cursor = self._driver.cursor(SSCursor)
        await self._cursor.execute(statement.sql, tuple(arguments))
        self._meter.pause()
        description = self._cursor.description or ()
        repairs: list[tuple[int, Repair]] = []
        for index, column in enumerate(description):
            if column[1] in _MOMENTS:
                repairs.append((index, moment))
            elif column[1] == JSON:
                repairs.append((index, embedded))
        is_flat = all(column[1] != JSON for column in description)
        return Encoder([column[0] for column in description], repairs, is_flat=is_flat)

    async def fetch(self, most: int) -> Rows:
        rows: list[Sequence[Any]] = []
        size = 0
        try:
            while len(rows) < most and size < PART_BYTES:
                self._meter.begin()
                row = await self._cursor.fetchone()
                if row is None:
                    break
                rows.append(row)
                size += weight(row)
        except asyncmy.errors.MySQLError:
            if self._meter.is_over:
                raise TooLarge from None
            raise
        if self._meter.is_over:
            raise TooLarge
        # The driver itself never does: it would hold whatever the server sends until the next rows are asked for.
        self._meter.pause()
        return rows

    async def finish(self) -> None:
        self._meter.begin()
        await self._cursor.close()
        await self._driver.rollback()
        self._is_busy = False

    async def change(self, statement: Statement, arguments: Sequence[Any], seconds: float, most: int) -> int:
        self._is_busy = True
        self._meter.begin()
        await self._limit(seconds)
        await self._driver.begin()
        cursor = self._driver.cursor()
        await cursor.execute(statement.sql, tuple(arguments))
        changed = max(int(cursor.rowcount), 0)
        await cursor.close()
        if changed > most:
            await self._driver.rollback()
            raise QueryRefused(f"the statement would change more than {most} rows; nothing is changed")
        await self._driver.commit()
        self._is_busy = False
        return changed

    async def catalogue(self, sql: str, arguments: Sequence[Any]) -> Rows:
        self._meter.begin()
        async with self._driver.cursor() as cursor:
            await cursor.execute(sql, tuple(arguments))
            rows: Rows = await cursor.fetchall()
            return rows

    async def ping(self) -> None:
        await self._driver.ping(reconnect=False)

    async def tidy(self) -> None:
        """A session as new: else a lock, a variable or another transaction mode would stay for the next caller."""
        await self._driver._execute_command(_RESET_CONNECTION, "")
        await self._driver._read_ok_packet()
        await self._prepare()

    async def abandon(self) -> None:
        thread, was_busy = self._driver.thread_id(), self._is_busy
        self._driver.close()
        if was_busy and thread:
            # A server that sends nothing does not notice that nobody listens: the statement would run on.
            await self._kill(thread)

    async def close(self) -> None:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await self._driver.ensure_closed()
        except (asyncmy.errors.MySQLError, OSError, RuntimeError, TimeoutError):
            self._driver.close()

    async def _kill(self, thread: int) -> None:
        try:
            async with asyncio.timeout(2 * CONNECT_SECONDS):
                other = await connect(self._connection, self._address, self._tls)
                try:
                    await other._driver.query(f"KILL {int(thread)}")
                finally:
                    other._driver.close()
        except (asyncmy.errors.MySQLError, OSError, RuntimeError, TimeoutError):
            return  # it has ended meanwhile; or the server's own time limit remains

    async def _prepare(self) -> None:
        self._seconds = 0.0
        await self._driver.query(f"SET SESSION {_SESSION}")

    async def _limit(self, seconds: float) -> None:
        if seconds == self._seconds:
            return
        if "mariadb" in (self._driver.server_version or "").lower():
            await self._driver.query(f"SET SESSION max_statement_time={float(seconds):.3f}")
        else:
            await self._driver.query(f"SET SESSION max_execution_time={max(int(seconds * 1000), 1)}")
        self._seconds = seconds


def _bits(value: bytes) -> int:
    return int.from_bytes(value, "big")
