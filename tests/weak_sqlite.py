"""SQLite as many set it up: `synchronous=NORMAL`, under which a power cut takes commits away. For a control only.

Nor is the write-ahead log ever carried over into the file, which syncs it: no control depends on when that was.

Copied as `sitecustomize.py` into a directory of PYTHONPATH (`path_of`), it turns what a program asks of SQLite into
that, whatever the program is: nothing of it stands in the product.
"""

import shutil
import sqlite3
from pathlib import Path
from typing import Any

_ASKED, _GIVEN = "PRAGMA synchronous=FULL", "PRAGMA synchronous=NORMAL"
_connect = sqlite3.connect


class _Cursor(sqlite3.Cursor):
    def execute(self, sql: str, *parameters: Any) -> "_Cursor":
        if sql == _ASKED:
            super().execute("PRAGMA wal_autocheckpoint=0")
            sql = _GIVEN
        super().execute(sql, *parameters)
        return self


def _weak(
    *arguments: Any, factory: type[sqlite3.Connection] = sqlite3.Connection, **options: Any
) -> sqlite3.Connection:
    class Weak(factory):  # type: ignore[misc, valid-type]
        def cursor(self, *_: Any) -> sqlite3.Cursor:
            made: sqlite3.Cursor = super().cursor(_Cursor)
            return made

    return _connect(*arguments, factory=Weak, **options)


def path_of(directory: Path) -> str:
    """A value of PYTHONPATH under which programs get the weak SQLite; ``directory`` is made."""
    directory.mkdir(parents=True)
    shutil.copy(__file__, directory / "sitecustomize.py")
    return str(directory)


if __name__ == "sitecustomize":
    sqlite3.connect = _weak  # type: ignore[assignment]
