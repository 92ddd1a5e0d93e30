"""The load of fault tests: seeded webhooks of one system, with repetitions, bad ones, misfits and clients that hang up.

Each delivery is for two mappings: `mirror` keeps the newest version of an entity in `events`, `collect` makes a row of
`campaigns` from every delivery, so that one row too many or too few shows which was lost or doubled.
"""

import asyncio
import contextlib
import hashlib
import json
import random
import time
from collections import Counter
from dataclasses import dataclass, field, replace

from ledger import Attempt, Ledger, Outcome
from suite import API, SECRET, Suite

SYSTEM = "fault_sender"
MIRROR, COLLECT = "mirror", "collect"
_MIRROR = {
    "field_mappings": {"title": "event_title", "entity": "event_name", "version": "capacity", "date": "date"},
    "external_id_field": "entity",
    "version_field": "version",
}
_COLLECT = {"field_mappings": {"title": "title"}, "external_id_field": "entity", "apply": "every"}
_ANSWER_SECONDS = 15.0
_AWAY = {429, 502, 503, 504}


def configure(suite: Suite) -> None:
    """Make the system and its two mappings."""
    suite.add_system(SYSTEM)
    suite.add_mapping(SYSTEM, MIRROR, _MIRROR)
    suite.add_mapping(SYSTEM, COLLECT, _COLLECT, "campaigns")


@dataclass(frozen=True, slots=True)
class Shape:
    """How much of what; shares of all requests."""

    entities: int = 400
    repeats: float = 0.3
    bad: float = 0.1
    hang_ups: float = 0.1
    misfits: float = 0.03


@dataclass(frozen=True, slots=True)
class Request:
    """One request to be sent."""

    key: str
    body: bytes
    entity: str = ""
    version: int = 0
    fits: bool = True
    secret: str = SECRET
    hangs_up: bool = False
    #: statuses of 4xx that are right
    expected: frozenset[int] = frozenset()


@dataclass
class Traffic:
    """What is sent next, by a seed and by what became of what was sent."""

    random: random.Random
    shape: Shape = field(default_factory=Shape)
    prefix: str = "k"
    _number: int = 0
    _versions: Counter[str] = field(default_factory=Counter)
    _sent: list[Request] = field(default_factory=list)
    _stored: list[Request] = field(default_factory=list)
    _again: list[Request] = field(default_factory=list)

    def next(self) -> Request:
        """The next request."""
        draw, shape = self.random.random(), self.shape
        if self._again and self.random.random() < 0.5:
            return self._again.pop(self.random.randrange(len(self._again)))
        if draw < shape.bad:
            return self._bad()
        if draw < shape.bad + shape.repeats and self._sent:
            return self.random.choice(self._sent[-500:])
        return self._new()

    def ended(self, request: Request, outcome: Outcome) -> None:
        """Say what became of it: who got no answer comes again, most of the time."""
        if outcome == "ok":
            self._stored.append(request)
        elif outcome == "unknown" and self.random.random() < 0.8:
            self._again.append(replace(request, hangs_up=False))

    def left(self) -> list[Request]:
        """What is still to come again; nobody else sends it then."""
        left, self._again = self._again, []
        return left

    def _new(self) -> Request:
        self._number += 1
        key = f"{self.prefix}-{self._number}"
        fits = self.random.random() >= self.shape.misfits
        entity = f"{self.prefix}-e{self.random.randrange(self.shape.entities)}" if fits else f"{key}-misfit"
        self._versions[entity] += 1
        version = self._versions[entity]
        body = _body(key, entity, version, "2026-03-01" if fits else "no date")
        request = Request(key, body, entity, version, fits, hangs_up=self.random.random() < self.shape.hang_ups)
        self._sent.append(request)
        return request

    def _bad(self) -> Request:
        kind = self.random.randrange(3)
        if kind == 0 and self._stored:
            clash = self.random.choice(self._stored[-500:])
            return Request(clash.key, clash.body[:-1] + b" }", expected=frozenset({409}))
        self._number += 1
        key = f"{self.prefix}-bad-{self._number}"
        if kind == 1:
            return Request(key, _body(key, key, 1, "2026-03-01"), secret="wrong", expected=frozenset({401}))
        return Request(key, b'{"entity": "' + key.encode(), expected=frozenset({400}))


def _body(key: str, entity: str, version: int, date: str) -> bytes:
    return json.dumps({"entity": entity, "version": version, "title": key, "date": date}).encode()


class Client:
    """Sends a traffic at a rate over several connections, and takes every attempt down."""

    def __init__(self, port: int, traffic: Traffic, ledger: Ledger, *, rate: float, connections: int = 8) -> None:
        self._port = port
        self._traffic = traffic
        self._ledger = ledger
        self._pause = 1 / rate
        self._connections = connections
        self._next = 0.0
        self._stopping = asyncio.Event()
        self.statuses: Counter[int] = Counter()
        self.wrong: list[str] = []
        """Answers that nobody should get: a 4xx to a good request, a 2xx to a bad one, any other 5xx."""

    async def run(self) -> None:
        """Send until `stop`."""
        self._next = time.monotonic()
        async with asyncio.TaskGroup() as tasks:
            for _ in range(self._connections):
                tasks.create_task(self._work())

    def stop(self) -> None:
        """Begin nothing more; `run` ends when what is under way has ended."""
        self._stopping.set()

    async def send_left(self, seconds: float = 60.0) -> None:
        """Send again what got no answer, until it has one, at most so long."""
        connection = _Connection(self._port)
        until = time.monotonic() + seconds
        while (left := self._traffic.left()) and time.monotonic() < until:
            for request in left:
                await self._send(connection, request, may_hang_up=False)
            await asyncio.sleep(0.05)
        await connection.close()

    async def _work(self) -> None:
        connection = _Connection(self._port)
        while not self._stopping.is_set():
            self._next = max(self._next + self._pause, time.monotonic() - 1)
            delay = self._next - time.monotonic()
            if delay > 0:
                await asyncio.sleep(delay)
            status = await self._send(connection, self._traffic.next())
            if status == 0:
                await asyncio.sleep(0.05)  # the gateway is being started
        await connection.close()

    async def _send(self, connection: "_Connection", request: Request, *, may_hang_up: bool = True) -> int:
        sent_at, started = time.time(), time.monotonic()
        status, head, answer = await connection.post(request, hangs_up=may_hang_up and request.hangs_up)
        outcome: Outcome = (
            "ok" if 200 <= status < 300 else "fail" if 400 <= status < 500 and status != 429 else "unknown"
        )
        self.statuses[status] += 1
        self._judge(request, status, head, answer)
        attempt = Attempt(
            request.key, hashlib.sha256(request.body).hexdigest(), request.entity, request.version, request.fits,
            sent_at, time.monotonic() - started, outcome, status, _delivery_id(answer) if outcome == "ok" else "",
        )  # fmt: skip
        await asyncio.to_thread(self._ledger.write, attempt)
        if not request.expected:
            self._traffic.ended(request, outcome)
        return status

    def _judge(self, request: Request, status: int, head: bytes, answer: bytes) -> None:
        is_right = status == 0 or status in _AWAY or status in (request.expected or {202})
        if status in (429, 503):
            is_right = b"\r\nretry-after:" in head.lower()
        if not is_right:
            self.wrong.append(f"{request.key}: {status} {answer[:300]!r}")


class _Connection:
    """One connection that is opened again whenever it broke."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def post(self, request: Request, *, hangs_up: bool) -> tuple[int, bytes, bytes]:
        """Status, head and body of the answer; 0 when none came."""
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                reader, writer = self._streams = self._streams or await asyncio.open_connection("127.0.0.1", self._port)
                writer.write(_head(request) + request.body)
                await writer.drain()
                if hangs_up:
                    await self.close()
                    return 0, b"", b""
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
                body = await reader.readexactly(length)
        except (OSError, EOFError, TimeoutError, ValueError):
            await self.close()
            return 0, b"", b""
        if b"connection: close" in head.lower():
            await self.close()
        return int(head.split(b" ", 2)[1]), head, body

    async def close(self) -> None:
        """Close it, if it is open."""
        streams, self._streams = self._streams, None
        if streams is not None:
            streams[1].close()
            with contextlib.suppress(OSError):
                await streams[1].wait_closed()


def _head(request: Request) -> bytes:
    return (
        f"POST {API}/webhook/{SYSTEM} HTTP/1.1\r\nHost: intertie\r\nContent-Type: application/json\r\n"
        f"X-Webhook-Secret: {request.secret}\r\nIdempotency-Key: {request.key}\r\n"
        f"Content-Length: {len(request.body)}\r\n\r\n"
    ).encode()


def _delivery_id(answer: bytes) -> str:
    with contextlib.suppress(ValueError):
        return str(json.loads(answer).get("delivery_id", ""))
    return ""
