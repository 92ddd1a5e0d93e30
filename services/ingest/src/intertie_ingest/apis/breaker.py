"""A circuit breaker: after failure upon failure nobody is sent to wait for the next, until one try has gone well."""

import time
from collections.abc import Callable

from intertie_ingest.errors import ExternalUnavailable

FAILURES = 5
OPEN_SECONDS = 30.0


class Breaker:
    """Counts what became of the calls of one connection.

    Closed, it lets all pass. After `failures` in a row it is open for `seconds`: calls are refused at once. Then one
    call at a time may try; when it goes well the breaker is closed again, when not it is open for as long again.
    """

    def __init__(
        self,
        failures: int = FAILURES,
        seconds: float = OPEN_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most = failures
        self._seconds = seconds
        self._clock = clock
        self._failures = 0
        self._open_until = 0.0
        self._trying = False

    def admit(self) -> None:
        """Lets a call pass, whose end must be told. Raises ExternalUnavailable, with the time to wait."""
        if self._failures < self._most:
            return
        remaining = self._open_until - self._clock()
        if remaining > 0 or self._trying:
            message = "the external system has failed several times in a row and is given a rest; try again later"
            raise ExternalUnavailable(message, retry_after=max(remaining, 1.0))
        self._trying = True

    def succeeded(self) -> None:
        """The system answered, be it with an error of the caller's."""
        self._failures, self._trying = 0, False

    def failed(self) -> None:
        """The system could not be reached, or is not able to answer."""
        self._failures, self._trying = self._failures + 1, False
        if self._failures >= self._most:
            self._open_until = self._clock() + self._seconds

    def gave_up(self) -> None:
        """The call ended without showing how the system is."""
        self._trying = False
