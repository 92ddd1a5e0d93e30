"""One structured line a request, cheap enough for the hot path.

Lines are made by hand and written in batches by a thread: the chain of processors that other logs go through costs as
much as half a webhook, and a reader that stalls must not stall deliveries. Bodies, header values and the values of
query parameters are never in them.
"""

import asyncio
import sys
import time
from datetime import UTC, datetime
from typing import BinaryIO

import orjson

from intertie_chassis.traces import TraceContext

_FLUSH_SECONDS = 0.2
_MOST_WAITING = 50_000
_LONGEST_PATH = 300


_Line = tuple[float, str, bytes, bytes, int, float, str, str, TraceContext | None]


class AccessLog:
    """Collects the lines of requests and writes them every fifth of a second."""

    def __init__(self, which: str = "all", *, console: bool = False, stream: BinaryIO | None = None) -> None:
        """Args:
        which: ``all``, ``failures`` (answered 4xx or 5xx) or ``off``.
        console: lines for a person rather than JSON.
        stream: where they go; default: standard error.
        """
        self._least_status = {"all": 0, "failures": 400, "off": 1000}[which]
        self._console = console
        self._stream = stream or sys.stderr.buffer
        self._lines: list[_Line] = []
        self._dropped = 0
        self._writer: asyncio.Task[None] | None = None

    def record(
        self,
        method: str,
        path: bytes,
        query: bytes,
        status: int,
        seconds: float,
        request_id: str,
        peer: str,
        trace: TraceContext | None = None,
    ) -> None:
        """Notes an answered request."""
        if status < self._least_status:
            return
        if len(self._lines) >= _MOST_WAITING:
            self._dropped += 1
            return
        self._lines.append((time.time(), method, path, query, status, seconds, request_id, peer, trace))

    def start(self) -> None:
        """Begins to write in the background of the running loop."""
        self._writer = asyncio.get_running_loop().create_task(self._write_forever())

    async def stop(self) -> None:
        """Writes what is left and ends."""
        if self._writer is not None:
            self._writer.cancel()
            await asyncio.gather(self._writer, return_exceptions=True)
        self._write(self._take())

    async def _write_forever(self) -> None:
        while True:
            await asyncio.sleep(_FLUSH_SECONDS)
            if self._lines:
                # Shielded: a stop in the middle must not lose what was taken.
                await asyncio.shield(asyncio.to_thread(self._write, self._take()))

    def _take(self) -> list[_Line]:
        lines, self._lines = self._lines, []
        return lines

    def _write(self, lines: list[_Line]) -> None:
        written = [self._line(*line) for line in lines]
        dropped, self._dropped = self._dropped, 0
        if dropped:
            written.append(orjson.dumps({"event": "access lines dropped", "service": "gateway", "count": dropped}))
        if not written:
            return
        try:
            self._stream.write(b"\n".join(written) + b"\n")
            self._stream.flush()
        except (OSError, ValueError):
            # The reader went away: no reason to fail requests.
            return

    def _line(
        self,
        at: float,
        method: str,
        path: bytes,
        query: bytes,
        status: int,
        seconds: float,
        request_id: str,
        peer: str,
        trace: TraceContext | None,
    ) -> bytes:
        timestamp = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        where = path[:_LONGEST_PATH].decode("latin-1") + _masked(query)
        milliseconds = round(seconds * 1000, 1)
        level = "info" if status < 500 else "error"
        if self._console:
            text = f"{timestamp} [{level:5}] {method} {where} → {status} in {milliseconds} ms for {peer} {request_id}"
            return "".join(character if character.isprintable() else "?" for character in text).encode()
        line = {
            "event": "request",
            "service": "gateway",
            "request_id": request_id,
            "method": method,
            "path": where,
            "status": status,
            "milliseconds": milliseconds,
            "peer": peer,
            "level": level,
            "timestamp": timestamp,
        }
        if trace is not None:
            line |= {"trace_id": trace.trace_id, "span_id": trace.span_id}
        return orjson.dumps(line)


def _masked(query: bytes) -> str:
    """The names of the parameters, without their values."""
    if not query:
        return ""
    names = [part.split("=", 1)[0] for part in query[:_LONGEST_PATH].decode("latin-1").split("&")]
    return "?" + "&".join(f"{name}=***" for name in names if name)
