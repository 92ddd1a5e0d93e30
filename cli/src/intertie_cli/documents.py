"""Messages as JSON: protobuf's own form, with the JSON documents that travel as bytes put in as what they are."""

import base64
import contextlib
import json
from typing import Any

from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from intertie.api.v1 import options_pb2


def json_of(message: Message) -> dict[str, Any]:
    """The message as values that `json.dumps` takes: snake_case names, fields that are zero included."""
    document = json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    _expand(message, document)
    return document


def _expand(message: Message, document: dict[str, Any]) -> None:
    for field in message.DESCRIPTOR.fields:
        if field.name not in document:
            continue
        value = getattr(message, field.name)
        if field.type == FieldDescriptor.TYPE_BYTES:
            if field.GetOptions().Extensions[options_pb2.json]:
                document[field.name] = [_parsed(each) for each in value] if field.is_repeated else _parsed(value)
        elif field.type == FieldDescriptor.TYPE_MESSAGE and isinstance(document[field.name], (dict, list)):
            if field.is_repeated:
                for each, inner in zip(value, document[field.name], strict=True):
                    if isinstance(inner, dict):
                        _expand(each, inner)
            elif isinstance(document[field.name], dict):
                _expand(value, document[field.name])


def _parsed(raw: bytes) -> Any:
    """The document; None when there is none, and the text itself when it is not JSON, as SQL may have left it."""
    if not raw:
        return None
    try:
        return json.loads(raw)
    except ValueError:
        return raw.decode(errors="replace")


def body_of(raw: bytes) -> Any:
    """A body that may be anything: the document if it is JSON, else its text, else its base64."""
    with contextlib.suppress(ValueError):
        return json.loads(raw)
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(raw).decode()}
