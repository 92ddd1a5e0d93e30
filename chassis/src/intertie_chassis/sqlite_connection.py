"""SQLite connections that change threads only for what may wait: a lock, the disk, a long read.

aiosqlite hands every call to a thread of its own: several changes of thread for one small statement, and at each of
them the two threads contend for the interpreter, which costs more than the statement. A statement of a transaction that
holds the write lock waits for nobody, so it runs where it is called; BEGIN waits for other processes, COMMIT for the
disk.

A connection that writes holds the file's lock among our processes (`file_lock`) while its transaction is open, COMMIT
and the checkpoint in it included: no two connections write or checkpoint at the same moment, where older versions of
SQLite may corrupt the file (sqlite.org/wal.html, "the WAL-reset bug"). Readers do not checkpoint. The last connection
to be closed does, outside of this lock, but only with SQLite's own exclusive lock on the whole file: then nobody else
is in.
"""

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import aiosqlite

from intertie_chassis.file_lock import FileLock, Hold

_STATEMENTS_KEPT = 256
_ALWAYS_BRIEF = {"cursor", "rollback"}


class _Connection(aiosqlite.Connection):
    """Decides for each call whether it goes to the thread.

    A call while the thread is still busy (one that was cancelled runs on there) always goes there too, so that calls
    keep their order.
    """

    #: calls given to the thread, counted by the loop, and those that it has done, counted by the thread
    _given = 0
    _done = 0

    def is_brief(self, name: str, arguments: tuple[Any, ...]) -> bool:
        """Whether a call of this method of sqlite3's waits for nothing."""
        raise NotImplementedError

    async def _execute(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        name = getattr(fn, "__name__", "")
        is_open = self._running and self._connection is not None
        if is_open and self._given == self._done and self.is_brief(name, args):
            return fn(*args, **kwargs)

        def counted() -> Any:
            try:
                return fn(*args, **kwargs)
            finally:
                self._done += 1

        self._given += 1
        return await super()._execute(counted)  # type: ignore[no-untyped-call]


class _Holding(sqlite3.Connection):
    """Keeps the lock that it is given for as long as a transaction is open."""

    hold: Hold | None = None

    def settle(self) -> None:
        """Gives the lock back unless a transaction is open."""
        if self.hold is not None and not self.in_transaction:
            self._release()

    def commit(self) -> None:
        """Commits."""
        try:
            super().commit()
        finally:
            self.settle()

    def rollback(self) -> None:
        """Rolls back."""
        try:
            super().rollback()
        finally:
            self.settle()

    def close(self) -> None:
        """Closes the connection, which rolls back."""
        try:
            super().close()
        finally:
            self._release()

    def _release(self) -> None:
        hold, self.hold = self.hold, None
        if hold is not None:
            hold.release()


class WriterConnection(_Connection):
    """The connection that writes: its transactions are of a few indexed statements."""

    #: the file's, shared by the connections of one engine
    lock: FileLock

    async def _execute(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if "execute" not in getattr(fn, "__name__", "") or not self._running or self._connection is None:
            return await super()._execute(fn, *args, **kwargs)
        if self._given != self._done:
            await super()._execute(_nothing)  # what was cancelled ends first: it may be about to give the lock back
        connection = cast(_Holding, self._connection)
        if connection.hold is not None:
            return await super()._execute(fn, *args, **kwargs)
        connection.hold = await self._acquired()

        def settled() -> Any:
            try:
                return fn(*args, **kwargs)
            finally:
                connection.settle()

        return await super()._execute(settled)

    async def _acquired(self) -> Hold:
        try:
            return await self.lock.acquire()
        except OSError as error:
            # As SQLite itself says it of its own files, so that it is understood in the same way.
            unopened = sqlite3.OperationalError(f"unable to open the lock file ({error.strerror})")
            unopened.sqlite_errorcode = sqlite3.SQLITE_CANTOPEN
            raise unopened from error

    def is_brief(self, name: str, arguments: tuple[Any, ...]) -> bool:
        """All but BEGIN, COMMIT, and what stands outside of a transaction."""
        return name in _ALWAYS_BRIEF or (name != "commit" and self._conn.in_transaction)


class ReaderConnection(_Connection):
    """A connection that reads: people's questions may walk a long table, so what finds rows goes to the thread."""

    def is_brief(self, name: str, arguments: tuple[Any, ...]) -> bool:
        """The beginning and the end of a transaction, which take no lock here, and making a cursor."""
        return name in _ALWAYS_BRIEF or (name == "execute" and arguments[:1] == ("BEGIN",))


def _nothing() -> None:
    return


def connector(kind: type[_Connection]) -> Callable[..., aiosqlite.Connection]:
    """For SQLAlchemy's `async_creator_fn`: opens a connection of the kind."""
    locks: dict[str, FileLock] = {}

    def connect(database: str, **options: Any) -> aiosqlite.Connection:
        def opened() -> sqlite3.Connection:
            # Both threads use it, never at the same time; so sqlite3's own check must be off.
            options.update(check_same_thread=False, cached_statements=_STATEMENTS_KEPT)
            factory = _Holding if kind is WriterConnection else sqlite3.Connection
            connection: sqlite3.Connection = sqlite3.connect(database, factory=factory, **options)
            return connection

        connection = kind(opened, 64)
        if isinstance(connection, WriterConnection):
            # By its real name: whoever opens the file through a link is to meet the others.
            path = f"{os.path.realpath(database)}.writer"
            connection.lock = locks.setdefault(path, FileLock(Path(path)))
        connection._thread.daemon = True
        return connection

    return connect
