"""A JSON body as a message of a contract: each name and value checked, JSON documents as the bytes that came."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from intertie_chassis.errors import InvalidArgument
from intertie_gateway.fields import is_document, is_output_only, message_of
from intertie_gateway.json_text import JsonText
from intertie_gateway.scalars import Unfit, is_well_known, json_reader

_SEVERAL = 20


@dataclass(frozen=True, slots=True)
class FieldReader:
    """How one field is read."""

    field: FieldDescriptor
    is_document: bool
    """Whether it is bytes that hold a JSON document."""
    is_message: bool
    """Whether it is a message with fields of its own."""
    is_output: bool
    """Whether only the service sets it: taken and left out, so that what was got can be sent back."""
    read: Callable[[Any], Any] | None
    """Makes its value of a parsed JSON value, when it is neither of the two."""


@cache
def readers(message_type: Descriptor) -> dict[str, FieldReader]:
    """The fields of a message by the names that they have in JSON.

    Raises TypeError when it has a field of a kind that is not supported: so a contract that could not be served stops
    the gateway when it starts.
    """
    return {field.name: _reader(field) for field in message_type.fields}


def _reader(field: FieldDescriptor) -> FieldReader:
    is_message = False
    if field.type == FieldDescriptor.TYPE_MESSAGE:
        message_type = message_of(field)
        is_message = not is_well_known(message_type.full_name)
        if is_message and (message_type.GetOptions().map_entry or message_type.file.package == "google.protobuf"):
            raise TypeError(f"{field.full_name}: requests over HTTP cannot hold a {message_type.full_name}")
    document = is_document(field)
    read = None if document or is_message else json_reader(field)
    return FieldReader(field, document, is_message, is_output_only(field), read)


@dataclass(slots=True)
class Given:
    """What a body said, besides the values."""

    names: list[str]
    """The names of its top level that a caller may set, in order: what a PATCH without a mask changes."""


class BodyReader:
    """Reads one body; collects what is wrong with it, so that all of it is told at once."""

    def __init__(self, text: JsonText) -> None:
        self._text = text
        self._faults: list[tuple[str, str]] = []

    def read_into(self, message: Message) -> Given:
        """Fills the message from the whole body.

        Raises InvalidArgument that names every unknown field and every value that does not fit.
        """
        given = Given([])
        at = self._text.start()
        if self._text.text[at] != "{":
            raise InvalidArgument("the body must be a JSON object", reason="INVALID_JSON")
        self._message(message, at, "", given.names)
        if self._faults:
            named = "; ".join(f"{field} {fault}" for field, fault in self._faults[:3])
            raise InvalidArgument(
                f"the body does not fit: {named}" + ("; …" if len(self._faults) > 3 else ""),
                violations=self._faults[:_SEVERAL],
            )
        return given

    def _message(self, message: Message, at: int, path: str, names: list[str] | None = None) -> int:
        fields = readers(message.DESCRIPTOR)
        seen: set[str] = set()
        oneofs: dict[str, str] = {}

        def member(key: str, at: int) -> int:
            where = f"{path}{key}"
            reader = fields.get(key)
            if reader is None:
                self._fault(where[:200], "is not a field here")
                return self._text.value(at)[1]
            if key in seen:
                self._fault(where, "is given twice")
            seen.add(key)
            if names is not None and not reader.is_output:
                names.append(key)
            if self._text.text.startswith("null", at):
                # As proto3 JSON has it: null is the field's absence.
                return at + 4
            oneof = reader.field.containing_oneof
            if oneof is not None and oneofs.setdefault(oneof.name, key) != key:
                self._fault(where, f"cannot be given together with {oneofs[oneof.name]}")
            return self._field(message, reader, at, where)

        return self._text.object(at, member)

    def _field(self, message: Message, reader: FieldReader, at: int, where: str) -> int:
        name = reader.field.name
        if reader.is_output:
            return self._text.value(at)[1]
        if not reader.field.is_repeated:
            if reader.is_message:
                return self._submessage(getattr(message, name), at, where)
            value, end = self._value(reader, at, where)
            if value is not None:
                _set(message, name, value)
            return end
        if self._text.text[at] != "[":
            self._fault(where, "must be an array")
            return self._text.value(at)[1]
        items = getattr(message, name)
        count = 0

        def element(at: int) -> int:
            nonlocal count
            spot = f"{where}[{count}]"
            count += 1
            if reader.is_message:
                return self._submessage(items.add(), at, spot)
            value, end = self._value(reader, at, spot)
            if value is not None:
                items.append(value)
            return end

        return self._text.array(at, element)

    def _submessage(self, message: Message, at: int, where: str) -> int:
        if self._text.text[at] != "{":
            self._fault(where, "must be an object")
            return self._text.value(at)[1]
        message.SetInParent()
        return self._message(message, at, f"{where}.")

    def _value(self, reader: FieldReader, at: int, where: str) -> tuple[Any, int]:
        if reader.read is None:
            return self._text.raw(at)
        value, end = self._text.value(at)
        try:
            return reader.read(value), end
        except Unfit as fault:
            self._fault(where, str(fault))
            return None, end

    def _fault(self, where: str, what: str) -> None:
        self._faults.append((where, what))


def _set(message: Message, name: str, value: Any) -> None:
    if isinstance(value, Message):
        getattr(message, name).CopyFrom(value)
    else:
        setattr(message, name, value)
