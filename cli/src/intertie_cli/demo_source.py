"""The demo's external database: a SQLite file of somebody else's, with closures of streets."""

import sqlite3
from contextlib import closing
from pathlib import Path

_CLOSURES = (
    ("Harbour Bridge closed", "Harbour Bridge", "2026-02-02", "inspection", "2026-01-02 07:30:00"),
    ("Elm Street closed", "Elm Street", "2026-02-03", "gas leak", "2026-01-02 07:30:00"),
    ("Market Square closed", "Market Square", "2026-02-05", "winter market", "2026-01-03 10:00:00"),
    ("River Road closed", "River Road", "2026-02-06", "flooding", "2026-01-04 18:20:00"),
    ("Main Street closed", "Main Street", "2026-02-08", "marathon", "2026-01-05 09:00:00"),
    ("Station Road closed", "Station Road", "2026-02-09", "crane works", "2026-01-06 12:10:00"),
    ("School Lane closed", "School Lane", "2026-02-11", "street party", "2026-01-06 12:10:00"),
    ("Mill Street closed", "Mill Street", "2026-02-12", "fallen tree", "2026-01-07 06:45:00"),
    ("Church Hill closed", "Church Hill", "2026-02-14", "procession", "2026-01-08 15:00:00"),
    ("Canal Walk closed", "Canal Walk", "2026-02-16", "lock repair", "2026-01-09 11:30:00"),
    ("Park Avenue closed", "Park Avenue", "2026-02-17", "film crew", "2026-01-10 13:00:00"),
    ("North Gate closed", "North Gate", "2026-02-20", "parade", "2026-01-11 08:15:00"),
)


def make(file: Path) -> None:
    """Makes the file with its table `closures`, unless it is there."""
    if file.exists():
        return
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute(
            "CREATE TABLE closures (id INTEGER PRIMARY KEY, title TEXT NOT NULL, street TEXT NOT NULL,"
            " closed_on TEXT NOT NULL, reason TEXT, updated_at TEXT NOT NULL)"
        )
        connection.execute("CREATE INDEX ix_closures_updated_at ON closures (updated_at, id)")
        connection.executemany(
            "INSERT INTO closures (title, street, closed_on, reason, updated_at) VALUES (?, ?, ?, ?, ?)", _CLOSURES
        )
