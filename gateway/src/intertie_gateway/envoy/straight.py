"""What Envoy may transcode by itself: methods that it answers as the gateway does, and of these the plain requests.

Envoy's transcoder is laxer than the gateway: it drops unknown members of a body in silence, takes `pageSize` for
`page_size` and the last of two values, and lets a query parameter override the path's variable. So only requests that
both read alike go straight. Whatever is odd about one, it goes to the gateway, whose answer is the one there is. Odd is
not wrong: a name with an escaped space is odd, and costs a hop.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from intertie_gateway import queries, templates
from intertie_gateway.contracts import Route
from intertie_gateway.fields import enum_of, is_document, is_input_only, is_output_only, message_of
from intertie_gateway.scalars import RANGES

_NAME = "[A-Za-z0-9][A-Za-z0-9_.~-]*"
_NUMBER = "(0|[1-9][0-9]{0,8})"

Kind = str | list[str] | dict[str, Any]
"""What a plain value is, for `plain.lua`: ``text``, ``number`` (whole, to nine digits), ``boolean``, the names of an
enum; ``{"members": …}`` for an object, ``{"each": …}`` for an array."""


@dataclass(frozen=True, slots=True)
class Straight:
    """A route whose plain requests Envoy transcodes."""

    route: Route
    path: str
    """A regular expression of plain paths."""
    query: dict[str, Kind]
    """What a plain query may say."""
    body: Kind | None
    """What a plain body is; None: there is none."""


@dataclass(frozen=True, slots=True)
class Detour:
    """A route that the gateway answers, whatever is asked."""

    route: Route
    path: str
    why: str
    """The reason, for people."""


def judge(route: Route, *, counts_addresses: bool = False) -> Straight | Detour:
    """Whether Envoy may answer plain requests of the route.

    Args:
        counts_addresses: whether requests of addresses are limited, which the gateway does.
    """
    template = templates.parse(route.template)
    path = _path(template, route.method.input_type)
    why = "addresses are limited, and the gateway counts" if counts_addresses else _obstacle(route, template)
    if why:
        return Detour(route, path, why)
    return Straight(route, path, _query(route, template), _body(route, template))


def specificity(judged: Straight | Detour) -> tuple[list[bool], str, str]:
    """Sorts routes so that literal segments come before variables, as the gateway finds them."""
    segments = templates.parse(judged.route.template).segments
    return [segment.startswith("*") for segment in segments], judged.route.template, judged.route.verb


def _obstacle(route: Route, template: templates.Template) -> str:
    asked, answered = route.method.input_type, route.method.output_type
    if any(is_document(field) for message in (asked, answered) for field in _fields(message)):
        return "holds JSON documents"
    if route.verb == "PATCH":
        return "changes what the body names, which a transcoder does not tell"
    if route.verb not in ("GET", "POST", "DELETE"):
        return "has a method that is not GET, POST, PATCH or DELETE"
    if any(is_input_only(field) for field in _fields(answered)):
        return "answers with fields that only go in"
    if any(variable.count != 1 for variable in template.variables):
        return "has a path variable of several segments"
    return ""


def _fields(message: Descriptor, seen: set[str] | None = None) -> Iterator[FieldDescriptor]:
    """Every field that can stand in a message, in those that it holds too."""
    seen = set() if seen is None else seen
    if message.full_name in seen:
        return
    seen.add(message.full_name)
    for field in message.fields:
        yield field
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            yield from _fields(message_of(field), seen)


def _path(template: templates.Template, message: Descriptor) -> str:
    """Escapes, dot segments, colons and what else two readers could take for different things do not match."""
    segments = [re.escape(segment) for segment in template.segments]
    for variable in template.variables:
        field = _field(message, variable.field_path)
        for index in range(variable.start, len(segments) if variable.count < 0 else variable.start + variable.count):
            segments[index] = _NUMBER if field.type in RANGES else _NAME
    return "/" + "/".join(segments) + (f":{re.escape(template.verb)}" if template.verb else "")


def _field(message: Descriptor, path: str) -> FieldDescriptor:
    *steps, last = path.split(".")
    for step in steps:
        message = message_of(message.fields_by_name[step])
    return message.fields_by_name[last]


def _query(route: Route, template: templates.Template) -> dict[str, Kind]:
    if route.body == "*":
        return {}
    taken = {variable.field_path for variable in template.variables} | ({route.body} if route.body else set())
    known = queries.parameters(route.method.input_type, taken)
    kinds = {
        name: _single(parameter.field)
        for name, parameter in sorted(known.items())
        if not parameter.field.is_repeated and len(parameter.path) == 1
    }
    return {name: kind for name, kind in kinds.items() if kind is not None}


def _body(route: Route, template: templates.Template) -> Kind | None:
    if not route.body:
        return None
    message = route.method.input_type
    if route.body != "*":
        message = message_of(message.fields_by_name[route.body])
    return _object(message, {variable.field_path for variable in template.variables}, frozenset())


def _object(message: Descriptor, leave_out: set[str], inside: frozenset[str]) -> Kind | None:
    if message.full_name in inside or message.full_name.startswith("google."):
        return None
    members: dict[str, Kind] = {}
    for field in message.fields:
        if field.name in leave_out or is_output_only(field):
            continue
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            kind = _object(message_of(field), set(), inside | {message.full_name})
        else:
            kind = _single(field)
        if kind is not None:
            members[field.name] = {"each": kind} if field.is_repeated else kind
    return {"members": members}


def _single(field: FieldDescriptor) -> Kind | None:
    """The kind of a scalar; None where Envoy and the gateway could read the same text differently."""
    if field.type in RANGES:
        return "number"
    if field.type == FieldDescriptor.TYPE_BOOL:
        return "boolean"
    if field.type == FieldDescriptor.TYPE_STRING:
        return "text"
    if field.type == FieldDescriptor.TYPE_ENUM:
        return list(enum_of(field).values_by_name)
    return None
