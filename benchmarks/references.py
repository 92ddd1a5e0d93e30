"""What Intertie is held against, measured in the same rounds: the machine's ceilings, and the work done one by one."""

import asyncio
import hashlib
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncmy
from sqlalchemy.engine import make_url

import one_by_one
import processes
from mariadb import MariaDBServer
from stage import Stage
from webhooks import SYSTEM, template

ROWS_A_STATEMENT = 200
_STARTUP_SECONDS = 20.0
_HERE = Path(__file__).parent
_TABLE = (
    "CREATE TABLE ceiling (id CHAR(26) CHARACTER SET ascii PRIMARY KEY, system_id INT UNSIGNED NOT NULL, "
    "digest BINARY(32) NOT NULL, body LONGBLOB NOT NULL, received_at DATETIME(6) NOT NULL, KEY (received_at))"
)
_INSERT = "INSERT INTO ceiling (id, system_id, digest, body, received_at) VALUES (%s, %s, %s, %s, %s)"
_BODY = b'{"event_type": "incident_created", "id": "0", "title": "Traffic accident"}' + b" " * 140


@contextmanager
def bare(stage: Stage) -> Iterator[tuple[int, Path]]:
    """The bare uvicorn: its port, and the request that it is to be sent."""
    directory, port = stage.new_directory("bare"), processes.free_port()
    with _server(directory, "bare.py", str(port), listens=port):
        yield port, _request(directory, "/")


@contextmanager
def unary(stage: Stage) -> Iterator[tuple[int, Path]]:
    """The work done one by one, with tables of its own: its port, and the request that it is to be sent."""
    directory, database = stage.new_directory("one-by-one"), stage.server.create_database()
    http_port, rpc_port = processes.free_port(), processes.free_port()
    with stage.server.connect(database) as connection, connection.cursor() as cursor:
        for statement in one_by_one.TABLES:
            cursor.execute(statement)
    url = stage.server.url(database)
    try:
        with (
            _server(directory, "one_by_one.py", "rpc", str(rpc_port), listens=rpc_port, DATABASE_URL=url),
            _server(directory, "one_by_one.py", "http", str(http_port), str(rpc_port), listens=http_port),
        ):
            yield http_port, _request(directory, f"/webhook/{SYSTEM}")
    finally:
        stage.server.drop_database(database)


def rows_inserted(server: MariaDBServer, seconds: float) -> float:
    """Rows a second that one connection of asyncmy inserts, 200 a statement, each statement committed durably."""
    database = server.create_database()
    try:
        return asyncio.run(_insert(server.url(database), seconds))
    finally:
        server.drop_database(database)


async def _insert(database_url: str, seconds: float) -> float:
    url = make_url(database_url)
    connection = await asyncmy.connect(
        host=url.host, port=url.port, user=url.username, password=url.password, db=url.database, autocommit=True
    )
    async with connection.cursor() as cursor:
        await cursor.execute(_TABLE)
        inserted, began = 0, time.monotonic()
        while time.monotonic() - began < seconds:
            await cursor.executemany(_INSERT, [_row(inserted + number) for number in range(ROWS_A_STATEMENT)])
            inserted += ROWS_A_STATEMENT
        took = time.monotonic() - began
    connection.close()
    return inserted / took


def _row(number: int) -> tuple[Any, ...]:
    digest = hashlib.sha256(number.to_bytes(8)).digest()
    return f"{number:026}", 1, digest, _BODY, datetime.now(UTC)


def _request(directory: Path, path: str) -> Path:
    file = directory / "webhook.http"
    file.write_bytes(template(path, one_by_one.SECRET))
    return file


@contextmanager
def _server(directory: Path, program: str, *arguments: str, listens: int, **env: str) -> Iterator[None]:
    """One of our programs, from when it listens until it has ended. Raises RuntimeError when it does not start."""
    log = directory / f"{program}.log"
    process = processes.start([sys.executable, str(_HERE / program), *arguments], log=log, env=env)
    try:
        deadline = time.monotonic() + _STARTUP_SECONDS
        while not _listens(listens):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{program} did not start:\n{log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.05)
        yield
    finally:
        processes.stop(process)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
