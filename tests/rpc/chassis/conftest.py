"""A running server with a small contract of its own: a method of each shape and of each kind of access."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, wrappers_pb2
from google.protobuf.descriptor import ServiceDescriptor

from intertie.api.v1 import options_pb2
from intertie_chassis.clients import Channel, connect
from intertie_chassis.identity import FixedToken, KeyRing, Verifier
from intertie_chassis.server import Server

Text = wrappers_pb2.StringValue
SERVICE = "intertie.chassis_test.v1.EchoService"
_ROLES = options_pb2.Role
_METHODS: dict[str, tuple[bool, bool, dict[str, Any] | None]] = {
    "Say": (False, False, {"roles": [_ROLES.ROLE_VIEWER, _ROLES.ROLE_SERVICE, _ROLES.ROLE_MODULE]}),
    "Count": (False, True, {"roles": [_ROLES.ROLE_VIEWER]}),
    "Join": (True, False, {"roles": [_ROLES.ROLE_VIEWER]}),
    "Chat": (True, True, {"roles": [_ROLES.ROLE_VIEWER]}),
    "Operate": (False, False, {"roles": [_ROLES.ROLE_OPERATOR]}),
    "Manage": (False, False, {"roles": [_ROLES.ROLE_ADMIN]}),
    "Serve": (False, False, {"roles": [_ROLES.ROLE_SERVICE], "services": ["gateway"]}),
    "Forgotten": (False, False, None),
}


def _describe() -> ServiceDescriptor:
    file = descriptor_pb2.FileDescriptorProto(
        name="intertie/chassis_test/v1/echo.proto",
        package="intertie.chassis_test.v1",
        syntax="proto3",
        dependency=["google/protobuf/wrappers.proto", "intertie/api/v1/options.proto"],
    )
    service = file.service.add(name="EchoService")
    for name, (takes_stream, gives_stream, access) in _METHODS.items():
        method = service.method.add(
            name=name,
            input_type=".google.protobuf.StringValue",
            output_type=".google.protobuf.StringValue",
            client_streaming=takes_stream,
            server_streaming=gives_stream,
        )
        if access is not None:
            method.options.Extensions[options_pb2.access].CopyFrom(options_pb2.Access(**access))
    pool = descriptor_pool.Default()
    pool.Add(file) if hasattr(pool, "Add") else pool.AddSerializedFile(file.SerializeToString())
    return pool.FindServiceByName(SERVICE)


DESCRIPTOR = _describe()


class EchoServicer:
    """Answers as each test says; by default with what it was asked."""

    def __init__(self) -> None:
        self.answer: Callable[[Any, Any], Awaitable[Any]] = self.echo
        self.answers: Callable[[Any, Any], AsyncIterator[Any]] = self.repeat

    async def echo(self, request: Any, _context: Any) -> Any:
        return request

    async def repeat(self, request: Any, _context: Any) -> AsyncIterator[Any]:
        for number in range(3):
            yield Text(value=f"{request.value}{number}")

    async def unary(self, request: Any, context: Any) -> Any:
        return await self.answer(request, context)

    async def count(self, request: Any, context: Any) -> AsyncIterator[Any]:
        async for answer in self.answers(request, context):
            yield answer

    async def join(self, requests: AsyncIterator[Any], _context: Any) -> Any:
        return Text(value="".join([request.value async for request in requests]))

    async def chat(self, requests: AsyncIterator[Any], _context: Any) -> AsyncIterator[Any]:
        async for request in requests:
            yield request


def add_echo(servicer: EchoServicer, server: grpc.aio.Server) -> None:
    """What a generated add_…Servicer_to_server does."""
    make = {
        (False, False): (grpc.unary_unary_rpc_method_handler, servicer.unary),
        (False, True): (grpc.unary_stream_rpc_method_handler, servicer.count),
        (True, False): (grpc.stream_unary_rpc_method_handler, servicer.join),
        (True, True): (grpc.stream_stream_rpc_method_handler, servicer.chat),
    }
    handlers = {}
    for name, (takes_stream, gives_stream, _access) in _METHODS.items():
        factory, behaviour = make[takes_stream, gives_stream]
        handlers[name] = factory(
            behaviour, request_deserializer=Text.FromString, response_serializer=Text.SerializeToString
        )
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))


class Echo:
    """The server under test, and ways to call it."""

    def __init__(self, server: Server, servicer: EchoServicer, keys: KeyRing) -> None:
        self.server, self.servicer, self.keys = server, servicer, keys
        self.port = 0
        self._channels: list[Any] = []

    def channel(self, role: str = "viewer", **options: Any) -> Channel:
        """A channel of the chassis with a token of the role."""
        token = FixedToken(self.keys.issue(role, "tester"))
        channel = connect(f"127.0.0.1:{self.port}", token, **options)
        self._channels.append(channel)
        return channel

    def raw_channel(self) -> grpc.aio.Channel:
        """A channel as any other gRPC client has it."""
        channel = grpc.aio.insecure_channel(f"127.0.0.1:{self.port}")
        self._channels.append(channel)
        return channel

    def method(self, name: str, channel: Any = None, *, is_raw: bool = False) -> Any:
        """The callable of a method; raw: it sends and gives bytes."""
        takes_stream, gives_stream, _access = _METHODS[name]
        shape = f"{'stream' if takes_stream else 'unary'}_{'stream' if gives_stream else 'unary'}"
        codecs = (
            {} if is_raw else {"request_serializer": Text.SerializeToString, "response_deserializer": Text.FromString}
        )
        return getattr(channel or self.channel(), shape)(f"/{SERVICE}/{name}", **codecs)

    async def close(self) -> None:
        """Ends everything."""
        for channel in self._channels:
            await channel.close()
        await self.server.stop()


@pytest.fixture
def keys(tmp_path: Path) -> KeyRing:
    """A key ring of the test's own."""
    ring = KeyRing(tmp_path / "data")
    ring.ensure()
    return ring


@pytest.fixture
async def new_echo(keys: KeyRing) -> AsyncIterator[Callable[..., Echo]]:
    """Makes servers that are not started yet; all are stopped at the end."""
    made: list[Echo] = []

    def make(**options: Any) -> Echo:
        servicer = EchoServicer()
        server = Server("echo", "127.0.0.1:0", Verifier(keys.jwks_path), **{"drain_seconds": 5, **options})
        server.add(add_echo, servicer, DESCRIPTOR)
        made.append(Echo(server, servicer, keys))
        return made[-1]

    yield make
    for echo in made:
        await echo.close()


@pytest.fixture
def echo_on(keys: KeyRing) -> Callable[[Server], Echo]:
    """Adds the contract to a server of the test's own."""

    def add(server: Server) -> Echo:
        servicer = EchoServicer()
        server.add(add_echo, servicer, DESCRIPTOR)
        return Echo(server, servicer, keys)

    return add


@pytest.fixture
async def echo(new_echo: Callable[..., Echo]) -> Echo:
    """A started server."""
    made = new_echo()
    made.port = await made.server.start()
    return made
