"""SQLite connections that change threads only for what may wait: a lock, the disk, a long read.

aiosqlite hands every call to a thread of its own: several changes of thread for one small statement, and at each of
them the two threads contend for the interpreter, which costs more than the statement. A statement of a transaction that
holds the write lock waits for nobody, so it runs where it is called; BEGIN waits for other processes, COMMIT for the
disk.
"""

import sqlite3
from collections.abc import Callable
from typing import Any

import aiosqlite

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


class WriterConnection(_Connection):
    """The connection that writes: its transactions are of a few indexed statements."""

    def is_brief(self, name: str, arguments: tuple[Any, ...]) -> bool:
        """All but BEGIN, COMMIT, and what stands outside of a transaction."""
        return name in _ALWAYS_BRIEF or (name != "commit" and self._conn.in_transaction)


class ReaderConnection(_Connection):
    """A connection that reads: people's questions may walk a long table, so what finds rows goes to the thread."""

    def is_brief(self, name: str, arguments: tuple[Any, ...]) -> bool:
        """The beginning and the end of a transaction, which take no lock here, and making a cursor."""
        return name in _ALWAYS_BRIEF or (name == "execute" and arguments[:1] == ("BEGIN",))


def connector(kind: type[_Connection]) -> Callable[..., aiosqlite.Connection]:
    """For SQLAlchemy's `async_creator_fn`: opens a connection of the kind."""

    def connect(database: str, **options: Any) -> aiosqlite.Connection:
        def opened() -> sqlite3.Connection:
            # Both threads use it, never at the same time; so sqlite3's own check must be off.
            options.update(check_same_thread=False, cached_statements=_STATEMENTS_KEPT)
            connection: sqlite3.Connection = sqlite3.connect(database, **options)
            return connection

        connection = kind(opened, 64)
        connection._thread.daemon = True
        return connection

    return connect
