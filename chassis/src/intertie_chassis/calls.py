"""The call being answered, as far as other code must know of it: its id and the time that is left for it."""

import time
from contextvars import ContextVar

REQUEST_ID_KEY = "x-request-id"
"""The metadata key of the request id, inwards and outwards."""

_request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
_deadline: ContextVar[float | None] = ContextVar("deadline", default=None)


def current_request_id() -> str | None:
    """The id of the call being answered; None outside a call."""
    return _request_id.get()


def set_request_id(request_id: str) -> None:
    """Makes this the id of everything that happens from here on in the current context."""
    _request_id.set(request_id)


def time_remaining() -> float | None:
    """Seconds until the call being answered must have ended (0 when it should have); None when nothing limits it."""
    deadline = _deadline.get()
    return None if deadline is None else max(0.0, deadline - time.monotonic())


def set_time_remaining(seconds: float | None) -> None:
    """Limits everything that happens from here on in the current context to so many seconds; None lifts the limit."""
    _deadline.set(None if seconds is None else time.monotonic() + seconds)
