"""Configurations of Envoy made from this process's own contracts, without a service that tells them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from google.protobuf.descriptor import FileDescriptor

from intertie_gateway import contracts
from intertie_gateway.envoy import document, listeners, reflected, routes, tls
from intertie_gateway.envoy.clusters import Address
from intertie_gateway.envoy.reflected import Contracts, Reflected


def reflected_of(*files: FileDescriptor) -> Reflected:
    """What a server with the services of these files says."""
    said: dict[str, bytes] = {}

    def add(file: FileDescriptor) -> None:
        for imported in file.dependencies:
            add(imported)
        said[file.name] = file.serialized_pb

    for file in files:
        add(file)
    services = sorted(service.full_name for file in files for service in file.services_by_name.values())
    return Reflected(tuple(services), said)


def told() -> Contracts:
    """What all servers say."""
    return reflected.together({server: reflected_of(*files) for server, files in contracts.FILES.items()})


def plan(directory: Path, **changes: Any) -> document.Plan:
    """A configuration with nothing special in it, at ports of no meaning."""
    ports = {name: Address("127.0.0.1", 1100 + number) for number, name in enumerate(contracts.FILES)}
    made = document.Plan(
        services=ports,
        gateway=Address("127.0.0.1", 1080),
        listen=Address("127.0.0.1", 1000),
        grpc_listen=Address("127.0.0.1", 1001),
        admin=Address("127.0.0.1", 1002),
        stats_listen=Address("127.0.0.1", 1003),
        limits=listeners.Limits(1024 * 1024, 5.0, 10.0, 30.0),
        times=routes.Times(10.0, 30.0),
        most_calls=512,
        most_connections=4096,
        tls=tls.Tls(),
        directory=directory,
    )
    return replace(made, **changes)
