"""What SQLite itself holds a statement to: an authorizer with a list of what is allowed, limits of size and of time."""

import sqlite3
import time
from collections.abc import Callable, Sequence
from typing import Any

from intertie_ingest.databases.statements import Statement
from intertie_ingest.databases.volume import MOST_BYTES

_INSTRUCTIONS = 1000
"""After so many steps of SQLite's machine the clock is looked at: some tens of microseconds."""

_LONGEST_VALUE = 16 * 1024 * 1024
_LIMITS = {
    # An answer's cap is below.
    sqlite3.SQLITE_LIMIT_LENGTH: _LONGEST_VALUE,
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: 1024 * 1024,
    sqlite3.SQLITE_LIMIT_COMPOUND_SELECT: 100,
    sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 500,
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
    sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 1000,
    sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH: 50,
    sqlite3.SQLITE_LIMIT_WORKER_THREADS: 0,
}

_FUNCTIONS = """
    abs avg char coalesce concat concat_ws count cume_dist current_date current_time current_timestamp date datetime
    dense_rank first_value format glob group_concat hex ifnull iif instr julianday lag last_value lead length like
    likelihood likely lower ltrim max min nth_value ntile nullif octet_length percent_rank printf quote random rank
    replace round row_number rtrim sign soundex strftime string_agg substr substring sum time timediff total trim
    typeof unhex unicode unixepoch unlikely upper
    acos acosh asin asinh atan atan2 atanh ceil ceiling cos cosh degrees exp floor ln log log10 log2 mod pi pow power
    radians sin sinh sqrt tan tanh trunc
    json json_array json_array_length json_error_position json_extract json_group_array json_group_object json_insert
    json_object json_patch json_quote json_remove json_replace json_set json_type json_valid -> ->>
"""
FUNCTIONS = frozenset(_FUNCTIONS.split())
"""Not among them: what reads or writes files, loads code, or makes a value of any size out of nothing."""

_WRITES = {"insert": sqlite3.SQLITE_INSERT, "update": sqlite3.SQLITE_UPDATE, "delete": sqlite3.SQLITE_DELETE}
_CLOSED = ("sqlite_", "pragma_")

Authorizer = Callable[[int, str | None, str | None, str | None, str | None], int]


def limit(connection: sqlite3.Connection) -> None:
    """Sets the limits of sizes."""
    for name, most in _LIMITS.items():
        connection.setlimit(name, most)


def limit_row(connection: sqlite3.Connection, sql: str, values: Sequence[Any]) -> None:
    """Sets how long a value may be, so that a whole row of the query is at most `MOST_BYTES`.

    A row comes in one piece, and one value may be in it a thousand times.
    """
    program = connection.execute(f"EXPLAIN {sql}", values).fetchall()
    columns = max((step[3] for step in program if step[1] == "ResultRow"), default=1)
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, min(_LONGEST_VALUE, MOST_BYTES // max(columns, 1)))


def reading(action: int, one: str | None, other: str | None, _schema: str | None, _inner: str | None) -> int:
    """Allows what a SELECT does, with the functions of the list, on tables other than SQLite's own."""
    if action in (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_RECURSIVE):
        return sqlite3.SQLITE_OK
    if action == sqlite3.SQLITE_READ:
        return sqlite3.SQLITE_DENY if (one or "").lower().startswith(_CLOSED) else sqlite3.SQLITE_OK
    if action == sqlite3.SQLITE_FUNCTION:
        return sqlite3.SQLITE_OK if (other or "").lower() in FUNCTIONS else sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_DENY


def writing(statement: Statement) -> Authorizer:
    """Allows what the statement is said to do, to the tables that it is said to be about; and what the database's own
    triggers do with that."""
    tables = {table.rsplit(".", 1)[-1].lower() for table in statement.tables}

    def decide(action: int, one: str | None, other: str | None, schema: str | None, inner: str | None) -> int:
        if action in _WRITES.values() and not (one or "").lower().startswith(_CLOSED):
            is_own = action == _WRITES.get(statement.kind) and (one or "").lower() in tables and schema == "main"
            return sqlite3.SQLITE_OK if is_own or inner is not None else sqlite3.SQLITE_DENY
        return reading(action, one, other, schema, inner)

    return decide


class Clock:
    """Ends a statement when its time is over, or when nobody waits for it any more."""

    def __init__(self) -> None:
        self._until = float("inf")
        self._is_stopped = False

    def watch(self, connection: sqlite3.Connection) -> None:
        """From now on looks at the clock while the connection works."""
        connection.set_progress_handler(self._look, _INSTRUCTIONS)

    def start(self, seconds: float) -> None:
        """Gives what runs next so many seconds."""
        self._until = time.monotonic() + seconds

    def stop(self) -> None:
        """Ends what runs, and whatever would run next."""
        self._is_stopped = True

    def _look(self) -> bool:
        return self._is_stopped or time.monotonic() > self._until
