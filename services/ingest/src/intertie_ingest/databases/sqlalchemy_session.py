"""Sessions on SQL Server and Oracle, by SQLAlchemy with the drivers of the optional extras. Not tested by the suite."""

from __future__ import annotations

import asyncio
import importlib.util
import ssl
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, CursorResult, exc
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from intertie_ingest.databases.session import CONNECT_SECONDS, LOCK_SECONDS, Rows, Session
from intertie_ingest.databases.statements import Statement
from intertie_ingest.databases.values import Encoder
from intertie_ingest.errors import ConnectionUnusable, QueryRefused
from intertie_ingest.external import ExternalConnection

T = TypeVar("T")

PORTS = {"mssql": 1433, "oracle": 1521}

_DIALECTS = {"mssql": ("mssql+aioodbc", "aioodbc"), "oracle": ("oracle+oracledb_async", "oracledb")}
_ODBC_DRIVER = "ODBC Driver 18 for SQL Server"


async def connect(connection: ExternalConnection, address: str, tls: ssl.SSLContext | None) -> SQLAlchemySession:
    """A session at the address. Raises ConnectionUnusable without the extra, and the driver's errors."""
    dialect, module = _DIALECTS[connection.db_driver]
    if importlib.util.find_spec(module) is None:
        raise ConnectionUnusable(
            f"the driver for {connection.db_driver} is not installed; install intertie-ingest[{connection.db_driver}]"
        )
    name = connection.db_name
    engine = create_async_engine(
        URL.create(
            dialect,
            username=connection.db_username,
            password=connection.db_password,
            host=address,
            port=connection.db_port or PORTS[connection.db_driver],
            database=name if connection.db_driver == "mssql" else None,
            query=_mssql_options(connection, tls) if connection.db_driver == "mssql" else {"service_name": name},
        ),
        poolclass=NullPool,
        hide_parameters=True,
        connect_args={"timeout": int(CONNECT_SECONDS)} if connection.db_driver == "mssql" else _oracle_options(tls),
    )
    try:
        return SQLAlchemySession(connection.db_driver, engine, await engine.connect())
    except BaseException:
        await engine.dispose()
        raise


def _mssql_options(connection: ExternalConnection, tls: ssl.SSLContext | None) -> dict[str, str]:
    options = {"driver": _ODBC_DRIVER, "ApplicationIntent": "ReadOnly", "Encrypt": "yes" if tls else "no"}
    if tls is not None:
        # The ODBC driver does TLS by itself, with the system's authorities.
        options["TrustServerCertificate"] = "yes" if tls.verify_mode == ssl.CERT_NONE else "no"
        options["HostNameInCertificate"] = connection.db_host
    return options


def _oracle_options(tls: ssl.SSLContext | None) -> dict[str, Any]:
    options: dict[str, Any] = {"tcp_connect_timeout": CONNECT_SECONDS}
    return {**options, "protocol": "tcps", "ssl_context": tls} if tls is not None else options


class SQLAlchemySession(Session):
    """A connection of SQLAlchemy's, by the DB-API cursor beneath."""

    def __init__(self, driver: str, engine: AsyncEngine, connection: AsyncConnection) -> None:
        self._driver, self._engine, self._connection = driver, engine, connection
        self._result: CursorResult[Any] | None = None

    async def begin(self, statement: Statement, arguments: Sequence[Any], seconds: float) -> Encoder:
        if self._driver == "oracle":
            await self._run(lambda connection: connection.exec_driver_sql("SET TRANSACTION READ ONLY"))
        else:
            await self._run(lambda connection: connection.exec_driver_sql(f"SET LOCK_TIMEOUT {LOCK_SECONDS * 1000}"))
        result = await self._run(
            lambda connection: connection.exec_driver_sql(
                statement.sql, tuple(arguments), execution_options={"stream_results": True}
            )
        )
        self._result = result
        return Encoder(list(result.keys()))

    async def fetch(self, most: int) -> Rows:
        result = self._result
        return [] if result is None else await self._run(lambda _: list(result.fetchmany(most)))

    async def finish(self) -> None:
        self._result = None
        await self._connection.rollback()

    async def change(self, statement: Statement, arguments: Sequence[Any], seconds: float, most: int) -> int:
        result = await self._run(lambda connection: connection.exec_driver_sql(statement.sql, tuple(arguments)))
        changed = max(int(result.rowcount), 0)
        if changed > most:
            await self._connection.rollback()
            raise QueryRefused(f"the statement would change more than {most} rows; nothing is changed")
        await self._connection.commit()
        return changed

    async def catalogue(self, sql: str, arguments: Sequence[Any]) -> Rows:
        rows: Rows = await self._run(lambda connection: list(connection.exec_driver_sql(sql, tuple(arguments))))
        await self._connection.rollback()
        return rows

    async def ping(self) -> None:
        await self.catalogue("SELECT 1 FROM DUAL" if self._driver == "oracle" else "SELECT 1", ())

    async def tidy(self) -> None:
        """A new connection is the only session as new that both know."""
        await self._connection.invalidate()
        await self._connection.close()
        self._connection = await self._engine.connect()

    async def abandon(self) -> None:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await self._connection.invalidate()
                await self._connection.close()
        except (exc.SQLAlchemyError, OSError, TimeoutError):
            pass
        await self._engine.dispose()

    async def close(self) -> None:
        await self.abandon()

    async def _run(self, work: Callable[[Connection], T]) -> T:
        return await self._connection.run_sync(work)
