"""The sessions of one connection: a bounded number, kept for the next caller, thrown away after whatever went wrong."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from intertie_ingest.databases.session import CONNECT_SECONDS, Session
from intertie_ingest.errors import ExternalUnavailable

_FRESH_SECONDS = 1.0
_PING_SECONDS = 2.0


class Pool:
    """Sessions made by `open_session`, at most `size` at once."""

    def __init__(self, open_session: Callable[[], Awaitable[Session]], size: int, wait_seconds: float) -> None:
        """Args:
        wait_seconds: how long a caller waits for a session that is in use.
        """
        self._open_session = open_session
        self._wait_seconds = wait_seconds
        self._size = size
        self._free = asyncio.Semaphore(size)
        self._idle: list[tuple[Session, float]] = []
        self._used: set[Session] = set()
        self._endings: set[asyncio.Task[None]] = set()
        self._is_closed = False
        self.last_used = time.monotonic()

    @property
    def is_idle(self) -> bool:
        """Whether nobody uses a session."""
        return not self._used and not self._endings

    @asynccontextmanager
    async def session(self, *, tidy: bool) -> AsyncIterator[Session]:
        """A session that works. After any error, and when the caller is cancelled, it is thrown away.

        Args:
        tidy: whether what a statement may leave in the session is taken back behind the caller.

        Raises ExternalUnavailable when none comes free in time, and the driver's errors when none can be opened.
        """
        session = await self._take()
        self._used.add(session)
        is_clean = False
        try:
            yield session
            is_clean = True
        finally:
            self.last_used = time.monotonic()
            self._give_back(session, is_clean, tidy)

    async def close(self, *, at_once: bool = False) -> None:
        """Closes idle sessions, and the others when they are given back; with `at_once` also those that are in use."""
        self._is_closed = True
        idle, self._idle = self._idle, []
        for session, _ in idle:
            await session.close()
        if at_once:
            for session in list(self._used):
                await session.abandon()
        while self._endings:
            await asyncio.wait(set(self._endings))

    async def _take(self) -> Session:
        if self._is_closed:
            raise ExternalUnavailable("the connection has just been changed; try again", retry_after=1)
        try:
            async with asyncio.timeout(self._wait_seconds):
                await self._free.acquire()
        except TimeoutError:
            raise ExternalUnavailable(
                f"all {self._size} connections to the external database are in use; try again", retry_after=1
            ) from None
        try:
            return await self._working()
        except BaseException:
            self._free.release()
            raise

    async def _working(self) -> Session:
        while self._idle:
            session, since = self._idle.pop()
            if time.monotonic() - since < _FRESH_SECONDS:
                return session
            try:
                async with asyncio.timeout(_PING_SECONDS):
                    await session.ping()
                return session
            except Exception:
                # Whatever it says, it is of a session that has been idle: a new one tells what is really wrong.
                await session.abandon()
            except BaseException:
                self._begin(session.abandon(), releases=False)
                raise
        async with asyncio.timeout(2 * CONNECT_SECONDS):
            return await self._open_session()

    def _give_back(self, session: Session, is_clean: bool, tidy: bool) -> None:
        if is_clean and not tidy and not self._is_closed:
            self._keep(session)
            self._free.release()
            return
        self._used.discard(session)
        # Behind the caller: neither an answer nor a cancellation waits for it.
        self._begin(self._end(session, is_clean and not self._is_closed), releases=True)

    async def _end(self, session: Session, tidy: bool) -> None:
        if not tidy:
            await session.abandon()
            return
        try:
            async with asyncio.timeout(_PING_SECONDS):
                await session.tidy()
        except Exception:
            await session.abandon()
            return
        if self._is_closed:
            await session.close()
        else:
            self._keep(session)

    def _keep(self, session: Session) -> None:
        self._used.discard(session)
        self._idle.append((session, time.monotonic()))

    def _begin(self, work: Awaitable[None], *, releases: bool) -> None:
        task = asyncio.ensure_future(work)
        self._endings.add(task)

        def ended(done: asyncio.Future[None]) -> None:
            self._endings.discard(task)
            if releases:
                self._free.release()
            if not done.cancelled():
                done.exception()

        task.add_done_callback(ended)
