"""What a target table looks like on SQLite: declared types are taken at their word, though SQLite would not."""

import re
from collections.abc import Sequence

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncConnection

from intertie_mapper.columns import Column, ForeignKey, Kind, TargetTable, UniqueKey

_DECLARED = re.compile(r"\s*([A-Za-z_ ]*?)\s*(?:\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\))?\s*(unsigned)?\s*$", re.IGNORECASE)
_INTEGER_BITS = {
    "tinyint": 8,
    "smallint": 16,
    "mediumint": 24,
    "int": 64,
    "integer": 64,
    "bigint": 64,
    "int8": 64,
    "int2": 16,
}
_UNSIGNED_BITS = {"tinyint": 8, "smallint": 16, "mediumint": 24, "int": 32, "integer": 32}
_KINDS = {
    "boolean": Kind.BOOLEAN,
    "bool": Kind.BOOLEAN,
    "decimal": Kind.DECIMAL,
    "numeric": Kind.DECIMAL,
    "float": Kind.FLOAT,
    "double": Kind.FLOAT,
    "double precision": Kind.FLOAT,
    "real": Kind.FLOAT,
    "char": Kind.TEXT,
    "character": Kind.TEXT,
    "varchar": Kind.TEXT,
    "character varying": Kind.TEXT,
    "nchar": Kind.TEXT,
    "nvarchar": Kind.TEXT,
    "text": Kind.TEXT,
    "tinytext": Kind.TEXT,
    "mediumtext": Kind.TEXT,
    "longtext": Kind.TEXT,
    "clob": Kind.TEXT,
    "date": Kind.DATE,
    "datetime": Kind.DATETIME,
    "timestamp": Kind.TIMESTAMP,
    "time": Kind.TIME,
    "year": Kind.YEAR,
    "json": Kind.JSON,
    "jsonb": Kind.JSON,
    "blob": Kind.BINARY,
    "binary": Kind.BINARY,
    "varbinary": Kind.BINARY,
    "uuid": Kind.UUID,
}
_MOMENTS = {Kind.DATETIME, Kind.TIMESTAMP, Kind.TIME}


async def read_table(connection: AsyncConnection, name: str) -> TargetTable | None:
    """The table of that name; None when there is none (a view is none: rows cannot be traced in it)."""

    async def rows(query: str, about: str = name) -> Sequence[RowMapping]:
        return (await connection.execute(text(query), {"name": about})).mappings().all()

    found = await rows("SELECT name, sql FROM sqlite_master WHERE type = 'table' AND name = :name")
    if not found:
        return None
    ddl = str(found[0]["sql"] or "")
    info = await rows('SELECT name, type, "notnull", dflt_value, pk, hidden FROM pragma_table_xinfo(:name)')
    primary = tuple(row["name"] for row in sorted(info, key=lambda row: row["pk"]) if row["pk"])
    is_rowid = len(primary) == 1 and "without rowid" not in ddl.lower()
    columns = tuple(_column(row, ddl, is_rowid) for row in info)
    uniques = []
    for index in await rows('SELECT name, origin FROM pragma_index_list(:name) WHERE "unique" = 1 AND partial = 0'):
        names = await rows("SELECT name FROM pragma_index_info(:name) ORDER BY seqno", index["name"])
        if index["origin"] != "pk" and all(row["name"] is not None for row in names):
            uniques.append(UniqueKey(index["name"], tuple(row["name"] for row in names)))
    references: dict[int, tuple[list[str], str]] = {}
    for row in await rows('SELECT id, "from" AS column_name, "table" AS refers_to FROM pragma_foreign_key_list(:name)'):
        references.setdefault(row["id"], ([], row["refers_to"]))[0].append(row["column_name"])
    return TargetTable(
        name,
        columns,
        primary,
        tuple(uniques),
        tuple(ForeignKey("", tuple(names), refers_to) for names, refers_to in references.values()),
        reuses_keys="autoincrement" not in ddl.lower(),
    )


async def table_names(connection: AsyncConnection, prefix: str) -> list[str]:
    """The tables whose names begin with the prefix, in order."""
    query = text(
        "SELECT name FROM sqlite_master WHERE type = 'table' "
        "AND substr(name, 1, length(:prefix)) = :prefix ORDER BY name"
    )
    return list((await connection.scalars(query, {"prefix": prefix})).all())


def _column(row: RowMapping, ddl: str, is_rowid: bool) -> Column:
    declared, name = str(row["type"] or ""), str(row["name"])
    # Only exactly INTEGER makes the key an alias of the rowid, which numbers itself.
    counts = bool(row["pk"]) and is_rowid and declared.upper() == "INTEGER"
    default = row["dflt_value"]
    has_default = counts or (default is not None and str(default).upper() != "NULL")
    kind, low, high, first, second = _kind(declared)
    words = _words(name, ddl) if kind is Kind.TEXT else ()
    return Column(
        name=name,
        type=declared or "ANY",
        kind=Kind.ENUM if words else kind,
        nullable=not row["notnull"] and not row["pk"],
        has_default=has_default,
        auto_increment=counts,
        computed=row["hidden"] in (2, 3),
        default_expression=str(default) if default is not None and "(" in str(default) else None,
        max_characters=first if kind is Kind.TEXT else None,
        max_bytes=first if kind is Kind.BINARY else None,
        low=low,
        high=high,
        precision=first if kind is Kind.DECIMAL else None,
        scale=second or 0,
        fraction=(first or 0) if kind in _MOMENTS else 0,
        words=words,
        embedded=True,
    )


def _kind(declared: str) -> tuple[Kind, int | None, int | None, int | None, int | None]:
    """The kind, its least and greatest integer, and the two numbers in parentheses."""
    match = _DECLARED.match(declared)
    base = match[1].lower().strip() if match else ""
    first = int(match[2]) if match and match[2] else None
    second = int(match[3]) if match and match[3] else None
    unsigned = bool(match and match[4]) or base.endswith(" unsigned")
    base = base.removesuffix(" unsigned").strip()
    if base in _INTEGER_BITS:
        if base == "tinyint" and first == 1:
            return Kind.BOOLEAN, -128, 127, None, None
        if unsigned:
            return Kind.INTEGER, 0, 2 ** _UNSIGNED_BITS[base] - 1 if base in _UNSIGNED_BITS else 2**63 - 1, None, None
        bits = _INTEGER_BITS[base]
        return Kind.INTEGER, -(2 ** (bits - 1)), 2 ** (bits - 1) - 1, None, None
    kind = _KINDS.get(base)
    if kind is Kind.BOOLEAN:
        return kind, -128, 127, None, None
    if kind is Kind.YEAR:
        return kind, 1901, 2155, None, None
    if kind is not None:
        return kind, (0 if unsigned and kind in (Kind.DECIMAL, Kind.FLOAT) else None), None, first, second
    upper = declared.upper()  # SQLite's own rules of affinity, for names of other databases
    if "INT" in upper:
        return Kind.INTEGER, -(2**63), 2**63 - 1, None, None
    if "CHAR" in upper or "CLOB" in upper or "TEXT" in upper:
        return Kind.TEXT, None, None, None, None
    if "REAL" in upper or "FLOA" in upper or "DOUB" in upper:
        return Kind.FLOAT, None, None, None, None
    return Kind.OTHER, None, None, None, None


def _words(name: str, ddl: str) -> tuple[str, ...]:
    """The words of `CHECK (column IN ('a', 'b'))`, by which SQLite spells an ENUM."""
    match = re.search(
        rf"\(\s*[\"`\[]?{re.escape(name)}[\"`\]]?\s+IN\s*\(((?:\s*'(?:[^']|'')*'\s*,?)+)\)", ddl, re.IGNORECASE
    )
    return tuple(word.replace("''", "'") for word in re.findall(r"'((?:[^']|'')*)'", match[1])) if match else ()
