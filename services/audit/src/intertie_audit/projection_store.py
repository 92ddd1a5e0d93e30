"""A row of the log as canonical bytes (`chain_format`), computed by the database in one expression.

So a row travels as one value, which costs a fraction of what its columns would. SQLite has no SHA-256: there the
payloads travel, elsewhere their digests. A text is written in JSON as `chain_format.canonical_bytes` does it, but for
MariaDB, which writes rare control characters with capital letters (`normal`).
"""

import json
from typing import Literal

from intertie_audit.chain import ENTRY_COLUMNS, canonical_bytes, payload_digests

Dialect = Literal["sqlite", "mysql"]

_NUMBERS = {"sequence", "id", "system_id", "response_status", "execution_time_ms", "requested_by"}
_PLAIN = {"created_at", "sealed_at"}
_PREFIX = tuple(f"c.{name}" for name in ("sequence", "kind", "sealed_at"))
_ROW = tuple(f"l.{name}" for name in ENTRY_COLUMNS)


def row(dialect: Dialect) -> str:
    """Expression for the canonical bytes of the columns of the row `l` of the log."""
    return _array(dialect, _ROW)


def digests(dialect: Dialect) -> str:
    """Two expressions, whose values `digest_values` takes."""
    return "l.request_payload, l.response_payload" if dialect == "sqlite" else f"CONCAT(x'', {_digests()}), NULL"


def digest_values(dialect: Dialect, first: str | bytes | None, second: str | bytes | None) -> bytes:
    """What `chain.payload_digests` gives, of what `digests` selects."""
    if dialect == "sqlite":
        return payload_digests(first, second)
    return first if isinstance(first, bytes) else b"null,null"


def whole(dialect: Dialect) -> str:
    """Expression for all canonical bytes of an entry sealed by the link `c`; on SQLite without the digests."""
    if dialect == "sqlite":
        return _array(dialect, (*_PREFIX, *_ROW))
    values = ", ',', ".join(_value(column) for column in (*_PREFIX, *_ROW))
    return f"CONCAT(x'', '[', {values}, ',', {_digests()}, ']')"


def normal(canonical: bytes) -> bytes:
    """The same bytes with control characters as `canonical_bytes` writes them."""
    if b"\\u00" not in canonical:
        return canonical
    try:
        return canonical_bytes(json.loads(canonical))
    except ValueError:
        return canonical


def tolerant_row() -> str:
    """For SQLite, where any column may hold bytes, of which JSON has none: the same as `row`, with `blob_text` of them.

    Nothing of ours writes such, and it costs more; so it is used where `row` fails.
    """
    columns = (f"CASE typeof({column}) WHEN 'blob' THEN 'blob ' || hex({column}) ELSE {column} END" for column in _ROW)
    return f"CAST(json_array({', '.join(columns)}) AS BLOB)"


def blob_text(value: bytes) -> str:
    """What stands for bytes in a column that is to hold text or a number."""
    return f"blob {value.hex().upper()}"


def _array(dialect: Dialect, columns: tuple[str, ...]) -> str:
    if dialect == "sqlite":
        return f"CAST(json_array({', '.join(columns)}) AS BLOB)"
    # x'' makes the result a string of bytes, which no character set touches on its way.
    values = ", ',', ".join(_value(column) for column in columns)
    return f"CONCAT(x'', '[', {values}, ']')"


def _value(column: str) -> str:
    name = column.partition(".")[2]
    if name in _NUMBERS:
        # The number of a row is NULL only where a join finds none: then the whole is.
        return column if column in ("l.id", "c.sequence") else f"COALESCE({column}, 'null')"
    if name in _PLAIN:
        return f"COALESCE(CONCAT('\"', {column}, '\"'), 'null')"
    # In whatever character set a table that was adopted keeps it, it is hashed as UTF-8.
    return f"COALESCE(JSON_QUOTE(CONVERT({column} USING utf8mb4)), 'null')"


def _digests() -> str:
    return ", ',', ".join(
        f"COALESCE(CONCAT('\"', SHA2(CONVERT(l.{name} USING utf8mb4), 256), '\"'), 'null')"
        for name in ("request_payload", "response_payload")
    )
