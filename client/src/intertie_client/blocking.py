"""Carries plans out with grpc's blocking calls, in whatever thread asks."""

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import Any, Generic, TypeVar

import grpc

from intertie_client.errors import IntertieError
from intertie_client.failures import from_rpc_error
from intertie_client.lines import Closed, Line, Lines
from intertie_client.plans import Pause, Plan, Send
from intertie_client.setup import Setup

T = TypeVar("T")
_READ_AHEAD_THREADS = 4


class OpenStream(Generic[T]):
    """A stream of answers under way, which are given as they come. Close it when it is not read whole."""

    def __init__(self, call: Any, request_id: str, on_end: Callable[[], None]) -> None:
        self._call = call
        self._request_id = request_id
        self._on_end: Callable[[], None] | None = on_end
        self._first: list[T | None] = []

    def begin(self) -> None:
        """Waits for the first answer. Raises IntertieError."""
        self._first = [self._read()]

    def read(self) -> T | None:
        """The next answer; None at the end. Raises IntertieError."""
        return self._first.pop() if self._first else self._read()

    def close(self) -> None:
        """Ends the call; the service sees it cancelled unless it has ended."""
        on_end, self._on_end = self._on_end, None
        if on_end is not None:
            self._call.cancel()
            on_end()

    def _read(self) -> T | None:
        if self._on_end is None:
            return None
        try:
            answer: T = next(self._call)
        except StopIteration:
            self.close()
            return None
        except grpc.RpcError as error:
            self.close()
            raise from_rpc_error(error, self._request_id) from error
        return answer


class Carrier:
    """Carries out the plans of one client. Safe in any thread, not in a process that forked off."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self._lines: Lines[grpc.Channel] = Lines(setup, _connect, lambda channel: channel.close())
        self._closing = threading.Event()
        self._pid = os.getpid()
        self._pool_lock = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None

    def run(self, plan: Plan[T]) -> T:
        """What the plan comes to. Raises IntertieError, Closed."""
        if os.getpid() != self._pid:
            raise RuntimeError("this client was made before the process forked; make one in each process")
        try:
            step = next(plan)
            while True:
                try:
                    answer = self._take(step)
                except IntertieError as error:
                    step = plan.throw(error)
                else:
                    step = plan.send(answer)
        except StopIteration as done:
            found: T = done.value
            return found

    def run_ahead(self, plan: Plan[T]) -> "Future[T]":
        """Begins a plan in a thread beside. Raises Closed."""
        with self._pool_lock:
            if self._closing.is_set():
                raise Closed
            if self._pool is None:
                self._pool = ThreadPoolExecutor(_READ_AHEAD_THREADS, thread_name_prefix="intertie-client")
            # The trace that this belongs to is the caller's.
            return self._pool.submit(copy_context().run, self.run, plan)

    def close(self, grace: float) -> None:
        """Takes no more calls, waits for those that are open, and cuts what is left after `grace` seconds."""
        self._closing.set()
        self._lines.close()
        self._lines.drained(grace)
        for channel in self._lines.channels():
            channel.close()
        with self._pool_lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(cancel_futures=True)

    def _take(self, step: Send | Pause) -> Any:
        if isinstance(step, Pause):
            if self._closing.wait(step.seconds):
                raise Closed
            return None
        headers = self.setup.headers(step.request_id)
        line = self._lines.take(step.operation.process)
        if step.operation.is_stream:
            return self._opened(line, step, headers)
        try:
            return line.begin(step, headers)
        except grpc.RpcError as error:
            raise from_rpc_error(error, step.request_id) from error
        finally:
            self._lines.give_back(line)

    def _opened(self, line: Line[grpc.Channel], step: Send, headers: list[tuple[str, str]]) -> OpenStream[Any]:
        try:
            call = line.begin(step, headers)
        except BaseException:
            self._lines.give_back(line)
            raise
        stream: OpenStream[Any] = OpenStream(call, step.request_id, lambda: self._lines.give_back(line))
        try:
            stream.begin()
        except BaseException:
            stream.close()
            raise
        return stream


def _connect(address: str, credentials: grpc.ChannelCredentials | None, options: Any) -> grpc.Channel:
    if credentials is None:
        return grpc.insecure_channel(address, options=options)
    return grpc.secure_channel(address, credentials, options=options)
