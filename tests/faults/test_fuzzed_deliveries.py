"""A million deliveries that nobody should send: each is answered, none with a 5xx, and none with a library's words.

In the long form alone; the short one is `tests/gateway/test_gateway_fuzz.py` and the table of bad inputs.
"""

import asyncio
import contextlib
import json
import random
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import fault_form
import load
from fleet import Fleet
from suite import API, PREFIX, SECRET

CONNECTIONS = 32
#: what only a library, a driver or an interpreter says
LEAKS = re.compile(
    rb"Traceback|File \"|sqlalchemy|asyncmy|aiosqlite|sqlite3|pymysql|orjson|JSONDecodeError|grpc\._|Errno|/src/|"
    rb"\.py\b|Exception|object at 0x|SELECT |INSERT |campaign_department_",
    re.IGNORECASE,
)
_NASTY = (
    *(b"\x00", b"\xff", b"\xc3", b"\xed\xa0\x80", b"\\ud800", b"\\u0000", b"\xef\xbb\xbf", b"\\x", b"\n", b" " * 300),
    *(b"{", b"}", b"[", b"]", b'"', b",", b":", b'{"a":', b'"a":1,"a":2', b"null", b"true"),
    *(b"1e999", b"-0", b"NaN", b"Infinity", b"9" * 400, b"0.1e-400", b"9223372036854775808"),
    *(b"{{7*7}}", b"__class__", b"'; DROP TABLE", b"../", b"%00", "é\U0001f600".encode()),
)
_SYSTEMS = (
    *(load.SYSTEM, load.SYSTEM.upper(), "", "%2F", "..%2Fpush", "%00", "%ff", "%2523"),
    *("a" * 101, "no%20such", "%C3%A9", "{system}"),
)
_TYPES = (
    *("application/json", "application/ld+json", "text/plain", "", "application/json;;"),
    "application/x-www-form-urlencoded",
)
_KEYS = ("", "k", "é", "x" * 300, "a b", "\t")
_ODD_HEADERS = ("x-foo-bin", "X_Webhook_Secret", "content-encoding", "X-Webhook-Secret ", "a" * 200)


@pytest.fixture(params=["sqlite", "mariadb"])
def fleet(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Fleet]:
    """A fleet, in the long form."""
    fault_form.require_long()
    fleet = Fleet.launch(request.param, tmp_path)
    yield fleet
    fleet.stop()


@pytest.mark.timeout(7200)
async def test_no_input_gives_a_5xx_or_a_librarys_words(fleet: Fleet) -> None:
    """Valid requests with anything in them changed, over connections that are kept while they can be."""
    seed = fault_form.seed()
    cases = fault_form.amount("CASES", 1_000, 500_000)
    statuses: Counter[int] = Counter()
    wrong: list[str] = []
    left = iter(range(cases))

    async def work(chance: random.Random) -> None:
        streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        for _ in left:
            request = _request(chance)
            try:
                streams = streams or await asyncio.open_connection("127.0.0.1", fleet.suite.port)
                status, answer, ends = await asyncio.wait_for(_exchange(*streams, request), 20)
            except (OSError, EOFError, TimeoutError, ValueError):
                # Cut off, as what breaks HTTP itself may be: counted, since it must not be all.
                status, answer, ends = 0, b"", True
            statuses[status] += 1
            if status >= 500 or LEAKS.search(answer):
                wrong.append(f"{request[:2000]!r} -> {answer[:600]!r}")
            if ends and streams is not None:
                await _close(streams[1])
                streams = None
        if streams is not None:
            await _close(streams[1])

    await asyncio.gather(*(work(random.Random(f"{seed} {number}")) for number in range(CONNECTIONS)))
    stored = fleet.suite.sql("ingest", f"SELECT COUNT(*) AS n FROM {PREFIX}inbound_deliveries")[0]["n"]
    fault_form.publish(
        f"fuzz, {fleet.store}", seed=seed, cases=cases, statuses=dict(statuses), stored=stored, wrong=len(wrong)
    )
    assert not wrong, wrong[:3]
    assert statuses[202] > cases // 100, "some must come through, or the mutations are too coarse"
    assert statuses[0] < cases // 10
    assert stored <= statuses[202] + statuses[0]


def _request(chance: random.Random) -> bytes:
    body = json.dumps({"entity": f"f{chance.randrange(5000)}", "version": chance.randrange(9), "title": "t"}).encode()
    for _ in range(chance.choice((0, 1, 1, 2, 4))):
        body = _mutated(body, chance)
    headers = {
        "Host": "intertie",
        "Content-Type": chance.choice(_TYPES) if chance.random() < 0.2 else "application/json",
        "X-Webhook-Secret": SECRET if chance.random() < 0.8 else chance.choice(("", "wrong", "é", SECRET + " ")),
        "Content-Length": str(len(body)),
    }
    if chance.random() < 0.3:
        headers["Idempotency-Key"] = chance.choice(_KEYS) or str(chance.random())
    if chance.random() < 0.1:
        headers[chance.choice(_ODD_HEADERS)] = "!"
    route = (
        "/push"
        if chance.random() < 0.2
        else f"/webhook/{chance.choice(_SYSTEMS) if chance.random() < 0.2 else load.SYSTEM}"
    )
    if chance.random() < 0.05:
        route += chance.choice(("?system=evil", "?x=1", "/", "//", "#", "?%"))
    if route == "/push" and chance.random() < 0.7:
        body = b'{"system":"%s","mapping":"collect","data":%s}' % (load.SYSTEM.encode(), body)
        headers["Content-Length"] = str(len(body))
    head = f"POST {API}{route} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return head.encode() + b"\r\n" + body


def _mutated(body: bytes, chance: random.Random) -> bytes:
    place = chance.randrange(len(body) + 1)
    match chance.randrange(6):
        case 0:
            return body[:place] + chance.choice(_NASTY) + body[place:]
        case 1:
            return body[:place]
        case 2:
            return body[:place] + bytes([chance.randrange(256)]) + body[place + 1 :]
        case 3:
            depth = chance.choice((5, 30, 31, 32, 64, 200))
            return b"[" * depth + body + b"]" * depth
        case 4:
            return chance.choice(
                (
                    b"",
                    b"[]",
                    b"{}",
                    b"0",
                    b'""',
                    chance.randbytes(40),
                    body + body,
                    body.decode(errors="replace").encode("utf-16"),
                )
            )
        case _:
            other = chance.randrange(len(body) + 1)
            return body[: min(place, other)] + body[max(place, other) :]


async def _exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes
) -> tuple[int, bytes, bool]:
    """Status, head with body, and whether the connection ends with it."""
    writer.write(request)
    with contextlib.suppress(ConnectionError):
        await writer.drain()
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
    return int(head.split(b" ", 2)[1]), head + await reader.readexactly(length), b"connection: close" in head.lower()


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
