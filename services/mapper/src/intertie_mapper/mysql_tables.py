"""What a target table looks like on MySQL and MariaDB, from information_schema."""

import re
from collections.abc import Sequence
from typing import Any

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncConnection

from intertie_mapper.columns import Column, ForeignKey, Kind, TargetTable, UniqueKey

_INTEGER_BITS = {"tinyint": 8, "smallint": 16, "mediumint": 24, "int": 32, "bigint": 64}
_KINDS = {
    "decimal": Kind.DECIMAL,
    "numeric": Kind.DECIMAL,
    "float": Kind.FLOAT,
    "double": Kind.FLOAT,
    "char": Kind.TEXT,
    "varchar": Kind.TEXT,
    "tinytext": Kind.TEXT,
    "text": Kind.TEXT,
    "mediumtext": Kind.TEXT,
    "longtext": Kind.TEXT,
    "enum": Kind.ENUM,
    "set": Kind.SET,
    "date": Kind.DATE,
    "datetime": Kind.DATETIME,
    "timestamp": Kind.TIMESTAMP,
    "time": Kind.TIME,
    "year": Kind.YEAR,
    "json": Kind.JSON,
    "binary": Kind.BINARY,
    "varbinary": Kind.BINARY,
    "tinyblob": Kind.BINARY,
    "blob": Kind.BINARY,
    "mediumblob": Kind.BINARY,
    "longblob": Kind.BINARY,
    "uuid": Kind.UUID,
    "bit": Kind.BIT,
}
_ENCODINGS = {"utf8": "utf8mb3", "utf8mb3": "utf8mb3", "latin1": "cp1252", "ascii": "ascii"}
_WORD = re.compile(r"'((?:[^']|'')*)'")

_TABLE = """
SELECT t.TABLE_TYPE AS kind, e.TRANSACTIONS AS transactions FROM information_schema.TABLES t
LEFT JOIN information_schema.ENGINES e ON e.ENGINE = t.ENGINE
WHERE t.TABLE_SCHEMA = DATABASE() AND t.TABLE_NAME = :name"""
_COLUMNS = """
SELECT COLUMN_NAME AS name, DATA_TYPE AS data_type, COLUMN_TYPE AS column_type, IS_NULLABLE AS nullable,
  COLUMN_DEFAULT AS def, EXTRA AS extra, CHARACTER_MAXIMUM_LENGTH AS characters, CHARACTER_OCTET_LENGTH AS octets,
  NUMERIC_PRECISION AS digits, NUMERIC_SCALE AS scale, DATETIME_PRECISION AS fraction, CHARACTER_SET_NAME AS charset
FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = :name ORDER BY ORDINAL_POSITION"""
_KEYS = """
SELECT INDEX_NAME AS name, COLUMN_NAME AS column_name FROM information_schema.STATISTICS
WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = :name AND NON_UNIQUE = 0 ORDER BY INDEX_NAME, SEQ_IN_INDEX"""
_FOREIGN_KEYS = """
SELECT CONSTRAINT_NAME AS name, COLUMN_NAME AS column_name, REFERENCED_TABLE_NAME AS refers_to
FROM information_schema.KEY_COLUMN_USAGE
WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = :name AND REFERENCED_TABLE_NAME IS NOT NULL
ORDER BY CONSTRAINT_NAME, ORDINAL_POSITION"""
_CHECKS = """
SELECT CONSTRAINT_NAME AS name, CHECK_CLAUSE AS clause FROM information_schema.CHECK_CONSTRAINTS
WHERE CONSTRAINT_SCHEMA = DATABASE() AND TABLE_NAME = :name"""


async def read_table(connection: AsyncConnection, name: str) -> TargetTable | None:
    """The table of that name; None when there is none (a view is none: rows cannot be traced in it)."""

    async def rows(query: str) -> Sequence[RowMapping]:
        return (await connection.execute(text(query), {"name": name})).mappings().all()

    found = await rows(_TABLE)
    if not found or found[0]["kind"] != "BASE TABLE":
        return None
    is_mariadb = "mariadb" in str(await connection.scalar(text("SELECT VERSION()"))).lower()
    # MariaDB's JSON is LONGTEXT with this check.
    json_columns = {
        row["name"]
        for row in (await rows(_CHECKS) if is_mariadb else ())
        if _text(row["clause"]).replace("`", "").strip("()").lower() == f"json_valid({row['name']}".lower()
    }
    columns = tuple(_column(row, is_mariadb, json_columns) for row in await rows(_COLUMNS))
    keys: dict[str, list[str]] = {}
    for row in await rows(_KEYS):
        if row["column_name"] is not None:  # NULL: a part of the key is an expression
            keys.setdefault(row["name"], []).append(row["column_name"])
    primary = tuple(keys.pop("PRIMARY", ()))
    references: dict[str, tuple[list[str], str]] = {}
    for row in await rows(_FOREIGN_KEYS):
        references.setdefault(row["name"], ([], row["refers_to"]))[0].append(row["column_name"])
    generated = any(column.auto_increment for column in columns if column.name in primary)
    return TargetTable(
        name,
        columns,
        primary,
        tuple(UniqueKey(key, tuple(names)) for key, names in keys.items()),
        tuple(ForeignKey(key, tuple(names), refers_to) for key, (names, refers_to) in references.items()),
        reuses_keys=not generated,
        transactional=found[0]["transactions"] != "NO",
    )


async def table_names(connection: AsyncConnection, prefix: str) -> list[str]:
    """The tables whose names begin with the prefix, in order."""
    query = text(
        "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() "
        "AND TABLE_TYPE = 'BASE TABLE' AND LEFT(TABLE_NAME, CHAR_LENGTH(:prefix)) = :prefix ORDER BY TABLE_NAME"
    )
    return list((await connection.scalars(query, {"prefix": prefix})).all())


def _column(row: RowMapping, is_mariadb: bool, json_columns: set[str]) -> Column:
    data_type, column_type = _text(row["data_type"]).lower(), _text(row["column_type"])
    extra, name = str(row["extra"] or "").lower(), str(row["name"])
    unsigned = "unsigned" in column_type.lower()
    default = _default(row["def"], is_mariadb)
    kind, low, high = _KINDS.get(data_type, Kind.OTHER), None, None
    if data_type in _INTEGER_BITS:
        kind = Kind.BOOLEAN if column_type.lower().startswith("tinyint(1)") else Kind.INTEGER
        bits = _INTEGER_BITS[data_type]
        low, high = (0, 2**bits - 1) if unsigned else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    elif kind in (Kind.DECIMAL, Kind.FLOAT):
        low = 0 if unsigned else None
    elif kind is Kind.YEAR:
        low, high = 1901, 2155
    elif kind is Kind.BIT:
        low, high = 0, 2 ** int(row["digits"] or 1) - 1
    elif kind is Kind.TEXT and name in json_columns:
        kind, column_type = Kind.JSON, "json"
    is_long_text = data_type.endswith("text")
    return Column(
        name=name,
        type=column_type,
        kind=kind,
        nullable=row["nullable"] == "YES",
        has_default=default is not None or "auto_increment" in extra,
        auto_increment="auto_increment" in extra,
        computed="virtual generated" in extra or "stored generated" in extra or "persistent" in extra,
        default_expression=default if _is_expression(default, extra, is_mariadb) else None,
        max_characters=int(row["characters"]) if kind is Kind.TEXT and not is_long_text else None,
        max_bytes=int(row["octets"]) if kind is Kind.BINARY or (kind is Kind.TEXT and is_long_text) else None,
        padded=data_type == "char",
        fixed_bytes=int(row["octets"]) if data_type == "binary" else None,
        low=low,
        high=high,
        precision=int(row["digits"]) if kind is Kind.DECIMAL else None,
        scale=int(row["scale"] or 0) if kind is Kind.DECIMAL else 0,
        single=data_type == "float",
        fraction=int(row["fraction"] or 0),
        words=_words(column_type) if kind in (Kind.ENUM, Kind.SET) else (),
        encoding=_ENCODINGS.get(str(row["charset"])),
    )


def _default(value: Any, is_mariadb: bool) -> str | None:
    """MariaDB says NULL in a word, MySQL by a null."""
    if value is None or (is_mariadb and _text(value).upper() == "NULL"):
        return None
    return _text(value)


def _is_expression(default: str | None, extra: str, is_mariadb: bool) -> bool:
    """Whether the default makes a value anew for each row: a function call that is no literal."""
    if default is None:
        return False
    return (not default.startswith("'") and "(" in default) if is_mariadb else "default_generated" in extra


def _words(column_type: str) -> tuple[str, ...]:
    inside = column_type[column_type.index("(") + 1 : column_type.rindex(")")]
    return tuple(word.replace("''", "'") for word in _WORD.findall(inside))


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
