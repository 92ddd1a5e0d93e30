"""A real gateway process in front of scripted services, and raw sockets to talk to it."""

import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent import futures
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import httpx
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2

import processes
from intertie.ingest.v1 import ingest_pb2
from intertie_chassis.errors import STATUS_METADATA_KEY, IntertieError, to_status
from intertie_gateway import contracts

PREFIX = "/api/v1/integrations"
WEBHOOK = f"{PREFIX}/webhook/law_enforcement"
PUSH = f"{PREFIX}/push"
TOKEN = {"authorization": "Bearer a-token"}

Accept = Callable[[ingest_pb2.RawDelivery], ingest_pb2.AcceptResult]
Handler = Callable[[Any, dict[str, str]], Message]


def accepted(delivery: ingest_pb2.RawDelivery) -> ingest_pb2.AcceptResult:
    """Accepts any delivery; its id is the body's ``id``."""
    try:
        document = json.loads(delivery.body)
    except ValueError:
        document = None
    external_ids = [str(document["id"])] if isinstance(document, dict) and "id" in document else []
    return ingest_pb2.AcceptResult(
        acceptance=ingest_pb2.Acceptance(
            delivery_id="01JDB2M8W0F1YJ5Q0X7Q3V9K2C",
            system=delivery.system or "law_enforcement",
            mapping="incidents_to_events" if delivery.route == ingest_pb2.ROUTE_PUSH else "",
            external_ids=external_ids,
            is_array=isinstance(document, list),
            record_count=len(document) if isinstance(document, list) else 1,
        )
    )


def refused(error: IntertieError) -> ingest_pb2.AcceptResult:
    """The result of a delivery that is refused."""
    return ingest_pb2.AcceptResult(error=to_status(error))


@dataclass
class Script:
    """What the services do, and what they were asked; a test sets the first and reads the second."""

    accept: Accept = accepted
    on_group: Callable[[ingest_pb2.AcceptDeliveriesRequest], object] = lambda request: None
    """Called with each group before its items are answered; may raise an IntertieError or wait."""
    handlers: dict[str, Handler] = field(default_factory=dict)
    """By the method's name; others give an empty answer."""
    groups: list[ingest_pb2.AcceptDeliveriesRequest] = field(default_factory=list)
    calls: list[tuple[str, Any, dict[str, str]]] = field(default_factory=list)
    """Method, request and metadata of every other call that a client caused."""

    @property
    def deliveries(self) -> list[ingest_pb2.RawDelivery]:
        """All that ingest got."""
        return [delivery for group in self.groups for delivery in group.deliveries]


class Services:
    """All services at one address, served by threads: grpc.aio wants one event loop, and pytest has one a test."""

    def __init__(self, port: int) -> None:
        self.address = f"127.0.0.1:{port}"
        self.script = Script()
        self.health = health_pb2.HealthCheckResponse.SERVING
        self._server: grpc.Server | None = None

    def start(self) -> None:
        """Listens; a no-op when it does already."""
        if self._server is not None:
            return
        server = grpc.server(
            futures.ThreadPoolExecutor(32), options=[("grpc.max_receive_message_length", 32 * 1024 * 1024)]
        )
        for files in contracts.FILES.values():
            for file in files:
                for service in file.services_by_name.values():
                    handlers = {method.name: self._handler(method) for method in service.methods}
                    generic = grpc.method_handlers_generic_handler(service.full_name, handlers)
                    server.add_generic_rpc_handlers((generic,))
        health = {
            "Check": grpc.unary_unary_rpc_method_handler(
                lambda request, context: health_pb2.HealthCheckResponse(status=self.health),
                health_pb2.HealthCheckRequest.FromString,
                health_pb2.HealthCheckResponse.SerializeToString,
            )
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("grpc.health.v1.Health", health),))
        if not server.add_insecure_port(self.address):
            raise RuntimeError(f"{self.address} is taken")
        server.start()
        self._server = server

    def stop(self) -> None:
        """Goes away at once, with what is in flight."""
        if self._server is not None:
            self._server.stop(None).wait()
            self._server = None

    def _handler(self, method: Any) -> Any:
        request_type = GetMessageClass(method.input_type)

        def answer(request: Any, context: Any) -> Any:
            metadata = {key: value for key, value in context.invocation_metadata() if isinstance(value, str)}
            try:
                if method.name == "AcceptDeliveries":
                    self.script.groups.append(request)
                    self.script.on_group(request)
                    results = [self.script.accept(delivery) for delivery in request.deliveries]
                    return ingest_pb2.AcceptDeliveriesResponse(results=results)
                if method.name != "AppendEntries":  # the gateway's own, about refusals: comes when it comes
                    self.script.calls.append((method.name, request, metadata))
                handler = self.script.handlers.get(method.name)
                return handler(request, metadata) if handler else GetMessageClass(method.output_type)()
            except IntertieError as error:
                status = to_status(error)
                context.set_trailing_metadata(((STATUS_METADATA_KEY, status.SerializeToString()),))
                context.abort(error.code, error.message)

        return grpc.unary_unary_rpc_method_handler(
            answer, request_type.FromString, lambda message: message.SerializeToString()
        )


class GatewayProcess:
    """A running ``python -m intertie_gateway``."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self.process = process
        self.port = port
        self.log = log
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30)

    def webhook(self, body: bytes = b'{"id": "INC-1"}', path: str = WEBHOOK, **headers: str) -> httpx.Response:
        """Posts a webhook; underscores in header names become hyphens."""
        sent = {"content-type": "application/json"} | {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.post(path, content=body, headers=sent)

    def raw(self, *parts: bytes, close: bool = False, timeout: float = 20) -> bytes:
        """Sends bytes on a connection of its own and gives all that comes until the other side closes.

        Args:
            close: end our side after sending.
        """
        with socket.create_connection(("127.0.0.1", self.port), timeout) as connection:
            received = b""
            try:
                for part in parts:
                    connection.sendall(part)
                if close:
                    connection.shutdown(socket.SHUT_WR)
                while chunk := connection.recv(65536):
                    received += chunk
            except ConnectionError:
                return received
            return received

    def lines(self, event: str = "request") -> list[dict[str, Any]]:
        """The JSON log lines of an event so far."""
        found = []
        for line in self.log.read_bytes().splitlines():
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if entry.get("event") == event:
                found.append(entry)
        return found

    def stop(self) -> int:
        """Sends SIGTERM and gives the exit code."""
        self.client.close()
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


@contextmanager
def running_gateway(services: str, directory: Path, env: Mapping[str, str] | None = None) -> Iterator[GatewayProcess]:
    """A gateway whose services are all at one address, with settings of the test's own."""
    port = processes.free_port()
    log = directory / f"gateway-{port}.log"
    backends = {f"INTERTIE_{name.upper()}_ADDRESS": services for name in contracts.FILES}
    settings = {
        "INTERTIE_DATA_DIR": str(directory / "data"),
        "INTERTIE_GATEWAY_LISTEN": f"127.0.0.1:{port}",
        "INTERTIE_LOG_FORMAT": "json",
    }
    process = processes.start(
        [sys.executable, "-m", "intertie_gateway"], log=log, env=backends | settings | dict(env or {})
    )
    gateway = GatewayProcess(process, port, log)
    try:
        _wait_until_alive(gateway)
        yield gateway
    finally:
        gateway.client.close()
        if process.poll() is None:
            processes.stop(process)


def _wait_until_alive(gateway: GatewayProcess) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            if gateway.client.get("/healthz").status_code == 200:
                return
        except httpx.TransportError:
            if gateway.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"the gateway does not start: {gateway.log.read_text()}") from None
        threading.Event().wait(0.05)


def request(
    path: str = WEBHOOK,
    body: bytes = b'{"id":1}',
    headers: tuple[bytes, ...] = (),
    method: str = "POST",
    length: bool = True,
) -> bytes:
    """A request as bytes that asks to close the connection after it."""
    lines = [
        f"{method} {path} HTTP/1.1".encode(),
        b"Host: test",
        b"Connection: close",
        b"Content-Type: application/json",
    ]
    if length:
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join([*lines, *headers, b"", body])


def status_of(answer: bytes) -> int:
    """The status of the first answer in the bytes."""
    assert answer.startswith(b"HTTP/1.1 "), answer[:200]
    return int(answer.split(b" ", 2)[1])


def problem_of(answer: bytes | httpx.Response) -> dict[str, Any]:
    """The error body, checked for the one shape that errors have."""
    body = answer.content if isinstance(answer, httpx.Response) else answer.split(b"\r\n\r\n", 1)[1]
    problem: dict[str, Any] = json.loads(body)
    assert list(problem) == ["code", "message", "details"]
    assert isinstance(problem["code"], int)
    assert problem["message"]
    info = problem["details"][0]
    assert info["@type"] == "type.googleapis.com/google.rpc.ErrorInfo"
    assert info["domain"] == "intertie"
    problem["reason"] = info["reason"]
    problem["metadata"] = info["metadata"]
    return problem
