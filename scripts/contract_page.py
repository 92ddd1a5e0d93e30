"""Render docs/reference/: one page a package of the contracts, with every service, method, message, field and enum."""

import importlib
from collections.abc import Iterator
from functools import cache

from google.api import annotations_pb2, field_behavior_pb2
from google.protobuf import descriptor_pb2
from google.protobuf.descriptor import (
    Descriptor,
    EnumDescriptor,
    FieldDescriptor,
    FileDescriptor,
    MethodDescriptor,
    ServiceDescriptor,
)

import access_page
from contract_comments import CONTRACTS, comments
from intertie.api.v1 import options_pb2

#: what each package is for, as the heading of its page
PACKAGES = {
    "registry": "Contracts of registry",
    "ingest": "Contracts of ingest and pull",
    "mapper": "Contracts of mapper",
    "audit": "Contracts of audit",
    "api": "Contracts that all share",
}
#: fields' behaviours as a reader wants them told; OPTIONAL is what every other field is
BEHAVIOURS = {"REQUIRED": "needed", "OUTPUT_ONLY": "set by the service", "INPUT_ONLY": "taken, never shown"}
BEHAVIOURS |= {"IMMUTABLE": "cannot be changed"}

HEAD = """\
# {title}

Generated from `protos/intertie/{package}/v1/` by `make generate`; do not edit.
{others}

How calls are made, and what holds for all of them: [the module guide](../modules.md). Who may call what, in one
table: [access](../access.md). A field of the type *JSON* is `bytes` that hold a JSON document; over HTTP it stands in
the body as the JSON that it is.
"""

_TYPES = {
    value.number: value.name.removeprefix("TYPE_").lower()
    for value in descriptor_pb2.FieldDescriptorProto.Type.DESCRIPTOR.values
}


@cache
def _explained() -> dict[str, str]:
    return comments()


def render(package: str) -> str:
    """Give the text of a package's page."""
    others = " · ".join(f"[{name}]({name}.md)" for name in PACKAGES if name != package)
    parts = [HEAD.format(title=PACKAGES[package], package=package, others=f"The others: {others}.")]
    files = list(_files(package))
    parts += [_service(service) for file in files for service in file.services_by_name.values()]
    messages = list(_with_nested([each for file in files for each in file.message_types_by_name.values()]))
    enums = [enum for file in files for enum in file.enum_types_by_name.values()]
    enums += [enum for message in messages for enum in message.enum_types]
    if messages:
        parts.append("\n## Messages\n")
        parts += [_message(message) for message in sorted(messages, key=_name)]
    if enums:
        parts.append("\n## Enums\n")
        parts += [_enum(enum) for enum in sorted(enums, key=_name)]
    return "".join(parts)


def _files(package: str) -> Iterator[FileDescriptor]:
    for path in sorted((CONTRACTS / "intertie" / package).rglob("*.proto")):
        name = ".".join(path.relative_to(CONTRACTS).with_suffix("").parts)
        yield importlib.import_module(f"{name}_pb2").DESCRIPTOR


def _with_nested(messages: list[Descriptor]) -> Iterator[Descriptor]:
    for message in messages:
        if not message.GetOptions().map_entry:
            yield message
            yield from _with_nested(list(message.nested_types))


def _service(service: ServiceDescriptor) -> str:
    name = service.full_name
    head = f"\n## {service.name}\n\n`{name}`, served by {access_page.PROCESSES[service.name]}. {_explained()[name]}\n"
    return head + "".join(_method(method) for method in service.methods)


def _method(method: MethodDescriptor) -> str:
    sent = "a stream of " if method.client_streaming else ""
    answered = "a stream of " if method.server_streaming else ""
    lines = [
        f"takes {sent}{_link(method.input_type)}, answers {answered}{_link(method.output_type)}",
        f"who may call it: {_access(method)}",
    ]
    lines += [f"over HTTP: {route}" for route in _routes(method)]
    if seconds := method.GetOptions().Extensions[options_pb2.longest_seconds]:
        lines.append(f"may take up to {seconds} s")
    listed = "".join(f"- {line}\n" for line in lines)
    return f"\n### {method.name}\n\n{_explained()[method.full_name]}\n\n{listed}"


def _access(method: MethodDescriptor) -> str:
    access = method.GetOptions().Extensions[options_pb2.access]
    named = [options_pb2.Role.Name(role).removeprefix("ROLE_").lower() for role in access.roles]
    need = access_page.GRANTS[options_pb2.GrantNeed.Name(access.grant)]
    told = {"service": "services" + (f" ({', '.join(access.services)})" if access.services else "")}
    told["module"] = "modules" if need == "yes" else f"modules ({need})"
    return ", ".join(told.get(role, role) for role in named) or "nobody"


def _routes(method: MethodDescriptor) -> Iterator[str]:
    rule = method.GetOptions().Extensions[annotations_pb2.http]
    for binding in (rule, *rule.additional_bindings):
        if verb := binding.WhichOneof("pattern"):
            body = {"": "", "*": ", the message as the body"}.get(binding.body, f", `{binding.body}` as the body")
            yield f"`{verb.upper()} {getattr(binding, verb)}`{body}"


def _message(message: Descriptor) -> str:
    head = f"\n### {_name(message)}\n\n{_explained().get(message.full_name, '')}\n"
    if not message.fields:
        return head
    rows = "".join(
        f"| {field.number} | `{field.name}` | {_type(field)} | {_cell(_field(field))} |\n" for field in message.fields
    )
    return f"{head}\n| | field | type | |\n|---|---|---|---|\n{rows}"


def _field(field: FieldDescriptor) -> str:
    behaviours = field.GetOptions().Extensions[field_behavior_pb2.field_behavior]
    names = (field_behavior_pb2.FieldBehavior.Name(behaviour) for behaviour in behaviours)
    said = [BEHAVIOURS[name] for name in names if name in BEHAVIOURS]
    if field.containing_oneof and not field.containing_oneof.name.startswith("_"):
        said.append(f"one of `{field.containing_oneof.name}`")
    text = _explained().get(field.full_name, "")
    return f"{text} *({', '.join(said)})*" if said else text


def _type(field: FieldDescriptor) -> str:
    if field.message_type and field.message_type.GetOptions().map_entry:
        key, value = field.message_type.fields
        return f"map of {_type(key)} to {_type(value)}"
    if field.GetOptions().Extensions[options_pb2.json]:
        name = "JSON"
    elif thing := field.message_type or field.enum_type:
        name = _link(thing)
    else:
        name = _TYPES[field.type]
    return f"list of {name}" if field.is_repeated else name


def _enum(enum: EnumDescriptor) -> str:
    rows = "".join(
        f"| {value.number} | `{value.name}` | {_cell(_explained().get(f'{enum.full_name}.{value.name}', ''))} |\n"
        for value in enum.values
    )
    head = f"\n### {_name(enum)}\n\n{_explained().get(enum.full_name, '')}\n"
    return f"{head}\n| | value | |\n|---|---|---|\n{rows}"


def _link(thing: Descriptor | EnumDescriptor) -> str:
    if not thing.full_name.startswith("intertie."):
        return f"`{thing.full_name}`"
    package = thing.full_name.split(".")[1]
    return f"[{_name(thing)}]({package}.md#{_name(thing).lower().replace('.', '')})"


def _name(thing: Descriptor | EnumDescriptor) -> str:
    """The name within its package, as in Delivery.Record."""
    return thing.full_name.removeprefix(f"{thing.file.package}.")


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n\n", "<br>").replace("\n", " ")
