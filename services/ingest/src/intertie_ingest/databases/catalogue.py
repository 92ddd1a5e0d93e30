"""What an external database's catalogue says of a table: its columns, their types, its primary key."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from intertie_ingest.databases.session import Session
from intertie_ingest.errors import NoSource
from intertie_ingest.external import ExternalConnection

_QUOTES = {"mysql": ("`", "`"), "mssql": ("[", "]")}
_LONGEST_NAME = 128

_COLUMNS = {
    "mysql": (
        "SELECT table_schema, table_name, column_name, data_type, is_nullable = 'YES' FROM information_schema.columns"
        " WHERE table_schema = COALESCE(%s, DATABASE()) AND LOWER(table_name) = LOWER(%s)"
        " ORDER BY table_name, ordinal_position"
    ),
    "postgresql": (
        "SELECT n.nspname, c.relname, a.attname, COALESCE(b.typname, t.typname), NOT a.attnotnull"
        " FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
        " JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid JOIN pg_catalog.pg_type t ON t.oid = a.atttypid"
        " LEFT JOIN pg_catalog.pg_type b ON b.oid = t.typbasetype"
        " WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND a.attnum > 0 AND NOT a.attisdropped"
        " AND lower(c.relname) = lower($2)"
        " AND (n.nspname = $1::text OR ($1::text IS NULL AND pg_catalog.pg_table_is_visible(c.oid)))"
        " ORDER BY c.relname, a.attnum"
    ),
    "sqlite": (
        "SELECT ?, m.name, x.name, x.type, NOT x.\"notnull\" AND NOT (x.pk = 1 AND upper(x.type) = 'INTEGER'"
        " AND (SELECT count(*) FROM pragma_table_xinfo(m.name) WHERE pk > 0) = 1)"
        " FROM sqlite_master m, pragma_table_xinfo(m.name) x"
        " WHERE m.type IN ('table', 'view') AND lower(m.name) = lower(?) AND x.hidden IN (0, 2, 3)"
        " ORDER BY m.name, x.cid"
    ),
    "mssql": (
        "SELECT table_schema, table_name, column_name, data_type, CASE is_nullable WHEN 'YES' THEN 1 ELSE 0 END"
        " FROM information_schema.columns WHERE table_schema = COALESCE(?, SCHEMA_NAME())"
        " AND LOWER(table_name) = LOWER(?) ORDER BY table_name, ordinal_position"
    ),
    "oracle": (
        "SELECT owner, table_name, column_name, data_type, CASE nullable WHEN 'Y' THEN 1 ELSE 0 END"
        " FROM all_tab_columns WHERE owner = COALESCE(UPPER(:1), SYS_CONTEXT('USERENV', 'CURRENT_SCHEMA'))"
        " AND LOWER(table_name) = LOWER(:2) ORDER BY table_name, column_id"
    ),
}

_KEYS = {
    "mysql": (
        "SELECT column_name FROM information_schema.statistics"
        " WHERE table_schema = %s AND table_name = %s AND index_name = 'PRIMARY' ORDER BY seq_in_index"
    ),
    "postgresql": (
        "SELECT a.attname FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indrelid"
        " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
        " JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k(number, place) ON true"
        " JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number"
        " WHERE i.indisprimary AND n.nspname = $1 AND c.relname = $2 ORDER BY k.place"
    ),
    "sqlite": "SELECT name FROM pragma_table_xinfo(?2) WHERE pk > 0 AND ?1 = ?1 ORDER BY pk",
    "mssql": (
        "SELECT k.column_name FROM information_schema.table_constraints c"
        " JOIN information_schema.key_column_usage k ON k.constraint_name = c.constraint_name"
        " AND k.table_schema = c.table_schema AND k.table_name = c.table_name"
        " WHERE c.constraint_type = 'PRIMARY KEY' AND c.table_schema = ? AND c.table_name = ?"
        " ORDER BY k.ordinal_position"
    ),
    "oracle": (
        "SELECT k.column_name FROM all_constraints c JOIN all_cons_columns k"
        " ON k.owner = c.owner AND k.constraint_name = c.constraint_name"
        " WHERE c.constraint_type = 'P' AND c.owner = :1 AND c.table_name = :2 ORDER BY k.position"
    ),
}


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table."""

    name: str
    #: as the database calls it, in lower case
    type: str
    is_nullable: bool


@dataclass(frozen=True, slots=True)
class Table:
    """A table or view that is there."""

    schema: str
    name: str
    columns: tuple[Column, ...]
    #: the columns of its primary key, in its order; empty without one
    key: tuple[str, ...]

    def column(self, name: str) -> Column | None:
        """The column of this name; else the only one of this name in other letter case."""
        exact = [column for column in self.columns if column.name == name]
        alike = [column for column in self.columns if column.name.lower() == name.lower()]
        return exact[0] if exact else alike[0] if len(alike) == 1 else None


def path_of(name: str) -> tuple[str | None, str]:
    """Schema, if one is named, and table of `table` or `schema.table`. Raises NoSource for anything else."""
    parts = name.strip().split(".")
    if len(parts) > 2 or not all(part.strip() and "\0" not in part and len(part) <= _LONGEST_NAME for part in parts):
        raise NoSource("source_table must be the name of a table, or schema.table")
    return (parts[0].strip(), parts[1].strip()) if len(parts) == 2 else (None, parts[0].strip())


def quoted(driver: str, name: str) -> str:
    """The name as an identifier of the driver's SQL, whatever characters it has."""
    begin, end = _QUOTES.get(driver, ('"', '"'))
    text = f"{begin}{name.replace(end, 2 * end)}{end}"
    return text.replace("%", "%%") if driver == "mysql" else text


async def look_up(session: Session, connection: ExternalConnection, path: tuple[str | None, str]) -> Table | None:
    """The table in the database that the session is on; None when it is not there, or not for this account.

    A name in other letter case finds it too, unless there are several such. Raises the driver's errors.
    """
    driver = connection.db_driver
    schema, name = path
    if driver == "sqlite":
        if schema not in (None, "main"):
            return None
        schema = "main"
    rows = await session.catalogue(_COLUMNS[driver], (schema, name))
    found = {_text(row[1]) for row in rows}
    if name not in found and len(found) != 1:
        return None
    name = name if name in found else found.pop()
    rows = [row for row in rows if _text(row[1]) == name]
    schema = _text(rows[0][0])
    keys = await session.catalogue(_KEYS[driver], (schema, name))
    return Table(schema, name, tuple(_column(row) for row in rows), tuple(_text(key[0]) for key in keys))


def _column(row: Sequence[Any]) -> Column:
    return Column(_text(row[2]), _text(row[3]).lower(), bool(row[4]))


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
