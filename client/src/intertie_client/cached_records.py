"""The cache of a system, record by record: pages that are asked for as they are needed, the next one while one is read.

So memory holds two pages at most, however many records there are.
"""

import asyncio
from collections import deque
from concurrent.futures import CancelledError, Future
from types import TracebackType
from typing import Self

from intertie.ingest.v1 import ingest_pb2
from intertie_client import operations, reading
from intertie_client.aio import AsyncCarrier
from intertie_client.blocking import Carrier
from intertie_client.lines import Closed
from intertie_client.models import CachedRecord
from intertie_client.plans import Plan, Terms, call

PAGE_SIZE = 500
"""Records of a page."""

Page = ingest_pb2.ReadCacheResponse


class CachePages:
    """Which page comes next, and what is left of the present one. Pure."""

    def __init__(
        self,
        terms: Terms,
        system: str,
        mapping: str,
        external_id: str,
        page_size: int,
        resume_token: str,
        timeout: float | None,
    ) -> None:
        self._terms = terms
        self._named = (system, mapping, external_id, page_size)
        self._timeout = timeout
        self._here: str | None = resume_token
        self._next: str | None = resume_token
        self._records: deque[ingest_pb2.Record] = deque()

    @property
    def resume_token(self) -> str | None:
        """The page that the next record is on; None when all are read."""
        return self._here if self._records else self._next

    @property
    def has_more(self) -> bool:
        """Whether there is a page behind the present one."""
        return self._next is not None

    def plan(self) -> Plan[Page]:
        """Asks for the next page."""
        return call(self._terms, operations.read_cache(*self._named, self._next or ""), self._timeout)

    def took(self, page: Page) -> None:
        """Goes on to the page that was asked for."""
        self._here, self._next = self._next, page.next_page_token or None
        self._records.extend(page.data)

    def pop(self) -> CachedRecord | None:
        """The next record of the present page; None at its end."""
        return reading.cached_record(self._records.popleft()) if self._records else None


class CachedRecords:
    """Iterates over records in the order of their external ids. After an error `next` asks for that page again."""

    def __init__(self, carrier: Carrier, pages: CachePages) -> None:
        self._carrier = carrier
        self._pages = pages
        self._ahead: Future[Page] | None = None

    @property
    def resume_token(self) -> str | None:
        """From where another iteration goes on, in another process too; None when all are read.

        It names a page: what was read of a page that was not read whole comes again.
        """
        return self._pages.resume_token

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> CachedRecord:
        while (record := self._pages.pop()) is None:
            if not self._pages.has_more:
                raise StopIteration
            ahead, self._ahead = self._ahead, None
            try:
                self._pages.took(self._carrier.run(self._pages.plan()) if ahead is None else ahead.result())
            except CancelledError:  # another thread closed the client before it was asked for
                raise Closed from None
            if self._pages.has_more:
                self._ahead = self._carrier.run_ahead(self._pages.plan())
        return record

    def close(self) -> None:
        """Drops what was asked for ahead, when not all is read."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            ahead.cancel()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class AsyncCachedRecords:
    """Iterates over records in the order of their external ids. After an error `anext` asks for that page again."""

    def __init__(self, carrier: AsyncCarrier, pages: CachePages) -> None:
        self._carrier = carrier
        self._pages = pages
        self._ahead: asyncio.Task[Page] | None = None

    @property
    def resume_token(self) -> str | None:
        """From where another iteration goes on, in another process too; None when all are read.

        It names a page: what was read of a page that was not read whole comes again.
        """
        return self._pages.resume_token

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> CachedRecord:
        while (record := self._pages.pop()) is None:
            if not self._pages.has_more:
                raise StopAsyncIteration
            ahead, self._ahead = self._ahead, None
            self._pages.took(await (self._carrier.run(self._pages.plan()) if ahead is None else ahead))
            if self._pages.has_more:
                self._ahead = asyncio.create_task(self._carrier.run(self._pages.plan()))
                # Nobody may come back for it; asyncio would then complain of an error that nobody looked at.
                self._ahead.add_done_callback(lambda task: task.cancelled() or task.exception())
        return record

    async def close(self) -> None:
        """Drops what was asked for ahead, when not all is read."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            ahead.cancel()
            await asyncio.wait({ahead})

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()
