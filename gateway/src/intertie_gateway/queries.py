"""Query parameters as fields of a request message: nested with dots, repeated by repetition, nothing unknown."""

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from intertie_chassis.errors import InvalidArgument
from intertie_gateway.fields import is_document, is_output_only, message_of
from intertie_gateway.json_text import JsonText
from intertie_gateway.scalars import Unfit, is_well_known, text_reader

_MOST_PARAMETERS = 100


class Parameter:
    """A field that a path or a query can set, by its dotted path from the request message."""

    __slots__ = ("field", "is_document", "name", "path", "read")

    def __init__(self, path: tuple[str, ...], field: FieldDescriptor) -> None:
        self.path = path
        self.name = ".".join(path)
        self.field = field
        self.is_document = is_document(field)
        self.read: Callable[[str], Any] = _document if self.is_document else text_reader(field)

    def set(self, message: Message, texts: list[str]) -> str | None:
        """Sets the field; gives what is wrong with the texts, or None."""
        target = message
        for step in self.path[:-1]:
            target = getattr(target, step)
            target.SetInParent()
        name = self.path[-1]
        try:
            if self.field.is_repeated:
                getattr(target, name).extend(self.read(text) for text in texts)
                return None
            if len(texts) > 1:
                return "is given more than once"
            value = self.read(texts[0])
        except Unfit as fault:
            return str(fault)
        if isinstance(value, Message):
            getattr(target, name).CopyFrom(value)
        else:
            setattr(target, name, value)
        return None


def parameters(message_type: Descriptor, leave_out: set[str]) -> dict[str, Parameter]:
    """What a query may say of a message: all but the fields that are named, and those that only the service sets."""
    found: dict[str, Parameter] = {}
    _collect(message_type, (), leave_out, found)
    return found


def _collect(message_type: Descriptor, path: tuple[str, ...], leave_out: set[str], found: dict[str, Parameter]) -> None:
    for field in message_type.fields:
        here = (*path, field.name)
        name = ".".join(here)
        if name in leave_out or is_output_only(field):
            continue
        if field.type == FieldDescriptor.TYPE_MESSAGE and not is_well_known(message_of(field).full_name):
            # What repeats or holds itself cannot be said in a query; google.api.http leaves such fields out as well.
            if not field.is_repeated and message_of(field) not in (message_type, field.containing_type):
                _collect(message_of(field), here, leave_out, found)
        else:
            found[name] = Parameter(here, field)


def read_query(query: bytes, known: dict[str, Parameter], message: Message) -> None:
    """Sets what the query says.

    Raises InvalidArgument that names every parameter which is unknown or does not fit.
    """
    if not query:
        return
    try:
        pairs = parse_qsl(
            query.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_MOST_PARAMETERS
        )
    except UnicodeDecodeError:
        raise InvalidArgument("the query is not UTF-8, or not escaped") from None
    except ValueError:
        raise InvalidArgument(f"the query has more than {_MOST_PARAMETERS} parameters") from None
    given: dict[str, list[str]] = {}
    for name, text in pairs:
        given.setdefault(name, []).append(text)
    faults: list[tuple[str, str]] = []
    for name, texts in given.items():
        parameter = known.get(name)
        fault = "is not a parameter here" if parameter is None else parameter.set(message, texts)
        if fault is not None:
            faults.append((name[:200], fault))
    if faults:
        hint = "" if all(fault[0] in known for fault in faults) else f"; known are {', '.join(known) or 'none'}"
        named = "; ".join(f"{name} {fault}" for name, fault in faults[:3])
        raise InvalidArgument(f"the query does not fit: {named}{hint}", violations=faults)


def _document(text: str) -> bytes:
    try:
        raw, _ = JsonText(text.encode("utf-8")).raw(0)
    except InvalidArgument as fault:
        raise Unfit(fault.message) from None
    return raw
