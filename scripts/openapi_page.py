"""Render the gateway's openapi.json: every route of the contracts' annotations, and those written by hand."""

import json
import re
from typing import Any

from contract_comments import comments
from intertie.api.v1 import options_pb2
from intertie_gateway import contracts, fields, templates
from intertie_gateway.queries import Parameter, parameters
from openapi_receiving import PATHS, PROBLEMS, SCHEMAS, SECURITY_SCHEMES, TAGS
from openapi_schemas import Schemas

_NAMES = re.compile(r"\{([^{}]+)\}")
_MEANS = {
    "RegistryService": "Systems, connections, mappings, grants",
    "IngestService": "Deliveries, rejections, cached records",
    "MapperService": "Validation, previews, targets, checkpoints",
    "AuditService": "The log",
    "QueryService": "Questions to external databases and APIs, and the trial of connections",
    "SyncService": "Runs that fetch the records of mappings",
}


def render() -> str:
    """Give the text of the file."""
    schemas = Schemas(comments(), (route.method.output_type for route in contracts.routes()))
    paths: dict[str, dict[str, Any]] = {}
    places: dict[tuple[str, ...], str] = {}
    seen: set[str] = set()
    for route in contracts.routes():
        template = templates.parse(route.template)
        # One path, one spelling: `{system}` and `{system.system_name}` in the same place are the same path to OpenAPI.
        path = places.setdefault((*template.segments, template.verb), _path(template))
        operation = _operation(route, template, _NAMES.findall(path), schemas)
        if operation["operationId"] in seen:
            operation["operationId"] += f"_{len(seen)}"
        seen.add(operation["operationId"])
        paths.setdefault(path, {})[route.verb.lower()] = operation
    tags = [{"name": name, "description": text} for name, text in _MEANS.items()]
    document = {
        "openapi": "3.1.0",
        "info": {
            "title": "Intertie",
            "version": "1",
            "summary": "Joins external systems to the modules of an organisation in real time.",
            "description": "Webhooks and pushes come in by the two receiving routes; everything else needs a bearer "
            "token. Every error has the body `Problem`; field names are those of the gRPC contracts, and every field "
            "is printed, also when it is zero.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}],
        "tags": [*TAGS, *tags],
        "paths": PATHS | dict(sorted(paths.items())),
        "components": {
            "schemas": SCHEMAS | dict(sorted(schemas.components.items())),
            "responses": {
                "Problem": {
                    "description": "Why the request was refused. Reasons are stable and made to be compared.",
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
                }
            },
            "securitySchemes": SECURITY_SCHEMES,
        },
    }
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def _path(template: templates.Template) -> str:
    """The path with plain names: readers of OpenAPI take a dot in a name for something else."""
    return _NAMES.sub(lambda match: f"{{{match[1].rsplit('.', 1)[-1]}}}", str(template))


def _operation(
    route: contracts.Route, template: templates.Template, names: list[str], schemas: Schemas
) -> dict[str, Any]:
    method = route.method
    text = schemas.comment(method.full_name)
    access = method.GetOptions().Extensions[options_pb2.access]
    roles = [options_pb2.Role.Name(role).removeprefix("ROLE_").lower() for role in access.roles]
    operation: dict[str, Any] = {
        "operationId": method.name[0].lower() + method.name[1:],
        "tags": [method.containing_service.name],
        "summary": text.split(". ")[0].rstrip("."),
        "description": f"{text}\n\nFor tokens of the role {', '.join(roles)}"
        + ("." if roles == ["admin"] else " or one that includes it."),
    }
    in_path = [variable.field_path for variable in template.variables]
    listed = [
        {**_parameter(_of(method.input_type, path), schemas, in_path=True), "name": name}
        for path, name in zip(in_path, names, strict=True)
    ]
    if route.body != "*":
        in_query = parameters(method.input_type, {*in_path, route.body})
        listed += [_parameter(parameter, schemas, in_path=False) for parameter in in_query.values()]
    if listed:
        operation["parameters"] = listed
    if route.body:
        body = method.input_type
        if route.body != "*":
            body = fields.message_of(body.fields_by_name[route.body])
        schema = schemas.reference(body, incoming=True, change=route.verb == "PATCH")
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    operation["responses"] = {"200": _answer(method.output_type, schemas), **PROBLEMS}
    return operation


def _answer(message_type: Any, schemas: Schemas) -> dict[str, Any]:
    if message_type.full_name == "google.protobuf.Empty":
        schema: dict[str, Any] = {"type": "object", "additionalProperties": False}
        return {"description": "Done.", "content": {"application/json": {"schema": schema}}}
    schema = schemas.reference(message_type, incoming=False)
    text = schemas.comment(message_type.full_name) or "The answer."
    return {"description": text, "content": {"application/json": {"schema": schema}}}


def _of(message_type: Any, path: str) -> Parameter:
    steps = tuple(path.split("."))
    for step in steps[:-1]:
        message_type = fields.message_of(message_type.fields_by_name[step])
    return Parameter(steps, message_type.fields_by_name[steps[-1]])


def _parameter(parameter: Parameter, schemas: Schemas, *, in_path: bool) -> dict[str, Any]:
    schema = schemas.field(parameter.field, incoming=True)
    text = schema.pop("description", "")
    schema.pop("readOnly", None)
    if isinstance(schema.get("type"), list):
        # In a path or a query everything is text: there is no null, and a wide integer is one form only.
        schema["type"] = schema["type"][0]
    described: dict[str, Any] = {"name": parameter.name, "in": "path" if in_path else "query", "schema": schema}
    if text:
        described["description"] = text
    if in_path or fields.is_required(parameter.field):
        described["required"] = True
    return described


if __name__ == "__main__":
    print(render(), end="")
