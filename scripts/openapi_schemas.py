"""JSON Schemas of the contracts' messages, as the gateway reads and writes them."""

from collections.abc import Iterable
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from intertie_gateway import fields
from intertie_gateway.scalars import FLOATS, RANGES, WIDE

Schema = dict[str, Any]

_WELL_KNOWN: dict[str, Schema] = {
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    "google.protobuf.Duration": {"type": "string", "pattern": "^-?[0-9]+(\\.[0-9]{1,9})?s$"},
    "google.protobuf.FieldMask": {"type": "string", "description": "Names of fields, separated by commas."},
}


class Schemas:
    """Collects the schemas of all messages that are asked for, each under its own name."""

    def __init__(self, comments: dict[str, str], answers: Iterable[Descriptor]) -> None:
        """Args:
        answers: the messages that methods answer with; where they also stand in requests, they have two schemas.
        """
        self._comments = comments
        self._answered: set[str] = set()
        for message_type in answers:
            self._note_answered(message_type)
        self._types: dict[str, str] = {}
        self.components: dict[str, Schema] = {}

    def comment(self, full_name: str) -> str:
        """What the contract says of something."""
        return self._comments.get(full_name, "")

    def reference(self, message_type: Descriptor, *, incoming: bool, change: bool = False) -> Schema:
        """A reference to a message's schema, which is made if need be.

        Args:
            incoming: whether it stands in a request: then unknown fields are refused and wide integers may be numbers.
            change: whether it is the body of a PATCH: then no field is required.
        """
        name = message_type.full_name.removeprefix(f"{message_type.file.package}.")
        if change:
            name += "Change"
        elif incoming and message_type.full_name in self._answered:
            name += "Input"
        if self._types.setdefault(name, message_type.full_name) != message_type.full_name:
            raise ValueError(f"two messages are called {name}")
        if name not in self.components:
            self.components[name] = {}  # holds the place, should the message hold itself
            self.components[name] = self._message(message_type, incoming, change)
        return {"$ref": f"#/components/schemas/{name}"}

    def _note_answered(self, message_type: Descriptor) -> None:
        if message_type.full_name in self._answered:
            return
        self._answered.add(message_type.full_name)
        for field in message_type.fields:
            if field.type == FieldDescriptor.TYPE_MESSAGE:
                self._note_answered(fields.message_of(field))

    def _message(self, message_type: Descriptor, incoming: bool, change: bool) -> Schema:
        properties: dict[str, Schema] = {}
        required: list[str] = []
        for field in message_type.fields:
            if fields.is_input_only(field) and not incoming:
                continue
            properties[field.name] = self.field(field, incoming=incoming)
            if incoming:
                if fields.is_required(field) and not change:
                    required.append(field.name)
            elif field.containing_oneof is None or fields.is_optional(field):
                required.append(field.name)
        schema: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
        if text := self.comment(message_type.full_name):
            schema["description"] = text
        if required:
            schema["required"] = required
        return schema

    def field(self, field: FieldDescriptor, *, incoming: bool) -> Schema:
        """The schema of one field, with what the contract says of it."""
        schema = self._value(field, incoming)
        if field.is_repeated:
            schema = {"type": "array", "items": schema}
        elif (field.has_presence and field.containing_oneof is None) or fields.is_optional(field):
            schema = _or_null(schema)
        notes = [self.comment(field.full_name)]
        if field.type == FieldDescriptor.TYPE_ENUM:
            enum = fields.enum_of(field)
            values = {value.name: self.comment(f"{enum.full_name}.{value.name}") for value in enum.values}
            notes.append("\n".join(f"- `{name}`: {text}" for name, text in values.items()))
        if text := "\n\n".join(note for note in notes if note):
            schema = {**schema, "description": text}
        if fields.is_output_only(field) and incoming:
            schema = {**schema, "readOnly": True}
        if fields.is_input_only(field):
            schema = {**schema, "writeOnly": True}
        return schema

    def _value(self, field: FieldDescriptor, incoming: bool) -> Schema:
        if fields.is_document(field):
            return {}
        if field.type in RANGES:
            low, high = RANGES[field.type]
            if field.type in WIDE:
                types: Any = ["integer", "string"] if incoming else "string"
                return {"type": types, "format": "int64", "pattern": "^-?(0|[1-9][0-9]*)$"}
            return {"type": "integer", "minimum": low, "maximum": high}
        if field.type in FLOATS:
            return {"type": "number"}
        if field.type == FieldDescriptor.TYPE_ENUM:
            return {"type": "string", "enum": [value.name for value in fields.enum_of(field).values]}
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            message_type = fields.message_of(field)
            known = _WELL_KNOWN.get(message_type.full_name)
            return dict(known) if known else self.reference(message_type, incoming=incoming)
        if field.type == FieldDescriptor.TYPE_BYTES:
            return {"type": "string", "contentEncoding": "base64"}
        return {"type": "boolean" if field.type == FieldDescriptor.TYPE_BOOL else "string"}


def _or_null(schema: Schema) -> Schema:
    if "$ref" in schema:
        return {"anyOf": [schema, {"type": "null"}]}
    return {**schema, "type": [schema["type"], "null"]} if "type" in schema else schema
