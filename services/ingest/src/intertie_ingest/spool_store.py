"""The SQL of the spool: an SQLite file of its own, which keeps deliveries for good while the database is away.

What is kept is folded first, as in the database, onto what the spool holds already: repetitions are answered as such,
and are not kept twice.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any, TypeVar

import orjson
import structlog
from sqlalchemy import delete, exc, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from intertie_chassis.database import Database
from intertie_chassis.errors import StartupError, Unavailable
from intertie_chassis.ids import new_ulid
from intertie_ingest.errors import DeliveryKeyReused
from intertie_ingest.folding import Fold, fold
from intertie_ingest.model import Accepted, Delivery
from intertie_ingest.spool_convert import content_of, delivery_of
from intertie_ingest.spool_directory import SpoolDirectory
from intertie_ingest.spool_known_store import Known, parts
from intertie_ingest.spool_tables import DELIVERIES, prepare, version_of, write

T = TypeVar("T")

_log = structlog.get_logger()
_MOST_IN_BATCH = 1000
_MOST_BATCH_BYTES = 4 * 1024 * 1024
"""Half of what the database takes in one transaction: a body is written there twice, whole and by its records."""


@dataclass(frozen=True, slots=True)
class Holdings:
    """What lies in a spool."""

    #: deliveries that wait for the database
    waiting: int = 0
    #: those that it refuses
    refused: int = 0
    #: of all of them
    size: int = 0


@dataclass(frozen=True, slots=True)
class Kept:
    """What keeping a group came to."""

    outcomes: tuple[Accepted | DeliveryKeyReused, ...]
    #: how many deliveries are new in the spool, and their bytes
    added: int
    size: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """A delivery that waits, without its body."""

    id: int
    delivery_id: str
    has_key: bool
    size: int
    attempt: str


class SpoolStore:
    """The file of one spool."""

    def __init__(self, directory: SpoolDirectory, database: Database, holdings: Holdings) -> None:
        """For `open`."""
        self._directory = directory
        self._database = database
        self._known = Known()
        self.found = holdings
        """What lay in it when it was opened."""
        self.untried: set[str] = set()
        """Attempts that were named here and of which no commit may have succeeded: the user takes away others."""

    @classmethod
    async def open(cls, directory: SpoolDirectory) -> "SpoolStore":
        """Opens the spool of a directory, also one that can be read and not written.

        Raises StartupError when it cannot be read: what waits in it would be overtaken.
        """
        database = await Database.open(directory.url, pool_size=2)
        try:
            try:
                await database.transaction(prepare)
            except (exc.SQLAlchemyError, Unavailable) as error:
                _log.error("the spool cannot be written", cause=" ".join(str(error).split())[:300])
            async with database.read() as connection:
                holdings = await _holdings(connection)
        except (exc.SQLAlchemyError, Unavailable) as error:
            await database.close()
            raise StartupError(f"the spool {database.shown_url} cannot be used: {error}") from error
        return cls(directory, database, holdings)

    async def close(self) -> None:
        """Waits for what is being written, closes the file, and gives its directory back."""
        await self._database.close()
        self._directory.release()

    @property
    def free(self) -> int:
        """Bytes that its file system still has."""
        return self._directory.free

    async def holdings(self) -> Holdings:
        """Counts what lies in it, after what is being written. Raises Unavailable when it cannot be read."""
        try:
            return await self._write(_holdings)
        except Unavailable:
            async with self._reading() as connection:
                return await _holdings(connection)

    async def keep(self, group: Sequence[Delivery], attempt: str | None) -> Kept:
        """Keeps a group whole or not at all, for good; `attempt` names the commit of it that may have succeeded.

        Raises Unavailable when the file cannot be written, or time ran out: then nobody knows whether it is kept.
        """

        async def work(connection: AsyncConnection) -> Kept:
            folded = fold(
                group,
                await self._known.keys(connection, group),
                await self._known.states(connection, group),
                await self._known.replays(connection, group),
            )
            rows = [_row(one, outcome, attempt) for one, outcome in _to_keep(group, folded)]
            if rows:
                await connection.execute(insert(DELIVERIES), rows)
            await self._known.put(connection, folded)
            return Kept(tuple(folded.outcomes), len(rows), sum(row["size"] for row in rows))

        return await self._write(work)

    async def batch(self) -> list[Waiting]:
        """What goes to the database next, in order: all that is of one attempt, and nothing else.

        A batch stays the same until it is removed, refused or split, so that one row of it in the database tells that
        its transaction was committed. Raises Unavailable.
        """
        table = DELIVERIES.c
        query = select(table.id, table.attempt).where(table.refused.is_(None)).order_by(table.id)
        waiting = select(table.id, table.delivery_id, table.delivery_key, table.size, table.attempt).where(
            table.refused.is_(None)
        )
        async with self._reading() as connection:
            first = (await connection.execute(query.limit(1))).first()
            if first is None:
                return []
            if first.attempt is not None:
                same = waiting.where(table.attempt == first.attempt).order_by(table.id)
                return [_waiting(row) for row in await connection.execute(same)]
            rows = (await connection.execute(waiting.order_by(table.id).limit(_MOST_IN_BATCH))).all()
        batch = list(_fitting(rows))
        (attempt,) = await self.split([[one.id for one in batch]])
        return [replace(one, attempt=attempt) for one in batch]

    async def load(self, ids: Collection[int]) -> tuple[list[tuple[int, Delivery]], dict[int, str]]:
        """Deliveries with their numbers, in order; and of those that cannot be read, why. Raises Unavailable."""
        found: list[tuple[int, Delivery]] = []
        broken: dict[int, str] = {}
        async with self._reading() as connection:
            for some in parts(ids):
                query = select(DELIVERIES).where(DELIVERIES.c.id.in_(some)).order_by(DELIVERIES.c.id)
                for row in await connection.execute(query):
                    try:
                        found.append((row.id, delivery_of(row)))
                    except (ValueError, KeyError, TypeError, IndexError) as error:
                        broken[row.id] = f"it cannot be read ({type(error).__name__})"
        return found, broken

    async def split(self, batches: Sequence[Collection[int]]) -> list[str]:
        """Makes each of these a batch of its own, and gives their attempts. Raises Unavailable."""
        attempts = [new_ulid() for _ in batches]

        async def work(connection: AsyncConnection) -> None:
            for attempt, ids in zip(attempts, batches, strict=True):
                for some in parts(ids):
                    change = update(DELIVERIES).where(DELIVERIES.c.id.in_(some)).values(attempt=attempt)
                    await connection.execute(change)

        await self._write(work)
        self.untried.update(attempts)
        return attempts

    async def remove(self, ids: Collection[int]) -> None:
        """Removes deliveries, which the database has; what they said is overwritten. Raises Unavailable."""

        async def work(connection: AsyncConnection) -> None:
            await connection.exec_driver_sql("PRAGMA secure_delete = ON")
            for some in parts(ids):
                await self._known.forget(connection, some)
                await connection.execute(delete(DELIVERIES).where(DELIVERIES.c.id.in_(some)))

        await self._write(work)

    async def refuse(self, number: int, why: str) -> None:
        """Sets a delivery aside that the database refuses: it waits no longer, and nothing is a repetition of it.

        Raises Unavailable.
        """

        async def work(connection: AsyncConnection) -> None:
            await self._known.forget(connection, [number])
            await connection.execute(update(DELIVERIES).where(DELIVERIES.c.id == number).values(refused=why))

        await self._write(work)

    async def try_writing(self) -> None:
        """Writes nothing of interest. Raises Unavailable when the file cannot be written."""
        await self._write(write)

    @asynccontextmanager
    async def _reading(self) -> AsyncIterator[AsyncConnection]:
        try:
            async with self._database.read() as connection:
                yield connection
        except exc.SQLAlchemyError as error:
            _log.error("the spool cannot be read", cause=" ".join(str(error).split())[:300])
            raise Unavailable("the spool cannot be read", reason="STORE_UNAVAILABLE", retry_after=5) from error

    async def _write(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        try:
            return await self._database.transaction(work)
        except exc.SQLAlchemyError as error:
            _log.error("the spool cannot be written", cause=" ".join(str(error).split())[:300])
            raise Unavailable("the spool cannot be written", reason="STORE_UNAVAILABLE", retry_after=5) from error


def _to_keep(group: Sequence[Delivery], folded: Fold) -> Iterator[tuple[Delivery, Accepted]]:
    """What the database must see: all but refusals and repetitions that bring nothing new, not even a mark by which
    their own replays are known.
    """
    marks = set(folded.replays)
    for one, outcome in zip(group, folded.outcomes, strict=True):
        if not isinstance(outcome, Accepted):
            continue
        mark = None if one.replay_mark is None else (one.system_id, one.replay_mark)
        if outcome.state is not None or mark in marks:
            yield one, outcome
        if mark is not None:
            marks.discard(mark)


def _row(one: Delivery, outcome: Accepted, attempt: str | None) -> dict[str, Any]:
    content = content_of(one)
    return {
        "delivery_id": one.delivery_id,
        "attempt": attempt,
        "system_id": one.system_id,
        "delivery_key": one.delivery_key,
        "replay_mark": one.replay_mark,
        "digest": one.digest,
        "answered_id": outcome.delivery_id,
        "answered_external_ids": orjson.dumps(outcome.external_ids).decode(),
        "is_array": one.is_array,
        "is_unrouted": not one.records,
        "size": len(content) + len(one.body),
        "content": content,
        "body": one.body,
    }


def _fitting(rows: Sequence[Any]) -> Iterator[Waiting]:
    """Of rows the first ones, that are of no attempt yet and fit into one transaction; one at the least."""
    sizes = accumulate(row.size for row in rows)
    for index, (row, size) in enumerate(zip(rows, sizes, strict=True)):
        if index and (row.attempt is not None or size > _MOST_BATCH_BYTES):
            return
        yield _waiting(row)


def _waiting(row: Any) -> Waiting:
    return Waiting(row.id, row.delivery_id, row.delivery_key is not None, row.size, row.attempt or "")


async def _holdings(connection: AsyncConnection) -> Holdings:
    if not await version_of(connection):
        return Holdings()
    waiting = func.count().filter(DELIVERIES.c.refused.is_(None))
    row = (await connection.execute(select(func.count(), waiting, func.sum(DELIVERIES.c.size)))).one()
    return Holdings(row[1], row[0] - row[1], row[2] or 0)
