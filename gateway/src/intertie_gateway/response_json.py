"""A message of a contract as JSON: names as in the contract, every field printed, JSON documents as they are."""

import base64
from collections.abc import Callable
from functools import cache
from typing import Any

import orjson
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from intertie_gateway.fields import enum_of, is_document, is_input_only, is_optional, message_of
from intertie_gateway.scalars import FLOATS, WIDE

Writer = Callable[[Any], Any]
"""Makes of a field's value what orjson writes."""


def write(message: Message) -> bytes:
    """The message as JSON.

    Fields without a value are printed too: zero, false, "", [], and null for what has presence (times, messages,
    optional fields) and for documents that are not there. Of a oneof only the member that is set.
    """
    return orjson.dumps(_object(message))


def _object(message: Message) -> dict[str, Any]:
    written: dict[str, Any] = {}
    for name, presence, in_oneof, writer in _writers(message.DESCRIPTOR):
        if presence and not message.HasField(name):
            if not in_oneof:
                written[name] = None
        else:
            written[name] = writer(getattr(message, name))
    return written


@cache
def _writers(message_type: Descriptor) -> list[tuple[str, bool, bool, Writer]]:
    # What only goes in would print as empty, and sent back as such would erase what is stored.
    return [_writer(field) for field in message_type.fields if not is_input_only(field)]


def _writer(field: FieldDescriptor) -> tuple[str, bool, bool, Writer]:
    in_oneof = field.containing_oneof is not None and not is_optional(field)
    if field.type == FieldDescriptor.TYPE_MESSAGE and message_of(field).GetOptions().map_entry:
        value = _one(message_of(field).fields_by_name["value"])
        return field.name, False, False, lambda items: {str(key): value(items[key]) for key in items}
    writer = _one(field)
    if field.is_repeated:
        return field.name, False, False, lambda items: [writer(item) for item in items]
    return field.name, field.has_presence, in_oneof, writer


def _one(field: FieldDescriptor) -> Writer:
    """How one value of the field is written."""
    if is_document(field):
        return document
    if field.type in WIDE:
        return str
    if field.type == FieldDescriptor.TYPE_BYTES:
        return lambda value: base64.b64encode(value).decode("ascii")
    if field.type == FieldDescriptor.TYPE_ENUM:
        names = {number: value.name for number, value in enum_of(field).values_by_number.items()}
        return lambda value: names.get(value, value)
    if field.type == FieldDescriptor.TYPE_MESSAGE:
        return _WELL_KNOWN.get(message_of(field).full_name, _object)
    if field.type in FLOATS:
        return lambda value: value if value - value == 0 else str(value)
    return _same


def document(raw: bytes) -> Any:
    """A stored JSON document: as it is when it is valid, null when there is none.

    What is not JSON (an old row, a column that somebody edited) becomes a JSON string, so that the answer stays whole.
    """
    if not raw:
        return None
    try:
        orjson.loads(raw)
    except ValueError:
        return raw.decode("utf-8", "replace")
    return orjson.Fragment(raw)


def _same(value: Any) -> Any:
    return value


def _json_string(value: Any) -> Any:
    try:
        return value.ToJsonString()
    except (ValueError, OverflowError):
        # Outside of the years 1 to 9999: RFC 3339 has no way to write it.
        return None


_WELL_KNOWN: dict[str, Writer] = {
    "google.protobuf.Timestamp": _json_string,
    "google.protobuf.Duration": _json_string,
    "google.protobuf.FieldMask": lambda value: ",".join(value.paths),
}
