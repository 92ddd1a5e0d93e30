"""What a method does, step by step, without doing it: generators that ask for calls and pauses and are handed answers.

So retries, batches and waiting are written once and are pure. `blocking` and `aio` carry the steps out.
"""

import random
import time
import uuid
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, TypeVar

from google.protobuf.message import Message

from intertie_client.errors import DeadlineExceeded, IntertieError
from intertie_client.operations import Operation
from intertie_client.retries import DEFAULT, NEVER, RetryPolicy

DEFAULT_TIMEOUT = 10.0
"""Seconds for a call, all its attempts together."""


@dataclass(frozen=True, slots=True)
class Send:
    """A step: send the operation once. The answer is handed back, or an IntertieError is thrown in."""

    operation: Operation[Any]
    timeout: float
    request_id: str


@dataclass(frozen=True, slots=True)
class Pause:
    """A step: wait so many seconds."""

    seconds: float


T = TypeVar("T")
A = TypeVar("A", bound=Message)
Plan = Generator[Send | Pause, Any, T]
"""Steps that come to a T, or raise an IntertieError."""


@dataclass(frozen=True, slots=True)
class Terms:
    """On which terms a client's calls are made."""

    timeout: float = DEFAULT_TIMEOUT
    retry: RetryPolicy = DEFAULT
    clock: Callable[[], float] = time.monotonic
    chance: Callable[[], float] = random.random
    new_id: Callable[[], str] = lambda: uuid.uuid4().hex

    def until(self, timeout: float | None) -> float:
        """When a call that begins now must have ended, by the clock. Raises ValueError for no time at all."""
        seconds = self.timeout if timeout is None else timeout
        if seconds <= 0:
            raise ValueError(f"a timeout is a number of seconds above 0, not {seconds}")
        return self.clock() + seconds


def call(terms: Terms, operation: Operation[A], timeout: float | None) -> Plan[A]:
    """One call with its retries, all within `timeout` seconds. Comes to the answer, of a stream to the open stream."""
    ends, request_id, attempt = terms.until(timeout), terms.new_id(), 0
    policy = terms.retry if operation.is_repeatable else NEVER
    while True:
        remaining, attempt = ends - terms.clock(), attempt + 1
        if remaining <= 0:
            raise DeadlineExceeded("there was no time left for the call", request_id=request_id)
        try:
            answer: A = yield Send(operation, remaining, request_id)
        except IntertieError as error:
            seconds = policy.wait(error, attempt, ends - terms.clock(), terms.chance())
            if seconds is None:
                raise
        else:
            return answer
        yield Pause(seconds)
