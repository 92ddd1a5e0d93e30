"""Sessions on PostgreSQL, by asyncpg."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from typing import Any

import asyncpg
import orjson

from intertie_ingest.databases.postgresql_arguments import fitted
from intertie_ingest.databases.session import CONNECT_SECONDS, LOCK_SECONDS, Rows, Session
from intertie_ingest.databases.statements import Statement
from intertie_ingest.databases.values import Encoder, Repair, moment
from intertie_ingest.databases.volume import Meter, TooLarge
from intertie_ingest.errors import QueryRefused
from intertie_ingest.external import ExternalConnection

PORT = 5432

_MOMENTS = ("date", "timestamp", "timestamptz")
_SETTINGS = {
    "timezone": "UTC",
    "intervalstyle": "iso_8601",
    # The statements were written for these rules.
    "standard_conforming_strings": "on",
    "lock_timeout": f"{LOCK_SECONDS}s",
    "application_name": "intertie",
}
_IDLE_SECONDS = 60


async def connect(connection: ExternalConnection, address: str, tls: ssl.SSLContext | None) -> PostgreSQLSession:
    """A session at the address. Raises the driver's errors."""
    driver = await asyncpg.connect(
        host=address,
        port=connection.db_port or PORT,
        user=connection.db_username,
        password=connection.db_password,
        database=connection.db_name,
        ssl=tls or False,
        timeout=CONNECT_SECONDS,
        # Not what the environment or a home directory says.
        passfile=None,
        service=None,
        server_settings=_SETTINGS,
        # Poolers such as pgbouncer hand statements of one client to another's session.
        statement_cache_size=0,
    )
    try:
        await _teach(driver)
    except BaseException:
        driver.terminate()
        raise
    return PostgreSQLSession(driver)


async def _teach(driver: Any) -> None:
    """How some types travel: as PostgreSQL writes them, because the driver's own form of them loses something."""
    for name in ("json", "jsonb"):
        await driver.set_type_codec(name, schema="pg_catalog", encoder=str, decoder=orjson.Fragment, format="text")
    # Months would become thirty days each, and 0.1 of single precision 0.10000000149011612.
    await driver.set_type_codec("interval", schema="pg_catalog", encoder=str, decoder=str, format="text")
    await driver.set_type_codec("float4", schema="pg_catalog", encoder=str, decoder=float, format="text")


class PostgreSQLSession(Session):
    """A connection of asyncpg's."""

    def __init__(self, driver: Any) -> None:
        self._driver = driver
        self._meter = Meter(driver._transport)
        self._cursor: Any = None

    async def begin(self, statement: Statement, arguments: Sequence[Any], seconds: float) -> Encoder:
        self._meter.begin()
        await self._driver.execute(f"BEGIN TRANSACTION READ ONLY; {_limits(seconds)}")
        prepared = await self._driver.prepare(statement.sql)
        values = fitted(prepared.get_parameters(), arguments, statement.parameters)
        attributes = prepared.get_attributes()
        self._cursor = await prepared.cursor(*values)
        repairs: list[tuple[int, Repair]] = [
            (index, moment) for index, attribute in enumerate(attributes) if attribute.type.name in _MOMENTS
        ]
        return Encoder([attribute.name for attribute in attributes], repairs)

    async def fetch(self, most: int) -> Rows:
        self._meter.begin()
        try:
            rows: Rows = await self._cursor.fetch(most)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            if self._meter.is_over:
                raise TooLarge from None
            raise
        if self._meter.is_over:  # with the very last of the rows
            raise TooLarge
        return rows

    async def finish(self) -> None:
        self._cursor = None
        await self._driver.execute("ROLLBACK")

    async def change(self, statement: Statement, arguments: Sequence[Any], seconds: float, most: int) -> int:
        self._meter.begin()
        await self._driver.execute(f"BEGIN TRANSACTION READ WRITE; {_limits(seconds)}")
        prepared = await self._driver.prepare(statement.sql)
        values = fitted(prepared.get_parameters(), arguments, statement.parameters)
        await prepared.fetch(*values)
        changed = _count(prepared.get_statusmsg())
        if changed > most:
            await self._driver.execute("ROLLBACK")
            raise QueryRefused(f"the statement would change more than {most} rows; nothing is changed")
        await self._driver.execute("COMMIT")
        return changed

    async def catalogue(self, sql: str, arguments: Sequence[Any]) -> Rows:
        self._meter.begin()
        rows: Rows = await self._driver.fetch(sql, *arguments)
        return rows

    async def ping(self) -> None:
        self._meter.begin()
        await self._driver.execute("SELECT 1")

    async def tidy(self) -> None:
        """Locks, settings and temporary things of the session are gone for the next caller."""
        await self._driver.execute("DISCARD ALL")

    async def abandon(self) -> None:
        """The driver itself tells the server of a call that was cancelled; without that its time limit remains."""
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await self._driver.close()
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError, RuntimeError):
            self._driver.terminate()

    async def close(self) -> None:
        await self.abandon()


def _limits(seconds: float) -> str:
    return (
        f"SET LOCAL statement_timeout={max(int(seconds * 1000), 1)}; "
        f"SET LOCAL idle_in_transaction_session_timeout='{_IDLE_SECONDS}s'"
    )


def _count(status: str) -> int:
    last = status.rsplit(" ", 1)[-1]
    return int(last) if last.isdigit() else 0
