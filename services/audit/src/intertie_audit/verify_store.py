"""Reads the chain for verification: joined with the log, in the order of places, a few thousand links a time."""

import asyncio
import hashlib
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from sqlalchemy import func, make_url, select, text

from intertie_audit import projection_store
from intertie_audit.chain import ENTRY_COLUMNS, canonical_bytes, payload_digest, payload_digests
from intertie_audit.comparison import PresentLink, PresentRow, is_block
from intertie_audit.migrations.chain_tables import ChainTables
from intertie_audit.signed_heads import StoredCheckpoint
from intertie_audit.tables import query_logs
from intertie_audit.verify import LinkRow, Walk
from intertie_chassis.database import Database

_LOWEST = -(2**63)
_MOMENTS = ("created_at",)
_PAGE = 1000
_sha256 = hashlib.sha256


@dataclass(frozen=True, slots=True)
class Part:
    """What was walked along at once."""

    #: the last place; None: there was no link
    position: int | None
    #: places where columns or the log's row say something else than the canonical bytes
    differing: list[int]
    #: canonical bytes of the blocks among them
    blocks: dict[int, bytes]


class VerifyStore:
    """The chain, its checkpoints and the log, as they are."""

    def __init__(self, database: Database) -> None:
        self._database = database
        dialect = self._dialect = database.dialect
        self._tables = ChainTables(database.table_prefix)
        self._logs = query_logs(database.table_prefix)
        whole = projection_store.whole(dialect)
        joined = f"FROM {self._tables.chain.name} c LEFT JOIN {self._logs.name} l ON l.id = c.entry_id"
        where = "WHERE c.sequence > :after AND c.sequence <= :last ORDER BY c.sequence LIMIT :limit"
        # Payloads as the bytes that they are: to read them as text would cost a third of their digests.
        payloads = "CAST(l.request_payload AS BLOB), CAST(l.response_payload AS BLOB)"
        told = f"{whole}, {payloads}" if dialect == "sqlite" else f"c.canonical = {whole}"
        self._links = f"SELECT c.sequence, c.canonical, c.head, c.mac, {told} {joined} {where}"
        self._bare = f"SELECT c.sequence, c.canonical, c.head, c.mac FROM {self._tables.chain.name} c {where}"
        path = make_url(database.shown_url).database if dialect == "sqlite" else None
        self._file = f"file:{quote(path or '')}?mode=ro"
        columns = [f"c.{name}" for name in ("sequence", "kind", "entry_id")]
        columns.append(_moment(dialect, "c.sealed_at"))
        columns.append("c.canonical")
        columns += [_moment(dialect, f"l.{name}") if name in _MOMENTS else f"l.{name}" for name in ENTRY_COLUMNS]
        columns += ["l.request_payload", "l.response_payload"]
        self._details = f"SELECT {_exact(dialect, columns)} {joined} WHERE c.sequence IN ({{places}})"
        row_columns = columns[5:]
        self._rows = text(
            f"SELECT {_exact(dialect, row_columns)} FROM {self._logs.name} l "
            "WHERE l.id >= :first AND l.id <= :last ORDER BY l.id LIMIT :limit"
        )
        self._unsealed = text(
            f"SELECT l.id FROM {self._logs.name} l LEFT JOIN {self._tables.chain.name} c ON c.entry_id = l.id "
            "WHERE l.id > :after AND l.id <= :last AND c.sequence IS NULL ORDER BY l.id"
        )

    async def walk(self, walk: Walk, after: int, last: int, limit: int) -> Part:
        """Feeds at most `limit` links above a place to the walk."""
        values = {"after": after, "last": last, "limit": limit}
        if self._dialect == "sqlite":
            return await asyncio.to_thread(self._walk_file, walk, values)
        async with self._database.read() as connection:
            rows = (await connection.execute(text(self._links), values)).all()
        return await asyncio.to_thread(_fed, walk, [tuple(row) for row in rows])

    def _walk_file(self, walk: Walk, values: dict[str, int]) -> Part:
        """The same on SQLite, by its driver and in one thread: a link must not cost more than its hashes do."""
        with closing(sqlite3.connect(self._file, uri=True)) as connection:
            try:
                # Row by row, while it is in the processor's cache: all at once they cost a fifth more.
                rows = [
                    (place, canonical, head, mac, canonical == _expected(whole, request, response))
                    for place, canonical, head, mac, whole, request, response in connection.execute(self._links, values)
                ]
            except sqlite3.OperationalError:
                # A value that JSON has none for, or text that is no UTF-8: nothing of ours writes such. The slow way
                # tells what it is.
                rows = [(*row, False) for row in connection.execute(self._bare, values)]
        return _fed(walk, rows)

    async def details(self, places: Sequence[int]) -> list[PresentLink]:
        """These links with all their columns and rows."""
        found: list[PresentLink] = []
        for start in range(0, len(places), _PAGE):
            some = ", ".join(str(int(place)) for place in places[start : start + _PAGE])
            async with self._database.read() as connection:
                rows = (await connection.execute(text(self._details.format(places=some)))).all()
            for row in rows:
                place, kind, entry_id, sealed_at, canonical, *columns = _values(self._dialect, tuple(row))
                assert isinstance(place, int)
                is_there = columns[0] is not None
                raw = canonical if isinstance(canonical, bytes) else b""
                found.append(
                    PresentLink(
                        place, kind, entry_id, sealed_at, raw, _row(self._dialect, columns) if is_there else None
                    )
                )
        return found

    async def rows(self, first: int, last: int) -> dict[int, tuple[bytes, PresentRow]]:
        """The rows of the log between two numbers, at most some thousands, with the digests of their columns."""
        found: dict[int, tuple[bytes, PresentRow]] = {}
        position = first
        while position <= last:
            values = {"first": position, "last": last, "limit": _PAGE}
            async with self._database.read() as connection:
                rows = (await connection.execute(self._rows, values)).all()
            for row in rows:
                present = _row(self._dialect, _values(self._dialect, tuple(row)))
                number = present.values[0]
                assert isinstance(number, int)
                try:
                    digest = hashlib.sha256(canonical_bytes(present.values)).digest()
                except (TypeError, ValueError):
                    digest = b""
                found[number] = (digest, present)
                position = number + 1
            if len(rows) < _PAGE:
                break
        return found

    async def unsealed(self, after: int, last: int) -> list[int]:
        """Numbers of rows without a link of their own."""
        async with self._database.read() as connection:
            return list((await connection.scalars(self._unsealed, {"after": after, "last": last})).all())

    async def stored_checkpoints(self, after: int) -> list[StoredCheckpoint]:
        """A page of checkpoints above a place, the lowest first; empty at the end."""
        table = self._tables.checkpoints
        query = select(table).where(table.c.sequence > after).order_by(table.c.sequence).limit(_PAGE)
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).all()
        return [StoredCheckpoint(row.sequence, row.signed_text, row.signature) for row in rows]

    async def newest_row(self) -> int:
        """The highest number in the log; 0 when it is empty."""
        async with self._database.read() as connection:
            return int(await connection.scalar(select(func.max(self._logs.c.id))) or 0)


def _expected(whole: bytes, request: bytes | None, response: bytes | None) -> bytes:
    """The canonical bytes of an entry whose columns are `whole` and whose payloads are these."""
    if request is None or response is None:
        return b"%s,%s]" % (whole[:-1], payload_digests(request, response))
    # What almost every entry is, without a call for each digest.
    digests = (_sha256(request).hexdigest(), _sha256(response).hexdigest())
    return b'%s,"%s"]' % (whole[:-1], '","'.join(digests).encode())


def _fed(walk: Walk, rows: Sequence[LinkRow]) -> Part:
    differing = walk.feed(rows)
    different = set(differing)
    blocks = {row[0]: row[1] for row in rows if row[0] in different and is_block(row[1])} if different else {}
    return Part(rows[-1][0] if rows else None, differing, blocks)


def _moment(dialect: projection_store.Dialect, column: str) -> str:
    return column if dialect == "sqlite" else f"CAST({column} AS CHAR)"


def _exact(dialect: projection_store.Dialect, columns: Sequence[str]) -> str:
    """What to select so that `_values` gets each value as it is: on SQLite its type and its bytes."""
    if dialect == "sqlite":
        return ", ".join(f"typeof({column}), CAST({column} AS BLOB)" for column in columns)
    digested = [
        f"SHA2(CONVERT({column} USING utf8mb4), 256)" if column.endswith("_payload") else column for column in columns
    ]
    return ", ".join(digested)


def _values(dialect: projection_store.Dialect, row: Sequence[Any]) -> list[object]:
    if dialect != "sqlite":
        return list(row)
    return [_value(kind, raw) for kind, raw in zip(row[::2], row[1::2], strict=True)]


def _value(kind: str, raw: bytes | None) -> object:
    if raw is None:
        return None
    if kind == "integer":
        return int(raw)
    if kind == "real":
        return float(raw)
    try:
        return raw.decode() if kind == "text" else raw
    except UnicodeDecodeError:
        return raw


def _row(dialect: projection_store.Dialect, columns: Sequence[object]) -> PresentRow:
    """Of the log's columns in the order of ENTRY_COLUMNS, and its payloads: on SQLite themselves, else digests."""
    values = tuple(
        projection_store.blob_text(value) if isinstance(value, bytes) else value
        for value in columns[: len(ENTRY_COLUMNS)]
    )
    request, response = columns[len(ENTRY_COLUMNS) :]
    if dialect == "sqlite":
        request, response = _digest(request), _digest(response)
    return PresentRow(values, (_text(request), _text(response)))


def _digest(payload: object) -> str | None:
    if payload is None or isinstance(payload, (str, bytes)):
        return payload_digest(payload)
    return payload_digest(str(payload))


def _text(value: object) -> str | None:
    return None if value is None else str(value)
