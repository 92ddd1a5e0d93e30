"""Reading the rows of a statement in parts, within its caps of rows, bytes and time."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from intertie_ingest.databases.session import Session
from intertie_ingest.databases.statements import Statement
from intertie_ingest.databases.volume import PART_BYTES, TooLarge
from intertie_ingest.errors import QueryTimedOut

T = TypeVar("T")

_GRACE_SECONDS = 1.0
"""The server's own limit comes first: it tells what happened, and the connection need not be cut."""

_FIRST_ROWS = 4
"""PostgreSQL sends so many in one piece before anybody knows how large they are."""

_MOST_ROWS = 2000


@dataclass(frozen=True, slots=True)
class Caps:
    """How much a statement may give or change, and how long it may take."""

    rows: int
    bytes: int
    #: of the external database's work; MariaDB and MySQL also count while they wait for whoever takes the rows
    seconds: float


@dataclass(frozen=True, slots=True)
class Part:
    """Some rows of an answer."""

    rows: Sequence[bytes]
    #: whether rows are missing behind these, for a cap
    truncated: bool = False


class Budget:
    """Time that only runs while we wait for the database."""

    def __init__(self, seconds: float) -> None:
        self._left = seconds + _GRACE_SECONDS

    async def spend(self, work: Awaitable[T]) -> T:
        """The result of the work. Raises QueryTimedOut when the time is over; then the session must be thrown away."""
        begun = time.monotonic()
        try:
            async with asyncio.timeout(max(self._left, 0)) as limit:
                return await work
        except TimeoutError:
            if not limit.expired():
                raise
            raise QueryTimedOut() from None
        finally:
            self._left -= time.monotonic() - begun


async def read(
    session: Session, statement: Statement, arguments: Sequence[Any], caps: Caps, budget: Budget
) -> AsyncGenerator[Part, None]:
    """The rows in parts of at most some hundred kilobytes; the last part, which may be empty, says `truncated`.

    Behind the last part the session is ready for the next statement, unless it says that there was more than that: then
    GeneratorExit or an error has to make the caller throw it away. Raises QueryTimedOut and the driver's errors.
    """
    encoder = await budget.spend(session.begin(statement, arguments, caps.seconds))
    left, room, most = caps.rows, caps.bytes, _FIRST_ROWS
    while True:
        try:
            rows = await budget.spend(session.fetch(min(most, left + 1)))
        except TooLarge:
            raise Truncated(Part((), truncated=True)) from None
        if not rows:
            await budget.spend(session.finish())
            yield Part(())
            return
        encoded = encoder.encode(rows)
        size = sum(map(len, encoded)) + len(encoded)
        most = max(1, min(_MOST_ROWS, 8 * most, PART_BYTES * len(encoded) // size))
        if len(encoded) > left or size > room:
            break
        left, room = left - len(encoded), room - size
        yield Part(encoded)
    kept = _within(encoded[:left], room)
    # Usually the statement's own LIMIT is one row more than the cap, so that this is the end anyway.
    try:
        has_more = bool(await budget.spend(session.fetch(1)))
    except TooLarge:
        has_more = True
    if has_more:
        raise Truncated(Part(kept, truncated=True))
    await budget.spend(session.finish())
    yield Part(kept, truncated=True)


class Truncated(Exception):
    """There are more rows than the caps allow, still on their way: the session must be thrown away."""

    def __init__(self, part: Part) -> None:
        super().__init__()
        self.part = part


def _within(encoded: Sequence[bytes], room: int) -> Sequence[bytes]:
    for index, row in enumerate(encoded):
        room -= len(row) + 1
        if room < 0:
            return encoded[:index]
    return encoded
