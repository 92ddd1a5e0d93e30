"""A channel that connects anew when its credentials have changed: new calls go out on the new connection, those in
flight end on the old one, which closes behind the last of them.
"""

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

import grpc

M = TypeVar("M")


class _Generation(Generic[M]):
    """One channel of the library, and how many of its calls are open."""

    def __init__(self, channel: grpc.aio.Channel, made_of: M) -> None:
        self.channel = channel
        self.made_of = made_of
        self._is_retired = False
        self._open = 0
        self._closing: asyncio.Task[None] | None = None

    @property
    def is_closing(self) -> bool:
        """Whether its last call has ended since it was retired."""
        return self._closing is not None

    def opened(self, call: Any) -> None:
        """Counts a call until it is done."""
        self._open += 1
        call.add_done_callback(self._ended)

    def retire(self) -> None:
        """Closes the channel as soon as no call is open."""
        self._is_retired = True
        self._close_if_idle()

    async def close(self, grace: float | None) -> None:
        """Closes the channel; calls still open after `grace` seconds are cancelled."""
        if self._closing is not None:
            await self._closing
        await self.channel.close(grace)

    def _ended(self, _call: Any) -> None:
        self._open -= 1
        self._close_if_idle()

    def _close_if_idle(self) -> None:
        if self._is_retired and self._open == 0 and self._closing is None:
            self._closing = asyncio.get_running_loop().create_task(self.channel.close())


class RenewingChannel(grpc.aio.Channel, Generic[M]):
    """Behaves as the library's channel does."""

    def __init__(self, connect: Callable[[M], grpc.aio.Channel], material: Callable[[], M]) -> None:
        """Args:
        connect: makes a channel of what `material` gave.
        material: asked at each call, so it must be cheap; another object than before means another channel.
        """
        self._connect = connect
        self._material = material
        made_of = material()
        self._generation = _Generation(connect(made_of), made_of)
        self._retired: list[_Generation[M]] = []

    def current(self) -> _Generation[M]:
        """The generation for a call that begins now."""
        made_of = self._material()
        if made_of is not self._generation.made_of:
            old, self._generation = self._generation, _Generation(self._connect(made_of), made_of)
            self._retired = [*(one for one in self._retired if not one.is_closing), old]
            old.retire()
        return self._generation

    def unary_unary(self, method: str, *arguments: Any, **options: Any) -> Any:
        """A callable that gives an awaitable answer."""
        return _Callable(self, lambda channel: channel.unary_unary(method, *arguments, **options))

    def unary_stream(self, method: str, *arguments: Any, **options: Any) -> Any:
        """A callable that gives an async iterator of answers."""
        return _Callable(self, lambda channel: channel.unary_stream(method, *arguments, **options))

    def stream_unary(self, method: str, *arguments: Any, **options: Any) -> Any:
        """A callable that takes an async iterator and gives an awaitable answer."""
        return _Callable(self, lambda channel: channel.stream_unary(method, *arguments, **options))

    def stream_stream(self, method: str, *arguments: Any, **options: Any) -> Any:
        """A callable that takes an async iterator and gives an async iterator of answers."""
        return _Callable(self, lambda channel: channel.stream_stream(method, *arguments, **options))

    async def close(self, grace: float | None = None) -> None:
        """Ends all connections; calls still open after `grace` seconds are cancelled."""
        await asyncio.gather(*(one.close(grace) for one in (*self._retired, self._generation)))

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        """The state of the present connection."""
        return self.current().channel.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        """Waits until the present connection's state is another one."""
        await self.current().channel.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        """Waits until the present connection stands."""
        await self.current().channel.channel_ready()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> None:
        await self.close()


class _Callable(Generic[M]):
    """A method's callable, bound to the present generation at each call."""

    def __init__(self, channel: RenewingChannel[M], bind: Callable[[grpc.aio.Channel], Any]) -> None:
        self._channel = channel
        self._bind = bind
        self._generation = channel.current()
        self._call = bind(self._generation.channel)

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        generation = self._channel.current()
        if generation is not self._generation:
            self._call, self._generation = self._bind(generation.channel), generation
        call = self._call(*arguments, **options)
        generation.opened(call)
        return call
