"""Messages that must reach another service exactly when a transaction commits: written in it, sent after it.

A row is one message (for audit: one serialised batch of entries). It is deleted once the receiver has taken it: it may
be sent twice, never less than once, so receivers recognise what they have. Any number of replicas may drain at once.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import timedelta

import structlog
from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    delete,
    func,
    insert,
    select,
)
from sqlalchemy.dialects.mysql import DATETIME, LONGBLOB
from sqlalchemy.ext.asyncio import AsyncConnection

from intertie_chassis import metrics
from intertie_chassis.clock import utc_now
from intertie_chassis.database import Database
from intertie_chassis.errors import (
    AlreadyExists,
    FailedPrecondition,
    Internal,
    IntertieError,
    InvalidArgument,
)
from intertie_chassis.ids import new_ulid
from intertie_chassis.many_rows import ManyRows, Write

Send = Callable[[bytes], Awaitable[None]]

_log = structlog.get_logger()
_BATCH = 128
_MOST_JOINED_BYTES = 1 << 20
_POLL_SECONDS = 1.0
_REST_OF_WORK = 4
_LONGEST_REST = 0.1
"""Between batches, for as many times as the first took: small ones cost what large ones do."""
_FIRST_PAUSE = 0.2
_LONGEST_PAUSE = 5.0
_REFUSED_PAUSE = 60.0
_LEFT_SECONDS = 30.0
_REFUSALS = (InvalidArgument, AlreadyExists, FailedPrecondition, Internal)
"""What a receiver answers to one message that it will not take; anything else concerns them all."""


def outbox_table(metadata: MetaData, name: str) -> Table:
    """The table, for queries and for the owner's migration: id, batch_id (unique), payload, created_at."""
    return Table(
        name,
        metadata,
        Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
        Column("batch_id", String(26), nullable=False, unique=True),
        Column("payload", LargeBinary().with_variant(LONGBLOB(), "mysql", "mariadb"), nullable=False),
        Column("created_at", DateTime().with_variant(DATETIME(fsp=6), "mysql", "mariadb"), nullable=False),
        sqlite_autoincrement=True,
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
    )


class Outbox:
    """The outbox in one table of one database."""

    def __init__(self, database: Database, table: Table, *, is_shared: bool = False) -> None:
        """`is_shared`: another process sends all messages of the table. This one sends its own, and what has
        been left for half a minute: two that send everything send everything twice.
        """
        self._database = database
        self._table = table
        self._insert = ManyRows(insert(table), ["batch_id", "payload", "created_at"])
        self._woken = asyncio.Event()
        self._refused: dict[int, float] = {}
        self._is_shared = is_shared
        self._own: dict[str, float] = {}
        """Where it is shared, what this process wrote, and until when that may be looked for."""

    async def append(self, connection: AsyncConnection, payload: bytes) -> str:
        """Writes a message within the caller's transaction; gives its batch id."""
        statement, rows = self.message(payload)
        await statement.execute(connection, rows)
        return str(rows[0]["batch_id"])

    def message(self, payload: bytes) -> Write:
        """What writes a message, for the caller's transaction to run with what else it writes."""
        batch_id = new_ulid()
        if self._is_shared:
            self._own[batch_id] = time.monotonic() + _LEFT_SECONDS
        return self._insert, [{"batch_id": batch_id, "payload": payload, "created_at": utc_now()}]

    async def post(self, payload: bytes) -> None:
        """Writes a message that belongs to no other change, in a transaction of its own. Raises Unavailable."""

        async def work(connection: AsyncConnection) -> None:
            await self.append(connection, payload)

        await self._database.transaction(work)
        self.wake()

    def wake(self) -> None:
        """Says that a transaction with a message has committed, so that it is sent now and not at the next poll."""
        self._woken.set()

    async def drain(
        self,
        send: Send,
        *,
        joined: bool = False,
        rest: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """Sends what is there and what comes, in the order of writing, until cancelled; for `run_in_background`.

        `joined`: several messages may go as one, their bytes one after the other. For protobuf messages of nothing but
        repeated fields that is the one message with the items of all. `rest`: is waited for before each batch, so
        that more go together.

        `send` returns when the receiver has the message for good. When it raises, the messages wait and are tried again
        after at most 5 s. One that the receiver refuses for itself (InvalidArgument and the like) is logged loudly,
        steps aside for a minute, and holds nobody else up.
        """
        pause = _FIRST_PAUSE
        while True:
            if rest is not None:
                await rest()
            began = time.monotonic()
            try:
                sent = await self.drain_once(send, joined=joined)
            except IntertieError as error:
                _log.warning("outbox waits", table=self._table.name, reason=error.reason, cause=error.message)
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
                continue
            pause = _FIRST_PAUSE
            if not sent:
                await self._wait()
            elif sent < _BATCH:
                await asyncio.sleep(min(_LONGEST_REST, _REST_OF_WORK * (time.monotonic() - began)))

    async def drain_once(self, send: Send, *, joined: bool = False) -> int:
        """Sends at most one batch; gives how many messages were sent and deleted.

        Raises what `send` raised (what was sent before is deleted all the same) and Unavailable from the store.
        """
        self._woken.clear()
        now = time.monotonic()
        self._refused = {row: until for row, until in self._refused.items() if until > now}
        self._own = {batch: until for batch, until in self._own.items() if until > now}
        query = select(self._table.c.id, self._table.c.payload).order_by(self._table.c.id).limit(_BATCH)
        if self._refused:
            query = query.where(self._table.c.id.not_in(list(self._refused)))
        async with self._database.read() as connection:
            if self._is_shared and not await self._is_left(connection):
                query = query.where(self._table.c.batch_id.in_(list(self._own)))
            rows = [(int(row.id), bytes(row.payload)) for row in await connection.execute(query)]
        done: list[int] = []
        try:
            for run in _runs(rows) if joined else ([row] for row in rows):
                await self._send(run, send, done)
        finally:
            if done:
                await self._delete(done)
        return len(done)

    async def look(self, owner: str) -> None:
        """Sets the metrics of what waits. Raises Unavailable."""
        some = select(self._table.c.id).limit(metrics.MOST_COUNTED).subquery()
        oldest = select(self._table.c.created_at).order_by(self._table.c.id).limit(1)
        async with self._database.read() as connection:
            waiting = await connection.scalar(select(func.count()).select_from(some))
            written_at = await connection.scalar(oldest)
        age = 0.0 if written_at is None else (utc_now() - written_at).total_seconds()
        metrics.OUTBOX_WAITING.labels(owner).set(waiting or 0)
        metrics.OUTBOX_OLDEST.labels(owner).set(max(0.0, age))

    async def _is_left(self, connection: AsyncConnection) -> bool:
        """Whether the oldest message has been there for so long that whoever else sends them must be away."""
        oldest = select(self._table.c.created_at).order_by(self._table.c.id).limit(1)
        written_at = await connection.scalar(oldest)
        return written_at is not None and written_at <= utc_now() - timedelta(seconds=_LEFT_SECONDS)

    async def _send(self, rows: Sequence[tuple[int, bytes]], send: Send, done: list[int]) -> None:
        """Sends these as one message; if it is refused, each by itself."""
        try:
            await send(b"".join(payload for _, payload in rows))
        except _REFUSALS as error:
            if len(rows) > 1:
                for row in rows:
                    await self._send([row], send, done)
                return
            (number, _), *_ = rows
            self._refused[number] = time.monotonic() + _REFUSED_PAUSE
            _log.error(
                "message refused by its receiver; it stays in the outbox",
                table=self._table.name,
                row=number,
                reason=error.reason,
                cause=error.message,
            )
        else:
            done += [number for number, _ in rows]

    async def _delete(self, ids: list[int]) -> None:
        async def work(connection: AsyncConnection) -> None:
            # By primary key and in order: two replicas that drain at once then wait for each other, not deadlock.
            await connection.execute(delete(self._table).where(self._table.c.id.in_(sorted(ids))))

        await self._database.transaction(work)

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(_POLL_SECONDS):
                await self._woken.wait()
        except TimeoutError:
            return


def _runs(rows: Sequence[tuple[int, bytes]]) -> Iterator[Sequence[tuple[int, bytes]]]:
    """The rows in runs of at most a mebibyte, or of one row."""
    start = size = 0
    for position, (_, payload) in enumerate(rows):
        if position > start and size + len(payload) > _MOST_JOINED_BYTES:
            yield rows[start:position]
            start, size = position, 0
        size += len(payload)
    if rows:
        yield rows[start:]
