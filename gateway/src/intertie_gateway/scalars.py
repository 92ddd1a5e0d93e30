"""Single values of a contract's fields, from JSON and from a query, as strictly as the contract means them."""

import base64
import binascii
import re
from collections.abc import Callable
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp

from intertie_gateway.fields import enum_of, message_of

F = FieldDescriptor

RANGES = {
    F.TYPE_INT32: (-(2**31), 2**31 - 1),
    F.TYPE_SINT32: (-(2**31), 2**31 - 1),
    F.TYPE_SFIXED32: (-(2**31), 2**31 - 1),
    F.TYPE_UINT32: (0, 2**32 - 1),
    F.TYPE_FIXED32: (0, 2**32 - 1),
    F.TYPE_INT64: (-(2**63), 2**63 - 1),
    F.TYPE_SINT64: (-(2**63), 2**63 - 1),
    F.TYPE_SFIXED64: (-(2**63), 2**63 - 1),
    F.TYPE_UINT64: (0, 2**64 - 1),
    F.TYPE_FIXED64: (0, 2**64 - 1),
}
#: integers that travel as JSON strings, since many readers keep 53 bits only
WIDE = {F.TYPE_INT64, F.TYPE_SINT64, F.TYPE_SFIXED64, F.TYPE_UINT64, F.TYPE_FIXED64}
FLOATS = {F.TYPE_FLOAT, F.TYPE_DOUBLE}

_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,19})")
_PATHS = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*(,[A-Za-z_][A-Za-z0-9_.]*)*")


class Unfit(ValueError):
    """the value does not fit its field"""


Reader = Callable[[Any], Any]
"""Makes a field's value of a JSON value; raises Unfit."""


def json_reader(field: FieldDescriptor) -> Reader:
    """How a scalar, an enum or a well-known message is read from JSON.

    Raises TypeError for a kind of field that no contract may have where HTTP reaches it.
    """
    if field.type in RANGES:
        low, high = RANGES[field.type]
        wide = field.type in WIDE
        return lambda value: _integer(value, low, high, text=wide)
    if field.type == F.TYPE_ENUM:
        return lambda value: _enum(value, field)
    if field.type == F.TYPE_MESSAGE:
        return _WELL_KNOWN[message_of(field).full_name]
    return _SCALARS[field.type]


def text_reader(field: FieldDescriptor) -> Callable[[str], Any]:
    """How the same is read from a path or a query, where everything is text."""
    if field.type in RANGES:
        low, high = RANGES[field.type]
        return lambda text: _integer(text, low, high, text=True)
    if field.type == F.TYPE_BOOL:
        return _bool_text
    if field.type in FLOATS:
        return _float_text
    return json_reader(field)


def is_well_known(full_name: str) -> bool:
    """Whether a message is one that JSON writes as a single value."""
    return full_name in _WELL_KNOWN


def _integer(value: Any, low: int, high: int, *, text: bool) -> int:
    if text and isinstance(value, str):
        if not _INTEGER.fullmatch(value):
            raise Unfit("must be a whole number")
        value = int(value)
    if type(value) is not int:
        raise Unfit("must be a whole number")
    if not low <= value <= high:
        raise Unfit(f"must be between {low} and {high}")
    return value


def _float(value: Any) -> float:
    if type(value) not in (int, float):
        raise Unfit("must be a number")
    try:
        return float(value)
    except OverflowError:
        raise Unfit("is too large a number") from None


def _float_text(text: str) -> float:
    if not re.fullmatch(r"-?[0-9]{1,40}(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,3})?", text):
        raise Unfit("must be a number")
    return float(text)


def _bool(value: Any) -> bool:
    if not isinstance(value, bool):
        raise Unfit("must be true or false")
    return value


def _bool_text(text: str) -> bool:
    if text not in ("true", "false"):
        raise Unfit("must be true or false")
    return text == "true"


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise Unfit("must be a string")
    return value


def _bytes(value: Any) -> bytes:
    try:
        return base64.b64decode(_text(value).replace("-", "+").replace("_", "/"), validate=True)
    except (binascii.Error, ValueError):
        raise Unfit("must be base64") from None


def _enum(value: Any, field: FieldDescriptor) -> int:
    names = enum_of(field).values_by_name
    if isinstance(value, str):
        if value not in names:
            raise Unfit(f"must be one of {', '.join(names)}")
        return int(names[value].number)
    if type(value) is int and value in enum_of(field).values_by_number:
        return value
    raise Unfit(f"must be one of {', '.join(names)}")


def _timestamp(value: Any) -> Timestamp:
    timestamp = Timestamp()
    try:
        timestamp.FromJsonString(_text(value))
    except (ValueError, OverflowError):
        raise Unfit("must be a time as RFC 3339 has it, like 2026-01-31T08:15:00Z") from None
    return timestamp


def _duration(value: Any) -> Duration:
    duration = Duration()
    try:
        duration.FromJsonString(_text(value))
    except (ValueError, OverflowError):
        raise Unfit("must be a number of seconds with an s, like 1.5s") from None
    return duration


def _field_mask(value: Any) -> FieldMask:
    text = _text(value)
    if not text:
        return FieldMask()
    if not _PATHS.fullmatch(text):
        raise Unfit("must be names of fields, separated by commas")
    return FieldMask(paths=text.split(","))


_SCALARS: dict[int, Reader] = {
    F.TYPE_BOOL: _bool,
    F.TYPE_STRING: _text,
    F.TYPE_BYTES: _bytes,
    F.TYPE_FLOAT: _float,
    F.TYPE_DOUBLE: _float,
}
_WELL_KNOWN: dict[str, Reader] = {
    "google.protobuf.Timestamp": _timestamp,
    "google.protobuf.Duration": _duration,
    "google.protobuf.FieldMask": _field_mask,
}
