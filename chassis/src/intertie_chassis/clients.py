"""How one process calls another: with its token, a request id and a deadline, and with errors as our own types.

The channel wraps grpc.aio's instead of using its client interceptors: those cost an extra task a call, and an exception
of our own raised inside one leaves the call object in a state where `done` callbacks and `code()` fail.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Any, Self

import grpc

from intertie_chassis import calls, traces
from intertie_chassis.errors import DeadlineExceeded, Unavailable, from_rpc_error
from intertie_chassis.ids import new_ulid
from intertie_chassis.tls import channel_to
from intertie_chassis.tls_files import TlsFiles
from intertie_chassis.tokens import TokenSource

DEFAULT_TIMEOUT = 5.0
"""Seconds for a call with one answer when its caller names none."""

_MAX_MESSAGE_BYTES = 32 * 1024 * 1024
_OPTIONS: list[tuple[str, Any]] = [
    ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", _MAX_MESSAGE_BYTES),
    ("grpc.max_metadata_size", 16 * 1024),
    ("grpc.absolute_max_metadata_size", 16 * 1024),
    # A peer that vanished without a word is noticed while streams are open, so that watchers come back by themselves.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    # The library's back-off grows to two minutes; services restart in any order and must find each other within 5 s.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 1_000),
]


def connect(
    address: str,
    token: TokenSource | None,
    *,
    default_timeout: float = DEFAULT_TIMEOUT,
    service: str = "",
    tls: TlsFiles | None = None,
) -> "Channel":
    """A channel for the generated stubs: ``RegistryServiceStub(connect("127.0.0.1:50051", token))``.

    Connects when first used, and again whenever the other side comes back. Calls raise our `errors`; one that gets no
    answer raises Unavailable (SERVICE_UNAVAILABLE). A call takes at most `default_timeout` seconds unless it says
    otherwise (streams: no limit of their own), and never longer than the call that is being answered has left.

    With `tls` the channel is encrypted, and the other side must have the certificate of `service`. Without a token the
    caller is whom its certificate names.
    """
    return Channel(channel_to(address, service, tls, _OPTIONS), token, default_timeout)


class Channel(grpc.aio.Channel):
    """A channel whose calls carry our metadata and raise our errors. Close it with `close`, or use it as a context."""

    def __init__(self, channel: grpc.aio.Channel, token: TokenSource | None, default_timeout: float) -> None:
        self._channel = channel
        self._token = token
        self._default_timeout = default_timeout

    def unary_unary(self, method: str, *arguments: Any, **options: Any) -> Any:
        """A callable that gives an awaitable answer."""
        return _OneAnswer(self, self._channel.unary_unary(method, *arguments, **options), method)

    def stream_unary(self, method: str, *arguments: Any, **options: Any) -> Any:
        """A callable that takes an async iterator and gives an awaitable answer."""
        return _OneAnswer(self, self._channel.stream_unary(method, *arguments, **options), method)

    def unary_stream(self, method: str, *arguments: Any, **options: Any) -> Any:
        """A callable that gives an async iterator of answers."""
        return _ManyAnswers(self, self._channel.unary_stream(method, *arguments, **options))

    def stream_stream(self, method: str, *arguments: Any, **options: Any) -> Any:
        """A callable that takes an async iterator and gives an async iterator of answers."""
        return _ManyAnswers(self, self._channel.stream_stream(method, *arguments, **options))

    def terms(self, timeout: float | None, metadata: Any, is_stream: bool) -> dict[str, Any]:
        """Timeout and metadata of the next call.

        Raises DeadlineExceeded when the call being answered has no time left, Unavailable without a token.
        """
        remaining = calls.time_remaining()
        if timeout is None and not is_stream:
            timeout = self._default_timeout
        if remaining is not None:
            timeout = remaining if timeout is None else min(timeout, remaining)
        if timeout is not None and timeout <= 0:
            raise DeadlineExceeded
        entries = [(key, value) for key, value in metadata or ()]
        entries.append((calls.REQUEST_ID_KEY, calls.current_request_id() or new_ulid()))
        trace = traces.current()
        if trace is not None:
            entries.append((traces.TRACEPARENT, trace.traceparent))
        if self._token is not None:
            entries.append(("authorization", f"Bearer {self._token.token()}"))
        return {"timeout": timeout, "metadata": entries}

    async def close(self, grace: float | None = None) -> None:
        """Ends the channel; calls still open after `grace` seconds raise Unavailable."""
        await self._channel.close(grace)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        """The state of the connection."""
        return self._channel.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        """Waits until the connection's state is another one."""
        await self._channel.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        """Waits until the channel is connected."""
        await self._channel.channel_ready()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> None:
        await self.close()


class _OneAnswer:
    def __init__(self, channel: Channel, call: Callable[..., Any], method: str) -> None:
        self._channel = channel
        self._call = call
        self._name = method.removeprefix("/")

    async def __call__(
        self,
        request: Any = None,
        *,
        timeout: float | None = None,
        metadata: Any = None,
        wait_for_ready: bool | None = None,
    ) -> Any:
        span = traces.TRACER.follow(self._name, traces.current(), traces.Kind.CLIENT)
        if span is None:
            return await self._answer(request, timeout, metadata, wait_for_ready)
        with traces.during(span):
            return await self._answer(request, timeout, metadata, wait_for_ready)

    async def _answer(self, request: Any, timeout: float | None, metadata: Any, wait_for_ready: bool | None) -> Any:
        terms = self._channel.terms(timeout, metadata, is_stream=False)
        try:
            return await self._call(request, wait_for_ready=wait_for_ready, **terms)
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from error
        except asyncio.CancelledError:
            _raise_if_cut_off()
            raise
        except grpc.aio.UsageError as error:
            raise Unavailable("the connection is closed", retry_after=1) from error


class _ManyAnswers:
    def __init__(self, channel: Channel, call: Callable[..., Any]) -> None:
        self._channel = channel
        self._call = call

    def __call__(
        self,
        request: Any = None,
        *,
        timeout: float | None = None,
        metadata: Any = None,
        wait_for_ready: bool | None = None,
    ) -> "Answers":
        terms = self._channel.terms(timeout, metadata, is_stream=True)
        return Answers(self._call(request, wait_for_ready=wait_for_ready, **terms))


class Answers(AsyncIterator[Any]):
    """The answers of a streaming call, as they come. Iterate it whole, or `cancel` it."""

    def __init__(self, call: Any) -> None:
        self._call = call
        self._answers = call.__aiter__()

    async def __anext__(self) -> Any:
        try:
            return await self._answers.__anext__()
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from error
        except asyncio.CancelledError:
            _raise_if_cut_off()
            raise

    def cancel(self) -> None:
        """Ends the call; the other side sees it cancelled."""
        self._call.cancel()

    async def aclose(self) -> None:
        """The same, for `contextlib.aclosing`."""
        self.cancel()


def _raise_if_cut_off() -> None:
    """Raises Unavailable unless the present task itself is being cancelled.

    grpc.aio raises CancelledError also when somebody closed the channel under the call; let through, that would end a
    background loop without a trace.
    """
    task = asyncio.current_task()
    if task is None or not task.cancelling():
        raise Unavailable("the call was cut off; try again", retry_after=1) from None
