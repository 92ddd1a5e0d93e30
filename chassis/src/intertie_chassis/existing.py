"""What tables a MySQL or MariaDB database holds (from information_schema), and how their columns are written in DDL."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

_EXPRESSIONS = ("current_timestamp", "now(", "(", "uuid(", "null")


@dataclass(frozen=True, slots=True)
class Column:
    """A column as it stands."""

    name: str
    type: str
    """As MySQL writes it: ``int(10) unsigned``, ``enum('a','b')``."""
    is_nullable: bool
    default: str | None
    """The default as it stands in DDL, quoted if a literal; None when there is none."""
    extra: str = ""
    """``auto_increment``, ``on update current_timestamp()`` or nothing."""
    charset: str | None = None
    collation: str | None = None
    comment: str = ""
    check: str | None = None
    """The condition of the column's own CHECK (MariaDB's JSON columns have one)."""

    def with_changes(self, **changes: Any) -> "Column":
        """The same column but for these attributes."""
        return replace(self, **changes)

    def ddl(self) -> str:
        """The definition for ALTER TABLE, without the name: every attribute, since MODIFY forgets what is left out."""
        parts = [self.type]
        if self.collation:
            parts.append(f"CHARACTER SET {self.charset or self.collation.partition('_')[0]} COLLATE {self.collation}")
        parts.append("NULL" if self.is_nullable else "NOT NULL")
        if self.default is not None:
            parts.append(f"DEFAULT {self.default}")
        if self.extra:
            parts.append(self.extra)
        if self.comment:
            parts.append(f"COMMENT {literal(self.comment)}")
        if self.check:
            parts.append(f"CHECK ({self.check})")
        return " ".join(parts)


@dataclass(frozen=True, slots=True)
class Index:
    """An index, in the order of its columns; the primary key is called PRIMARY."""

    name: str
    columns: tuple[str, ...]
    is_unique: bool


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """A foreign key and what happens to its rows."""

    name: str
    columns: tuple[str, ...]
    referred_table: str
    referred_columns: tuple[str, ...]
    on_delete: str
    on_update: str


@dataclass(slots=True)
class Table:
    """A table as it stands, or will stand once the statements planned so far have run."""

    name: str
    columns: dict[str, Column]
    indexes: dict[str, Index]
    foreign_keys: dict[str, ForeignKey]
    engine: str = "InnoDB"

    def index_on(self, *columns: str, unique: bool | None = None) -> Index | None:
        """The index over exactly these columns in this order, if there is one."""
        for index in self.indexes.values():
            if index.columns == columns and (unique is None or index.is_unique == unique):
                return index
        return None

    def foreign_keys_on(self, *columns: str) -> list[ForeignKey]:
        """The foreign keys over exactly these columns."""
        return [key for key in self.foreign_keys.values() if key.columns == columns]


async def read_tables(connection: AsyncConnection, prefix: str) -> dict[str, Table]:
    """The tables of the present database whose names begin with the prefix, by full name."""

    async def rows(query: str) -> list[Mapping[str, Any]]:
        result = await connection.execute(text(query), {"prefix": prefix})
        return [dict(row) for row in result.mappings()]

    where = "TABLE_SCHEMA = DATABASE() AND LEFT(TABLE_NAME, CHAR_LENGTH(:prefix)) = :prefix"
    tables = {
        row["name"]: Table(row["name"], {}, {}, {}, str(row["engine"]))
        for row in await rows(
            "SELECT TABLE_NAME AS name, ENGINE AS engine FROM information_schema.TABLES"
            f" WHERE {where} AND TABLE_TYPE = 'BASE TABLE'"
        )
    }
    is_mariadb = "mariadb" in str(await connection.scalar(text("SELECT VERSION()"))).lower()
    checks = await _column_checks(connection, prefix) if is_mariadb else {}
    for row in await rows(
        "SELECT TABLE_NAME AS t, COLUMN_NAME AS name, COLUMN_TYPE AS type, IS_NULLABLE AS nullable,"
        " COLUMN_DEFAULT AS def, EXTRA AS extra, CHARACTER_SET_NAME AS charset, COLLATION_NAME AS collation,"
        " COLUMN_COMMENT AS comment"
        f" FROM information_schema.COLUMNS WHERE {where} ORDER BY TABLE_NAME, ORDINAL_POSITION"
    ):
        if row["t"] in tables:
            column = _column(row, checks.get((row["t"], row["name"])), is_mariadb)
            tables[row["t"]].columns[column.name] = column
    for row in await rows(
        "SELECT TABLE_NAME AS t, INDEX_NAME AS name, MIN(NON_UNIQUE) AS non_unique,"
        " GROUP_CONCAT(COLUMN_NAME ORDER BY SEQ_IN_INDEX SEPARATOR '\\n') AS cols"
        f" FROM information_schema.STATISTICS WHERE {where} GROUP BY TABLE_NAME, INDEX_NAME"
    ):
        if row["t"] in tables:
            columns = tuple(str(row["cols"]).split("\n"))
            tables[row["t"]].indexes[row["name"]] = Index(row["name"], columns, not int(row["non_unique"]))
    for row in await rows(
        "SELECT k.TABLE_NAME AS t, k.CONSTRAINT_NAME AS name, k.REFERENCED_TABLE_NAME AS referred,"
        " GROUP_CONCAT(k.COLUMN_NAME ORDER BY k.ORDINAL_POSITION SEPARATOR '\\n') AS cols,"
        " GROUP_CONCAT(k.REFERENCED_COLUMN_NAME ORDER BY k.ORDINAL_POSITION SEPARATOR '\\n') AS rcols,"
        " MIN(r.DELETE_RULE) AS on_delete, MIN(r.UPDATE_RULE) AS on_update"
        " FROM information_schema.KEY_COLUMN_USAGE k JOIN information_schema.REFERENTIAL_CONSTRAINTS r"
        " ON r.CONSTRAINT_SCHEMA = k.CONSTRAINT_SCHEMA AND r.CONSTRAINT_NAME = k.CONSTRAINT_NAME"
        " AND r.TABLE_NAME = k.TABLE_NAME"
        " WHERE k.TABLE_SCHEMA = DATABASE() AND LEFT(k.TABLE_NAME, CHAR_LENGTH(:prefix)) = :prefix"
        " AND k.REFERENCED_TABLE_NAME IS NOT NULL GROUP BY k.TABLE_NAME, k.CONSTRAINT_NAME, k.REFERENCED_TABLE_NAME"
    ):
        if row["t"] in tables:
            tables[row["t"]].foreign_keys[row["name"]] = ForeignKey(
                row["name"],
                tuple(str(row["cols"]).split("\n")),
                row["referred"],
                tuple(str(row["rcols"]).split("\n")),
                str(row["on_delete"]).upper(),
                str(row["on_update"]).upper(),
            )
    return tables


async def _column_checks(connection: AsyncConnection, prefix: str) -> dict[tuple[str, str], str]:
    """MariaDB's CHECKs that stand in a column's definition: MODIFY drops them unless they are written again."""
    result = await connection.execute(
        text(
            "SELECT TABLE_NAME AS t, CONSTRAINT_NAME AS name, CHECK_CLAUSE AS clause"
            " FROM information_schema.CHECK_CONSTRAINTS WHERE CONSTRAINT_SCHEMA = DATABASE() AND LEVEL = 'Column'"
            " AND LEFT(TABLE_NAME, CHAR_LENGTH(:prefix)) = :prefix"
        ),
        {"prefix": prefix},
    )
    return {(str(row["t"]), str(row["name"])): str(row["clause"]) for row in result.mappings()}


def _column(row: Mapping[str, Any], check: str | None, is_mariadb: bool) -> Column:
    extra = str(row["extra"] or "")
    is_expression = "DEFAULT_GENERATED" in extra
    extra = extra.replace("DEFAULT_GENERATED", "").strip()
    return Column(
        name=row["name"],
        type=_text(row["type"]),
        is_nullable=row["nullable"] == "YES",
        default=_default(row["def"], is_mariadb, is_expression),
        extra=extra,
        charset=row["charset"],
        collation=row["collation"],
        comment=str(row["comment"] or ""),
        check=check,
    )


def _default(value: Any, is_mariadb: bool, is_expression: bool) -> str | None:
    """MariaDB reports a default as DDL has it; MySQL reports literals bare and marks expressions in EXTRA."""
    if value is None:
        return None
    value = _text(value)
    if is_mariadb:
        return None if value.upper() == "NULL" else value
    if is_expression:
        return value if value.lower().startswith(_EXPRESSIONS) else f"({value})"
    return literal(value)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def literal(value: str) -> str:
    """The value as a SQL string."""
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"


def quote(*names: str) -> str:
    """The names as a list of quoted identifiers."""
    return ", ".join("`" + name.replace("`", "``") + "`" for name in names)
