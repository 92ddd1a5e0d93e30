"""How much of a result may be in memory at once: by rows alone it would be as much as a server cares to send."""

import asyncio
from collections.abc import Sequence
from typing import Any

PART_BYTES = 512 * 1024
"""Of rows that are taken together, as far as a driver lets us stop between two of them."""

MOST_BYTES = 64 * 1024 * 1024
"""Of a single row, or of rows that a server sends in one piece; more than any answer may have."""


class TooLarge(Exception):
    """More than `MOST_BYTES` came in one piece: the session must be thrown away."""


def weight(row: Sequence[Any]) -> int:
    """The size of a row's texts and bytes, which is what makes rows large."""
    # Of each row that is read: a generator and isinstance take three times as long.
    size = 0
    for value in row:
        kind = type(value)
        if kind is str or kind is bytes:
            size += len(value)
    return size


class Meter:
    """Stands between a driver and its socket: counts what arrives, and cuts the connection when it is too much.

    Also stops the socket while nobody takes rows: a driver that parses rows out of all that has arrived would else
    collect the whole result while the rows' taker is slow.
    """

    def __init__(self, transport: Any, most_bytes: int = MOST_BYTES) -> None:
        """Takes the place of the transport's protocol."""
        self._transport, self._most = transport, most_bytes
        self._count = 0
        self._is_paused = False
        self.is_over = False
        driver = transport.get_protocol()
        of_buffers = isinstance(driver, asyncio.BufferedProtocol)
        transport.set_protocol(_OfBuffers(driver, self) if of_buffers else _OfBytes(driver, self))

    def count(self, size: int) -> None:
        """Counts what has arrived."""
        self._count += size
        if self._count > self._most and not self.is_over:
            self.is_over = True
            self._transport.abort()

    def begin(self) -> None:
        """What arrives from now on is a piece of its own."""
        self._count = 0
        if self._is_paused:
            self._is_paused = False
            self._transport.resume_reading()

    def pause(self) -> None:
        """Lets nothing more arrive until `begin`."""
        if not self._is_paused and not self._transport.is_closing():
            self._is_paused = True
            self._transport.pause_reading()


class _Passing:
    """Passes on what a transport tells its protocol."""

    def __init__(self, driver: Any, meter: Meter) -> None:
        self._driver, self._meter = driver, meter

    def connection_lost(self, error: Exception | None) -> None:
        self._driver.connection_lost(error)

    def eof_received(self) -> bool | None:
        ended: bool | None = self._driver.eof_received()
        return ended

    def pause_writing(self) -> None:
        self._driver.pause_writing()

    def resume_writing(self) -> None:
        self._driver.resume_writing()


class _OfBytes(_Passing, asyncio.Protocol):
    def data_received(self, data: bytes) -> None:
        self._driver.data_received(data)
        self._meter.count(len(data))


class _OfBuffers(_Passing, asyncio.BufferedProtocol):
    def get_buffer(self, sizehint: int) -> Any:
        return self._driver.get_buffer(sizehint)

    def buffer_updated(self, size: int) -> None:
        self._driver.buffer_updated(size)
        self._meter.count(size)
