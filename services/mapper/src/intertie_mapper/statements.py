"""The SQL text that both kinds of database take, and lists of rows cut into statements of a reasonable size.

SQLAlchemy's own multi-row INSERT compiles anew for each count of rows (10 ms for 200 rows); these texts cost
microseconds. What is written to tables of ours is a `RowStatement`, of one row and run for many; of a module's new rows
the keys are asked for, which takes one statement with them all.
"""

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import TypeVar

from intertie_mapper.columns import SqlValue

R = TypeVar("R", bound=Sequence[SqlValue])

_MOST_ROWS = 500
_MOST_BYTES = 1 << 20
_MOST_PARAMETERS = 30_000  # SQLite's limit is 32,766


class Dialect:
    """How one kind of database spells placeholders and names."""

    def __init__(self, *, embedded: bool, returning: bool) -> None:
        """`embedded`: SQLite, else MySQL or MariaDB. `returning`: whether INSERT … RETURNING works."""
        self.embedded = embedded
        self.returning = returning
        self.mark = "?" if embedded else "%s"
        self.lock = "" if embedded else " FOR UPDATE"

    @property
    def bulk(self) -> bool:
        """Whether the server takes any statement for many rows in one packet: MariaDB does, which alone of its kind has
        INSERT … RETURNING, too."""
        return self.returning and not self.embedded

    def quote(self, name: str) -> str:
        """The name as an identifier in a statement."""
        if self.embedded:
            return '"' + name.replace('"', '""') + '"'
        return "`" + name.replace("`", "``").replace("%", "%%") + "`"

    def names(self, names: Sequence[str]) -> str:
        """Names as a list of identifiers."""
        return ", ".join(map(self.quote, names))

    def row(self, width: int) -> str:
        """Placeholders of one row, in parentheses."""
        return "(" + ", ".join([self.mark] * width) + ")"

    def rows(self, count: int, width: int) -> str:
        """Placeholders of several rows, as after VALUES."""
        return ", ".join([self.row(width)] * count)

    def is_in(self, names: Sequence[str], count: int) -> str:
        """A condition that the columns have one of `count` values (or tuples of values)."""
        if len(names) == 1:
            return f"{self.quote(names[0])} IN {self.row(count)}"
        rows = self.rows(count, len(names))
        return f"({self.names(names)}) IN ({'VALUES ' if self.embedded else ''}{rows})"

    def upsert(self, key: Sequence[str], assignments: Sequence[tuple[str, str]]) -> str:
        """The end of an INSERT into a table of ours that updates the row with the same key.

        An assignment's text may say {new} for the value that was to be inserted and {old} for the one that is there.
        """
        parts = []
        for name, text in assignments:
            quoted = self.quote(name)
            new = f"excluded.{quoted}" if self.embedded else f"VALUES({quoted})"
            parts.append(f"{quoted} = " + text.format(new=new, old=quoted))
        head = f"ON CONFLICT ({self.names(key)}) DO UPDATE SET" if self.embedded else "ON DUPLICATE KEY UPDATE"
        return f" {head} " + ", ".join(parts)


def chunks(rows: Sequence[R], long: Sequence[int] = ()) -> Iterator[Sequence[R]]:
    """The rows in runs of a few hundred, and of no more values than SQLite takes; where there are places of values that
    may be long, of about a mebibyte of them (or one row)."""
    if not rows:
        return
    most = max(1, min(_MOST_ROWS, _MOST_PARAMETERS // max(1, len(rows[0]))))
    start = size = 0
    for position, row in enumerate(rows) if long else ():
        weight = 0
        for place in long:
            value = row[place]
            if isinstance(value, (str, bytes)):
                weight += len(value)
        if size + weight > _MOST_BYTES and position > start:
            yield from _of_at_most(most, rows[start:position])
            start, size = position, 0
        size += weight
    yield from _of_at_most(most, rows[start:])


def _of_at_most(most: int, rows: Sequence[R]) -> Iterator[Sequence[R]]:
    return (rows[start : start + most] for start in range(0, len(rows), most))


def flat(rows: Sequence[Sequence[SqlValue]]) -> tuple[SqlValue, ...]:
    """The values of all rows, one after the other."""
    return tuple(chain.from_iterable(rows))
