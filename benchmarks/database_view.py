"""What the databases of a running installation hold, seen from outside over connections that stay open."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self

from pymysql.cursors import Cursor

from suite import FILES, PREFIX, Suite, mysql

_OUTBOXES = {"ingest": "ingest_outbox", "target": "mapper_outbox"}


class _AnyCursor(Protocol):
    def execute(self, statement: str, parameters: Sequence[Any] = ..., /) -> Any: ...

    def fetchall(self) -> Any: ...


@dataclass(frozen=True, slots=True)
class Counts:
    """How far the deliveries have come; all are equal when each is the one record of one mapping, and has landed."""

    deliveries: int
    rows: int
    links: int
    checkpoints: int
    synced: int
    """Records in the cache that are settled."""
    accepted_entries: int
    """Entries of the log about acceptances."""
    mapped_entries: int
    """Entries of the log about rows."""

    @property
    def is_complete(self) -> bool:
        """Whether every delivery has its row, link and checkpoint, is settled, and has both entries in the log."""
        landed = (self.rows, self.links, self.checkpoints, self.synced, self.accepted_entries, self.mapped_entries)
        return all(count == self.deliveries for count in landed)


class DatabaseView:
    """A look into the databases; `with DatabaseView(suite) as view:`. For one thread."""

    def __init__(self, suite: Suite) -> None:
        self._connections: list[Any] = []
        self._cursors: dict[str, _AnyCursor] = {}
        self._mark = "?" if suite.database_url is None else "%s"
        if suite.database_url is None:
            for owner, file in FILES.items():
                connection = sqlite3.connect(suite.data / file, timeout=10, isolation_level=None)
                self._connections.append(connection)
                self._cursors[owner] = connection.cursor()
        else:
            shared = mysql(suite.database_url)
            self._connections.append(shared)
            # Tuples, as SQLite gives them.
            self._cursors = dict.fromkeys(FILES, shared.cursor(Cursor))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for connection in self._connections:
            connection.close()

    def count(self, owner: str, table: str, where: str = "1 = 1") -> int:
        """How many rows a table has, named without its prefix."""
        return int(self._rows(owner, f"SELECT COUNT(*) FROM {PREFIX}{table} WHERE {where}")[0][0])

    def is_quiet(self) -> bool:
        """Whether nothing waits to be mapped or to be told to audit; quick, however much is stored."""
        if self._rows("ingest", f"SELECT id FROM {PREFIX}external_data_cache WHERE sync_status = 'pending' LIMIT 1"):
            return False
        return not any(self._rows(owner, f"SELECT id FROM {PREFIX}{name} LIMIT 1") for owner, name in _OUTBOXES.items())

    def newest(self) -> tuple[int, int]:
        """The greatest keys of the target's rows and of the log: they grow as long as something moves."""
        rows = self._rows("target", f"SELECT MAX(id) FROM {PREFIX}events")[0][0]
        entries = self._rows("audit", f"SELECT MAX(id) FROM {PREFIX}integration_query_logs")[0][0]
        return rows or 0, entries or 0

    def pending(self) -> int:
        """Records that wait to be mapped."""
        return self.count("ingest", "external_data_cache", "sync_status = 'pending'")

    def counts(self) -> Counts:
        """How far all has come; takes the longer the more is stored."""
        entries = dict(
            self._rows("audit", f"SELECT query_type, COUNT(*) FROM {PREFIX}integration_query_logs GROUP BY query_type")
        )
        return Counts(
            deliveries=self.count("ingest", "inbound_deliveries"),
            rows=self.count("target", "events"),
            links=self.count("target", "external_record_links"),
            checkpoints=self.count("target", "event_integration_checkpoints", "integration_status = 'confirmed'"),
            synced=self.count("ingest", "external_data_cache", "sync_status = 'synced'"),
            accepted_entries=entries.get("webhook", 0),
            mapped_entries=entries.get("mapping", 0),
        )

    def rows_behind(self, key: int) -> list[tuple[int, str]]:
        """Key and title of the target's rows with a greater key."""
        statement = f"SELECT id, event_title FROM {PREFIX}events WHERE id > {self._mark}"
        return [(row[0], row[1]) for row in self._rows("target", statement, (key,))]

    def _rows(self, owner: str, statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        cursor = self._cursors[owner]
        cursor.execute(statement, parameters)
        return list(cursor.fetchall())
