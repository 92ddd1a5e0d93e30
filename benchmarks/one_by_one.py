"""The same work done one by one, as one writes it at first: a unary RPC and a transaction for each delivery.

    python benchmarks/one_by_one.py http PORT RPC_PORT    a Starlette application on uvicorn
    python benchmarks/one_by_one.py rpc RPC_PORT          a grpc.aio server, on the MariaDB that DATABASE_URL names

It does what accepting does and no more: verifies the secret, stores the delivery, the record and a message for the log,
commits, answers 202. Nothing is mapped or logged afterwards. Its tables have the columns and keys that this needs.
"""

import hashlib
import hmac
import os
import secrets
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import asyncmy
import grpc
import orjson
import uvicorn
import uvloop
from sqlalchemy.engine import make_url
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from intertie.ingest.v1 import ingest_pb2

SECRET = "one-by-one-secret"
TABLES = (
    "CREATE TABLE deliveries (id CHAR(26) PRIMARY KEY, system_name VARCHAR(100) NOT NULL, body LONGBLOB NOT NULL, "
    "digest BINARY(32) NOT NULL, received_at DATETIME(6) NOT NULL, KEY (received_at)) CHARSET ascii",
    "CREATE TABLE cache (id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, system_name VARCHAR(100) NOT NULL, "
    "external_id VARCHAR(255) NOT NULL, data_json LONGTEXT NOT NULL, status VARCHAR(16) NOT NULL, "
    "updated_at DATETIME(6) NOT NULL, UNIQUE KEY (system_name, external_id), KEY (status, updated_at)) CHARSET utf8mb4",
    "CREATE TABLE outbox (id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, payload LONGBLOB NOT NULL, "
    "created_at DATETIME(6) NOT NULL)",
)
_DELIVERY = "INSERT INTO deliveries (id, system_name, body, digest, received_at) VALUES (%s, %s, %s, %s, %s)"
_RECORD = (
    "INSERT INTO cache (system_name, external_id, data_json, status, updated_at) VALUES (%s, %s, %s, 'pending', %s) "
    "ON DUPLICATE KEY UPDATE data_json = VALUES(data_json), status = 'pending', updated_at = VALUES(updated_at)"
)
_MESSAGE = "INSERT INTO outbox (payload, created_at) VALUES (%s, %s)"
_CONNECTIONS = 32
_SERVICE, _HEADER = "benchmark.OneByOne", "x-webhook-secret"


class Acceptor:
    """Stores one delivery a call."""

    def __init__(self, pool: asyncmy.Pool) -> None:
        self._pool = pool

    async def accept(
        self,
        delivery: ingest_pb2.RawDelivery,
        context: "grpc.aio.ServicerContext[ingest_pb2.RawDelivery, ingest_pb2.Acceptance]",
    ) -> ingest_pb2.Acceptance:
        """Its id, once it is committed."""
        given = next((header.value for header in delivery.headers if header.name == _HEADER), b"")
        if not hmac.compare_digest(given, SECRET.encode()):
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "the secret is wrong")
        record, delivery_id, now = orjson.loads(delivery.body), secrets.token_hex(13), datetime.now(UTC)
        message = orjson.dumps({"delivery_id": delivery_id, "system": delivery.system, "status": 202})
        digest = hashlib.sha256(delivery.body).digest()
        async with self._pool.acquire() as connection, connection.cursor() as cursor:
            await cursor.execute(_DELIVERY, (delivery_id, delivery.system, delivery.body, digest, now))
            await cursor.execute(_RECORD, (delivery.system, record["id"], delivery.body.decode(), now))
            await cursor.execute(_MESSAGE, (message, now))
            await connection.commit()
        return ingest_pb2.Acceptance(delivery_id=delivery_id, system=delivery.system)


async def serve_rpc(port: int, database_url: str) -> None:
    """Serves until it is ended."""
    url = make_url(database_url)
    pool = await asyncmy.create_pool(
        _CONNECTIONS, _CONNECTIONS,
        host=url.host, port=url.port, user=url.username, password=url.password, db=url.database, charset="utf8mb4",
    )  # fmt: skip
    server = grpc.aio.server()
    handler = grpc.unary_unary_rpc_method_handler(
        Acceptor(pool).accept,
        request_deserializer=ingest_pb2.RawDelivery.FromString,
        response_serializer=ingest_pb2.Acceptance.SerializeToString,
    )
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, {"Accept": handler}),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


def application(rpc_port: int) -> Starlette:
    """The HTTP side."""
    accept: list[Any] = []

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{rpc_port}") as channel:
            accept.append(
                channel.unary_unary(
                    f"/{_SERVICE}/Accept",
                    request_serializer=ingest_pb2.RawDelivery.SerializeToString,
                    response_deserializer=ingest_pb2.Acceptance.FromString,
                )
            )
            yield

    async def webhook(request: Request) -> JSONResponse:
        header = ingest_pb2.Header(name=_HEADER, value=request.headers.get(_HEADER, "").encode())
        system, body = request.path_params["system"], await request.body()
        try:
            acceptance = await accept[0](ingest_pb2.RawDelivery(system=system, body=body, headers=[header]))
        except grpc.aio.AioRpcError as error:
            return JSONResponse({"error": error.details()}, 401 if error.code().name == "UNAUTHENTICATED" else 503)
        return JSONResponse({"status": "received", "delivery_id": acceptance.delivery_id}, 202)

    return Starlette(routes=[Route("/webhook/{system}", webhook, methods=["POST"])], lifespan=lifespan)


def main() -> None:
    """Runs one of the two."""
    role, port, *others = sys.argv[1:]
    if role == "rpc":
        uvloop.run(serve_rpc(int(port), os.environ["DATABASE_URL"]))
    else:
        uvicorn.run(
            application(int(others[0])), port=int(port), loop="uvloop", http="httptools", log_level="warning",
            access_log=False,
        )  # fmt: skip


if __name__ == "__main__":
    main()
