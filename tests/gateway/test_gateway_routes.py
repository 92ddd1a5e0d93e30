"""Every annotated method over HTTP, made from the contracts: each field comes through, none without a token."""

import json
import re
from typing import Any

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from gateway_rig import TOKEN, GatewayProcess, Script, problem_of
from intertie_gateway import contracts, fields, templates
from intertie_gateway.response_json import write
from intertie_gateway.scalars import FLOATS, RANGES, is_well_known

ROUTES = list(contracts.routes())
DOCUMENT = b'{"big": 123456789012345678901234567890, "f": 1.10, "s": "\\u00e9\xc3\xa9"}'
F = FieldDescriptor


def _filled(message_type: Descriptor, *, incoming: bool) -> Any:
    """A message with a value in every field that may stand in it; of a oneof in the first."""
    message: Any = GetMessageClass(message_type)()
    for field in message_type.fields:
        if incoming and fields.is_output_only(field):
            continue
        oneof = field.containing_oneof
        if oneof is not None and not fields.is_optional(field) and field is not oneof.fields[0]:
            continue
        value = _value(field, incoming)
        target = getattr(message, field.name)
        if field.is_repeated:
            target.extend([value, value])
        elif isinstance(value, Message):
            target.CopyFrom(value)
        else:
            setattr(message, field.name, value)
    return message


def _value(field: FieldDescriptor, incoming: bool) -> Any:
    if fields.is_document(field):
        return DOCUMENT
    if field.type in RANGES:
        return RANGES[field.type][1]
    if field.type in FLOATS:
        return 0.5
    if field.type == F.TYPE_BOOL:
        return True
    if field.type == F.TYPE_ENUM:
        return fields.enum_of(field).values[-1].number
    if field.type == F.TYPE_BYTES:
        return b"\x00\xff"
    if field.type == F.TYPE_MESSAGE:
        name = fields.message_of(field).full_name
        value: Any = GetMessageClass(fields.message_of(field))()
        if name == "google.protobuf.Timestamp":
            value.FromJsonString("2026-01-31T08:15:00.123456Z")
        elif name == "google.protobuf.FieldMask":
            value.paths.extend(["display_name", "is_active"])
        elif not is_well_known(name):
            return _filled(fields.message_of(field), incoming=incoming)
        return value
    return f"täxt/{field.name} & more"


def _fields(message: Message) -> list[FieldDescriptor]:
    listed: Any = message.DESCRIPTOR.fields
    return list(listed)


def _query(message: Message, prefix: str, leave_out: set[str]) -> list[tuple[str, str]]:
    """A message as query parameters, made by the rules of google.api.http and not by the gateway's code."""
    pairs: list[tuple[str, str]] = []
    document = json.loads(write(message))
    for field in _fields(message):
        name = prefix + field.name
        if name in leave_out or fields.is_output_only(field):
            continue
        if field.type == F.TYPE_MESSAGE and not is_well_known(fields.message_of(field).full_name):
            if not field.is_repeated:
                pairs += _query(getattr(message, field.name), f"{name}.", leave_out)
            continue
        values = document.get(field.name)
        for value in values if isinstance(values, list) else [values]:
            if value is not None:
                pairs.append((name, str(value).lower() if isinstance(value, bool) else str(value)))
    return pairs


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.verb} {route.template}")
def test_every_field_of_every_method_comes_through(
    gateway: GatewayProcess, script: Script, route: contracts.Route
) -> None:
    """Each field that a caller may set arrives from path, query or body; each field of the answer is in the JSON."""
    sent = _filled(route.method.input_type, incoming=True)
    template = templates.parse(route.template)
    in_path = {variable.field_path for variable in template.variables}
    path = str(template)
    for name in in_path:
        value: Any = sent
        for step in name.split("."):
            value = getattr(value, step)
        if isinstance(value, str):
            value = "tëxt & more"
            target: Any = sent
            *steps, last = name.split(".")
            for step in steps:
                target = getattr(target, step)
            setattr(target, last, value)
        path = path.replace(f"{{{name}}}", "t%C3%ABxt%20&%20more" if isinstance(value, str) else str(value))
    content = None
    query: Any = []
    if route.body == "*":
        content = _body(sent)
    else:
        if route.body:
            content = _body(getattr(sent, route.body))
        query = _query(sent, "", in_path | {route.body})
    answered = _filled(route.method.output_type, incoming=False)
    script.handlers[route.method.name] = lambda request, metadata: answered

    headers = TOKEN | ({"content-type": "application/json"} if content else {})
    answer = gateway.client.request(route.verb, path, params=query, content=content, headers=headers)

    assert answer.status_code == 200, answer.text
    ((name, got, metadata),) = script.calls
    assert name == route.method.name
    expected: Any = GetMessageClass(route.method.input_type)()
    expected.CopyFrom(sent)
    assert got == expected
    assert metadata["authorization"] == "Bearer a-token"
    assert metadata["x-request-id"] == answer.headers["x-request-id"]
    assert answer.content == write(answered)
    _check_names(answer.json(), route.method.output_type)


def _body(message: Message) -> bytes:
    """The message as a caller would write it, its documents verbatim; also what an answer leaves out."""
    document = json.loads(write(message))
    for field in _fields(message):
        if fields.is_input_only(field):
            document[field.name] = getattr(message, field.name)
        if fields.is_output_only(field):
            document.pop(field.name, None)
    text = json.dumps(document)
    again = json.dumps(json.loads(DOCUMENT))
    return text.replace(again, "\x00").encode().replace(b"\x00", DOCUMENT)


def _check_names(document: Any, message_type: Descriptor) -> None:
    expected = {
        field.name
        for field in message_type.fields
        if not fields.is_input_only(field)
        and (field.containing_oneof is None or fields.is_optional(field) or field is field.containing_oneof.fields[0])
    }
    assert set(document) == expected


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.verb} {route.template}")
def test_without_a_token_everything_is_401(gateway: GatewayProcess, script: Script, route: contracts.Route) -> None:
    """Nothing but the receiving routes, health and the description answers without one."""
    path = re.sub(r"\{[^}]*\}", "1", str(templates.parse(route.template)))
    for headers in ({}, {"authorization": "Basic YTpi"}, {"authorization": "Bearer"}):
        answer = gateway.client.request(route.verb, path, headers=headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        assert problem_of(answer)["reason"] == "UNAUTHENTICATED"
    assert script.calls == []
