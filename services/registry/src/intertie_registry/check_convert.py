"""A configuration that is to be checked, between the contract and the model."""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from google.protobuf.field_mask_pb2 import FieldMask

from intertie.registry.v1 import check_pb2, registry_pb2
from intertie_chassis.errors import InvalidArgument
from intertie_registry import connection_convert, grant_convert, mapping_convert, system_convert
from intertie_registry.configuration_check import Findings, Proposal
from intertie_registry.model import Connection, Kind, Mapping
from intertie_registry.secrets import CREDENTIALS

P = TypeVar("P")

MOST_PARTS = 200


def proposals(request: check_pb2.CheckConfigurationRequest) -> list[Proposal]:
    """What is proposed, each part with what is wrong with it in itself. Raises InvalidArgument for too much at once."""
    count = len(request.systems) + len(request.connections) + len(request.mappings) + len(request.grants)
    if count > MOST_PARTS:
        raise InvalidArgument(f"at most {MOST_PARTS} parts can be checked at once")
    return [
        *_each("system", request.systems, _system),
        *_each("connection", request.connections, _connection),
        *_each("mapping", request.mappings, _mapping),
        *_each("grant", request.grants, _grant),
    ]


def response(findings: Findings) -> check_pb2.CheckConfigurationResponse:
    """What was found."""
    return check_pb2.CheckConfigurationResponse(
        problems=[
            check_pb2.ConfigurationProblem(kind=proposal.kind, index=proposal.index, field=field, message=text)
            for proposal, field, text in findings.problems
        ],
        differing_secrets=[
            check_pb2.DifferingSecret(index=proposal.index, field=field) for proposal, field in findings.differing
        ],
    )


def _each(kind: Kind, messages: Iterable[P], read: Callable[[P], dict[str, Any]]) -> list[Proposal]:
    found = []
    for index, message in enumerate(messages):
        try:
            proposal = Proposal(kind, index, **read(message))
        except InvalidArgument as error:
            proposal = Proposal(kind, index, problems=error.violations)
        found.append(proposal)
    return found


def _system(system: registry_pb2.System) -> dict[str, Any]:
    system_convert.new_system(registry_pb2.CreateSystemRequest(system=system))
    return {}


def _grant(grant: registry_pb2.Grant) -> dict[str, Any]:
    grant_convert.new_grant(registry_pb2.CreateGrantRequest(grant=grant))
    return {}


def _mapping(mapping: registry_pb2.Mapping) -> dict[str, Any]:
    value: Mapping = mapping_convert.new_mapping(registry_pb2.CreateMappingRequest(mapping=mapping))
    return {"mapping": value}


def _connection(connection: registry_pb2.Connection) -> dict[str, Any]:
    if not connection.id:
        value: Connection = connection_convert.new_connection(
            registry_pb2.CreateConnectionRequest(connection=connection)
        )
        return {"system": value.system}
    kept = {name for name in CREDENTIALS if not getattr(connection, name)}
    paths = [name for name in connection_convert.CHANGEABLE if name not in kept]
    request = registry_pb2.UpdateConnectionRequest(connection=connection, update_mask=FieldMask(paths=paths))
    return {"number": connection.id, "changes": connection_convert.connection_changes(request)}
