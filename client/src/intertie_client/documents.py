"""JSON as Python objects and back, exact: integers of any size, numbers with a fraction as Decimal, digit for digit."""

import json
import re
import secrets
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from intertie_client.errors import InvalidArgument

# json writes no Decimal as a number, and through float it would lose digits. So a text that nobody else has stands in
# its place until all is written.
_MARK = f"decimal-{secrets.token_hex(8)}:"
_MARKED = re.compile(f'"{_MARK}([^"]+)"')


def read(raw: bytes) -> Any:
    """The document. Numbers with a fraction or an exponent are Decimal, no bytes at all are None."""
    return json.loads(raw, parse_float=Decimal) if raw else None


def write(document: Any) -> bytes:
    """The document as JSON in UTF-8; bytes are JSON already and stay as they are. Dates and times are ISO 8601.

    Raises InvalidArgument (INVALID_JSON) for what is no JSON: NaN, a set, an object of a class of one's own.
    """
    if isinstance(document, bytes):
        return document
    try:
        text = json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_other)
        return (_MARKED.sub(r"\1", text) if _MARK in text else text).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidArgument(f"this is no JSON: {_what_is_wrong(error)}", reason="INVALID_JSON") from error


def write_record(record: Mapping[str, Any] | bytes) -> bytes:
    """A record to push as JSON. Raises InvalidArgument (INVALID_JSON), also for what is no object."""
    raw = write(record)
    if not raw.lstrip().startswith(b"{"):
        raise InvalidArgument("a record is a JSON object", reason="INVALID_JSON")
    return raw


def write_optional(document: Any) -> bytes:
    """As `write`; None is nothing at all."""
    return b"" if document is None else write(document)


def _other(value: object) -> str:
    if isinstance(value, Decimal):
        if not value.is_finite():
            raise ValueError("a number that is not finite")
        return f"{_MARK}{value}"
    if isinstance(value, datetime | date):
        return value.isoformat()
    raise TypeError(f"an object of type {type(value).__name__}")


def _what_is_wrong(error: Exception) -> str:
    return "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
