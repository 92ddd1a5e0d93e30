"""The connections of a client: one channel for each address, made when first used, and anew when certificates change.

A channel that was replaced ends behind the last of its calls.
"""

import threading
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import grpc

from intertie_client.plans import Send
from intertie_client.setup import Setup
from intertie_client.tls import Material

C = TypeVar("C")
Make = Callable[[str, grpc.ChannelCredentials | None, Sequence[tuple[str, Any]]], C]

_MAX_MESSAGE_BYTES = 32 * 1024 * 1024
OPTIONS: list[tuple[str, Any]] = [
    ("grpc.primary_user_agent", "intertie-client"),
    ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", _MAX_MESSAGE_BYTES),
    ("grpc.max_metadata_size", 16 * 1024),
    ("grpc.absolute_max_metadata_size", 16 * 1024),
    # A peer that vanished without a word is noticed, also between calls. The services allow a ping every 10 s.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    # The library's back-off grows to two minutes; services come back within seconds.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    # Nobody's DNS sets a policy of retries: ours alone decides what is done twice. What gRPC does by itself remains, to
    # send again what no server has seen.
    ("grpc.service_config_disable_resolution", 1),
]


class Closed(RuntimeError):
    """The client is closed."""

    def __init__(self) -> None:
        super().__init__("the client is closed")


class Line(Generic[C]):
    """One channel, and how many calls are open on it."""

    def __init__(self, channel: C, made_of: Material | None) -> None:
        self.channel = channel
        self.made_of = made_of
        self.open_calls = 0
        self.is_retired = False
        self._methods: dict[str, Any] = {}

    def begin(self, step: Send, headers: Sequence[tuple[str, str]]) -> Any:
        """Calls the method as grpc's channel does: gives the answer, or what can be awaited or read."""
        operation = step.operation
        method = self._methods.get(operation.path)
        if method is None:
            channel: Any = self.channel
            make = channel.unary_stream if operation.is_stream else channel.unary_unary
            method = self._methods[operation.path] = make(
                operation.path,
                request_serializer=type(operation.request).SerializeToString,
                response_deserializer=operation.answer.FromString,
            )
        # What must not be sent twice waits for a connection: so it is tried again only while nobody has seen it.
        wait = not operation.is_repeatable
        return method(operation.request, timeout=step.timeout, metadata=headers, wait_for_ready=wait)


class Lines(Generic[C]):
    """The connections of one client. Safe in any thread."""

    def __init__(self, setup: Setup, make: Make[C], end: Callable[[C], None]) -> None:
        """`make` gives a channel to an address, `end` closes one that has no calls."""
        self._setup = setup
        self._make = make
        self._end = end
        self._lines: dict[str, Line[C]] = {}
        self._retired: list[Line[C]] = []
        self._changed = threading.Condition()
        self._is_closed = False

    def take(self, process: str) -> Line[C]:
        """The line to a process, for one call; give it back. Raises Closed, ValueError without an address."""
        material = None if self._setup.tls is None else self._setup.tls.material()
        key = "" if self._setup.is_proxied else process
        with self._changed:
            if self._is_closed:
                raise Closed
            line = self._lines.get(key)
            if line is None or line.made_of is not material:
                if line is not None:
                    self._retire(line)
                line = self._lines[key] = Line(self._connected(process, material), material)
            line.open_calls += 1
            return line

    def give_back(self, line: Line[C]) -> None:
        """Says that a call has ended."""
        with self._changed:
            line.open_calls -= 1
            if line.is_retired and not line.open_calls and line in self._retired:
                self._retired.remove(line)
                self._end(line.channel)
            self._changed.notify_all()

    def close(self) -> None:
        """Lets nobody take a line any more."""
        with self._changed:
            self._is_closed = True

    def drained(self, seconds: float) -> bool:
        """Waits until no call is open; False when some are after so many seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: not any(line.open_calls for line in self._all()), seconds)

    def channels(self) -> list[C]:
        """All that are not ended, once; nobody gets them again."""
        with self._changed:
            found = [line.channel for line in self._all()]
            self._lines, self._retired = {}, []
            return found

    def _all(self) -> list[Line[C]]:
        return [*self._lines.values(), *self._retired]

    def _retire(self, line: Line[C]) -> None:
        if line.open_calls:
            line.is_retired = True
            self._retired.append(line)
        else:
            self._end(line.channel)

    def _connected(self, process: str, material: Material | None) -> C:
        address, tls = self._setup.address(process), self._setup.tls
        if tls is None or material is None:
            return self._make(address, None, OPTIONS)
        credentials = grpc.ssl_channel_credentials(material.authority, material.key, material.certificate)
        # Connections that were made with an older certificate are not shared.
        options = [*OPTIONS, ("grpc.use_local_subchannel_pool", 1)]
        name = tls.server_name or ("" if self._setup.is_proxied else process)
        if name:
            options.append(("grpc.ssl_target_name_override", name))
        return self._make(address, credentials, options)
