"""Keys and values of target rows in one spelling, whichever driver they come from: to compare, keep and show."""

import base64
import hashlib
import json
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import lru_cache, partial

from intertie_mapper.columns import Column, Key, Kind, SqlValue, TargetTable

_TIMES = {Kind.DATE, Kind.DATETIME, Kind.TIMESTAMP, Kind.TIME}


def canonical(column: Column, value: object) -> SqlValue:
    """A value as the driver gave it, in the spelling that `conversion` binds."""
    if value is None or type(value) is str or type(value) is int:
        return value
    kind = column.kind
    if isinstance(value, datetime):
        text = value.isoformat(" ", timespec="microseconds")
        return text[:10] if kind is Kind.DATE else text[: 19 + (1 + column.fraction if column.fraction else 0)]
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, timedelta):
        return _clock(column, value)
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, (bytes, bytearray, memoryview)):
        raw = bytes(value)
        return int.from_bytes(raw, "big") if kind is Kind.BIT else raw
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, (int, float)):
        return value
    return str(value)


def same(column: Column, old: SqlValue, new: SqlValue) -> bool:
    """Whether writing `new` over `old` would change nothing; False in doubt."""
    if type(old) is type(new) and old == new:
        return True
    if old is None or new is None:
        return False
    if column.kind is Kind.JSON and isinstance(old, str) and isinstance(new, str):
        try:
            return bool(_ordered(old) == _ordered(new))
        except ValueError:
            return False
    if isinstance(old, (int, float)) and isinstance(new, (int, float)):
        return old == new
    return False


def _ordered(text: str) -> object:
    """MySQL orders keys and drops whitespace; numbers stay texts, so that no two of them are taken for one."""
    return json.loads(text, parse_float=str, parse_int=str)


def _clock(column: Column, value: timedelta) -> str:
    total = abs(value) // timedelta(microseconds=1)
    seconds, micro = divmod(total, 1_000_000)
    sign = "-" if value < timedelta(0) else ""
    text = f"{sign}{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    return text + (f".{micro:06}"[: 1 + column.fraction] if column.fraction else "")


def key_of(table: TargetTable, row: tuple[object, ...]) -> Key:
    """The key whose values, as the driver gave them, begin the row."""
    return tuple(canonical(column, value) for column, value in zip(table.key_columns, row, strict=False))


def key_to_json(table: TargetTable, key: Key) -> str:
    """`{"id":7}`: numbers as numbers, bytes in base64, everything else as text."""
    if len(key) == 1 and type(key[0]) is int:  # nearly every key
        return f"{{{_quoted(table.primary_key[0])}:{key[0]}}}"
    values = {
        name: base64.b64encode(value).decode() if isinstance(value, bytes) else value
        for name, value in zip(table.primary_key, key, strict=True)
    }
    return json.dumps(values, ensure_ascii=False, separators=(",", ":"))


_quoted = lru_cache(maxsize=1024)(partial(json.dumps, ensure_ascii=False))


def key_from_json(table: TargetTable, text: str) -> Key | None:
    """The key that `key_to_json` wrote; None when the table's key has other columns by now."""
    values = json.loads(text)
    if not isinstance(values, dict) or set(values) != set(table.primary_key):
        return None
    return tuple(
        base64.b64decode(values[column.name]) if column.kind is Kind.BINARY else values[column.name]
        for column in table.key_columns
    )


def key_digest(key_json: str) -> bytes:
    """32 bytes by which a key is found in an index."""
    return hashlib.sha256(key_json.encode()).digest()


def local_id(table: TargetTable, key: Key) -> int:
    """The key as the number that `external_data_cache.local_id` can hold (INT UNSIGNED); 0 when it is none."""
    value = key[0] if len(key) == 1 else None
    return value if isinstance(value, int) and 0 < value < 2**32 and table.has_integer_key else 0


def to_json(column: Column | None, value: SqlValue) -> object:
    """A column's value for a preview: JSON as JSON, bytes in base64, numbers as numbers."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if column is not None and column.kind is Kind.JSON and isinstance(value, str):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value
