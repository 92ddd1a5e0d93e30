"""From a mapped value to what is bound for a column: by the column's type, exact or refused.

`convert` raises Misfit; whoever knows the field and the column's name makes a Refusal of it. Binary columns take base64
(standard or URL alphabet), because JSON has no bytes; BINARY(16) also takes a UUID's text.
"""

import base64
import binascii
import json
import re
import uuid
from collections.abc import Callable
from datetime import date, datetime, time
from decimal import Decimal

from intertie_mapper.columns import Column, Kind, SqlValue
from intertie_mapper.errors import TargetReason
from intertie_mapper.misfits import Misfit
from intertie_mapper.moment_conversion import to_date, to_datetime, to_time
from intertie_mapper.number_conversion import number, to_boolean, to_decimal, to_float, to_integer
from intertie_mapping.documents import MAX_DEPTH, serialise
from intertie_mapping.errors import Reason
from intertie_mapping.values import Value

_OUTSIDE_BMP = re.compile("[\U00010000-\U0010ffff]")
_SHOWN = 40


def convert(column: Column, value: Value) -> SqlValue:
    """What to bind for the value; None for null, whether the column takes that or not. Raises Misfit."""
    return None if value is None else _CONVERSIONS[column.kind](column, value)


def shown(value: Value) -> str:
    """The value in few characters, for a message."""
    try:
        text = json.dumps(value, ensure_ascii=False, default=str) if not isinstance(value, Decimal) else str(value)
    except (ValueError, RecursionError):
        text = repr(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def _text(value: Value) -> str:
    """Texts as they are, numbers with all their digits, times in the databases' notation."""
    if type(value) is str:
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float, Decimal)):
        return str(value)
    if isinstance(value, datetime):
        return value.isoformat(" ")
    if isinstance(value, (date, time)):
        return value.isoformat()
    kind = "an object" if isinstance(value, dict) else "a list"
    raise Misfit(TargetReason.WRONG_TYPE, f'it is {kind}; the transformation "json" makes a text of it')


def _to_text(column: Column, value: Value) -> SqlValue:
    text = _text(value)
    if column.padded:
        text = text.rstrip(" ")
    if column.max_characters is not None and len(text) > column.max_characters:
        raise Misfit(Reason.TOO_LONG, f"it has {len(text)} characters and the column takes {column.max_characters}")
    if column.max_bytes is not None and len(text) * 4 > column.max_bytes:
        size = len(text.encode("utf-8", "replace"))
        if size > column.max_bytes:
            raise Misfit(Reason.TOO_LONG, f"it has {size} bytes and the column takes {column.max_bytes}")
    if column.encoding is not None and not text.isascii():
        _require_encodable(column.encoding, text)
    return text


def _require_encodable(encoding: str, text: str) -> None:
    try:
        fits = not _OUTSIDE_BMP.search(text) if encoding == "utf8mb3" else bool(text.encode(encoding))
    except UnicodeEncodeError:
        fits = False
    if not fits:
        raise Misfit(TargetReason.NOT_ALLOWED_VALUE, "it has characters that the column's character set lacks")


def _word(column: Column, text: str) -> str:
    if text in column.words:
        return text
    folded = text.strip().casefold()
    for word in column.words:
        if word.casefold() == folded:  # as the databases compare them; kept as the column writes it
            return word
    raise Misfit(TargetReason.NOT_ALLOWED_VALUE, f"the column takes {_listed(column.words)}")


def _listed(words: tuple[str, ...]) -> str:
    return ", ".join(words[:12]) + (", …" if len(words) > 12 else "")


def _to_enum(column: Column, value: Value) -> SqlValue:
    return _word(column, _text(value))


def _to_set(column: Column, value: Value) -> SqlValue:
    items = [_text(item) for item in value] if isinstance(value, list) else _text(value).split(",")
    chosen = {_word(column, item) for item in items if item}
    return ",".join(word for word in column.words if word in chosen)


def _to_year(column: Column, value: Value) -> SqlValue:
    if isinstance(value, (date, datetime)):
        value = value.year
    return to_integer(column, value)


def _to_json(column: Column, value: Value) -> SqlValue:
    if isinstance(value, (datetime, date, time)):
        value = _text(value)
    text = serialise(value)
    if text.count("[") + text.count("{") > MAX_DEPTH and _depth(value) > MAX_DEPTH:
        raise Misfit(Reason.TOO_LONG, f"it is nested more than {MAX_DEPTH} deep")
    return text


def _depth(value: object) -> int:
    deepest, waiting = 0, [(value, 1)]
    while waiting:
        item, depth = waiting.pop()
        if isinstance(item, (dict, list)):
            deepest = max(deepest, depth)
            waiting += [(inner, depth + 1) for inner in (item.values() if isinstance(item, dict) else item)]
    return deepest


def _to_binary(column: Column, value: Value) -> SqlValue:
    if not isinstance(value, str):
        raise Misfit(TargetReason.WRONG_TYPE, "a binary column takes a text in base64")
    if column.fixed_bytes == 16 and len(value) == 36:
        return uuid.UUID(_to_uuid(column, value)).bytes  # type: ignore[arg-type]
    try:
        raw = base64.b64decode(value.translate(str.maketrans("-_", "+/")) + "=" * (-len(value) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise Misfit(TargetReason.WRONG_TYPE, "a binary column takes a text in base64") from None
    if column.max_bytes is not None and len(raw) > column.max_bytes:
        raise Misfit(Reason.TOO_LONG, f"it has {len(raw)} bytes and the column takes {column.max_bytes}")
    if column.fixed_bytes is not None and len(raw) != column.fixed_bytes:
        raise Misfit(
            TargetReason.WRONG_TYPE, f"it has {len(raw)} bytes and the column takes exactly {column.fixed_bytes}"
        )
    return raw


def _to_uuid(column: Column, value: Value) -> SqlValue:
    try:
        return str(uuid.UUID(_text(value)))
    except ValueError:
        raise Misfit(TargetReason.WRONG_TYPE, "it is not a UUID") from None


def _to_bit(column: Column, value: Value) -> SqlValue:
    return to_boolean(column, value) if column.high == 1 else to_integer(column, value)


def _to_other(column: Column, value: Value) -> SqlValue:
    """Types without rules of their own (and SQLite columns without a type): numbers and texts as they are."""
    if isinstance(value, bool):
        return int(value)
    if type(value) is int and column.embedded and not -(2**63) <= value < 2**63:
        raise Misfit(Reason.OUT_OF_RANGE, "SQLite keeps integers of 64 bits")
    if isinstance(value, (int, float)):
        return number(value)  # type: ignore[return-value]
    return _text(value)


_CONVERSIONS: dict[Kind, Callable[[Column, Value], SqlValue]] = {
    Kind.INTEGER: to_integer,
    Kind.BOOLEAN: to_boolean,
    Kind.DECIMAL: to_decimal,
    Kind.FLOAT: to_float,
    Kind.TEXT: _to_text,
    Kind.ENUM: _to_enum,
    Kind.SET: _to_set,
    Kind.DATE: to_date,
    Kind.DATETIME: to_datetime,
    Kind.TIMESTAMP: to_datetime,
    Kind.TIME: to_time,
    Kind.YEAR: _to_year,
    Kind.JSON: _to_json,
    Kind.BINARY: _to_binary,
    Kind.UUID: _to_uuid,
    Kind.BIT: _to_bit,
    Kind.OTHER: _to_other,
}
