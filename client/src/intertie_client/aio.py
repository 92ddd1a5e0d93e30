"""Carries plans out with grpc.aio's calls, in one event loop."""

import asyncio
import os
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import grpc

from intertie_client.errors import Cancelled, IntertieError
from intertie_client.failures import from_rpc_error
from intertie_client.lines import Closed, Line, Lines
from intertie_client.plans import Pause, Plan, Send
from intertie_client.setup import Setup

T = TypeVar("T")


class AsyncOpenStream(Generic[T]):
    """A stream of answers under way, which are given as they come. Close it when it is not read whole."""

    def __init__(self, call: Any, request_id: str, on_end: Callable[[], None]) -> None:
        self._call = call
        self._request_id = request_id
        self._on_end: Callable[[], None] | None = on_end
        self._first: list[T | None] = []

    async def begin(self) -> None:
        """Waits for the first answer. Raises IntertieError."""
        self._first = [await self._read()]

    async def read(self) -> T | None:
        """The next answer; None at the end. Raises IntertieError."""
        return self._first.pop() if self._first else await self._read()

    def close(self) -> None:
        """Ends the call; the service sees it cancelled unless it has ended."""
        on_end, self._on_end = self._on_end, None
        if on_end is not None:
            self._call.cancel()
            on_end()

    async def _read(self) -> T | None:
        if self._on_end is None:
            return None
        try:
            answer = await self._call.read()
        except grpc.aio.AioRpcError as error:
            self.close()
            raise from_rpc_error(error, self._request_id) from error
        except asyncio.CancelledError:
            self.close()
            raise_if_cut_off(self._request_id)
            raise
        if answer is grpc.aio.EOF:
            self.close()
            return None
        found: T = answer
        return found


class AsyncCarrier:
    """Carries out the plans of one client. For the tasks of one event loop."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self._lines: Lines[grpc.aio.Channel] = Lines(setup, _connect, self._end)
        self._closing = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pid = os.getpid()
        self._ending: set[asyncio.Task[None]] = set()

    async def run(self, plan: Plan[T]) -> T:
        """What the plan comes to. Raises IntertieError, Closed."""
        self._require_home()
        try:
            step = next(plan)
            while True:
                try:
                    answer = await self._take(step)
                except IntertieError as error:
                    step = plan.throw(error)
                else:
                    step = plan.send(answer)
        except StopIteration as done:
            found: T = done.value
            return found

    async def close(self, grace: float) -> None:
        """Takes no more calls, waits for those that are open, and cuts what is left after `grace` seconds."""
        self._closing.set()
        self._lines.close()
        await asyncio.gather(*(channel.close(grace) for channel in self._lines.channels()), *self._ending)

    def _require_home(self) -> None:
        if os.getpid() != self._pid:
            raise RuntimeError("this client was made before the process forked; make one in each process")
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
        elif self._loop is not loop:
            raise RuntimeError("this client is used in another event loop than before; make one in each loop")

    async def _take(self, step: Send | Pause) -> Any:
        if isinstance(step, Pause):
            try:
                await asyncio.wait_for(self._closing.wait(), step.seconds)
            except TimeoutError:
                return None
            raise Closed
        headers = self.setup.headers(step.request_id)
        line = self._lines.take(step.operation.process)
        if step.operation.is_stream:
            return await self._opened(line, step, headers)
        try:
            return await line.begin(step, headers)
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error, step.request_id) from error
        except asyncio.CancelledError:
            raise_if_cut_off(step.request_id)
            raise
        finally:
            self._lines.give_back(line)

    async def _opened(
        self, line: Line[grpc.aio.Channel], step: Send, headers: list[tuple[str, str]]
    ) -> AsyncOpenStream[Any]:
        try:
            call = line.begin(step, headers)
        except BaseException:
            self._lines.give_back(line)
            raise
        stream: AsyncOpenStream[Any] = AsyncOpenStream(call, step.request_id, lambda: self._lines.give_back(line))
        try:
            await stream.begin()
        except BaseException:
            stream.close()
            raise
        return stream

    def _end(self, channel: grpc.aio.Channel) -> None:
        task = asyncio.get_running_loop().create_task(channel.close())
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)


def raise_if_cut_off(request_id: str) -> None:
    """Raises Cancelled unless the present task itself is being cancelled.

    grpc.aio raises CancelledError also where somebody closed the channel under the call; let through, that would end a
    loop of the caller's without a trace.
    """
    task = asyncio.current_task()
    if task is None or not task.cancelling():
        raise Cancelled(request_id=request_id) from None


def _connect(address: str, credentials: grpc.ChannelCredentials | None, options: Any) -> grpc.aio.Channel:
    if credentials is None:
        return grpc.aio.insecure_channel(address, options=options)
    return grpc.aio.secure_channel(address, credentials, options=options)
