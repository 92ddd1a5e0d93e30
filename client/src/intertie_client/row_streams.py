"""The rows of an external database as they come, for results that are too large for one answer."""

from collections import deque
from types import TracebackType
from typing import Any, Self

from intertie.ingest.v1 import query_pb2
from intertie_client import reading
from intertie_client.aio import AsyncCarrier, AsyncOpenStream
from intertie_client.blocking import Carrier, OpenStream
from intertie_client.errors import Cancelled
from intertie_client.models import Row
from intertie_client.plans import Plan

STREAM_TIMEOUT = 300.0
"""Seconds for a whole stream; as long as an external database may work on one by default."""

Part = query_pb2.StreamDatabaseResponse


class RowParts:
    """What is left of the present part, and what the last one said. Pure."""

    def __init__(self) -> None:
        self.is_complete = False
        self.truncated = False
        self._rows: deque[Row] = deque()

    def took(self, part: Part | None) -> None:
        """Goes on to the next part; None is the end of the stream. Raises Cancelled for an end without a last part."""
        if part is None:
            raise Cancelled("the answer was cut off before its end")
        self._rows.extend(reading.rows(part.results))
        self.is_complete, self.truncated = part.complete, part.truncated

    def pop(self) -> Row | None:
        """The next row of the present part; None at its end."""
        return self._rows.popleft() if self._rows else None


class RowStream:
    """Iterates over rows; asks when the first one is wanted. Used as a context, it ends the question when you do."""

    def __init__(self, carrier: Carrier, plan: Plan[Any]) -> None:
        self._carrier = carrier
        self._plan = plan
        self._stream: OpenStream[Part] | None = None
        self._parts = RowParts()
        self._is_closed = False

    @property
    def truncated(self) -> bool:
        """Whether there are more rows than the limits let through; known when all are read."""
        return self._parts.truncated

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Row:
        while (row := self._parts.pop()) is None:
            if self._parts.is_complete or self._is_closed:
                self.close()
                raise StopIteration
            stream = self._stream or self._opened()
            self._parts.took(stream.read())
        return row

    def _opened(self) -> OpenStream[Part]:
        stream: OpenStream[Part] = self._carrier.run(self._plan)
        self._stream = stream
        return stream

    def close(self) -> None:
        """Ends the question, when not all is read."""
        self._is_closed = True
        if self._stream is not None:
            self._stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class AsyncRowStream:
    """Iterates over rows; asks when the first one is wanted. Used as a context, it ends the question when you do."""

    def __init__(self, carrier: AsyncCarrier, plan: Plan[Any]) -> None:
        self._carrier = carrier
        self._plan = plan
        self._stream: AsyncOpenStream[Part] | None = None
        self._parts = RowParts()
        self._is_closed = False

    @property
    def truncated(self) -> bool:
        """Whether there are more rows than the limits let through; known when all are read."""
        return self._parts.truncated

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Row:
        while (row := self._parts.pop()) is None:
            if self._parts.is_complete or self._is_closed:
                await self.close()
                raise StopAsyncIteration
            stream = self._stream or await self._opened()
            self._parts.took(await stream.read())
        return row

    async def _opened(self) -> AsyncOpenStream[Part]:
        stream: AsyncOpenStream[Part] = await self._carrier.run(self._plan)
        self._stream = stream
        return stream

    async def close(self) -> None:
        """Ends the question, when not all is read."""
        self._is_closed = True
        if self._stream is not None:
            self._stream.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()
