"""What the running services say of themselves by gRPC server reflection: their contracts, and who serves which."""

from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha import reflection_pb2

from intertie_chassis.errors import StartupError

_METHOD = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
_OURS = "intertie."
_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Reflected:
    """What one server says."""

    services: tuple[str, ...]
    """The full names of its services of ours, sorted."""
    files: Mapping[str, bytes]
    """The contracts that they need, each file's FileDescriptorProto by its name."""


@dataclass(frozen=True)
class Contracts:
    """The contracts of all servers together."""

    files: Mapping[str, bytes]
    served: Mapping[str, str]
    """The server's name by each service's full name, in the order of the latter."""

    @cached_property
    def pool(self) -> DescriptorPool:
        """The contracts, ready to be looked into."""
        pool = DescriptorPool()
        for name in in_order(self.files):
            pool.AddSerializedFile(self.files[name])
        return pool

    def services(self) -> list[tuple[str, ServiceDescriptor]]:
        """Each service with the name of its server."""
        return [(server, self.pool.FindServiceByName(name)) for name, server in self.served.items()]


async def ask(channel: grpc.aio.Channel) -> Reflected:
    """Asks one server for the services of ours that it has, and for all files that these need.

    Raises what the channel raises of a server that is away or does not let us in, and StartupError for an answer that
    cannot be used.
    """
    reply = await _one(channel, reflection_pb2.ServerReflectionRequest(list_services=""))
    services = sorted(one.name for one in reply.list_services_response.service if one.name.startswith(_OURS))
    files: dict[str, bytes] = {}
    for service in services:
        request = reflection_pb2.ServerReflectionRequest(file_containing_symbol=service)
        _take(await _one(channel, request), files)
    while missing := _missing(files):
        request = reflection_pb2.ServerReflectionRequest(file_by_filename=missing)
        _take(await _one(channel, request), files)
        if missing not in files:
            raise StartupError(f"reflection names the contract {missing}, but has it not")
    return Reflected(tuple(services), files)


def together(servers: Mapping[str, Reflected]) -> Contracts:
    """The contracts of servers by their names. Raises StartupError when two serve the same service.

    While a new version is rolled out two servers may have different versions of a file that they share. Contracts only
    grow: the longer one is the newer, and says all that the other does.
    """
    files: dict[str, bytes] = {}
    served: dict[str, str] = {}
    for server in sorted(servers):
        for name, file in servers[server].files.items():
            if len(file) > len(files.get(name, b"")):
                files[name] = file
        for service in servers[server].services:
            if served.setdefault(service, server) != server:
                raise StartupError(f"{served[service]} and {server} both serve {service}: is an address another's?")
    return Contracts(files, dict(sorted(served.items())))


def in_order(files: Mapping[str, bytes]) -> list[str]:
    """The names of the files, each behind those that it imports; the same order for the same files."""
    order: list[str] = []

    def add(name: str) -> None:
        if name not in order:
            for imported in sorted(FileDescriptorProto.FromString(files[name]).dependency):
                add(imported)
            order.append(name)

    for name in sorted(files):
        add(name)
    return order


async def _one(
    channel: grpc.aio.Channel, request: reflection_pb2.ServerReflectionRequest
) -> reflection_pb2.ServerReflectionResponse:
    async def requests() -> AsyncIterator[reflection_pb2.ServerReflectionRequest]:
        yield request

    call = channel.stream_stream(
        _METHOD,
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    async for reply in call(requests(), timeout=_SECONDS):
        if reply.HasField("error_response"):
            raise StartupError(f"reflection refuses: {reply.error_response.error_message}")
        return reply
    raise StartupError("reflection gives no answer")


def _take(reply: reflection_pb2.ServerReflectionResponse, files: dict[str, bytes]) -> None:
    for raw in reply.file_descriptor_response.file_descriptor_proto:
        files[FileDescriptorProto.FromString(raw).name] = raw


def _missing(files: Mapping[str, bytes]) -> str:
    imported: Iterable[str] = (
        name for raw in files.values() for name in FileDescriptorProto.FromString(raw).dependency if name not in files
    )
    return min(imported, default="")
