"""Which answers are worth another try, and how long to wait for it."""

import random
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_IDEMPOTENT = ("GET", "HEAD", "PUT", "DELETE")
_TRANSIENT = (429, 502, 503, 504)
#: the server says that it has not done it
_NOT_DONE = (429, 503)
_FIRST_SECONDS = 0.25
_LONGEST_SECONDS = 10.0
_LONGEST_RETRY_AFTER = 24 * 3600.0


def is_idempotent(method: str) -> bool:
    """Whether doing it twice is doing it once."""
    return method in _IDEMPOTENT


def may_repeat(status: int, retry_after: float | None, idempotent: bool) -> bool:
    """Whether a call that was answered so may be sent again.

    What is not idempotent only when the server says that it has not done it, and when to come again.
    """
    return status in _TRANSIENT and (idempotent or (status in _NOT_DONE and retry_after is not None))


def wait_seconds(attempt: int, retry_after: float | None, chance: Callable[[], float] = random.random) -> float:
    """How long to wait after the attempt of this number (from 0): what the server asks for, else a random part of a
    time that doubles, so that callers who failed together do not come back together."""
    if retry_after is not None:
        return retry_after
    return chance() * min(_LONGEST_SECONDS, _FIRST_SECONDS * 2.0**attempt)


def retry_after_of(headers: Mapping[str, str], now: datetime) -> float | None:
    """The seconds that Retry-After asks to wait, given as a number or a time; None without one that makes sense."""
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit() and len(text) < 10:
        return min(float(text), _LONGEST_RETRY_AFTER)
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError):
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return min(max((moment - now).total_seconds(), 0.0), _LONGEST_RETRY_AFTER)
