"""External databases as their users see them: a query, a write, a table's columns, a trial of the connection."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from intertie_ingest.databases import catalogue
from intertie_ingest.databases.arguments import arguments_of
from intertie_ingest.databases.connecting import open_session
from intertie_ingest.databases.failures import translated
from intertie_ingest.databases.pool import Pool
from intertie_ingest.databases.reading import Budget, Caps, Part, Truncated, read
from intertie_ingest.databases.session import Session
from intertie_ingest.databases.statements import Statement
from intertie_ingest.egress import Egress
from intertie_ingest.errors import ConnectionUnusable, ExternalUnavailable, NoSource
from intertie_ingest.external import ExternalConnection

_WAIT_SECONDS = 5.0
_CATALOGUE_SECONDS = 10.0
_COLUMNS_KEPT_SECONDS = 10.0
_MOST_KEPT = 1000
_LOST_COMMIT = "the connection was lost while the change was made; look whether it is there before you try again"


@dataclass(frozen=True, slots=True)
class Result:
    """An answer, or a part of one."""

    #: a JSON array of objects
    rows_json: bytes
    #: how many rows these are; of a write, how many it changed
    count: int
    #: whether a cap was reached, so that rows are missing
    truncated: bool


class Databases:
    """Keeps the sessions of all external databases: a bounded number for each connection, made on first use."""

    def __init__(
        self,
        egress: Egress,
        *,
        pool_size: int = 4,
        idle_seconds: float = 300,
        forbidden_files: Collection[Path] = (),
        wait_seconds: float = _WAIT_SECONDS,
    ) -> None:
        """Args:
        pool_size: connections to each database at once.
        idle_seconds: after so long without use `keep` closes a pool.
        forbidden_files: files and directories that no SQLite connection may open.
        wait_seconds: how long a caller waits for a connection that is in use.
        """
        self._egress = egress
        self._pool_size, self._idle_seconds, self._wait_seconds = pool_size, idle_seconds, wait_seconds
        self._forbidden = tuple(forbidden_files)
        # Compared by value, looked up by number: options are a mapping, which has no hash.
        self._pools: dict[int, tuple[ExternalConnection, Pool]] = {}
        self._columns: dict[tuple[int, str], tuple[float, Pool, catalogue.Table | None]] = {}
        self._retired: set[asyncio.Task[None]] = set()

    async def query(
        self, connection: ExternalConnection, statement: Statement, params: Mapping[str, Any], caps: Caps
    ) -> Result:
        """Runs the statement: a SELECT in a read-only transaction, anything else in a transaction of its own.

        A read gives its rows up to the caps. A write that changes more than `caps.rows` is rolled back and refused.
        Raises QueryFailed with the database's own words, QueryTimedOut, QueryRefused, ExternalUnavailable,
        ConnectionUnusable, AddressNotAllowed, ExternalInvalid.
        """
        if statement.kind != "select":
            return await self._change(connection, statement, params, caps)
        rows: list[bytes] = []
        truncated = False
        async with aclosing(self._parts(connection, statement, params, caps)) as parts:
            async for part in parts:
                rows.extend(part.rows)
                truncated = truncated or part.truncated
        return _result(rows, truncated)

    async def stream(
        self, connection: ExternalConnection, statement: Statement, params: Mapping[str, Any], caps: Caps
    ) -> AsyncGenerator[Result, None]:
        """As `query`, in parts of some hundred kilobytes; the last one, which may have no rows, says `truncated`."""
        if statement.kind != "select":
            yield await self._change(connection, statement, params, caps)
            return
        async with aclosing(self._parts(connection, statement, params, caps)) as parts:
            async for part in parts:
                yield _result(part.rows, part.truncated)

    async def columns(self, connection: ExternalConnection, tables: Collection[str]) -> dict[str, list[str]]:
        """The columns of each of the tables, in order; a table that is not there is left out. Known for some seconds.

        Raises ExternalUnavailable, ConnectionUnusable, AddressNotAllowed, QueryTimedOut.
        """
        found = {name: await self.table(connection, name) for name in tables}
        return {name: [column.name for column in table.columns] for name, table in found.items() if table is not None}

    async def table(self, connection: ExternalConnection, name: str) -> catalogue.Table | None:
        """What the database's catalogue says of `table` or `schema.table`; None when it is not there. As `columns`."""
        pool = self._pool(connection)
        kept = self._columns.get((connection.id, name))
        if kept is not None and kept[1] is pool and time.monotonic() - kept[0] < _COLUMNS_KEPT_SECONDS:
            return kept[2]
        try:
            path = catalogue.path_of(name)
        except NoSource:
            return None
        async with self.session(connection, tidy=False) as session:
            table = await Budget(_CATALOGUE_SECONDS).spend(catalogue.look_up(session, connection, path))
        if len(self._columns) >= _MOST_KEPT:
            self._columns.clear()
        self._columns[connection.id, name] = (time.monotonic(), pool, table)
        return table

    async def test(self, connection: ExternalConnection) -> None:
        """Connects anew and asks something trivial. Raises what `query` raises when that does not work."""
        try:
            async with asyncio.timeout(_CATALOGUE_SECONDS):
                session = await open_session(connection, self._egress, self._forbidden)
                try:
                    await session.ping()
                finally:
                    await session.close()
        except TimeoutError:
            raise ExternalUnavailable(retry_after=5) from None
        except Exception as error:
            _raise(error, connection)

    async def keep(self, connections: Collection[ExternalConnection]) -> None:
        """Closes the pools of all other connections: of those that are gone or changed, and of those long unused."""
        wanted = {connection.id: connection for connection in connections if connection.is_active}
        now = time.monotonic()
        for number, (connection, pool) in list(self._pools.items()):
            is_unused = pool.is_idle and now - pool.last_used > self._idle_seconds
            if wanted.get(number) != connection or is_unused:
                del self._pools[number]
                self._retire(pool)

    async def close(self) -> None:
        """Closes every connection, also those in use."""
        pools = [pool for _, pool in self._pools.values()]
        self._pools.clear()
        for pool in pools:
            await pool.close(at_once=True)
        while self._retired:
            await asyncio.wait(set(self._retired))

    @asynccontextmanager
    async def session(self, connection: ExternalConnection, *, tidy: bool = True) -> AsyncIterator[Session]:
        """A session of the connection's pool. What is raised within is raised as one of our errors.

        Args:
        tidy: False for our own statements, which leave nothing behind.
        """
        try:
            async with self._pool(connection).session(tidy=tidy) as session:
                yield session
        except TimeoutError:
            raise ExternalUnavailable(retry_after=5) from None
        except Exception as error:
            _raise(error, connection)

    async def _parts(
        self, connection: ExternalConnection, statement: Statement, params: Mapping[str, Any], caps: Caps
    ) -> AsyncGenerator[Part, None]:
        arguments, budget = arguments_of(statement, params), Budget(caps.seconds)
        try:
            async with (
                self.session(connection) as session,
                aclosing(read(session, statement, arguments, caps, budget)) as parts,
            ):
                async for part in parts:
                    yield part
        except Truncated as end:
            yield end.part

    async def _change(
        self, connection: ExternalConnection, statement: Statement, params: Mapping[str, Any], caps: Caps
    ) -> Result:
        arguments, budget = arguments_of(statement, params), Budget(caps.seconds)
        async with self.session(connection) as session:
            try:
                changed = await budget.spend(session.change(statement, arguments, caps.seconds, caps.rows))
            except Exception as error:
                failure = translated(error, connection)
                if isinstance(failure, ExternalUnavailable):
                    raise ExternalUnavailable(_LOST_COMMIT) from error
                raise
        return Result(b"[]", changed, False)

    def _pool(self, connection: ExternalConnection) -> Pool:
        if not connection.is_active:
            raise ConnectionUnusable("the connection is not active")
        kept = self._pools.get(connection.id)
        if kept is not None:
            if kept[0] == connection:
                return kept[1]
            self._retire(kept[1])
        pool = Pool(
            lambda: open_session(connection, self._egress, self._forbidden), self._pool_size, self._wait_seconds
        )
        self._pools[connection.id] = (connection, pool)
        return pool

    def _retire(self, pool: Pool) -> None:
        task = asyncio.ensure_future(pool.close())
        self._retired.add(task)
        task.add_done_callback(self._retired.discard)


def _result(rows: Collection[bytes], truncated: bool) -> Result:
    return Result(b"[" + b",".join(rows) + b"]", len(rows), truncated)


def _raise(error: Exception, connection: ExternalConnection) -> None:
    """Raises our error for the driver's; anything else as it is."""
    failure = translated(error, connection)
    if failure is None or failure is error:
        raise error
    raise failure from error
