"""One way to a database for every owner: reads that never block, transactions that are whole or not at all.

SQLite: one writer connection (BEGIN IMMEDIATE, one transaction at a time in the order of asking, also of several
processes) and a few readers that cannot write. MySQL and MariaDB: a pool of writers at READ COMMITTED and one of
readers in read-only sessions. Times are UTC throughout: the session's time zone is +00:00, and Python's datetimes are
naive.

A server that is away, or that hangs, is met once (`availability`): from then on everybody is refused at once, until it
answers again.

Beware of rowcount on MySQL: the driver asks for *found* rows, so an UPDATE that changes nothing still counts its row,
and `INSERT … ON DUPLICATE KEY UPDATE` does not tell a new row from an old one.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Literal, TypeVar

import structlog
from sqlalchemy import Connection, event, exc
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.util import greenlet_spawn

from intertie_chassis import database_errors, metrics, mysql, sqlite
from intertie_chassis.availability import Availability, away
from intertie_chassis.direct import HAS_WRITTEN
from intertie_chassis.errors import StartupError, StoreBusy
from intertie_chassis.mysql import LockWait
from intertie_chassis.schema_turns import turn_on_mysql, turn_on_sqlite
from intertie_chassis.settings import with_async_driver

T = TypeVar("T")
Work = Callable[[AsyncConnection], Awaitable[T]]

_log = structlog.get_logger()
_MOST_ATTEMPTS = 5
_LOCK_WAIT = "intertie waits for locks"
_WRONG_ACCESS = {1044, 1045, 1049, 1130, 1698}  # MySQL: access denied, unknown database, host not allowed


class _Lost(Exception):
    """The connection died before the commit: nothing of the transaction will ever be there."""

    def __init__(self, error: exc.SQLAlchemyError) -> None:
        super().__init__()
        self.error = error


class Database:
    """An open database. Made by `open`, ended by `close`."""

    def __init__(
        self,
        url: str,
        *,
        pool_size: int = 8,
        table_prefix: str = "",
        name: str = "",
        lock_wait: LockWait = mysql.USUAL_LOCK_WAIT,
    ) -> None:
        """For `open`; connects to nothing yet."""
        self.weaknesses: tuple[str, ...] = ()
        """Settings of the store that may cost acknowledged data, each in a line that says what to set."""
        self._url = with_async_driver(url)
        self.dialect: Literal["sqlite", "mysql"] = "sqlite" if self._url.startswith("sqlite") else "mysql"
        self.table_prefix = table_prefix
        self._name = name
        self._lock_wait = lock_wait
        self._is_checked = False
        self._writer_lock = asyncio.Lock()
        self._version_lock = asyncio.Lock()
        self._version_reader: AsyncConnection | None = None
        self._running: set[asyncio.Task[object]] = set()
        self._closing: set[asyncio.Task[None]] = set()
        self._writer: AsyncEngine
        self._reader: AsyncEngine
        if self.dialect == "sqlite":
            self._writer, self._reader = sqlite.writer_engine(self._url), sqlite.reader_engine(self._url, pool_size)
            self._looker = self._writer
        else:
            self._writer = mysql.writer_engine(self._url, pool_size, lock_wait)
            self._reader = mysql.reader_engine(self._url, pool_size)
            self._looker = mysql.looker_engine(self._url)
        event.listen(self._writer.sync_engine, "after_cursor_execute", _note_writing)
        look = None if self.dialect == "sqlite" else self._look
        self._availability = Availability(name, look, self._discard)
        is_measured = bool(name) and metrics.PAGE.is_shown
        self._commits = metrics.COMMIT_SECONDS.labels(metrics.owner_of(name)) if is_measured else None

    @classmethod
    async def open(
        cls,
        url: str,
        *,
        pool_size: int = 8,
        table_prefix: str = "",
        name: str = "",
        lock_wait: LockWait = mysql.USUAL_LOCK_WAIT,
    ) -> "Database":
        """Opens the database and checks that what is committed survives a power cut (`weaknesses`, a loud log line and
        a metric if not).

        A MySQL server that is away is no fault here: the database heals when the server comes. `url` may leave out the
        driver; `name` is the owner's, for the metrics (none without it); `lock_wait` is how long transactions wait that
        do not say otherwise, best what most of them want, since each change costs a round trip. Raises StartupError
        when the URL, the account or the SQLite file can never work.
        """
        try:
            if with_async_driver(url).startswith("sqlite"):
                sqlite.make_directory(url)
            database = cls(url, pool_size=pool_size, table_prefix=table_prefix, name=name, lock_wait=lock_wait)
        except (exc.ArgumentError, exc.NoSuchModuleError, ValueError) as error:
            raise StartupError(
                "the database URL cannot be understood; see INTERTIE_DATABASE_URL. Characters of user and password "
                "other than letters and digits are written in percent form there: @ as %40, / as %2F, : as %3A"
            ) from error
        try:
            await database._check()
            database._availability.begin_here()
        except (exc.SQLAlchemyError, OSError) as error:
            number = database_errors.error_number(error)
            if database.dialect == "sqlite" or number in _WRONG_ACCESS:
                await database.close()
                raise StartupError(f"the database {database.shown_url} cannot be opened: {_cause(error)}") from error
            _log.warning("database is away; waiting for it", database=database.shown_url, cause=_cause(error))
            database._availability.begin_away()
        return database

    @property
    def is_mariadb(self) -> bool:
        """Whether the server is MariaDB; known from the first connection on, False before."""
        return bool(getattr(self._looker.dialect, "is_mariadb", False))

    @property
    def shown_url(self) -> str:
        """The URL without its password, for people."""
        return self._writer.url.render_as_string(hide_password=True)

    async def close(self) -> None:
        """Waits for the transactions that run, then closes every connection."""
        while self._running:
            await asyncio.wait(set(self._running))
        await self._availability.close()
        for task in set(self._closing):
            task.cancel()
        if self._version_reader is not None:
            await self._version_reader.close()
        await self._reader.dispose()
        await self._writer.dispose()
        await self._looker.dispose()

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A connection that sees what is committed and can write nothing.

        On SQLite one consistent snapshot for as long as it is held (hold it shortly: it keeps the WAL from shrinking),
        on MySQL each statement its own. Raises Unavailable (STORE_UNAVAILABLE) when the store is away, at once when
        that is known, or when no connection comes free within 2 s; other database errors as SQLAlchemy's.
        """
        try:
            async with self._availability.within(None), self._reader.connect() as connection:
                yield connection
            self._availability.answered()
        except exc.SQLAlchemyError as error:
            raise self._translated(error) from error

    async def transaction(
        self,
        work: Work[T],
        *,
        timeout: float = 10.0,
        lock_wait: int | LockWait | None = None,
        is_look: bool = False,
    ) -> T:
        """Runs `work(connection)` in one transaction, commits, and gives its result.

        `work` is run again (at most 5 times in all) after a deadlock, a lock wait or a busy file, so it must have no
        effect but through its connection. The whole runs shielded: when the caller is cancelled, it still commits or
        rolls back, within `timeout` seconds. Raises Unavailable (STORE_UNAVAILABLE) when the store is away (at once
        when that is known, or as soon as it is), when time runs out, or when the connection died during the commit:
        then nobody knows whether it is committed, so the caller must be able to ask again; StoreBusy, which is an
        Unavailable, when others stayed in the way. Other database errors pass as SQLAlchemy's.

        `lock_wait`: seconds for which a statement waits for what others have locked, rows and tables alike where it is
        one number (SQLite: always 5). With it a wait in vain is StoreBusy at once, for callers who have something
        better to do than to wait for the same lock again.

        `is_look`: it only finds out whether the store takes changes, and makes none: where transactions take turns to
        try a store that commits nothing, it takes none of them away.
        """
        task = asyncio.ensure_future(self._transaction(work, timeout, lock_wait, is_look))
        self._running.add(task)
        task.add_done_callback(self._ended)
        # Unlike await, wait() leaves the task alone when we are cancelled. It also ends when the task does not heed its
        # own timeout: asyncio.wait_for, which drivers use, swallows a cancellation that comes at the same moment as its
        # own (Python < 3.12).
        await asyncio.wait({task}, timeout=timeout + 1)
        if not task.done():
            task.cancel()
            raise away("the database did not finish in time; try again")
        return task.result()

    def _ended(self, task: asyncio.Task[object]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # looked at, so that asyncio does not report it when the caller has gone

    async def _transaction(self, work: Work[T], timeout: float, lock_wait: int | LockWait | None, is_look: bool) -> T:
        async with self._availability.within(timeout, writes=not is_look):
            return await self._attempts(work, lock_wait)

    async def _attempts(self, work: Work[T], lock_wait: int | LockWait | None) -> T:
        for attempt in range(1, _MOST_ATTEMPTS + 1):
            started = time.perf_counter()
            try:
                result, has_written = await self._once(work, lock_wait)
            except _Lost as lost:
                if attempt > 1:
                    raise self._translated(lost.error) from lost.error
                continue  # with another connection, at once: the server may have ended only this one
            except exc.SQLAlchemyError as error:
                was_long = lock_wait is not None and database_errors.is_lock_wait(error)
                if not database_errors.is_conflict(error) or was_long or attempt == _MOST_ATTEMPTS:
                    raise self._translated(error) from error
                _log.debug("transaction met another one; trying again", attempt=attempt, cause=_cause(error))
            else:
                if has_written:
                    self._availability.committed()
                    if self._commits is not None:
                        self._commits.observe(time.perf_counter() - started)
                else:
                    self._availability.ended()
                return result
            # Full jitter: two transactions that deadlocked must not meet again at the same moment.
            await asyncio.sleep(random.uniform(0.002, 0.02 * 2**attempt))
        raise AssertionError("unreachable")

    async def _check(self) -> None:
        """Looks at how durable the store is: at `open`, and whenever a server answers a look, since one that was away
        may have come back with other settings."""
        facts, weaknesses = await (sqlite if self.dialect == "sqlite" else mysql).check(self._looker)
        is_news, self._is_checked = not self._is_checked or weaknesses != self.weaknesses, True
        self.weaknesses = weaknesses
        if self._name:
            metrics.DURABILITY_DEGRADED.labels(self._name).set(bool(weaknesses))
        if is_news:
            _log.info("database is open", database=self.shown_url, **facts)
            for weakness in weaknesses:
                _log.error("DURABILITY DEGRADED: acknowledged data may be lost", why=weakness)

    async def _look(self) -> bool:
        """Whether the server answers, on a connection of its own."""
        try:
            await self._check()
        except exc.SQLAlchemyError as error:
            _log.debug("the database does not let us look", cause=_cause(error))
            if self._availability.is_away:
                return False
            # It answers, if only that it is full. One that is full may also just hang up: then what is open tells.
            return not database_errors.is_lost(error) or await self._answers_on_what_is_open()
        return True

    async def _answers_on_what_is_open(self) -> bool:
        try:
            async with self._reader.connect() as connection:
                await connection.exec_driver_sql("SELECT 1")
        except exc.SQLAlchemyError:
            return False
        return True

    async def _discard(self) -> None:
        """Leaves the pools' connections behind: after the server's return nobody is to wait on a dead one."""
        for engine in (self._writer, self._reader):
            left = engine.pool
            await engine.dispose(close=False)
            # Beside the looks: to a server that is silent, saying goodbye may take long.
            task = asyncio.create_task(greenlet_spawn(left.dispose))
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    def why_not_ready(self) -> str | None:
        """Why transactions cannot be expected to succeed though the store answers; None when they can."""
        if self._availability.is_stalled:
            return "the database answers, and commits nothing: its disk hangs, or somebody locks all of it"
        if self._availability.is_refusing:
            return "the database answers, and refuses to write: its disk is full or fails, or it is read-only"
        return None

    def _translated(self, error: exc.SQLAlchemyError) -> Exception:
        """Unavailable when the store is away or crowded, StoreBusy when others are in the way; else the error itself.
        Takes note of what it says of the store."""
        if database_errors.is_conflict(error):
            _log.warning("others hold what a transaction needs", cause=_cause(error))
            return StoreBusy("the database is busy with another change of the same data; try again", retry_after=1)
        if not database_errors.is_away(error):
            self._availability.answered()
            return error
        _log.warning("database is not available", cause=_cause(error))
        if database_errors.is_refusal(error):
            self._availability.refused()
        elif not database_errors.is_crowded(error):
            self._availability.suspect()
        return away()

    async def _once(self, work: Work[T], lock_wait: int | LockWait | None) -> tuple[T, bool]:
        """The result of the work, committed, and whether it has changed rows."""
        if self.dialect == "sqlite":
            # The connection waits for other processes by a lock of its own; see `sqlite_connection`.
            async with self._writer_lock, self._writer.begin() as connection:
                connection.info.pop(HAS_WRITTEN, None)
                return await work(connection), HAS_WRITTEN in connection.info
        async with self._writer.begin() as connection:
            connection.info.pop(HAS_WRITTEN, None)
            try:
                await self._wait_for_locks(connection, lock_wait)
                return await work(connection), HAS_WRITTEN in connection.info
            except exc.SQLAlchemyError as error:
                if database_errors.is_denied(error):
                    await connection.invalidate()  # what is granted meanwhile only sessions that begin later have
                if database_errors.is_lost(error):
                    raise _Lost(error) from error
                raise

    async def _wait_for_locks(self, connection: AsyncConnection, wait: int | LockWait | None) -> None:
        """Lets a MySQL session wait so long for what others have locked; asks it only for what it does not do."""
        wanted = self._lock_wait if wait is None else LockWait(wait, wait) if isinstance(wait, int) else wait
        if connection.info.get(_LOCK_WAIT, self._lock_wait) != wanted:
            connection.info[_LOCK_WAIT] = None  # not known, until it has answered
            await connection.exec_driver_sql(mysql.lock_wait(wanted))
            connection.info[_LOCK_WAIT] = wanted

    @asynccontextmanager
    async def exclusive(self, name: str, *, wait: float = 60.0) -> AsyncIterator[AsyncConnection]:
        """A connection for changing the schema, held by one process at a time under the name `name`.

        On SQLite it is one transaction, committed at the end; on MySQL every statement commits by itself, as DDL does
        anyway. Raises Unavailable when another process holds it longer than `wait` seconds.
        """
        try:
            if self.dialect == "sqlite":
                async with self._writer_lock, turn_on_sqlite(self._writer, wait) as connection:
                    yield connection
            else:
                async with turn_on_mysql(self._url, name, wait) as connection:
                    yield connection
        except exc.SQLAlchemyError as error:
            raise self._translated(error) from error

    async def data_version(self) -> int | None:
        """On SQLite a number that changes when any connection, also of another process, has committed; None on MySQL.

        Numbers are comparable between calls on one Database only.
        """
        if self.dialect != "sqlite":
            return None
        # The pragma's number has no meaning across two connections, so one reader is kept for it.
        async with self._version_lock:
            try:
                if self._version_reader is None:
                    self._version_reader = await self._reader.connect()
                result = await self._version_reader.exec_driver_sql("PRAGMA data_version")
                version = int(result.scalar_one())
                await self._version_reader.rollback()  # else the next one would look at the same snapshot
            except BaseException as error:
                reader, self._version_reader = self._version_reader, None
                if reader is not None:
                    await reader.close()
                if isinstance(error, exc.SQLAlchemyError):
                    raise self._translated(error) from error
                raise
            return version


def _note_writing(connection: Connection, cursor: Any, statement: str, *_: object) -> None:
    """Tells a transaction that has changed rows from one that found nothing to do: only the first says, when it is
    committed, that the store takes changes."""
    if cursor.rowcount > 0 and not statement.startswith("SELECT"):
        connection.info[HAS_WRITTEN] = True


def _cause(error: BaseException) -> str:
    """The driver's text on one line, for the log only."""
    original = getattr(error, "orig", None) or error
    return " ".join(str(original).split())[:300]
