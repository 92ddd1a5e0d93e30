"""Server reflection under both of its names; grpcio ships the v1alpha one only, and their messages are the same."""

from collections.abc import Sequence
from typing import Any

import grpc
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha._async import ReflectionServicer

_SERVICES = ("grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection")
PATHS = tuple(f"/{service}/ServerReflectionInfo" for service in _SERVICES)
"""The paths of reflection's only method."""


def add(service_names: Sequence[str], server: grpc.aio.Server) -> None:
    """Lets callers ask the server for the contracts of these services."""
    servicer = ReflectionServicer(service_names=[*service_names, _SERVICES[1]])
    handler: grpc.RpcMethodHandler[Any, Any] = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler(service, {"ServerReflectionInfo": handler}) for service in _SERVICES]
    )
