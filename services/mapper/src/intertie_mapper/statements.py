"""The SQL text that both kinds of database take, and lists of rows cut into statements of a reasonable size.

SQLAlchemy's own multi-row INSERT compiles anew for each count of rows (10 ms for 200 rows); these texts cost
microseconds.
"""

from collections.abc import Iterator, Sequence
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


def chunks(rows: Sequence[R], most: int = _MOST_ROWS) -> Iterator[Sequence[R]]:
    """The rows in runs of at most so many, of at most a mebibyte (or one row) and of as many values as SQLite takes."""
    start = size = 0
    for position, row in enumerate(rows):
        weight = sum(len(value) for value in row if isinstance(value, (str, bytes)))
        count = position - start
        if count and (count >= most or size + weight > _MOST_BYTES or (count + 1) * len(row) > _MOST_PARAMETERS):
            yield rows[start:position]
            start, size = position, 0
        size += weight
    if start < len(rows):
        yield rows[start:]


def flat(rows: Sequence[Sequence[SqlValue]]) -> tuple[SqlValue, ...]:
    """The values of all rows, one after the other."""
    return tuple(value for row in rows for value in row)
