"""What a migration may do to tables that older code goes on working with: it adds, and takes nothing away."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

#: how much the texts hold that have no length of their own, in bytes
_TEXTS = {"TINYTEXT": 255, "TEXT": 65_535, "MEDIUMTEXT": 16_777_215, "LONGTEXT": 4_294_967_295}


@dataclass(frozen=True, slots=True)
class Column:
    """A column as older code meets it."""

    kind: str
    #: how long a text may be; 0 for what is none, or has no end
    length: int
    words: frozenset[str]
    is_nullable: bool
    has_default: bool


@dataclass(frozen=True, slots=True)
class Table:
    """A table: what it holds, and what it refuses."""

    columns: dict[str, Column]
    #: each a text: a unique key, a foreign key, a check
    refusals: frozenset[str] = field(default=frozenset())


Schema = dict[str, Table]


def of(connection: sa.Connection) -> Schema:
    """Read the schema of a database."""
    inspector = sa.inspect(connection)
    found: Schema = {}
    for name in inspector.get_table_names():
        refusals = {f"unique {sorted(each['column_names'])}" for each in inspector.get_unique_constraints(name)}
        refusals |= {
            f"unique {sorted(map(str, each['column_names']))}" for each in inspector.get_indexes(name) if each["unique"]
        }
        refusals |= {f"references {each['referred_table']}" for each in inspector.get_foreign_keys(name)}
        refusals |= {f"check {each['sqltext']}" for each in inspector.get_check_constraints(name)}
        columns = {each["name"]: _column(dict(each)) for each in inspector.get_columns(name)}
        found[name] = Table(columns, frozenset(refusals))
    return found


def faults(before: Schema, after: Schema) -> Iterator[str]:
    """Say, in a line each, what older code would stumble over."""
    for name, table in before.items():
        if name not in after:
            yield f"{name} is gone"
            continue
        yield from _faults(name, table, after[name])


def _faults(name: str, before: Table, after: Table) -> Iterator[str]:
    for column in sorted(before.columns.keys() - after.columns.keys()):
        yield f"{name}.{column} is gone"
    for column in sorted(after.columns.keys() - before.columns.keys()):
        added = after.columns[column]
        if not (added.is_nullable or added.has_default):
            yield f"{name}.{column} is new, and older inserts have no value for it"
    for column in sorted(before.columns.keys() & after.columns.keys()):
        old, new = before.columns[column], after.columns[column]
        if old.is_nullable and not new.is_nullable:
            yield f"{name}.{column} may not be NULL any more"
        if old.has_default and not new.has_default:
            yield f"{name}.{column} has no default any more"
        if not _holds(new, old):
            yield f"{name}.{column} holds less, or something else: {new.kind} after {old.kind}"
    for refusal in sorted(after.refusals - before.refusals):
        yield f"{name} refuses what it took: {refusal}"


def _holds(new: Column, old: Column) -> bool:
    """Whether all that the old one held fits into the new one."""
    if new.words or old.words:
        return old.words <= new.words
    if new.length or old.length:
        return bool(new.length) and bool(old.length) and new.length >= old.length
    return new.kind == old.kind


def _column(reflected: dict[str, object]) -> Column:
    kind = reflected["type"]
    assert isinstance(kind, sa.types.TypeEngine)
    words = frozenset(kind.enums) if isinstance(kind, (sa.Enum, mysql.ENUM)) else frozenset()
    length = 0 if words else int(getattr(kind, "length", None) or _TEXTS.get(type(kind).__name__, 0))
    is_numbered = bool(reflected.get("autoincrement")) and reflected.get("autoincrement") != "auto"
    return Column(
        # The collation is another matter, and another's in adopted tables.
        kind=str(kind).partition(" COLLATE")[0],
        length=length,
        words=words,
        is_nullable=bool(reflected["nullable"]),
        has_default=reflected.get("default") is not None or is_numbered,
    )
