"""The whole configuration as files: one that is static, or some that a running Envoy watches."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import yaml
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.rpc import error_details_pb2

from intertie_gateway import contracts
from intertie_gateway.envoy import clusters, listeners, routes, straight, tls
from intertie_gateway.envoy.clusters import Address
from intertie_gateway.envoy.reflected import Contracts, in_order

BOOTSTRAP = "envoy.yaml"
DESCRIPTORS = "contracts-*.binpb"
"""The files of contracts; each is named by its digest, so that new contracts are a change of the listener."""

_ERROR_DETAILS = ("ErrorInfo", "BadRequest", "RetryInfo")
_HEADING = "# Made by `intertie envoy` from what the services say. Changes by hand are lost; see docs/envoy.md.\n"


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be configured, beside the contracts."""

    services: Mapping[str, Address]
    """Where the services are, by their names."""
    gateway: Address
    listen: Address
    grpc_listen: Address | None
    """None: no gRPC from outside."""
    admin: Address
    stats_listen: Address | None
    limits: listeners.Limits
    times: routes.Times
    most_calls: int
    """How many calls one service takes at once."""
    most_connections: int
    """How many connections Envoy has at once, and the gateway takes."""
    tls: tls.Tls
    directory: PurePath
    """Where Envoy finds the files."""
    counts_addresses: bool = False
    """Whether requests of addresses are limited: the gateway alone counts them, so all must pass it."""
    is_watched: bool = False
    """Whether Envoy watches files for clusters, listeners and routes."""


def files(plan: Plan, told: Contracts) -> dict[str, bytes]:
    """The files by their names, in the order in which they are to be put in place; the same for the same arguments.

    Raises TypeError for contracts with an annotation that no transcoder can serve.
    """
    described = _descriptors(told)
    name = DESCRIPTORS.replace("*", hashlib.sha256(described).hexdigest()[:16])
    found = {name: described}
    found |= {file: _resources([secret]) for file, secret in plan.tls.secrets().items()}
    parts = _parts(plan, told, plan.directory / name)
    if plan.is_watched:
        found |= {f"{part}.yaml": _resources(resources) for part, resources in parts.items()}
    found[BOOTSTRAP] = _yaml(_bootstrap(plan, parts))
    return found


def judged(plan: Plan, told: Contracts) -> list[straight.Straight | straight.Detour]:
    """Every annotated route of the services, the more specific before the less."""
    found = [
        straight.judge(route, counts_addresses=plan.counts_addresses)
        for server, service in told.services()
        for method in service.methods
        for route in contracts.routes_of(server, method)
    ]
    return sorted(found, key=straight.specificity)


def _parts(plan: Plan, told: Contracts, descriptors: PurePath) -> dict[str, list[dict[str, Any]]]:
    """Clusters, listeners and routes, under the names of the services by which Envoy would discover them."""
    found = judged(plan, told)
    http_routes, grpc_routes = routes.http(found, plan.times), routes.grpc(told.services(), plan.times)
    transcoded = sorted({one.route.method.containing_service.full_name for one in found})
    hosts = [
        listeners.http(
            plan.listen,
            plan.limits,
            _route_source(plan, http_routes),
            transcoded,
            descriptors,
            plan.tls.of_listener(["h2", "http/1.1"], tls.HTTP_CLIENTS, plan.directory),
        )
    ]
    if plan.grpc_listen is not None:
        transport = plan.tls.of_listener(["h2"], tls.CLIENTS, plan.directory)
        hosts.append(listeners.grpc(plan.grpc_listen, plan.limits, _route_source(plan, grpc_routes), transport))
    if plan.stats_listen is not None:
        hosts.append(listeners.statistics(plan.stats_listen, routes.statistics()))
    upstream = [
        clusters.service(name, address, plan.tls.towards(name, plan.directory), plan.most_calls)
        for name, address in sorted(plan.services.items())
    ]
    upstream += [clusters.gateway(plan.gateway, plan.most_connections), clusters.admin(plan.admin)]
    configured = {
        "cds": _typed("envoy.config.cluster.v3.Cluster", upstream),
        "lds": _typed("envoy.config.listener.v3.Listener", hosts),
    }
    if plan.is_watched:
        # A file each: Envoy takes one route configuration out of one.
        for named in (http_routes, grpc_routes) if plan.grpc_listen is not None else (http_routes,):
            configured[f"rds-{named['name']}"] = _typed("envoy.config.route.v3.RouteConfiguration", [named])
    return configured


def _route_source(plan: Plan, configured: dict[str, Any]) -> dict[str, Any]:
    if not plan.is_watched:
        return {"route_config": configured}
    return {
        "rds": {"route_config_name": configured["name"], "config_source": _watched(plan, f"rds-{configured['name']}")}
    }


def _bootstrap(plan: Plan, parts: Mapping[str, list[dict[str, Any]]]) -> dict[str, Any]:
    connections = {
        "name": "envoy.resource_monitors.global_downstream_max_connections",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3"
            ".DownstreamConnectionsConfig",
            "max_active_downstream_connections": plan.most_connections,
        },
    }
    document: dict[str, Any] = {
        "node": {"id": "intertie", "cluster": "intertie"},
        "admin": {"address": plan.admin.config()},
        "overload_manager": {"resource_monitors": [connections]},
    }
    if plan.is_watched:
        document["dynamic_resources"] = {f"{part}_config": _watched(plan, part) for part in ("cds", "lds")}
    else:
        document["static_resources"] = {
            "listeners": [_untyped(one) for one in parts["lds"]],
            "clusters": [_untyped(one) for one in parts["cds"]],
        }
    return document


def _watched(plan: Plan, part: str) -> dict[str, Any]:
    path = str(plan.directory / f"{part}.yaml")
    return {"path_config_source": {"path": path}, "resource_api_version": "V3"}


def _descriptors(told: Contracts) -> bytes:
    """The contracts, and what errors are made of, as a FileDescriptorSet."""
    details = FileDescriptorProto.FromString(error_details_pb2.DESCRIPTOR.serialized_pb)
    _keep_what_is_printed(details)
    named = {**told.files, details.name: details.SerializeToString(deterministic=True)}
    for imported in error_details_pb2.DESCRIPTOR.dependencies:
        named.setdefault(imported.name, imported.serialized_pb)
    found = FileDescriptorSet(file=[FileDescriptorProto.FromString(named[name]) for name in in_order(named)])
    return found.SerializeToString(deterministic=True)


def _keep_what_is_printed(details: FileDescriptorProto) -> None:
    """Leaves out what our errors never say: every field of a message is printed, also an empty one."""
    kept = [message for message in details.message_type if message.name in _ERROR_DETAILS]
    for message in kept:
        for nested in message.nested_type:
            if nested.name == "FieldViolation":
                said = [field for field in nested.field if field.name in ("field", "description")]
                del nested.field[:]
                nested.field.extend(said)
    copies = [type(message).FromString(message.SerializeToString()) for message in kept]
    del details.message_type[:]
    details.message_type.extend(copies)


def _typed(type_name: str, resources: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"@type": f"type.googleapis.com/{type_name}", **resource} for resource in resources]


def _untyped(resource: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in resource.items() if key != "@type"}


def _resources(resources: list[dict[str, Any]]) -> bytes:
    return _yaml({"resources": resources})


class _Dumper(yaml.SafeDumper):
    """Writes every value out, and texts of several lines as such."""

    def ignore_aliases(self, data: Any) -> bool:
        """A value that stands twice is written twice."""
        return True


def _text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def _yaml(document: dict[str, Any]) -> bytes:
    text = yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)
    return (_HEADING + text).encode()
