"""The process of the paced generator: `python benchmarks/sender.py PORT TEMPLATE FIRST RATE SECONDS RESULT`.

Writes JSON into the file RESULT: the fields of `paced.Paced`.
"""

import asyncio
import json
import sys
import time
from collections import Counter, deque
from pathlib import Path
from typing import cast

import uvloop

from figures import percentile
from webhooks import DIGITS, MARK

_CONNECTIONS = 64
_LAST_ANSWER_SECONDS = 15.0
_TICK = 0.001
_Due = tuple[int, float]
"""The number of a record, and when it is due by the monotonic clock."""


class _Connection(asyncio.Protocol):
    """Carries one request at a time."""

    def __init__(self, sender: "_Sender") -> None:
        self._sender = sender
        self._due: _Due | None = None
        self._received = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by its type

    def send(self, due: _Due) -> None:
        self._due = due
        self._transport.write(self._sender.request(due[0]))

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        if not found or self._due is None:
            return
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        if len(body) >= length:
            self._received = b""
            due, self._due = self._due, None
            self._sender.answered(self, due, head.split(b" ", 2)[1].decode())

    def connection_lost(self, exc: Exception | None) -> None:
        self._sender.lost(self, is_asked=self._due is not None)


class _Sender:
    """Gives what is due to whichever connection is free, in order."""

    def __init__(self, template: bytes, first: int) -> None:
        self._pieces = template.split(MARK.encode())
        self._first = first
        self._free: deque[_Connection] = deque()
        self._waiting: deque[_Due] = deque()
        self._left = 0
        self._ended = asyncio.Event()
        self.statuses: Counter[str] = Counter()
        self.latencies: list[float] = []
        self.accepted: dict[int, float] = {}

    def request(self, number: int) -> bytes:
        return f"{number:0{DIGITS}}".encode().join(self._pieces)

    async def run(self, port: int, rate: float, seconds: float) -> tuple[int, float]:
        """How many were sent, and when the first was due."""
        loop = asyncio.get_running_loop()
        for _ in range(_CONNECTIONS):
            _, connection = await loop.create_connection(lambda: _Connection(self), "127.0.0.1", port)
            self._free.append(connection)
        total = self._left = max(1, round(rate * seconds))
        sent, started = 0, time.monotonic()
        while sent < total:
            until = min(total, int((time.monotonic() - started) * rate) + 1)
            for position in range(sent, until):
                self._send((self._first + 1 + position, started + position / rate))
            sent = until
            await asyncio.sleep(max(_TICK, started + sent / rate - time.monotonic()))
        try:
            async with asyncio.timeout(_LAST_ANSWER_SECONDS):
                await self._ended.wait()
        except TimeoutError:
            self.statuses["none"] += self._left
        return total, started

    def _send(self, due: _Due) -> None:
        if self._free:
            self._free.popleft().send(due)
        else:
            self._waiting.append(due)

    def answered(self, connection: _Connection, due: _Due, status: str) -> None:
        now = time.monotonic()
        self.statuses[status] += 1
        self.latencies.append((now - due[1]) * 1e3)
        if status == "202":
            self.accepted[due[0]] = now
        if self._waiting:
            connection.send(self._waiting.popleft())
        else:
            self._free.append(connection)
        self._end_one()

    def lost(self, connection: _Connection, *, is_asked: bool) -> None:
        if is_asked:
            self.statuses["none"] += 1
            self._end_one()
        elif connection in self._free:
            self._free.remove(connection)

    def _end_one(self) -> None:
        self._left -= 1
        if not self._left:
            self._ended.set()


def main() -> None:
    """Sends, and writes what came of it."""
    port, template, first, rate, seconds, result = sys.argv[1:]
    sender = _Sender(Path(template).read_bytes(), int(first))
    total, started = uvloop.run(sender.run(int(port), float(rate), float(seconds)))
    said = {
        "sent": total,
        "statuses": dict(sender.statuses),
        "p50": percentile(sender.latencies, 0.5),
        "p99": percentile(sender.latencies, 0.99),
        "started": started,
        "answered": sender.accepted,
    }
    Path(result).write_text(json.dumps(said))


if __name__ == "__main__":
    main()
