"""Whether a process is ready: the gateway and the demo by HTTP, the services by grpc.health.v1."""

import asyncio

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from intertie_chassis.tls import channel_to
from intertie_chassis.tls_files import TlsFiles

_SECONDS = 2.0


async def service(address: str, name: str = "", tls: TlsFiles | None = None) -> bool:
    """Whether the gRPC server of this name says that it is serving; asked over TLS when there are certificates."""
    return await _status(address, name, tls) == int(health_pb2.HealthCheckResponse.SERVING)


async def service_answers(address: str, name: str = "", tls: TlsFiles | None = None) -> bool:
    """Whether the gRPC server of this name says how it is, ready or not."""
    return await _status(address, name, tls) is not None


async def http(address: str, path: str = "/readyz") -> bool:
    """Whether a GET of the path is answered with 200."""
    host, _, port = address.rpartition(":")
    try:
        async with asyncio.timeout(_SECONDS):
            reader, writer = await asyncio.open_connection(host.strip("[]"), int(port))
            try:
                writer.write(f"GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n".encode())
                status = await reader.readline()
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False
    return status.startswith(b"HTTP/1.1 200 ")


async def _status(address: str, name: str, tls: TlsFiles | None) -> int | None:
    try:
        async with channel_to(address, name, tls, ()) as channel:
            stub: health_pb2_grpc.HealthAsyncStub = health_pb2_grpc.HealthStub(channel)
            answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=_SECONDS)
    except grpc.aio.AioRpcError:
        return None
    return int(answer.status)
