"""Request bytes that are no message of their method: marked where they are decoded, refused where the call is answered.

What the real decoder raises would reach the caller as UNKNOWN, with the library's text.
"""

from collections.abc import AsyncIterator, Callable
from typing import Any

from intertie_chassis.errors import InvalidArgument


class _Undecodable:
    """Stands for request bytes that are no message of the method's type."""


_UNDECODABLE = _Undecodable()


def tolerant(decode: Callable[[bytes], Any] | None) -> Callable[[bytes], Any]:
    """A decoder that marks undecodable bytes."""

    def decode_or_mark(data: bytes) -> Any:
        if decode is None:
            return data
        try:
            return decode(data)
        except Exception:  # whatever the decoder of the day raises, the bytes are not a message
            return _UNDECODABLE

    return decode_or_mark


def checked(request: Any) -> Any:
    """The request, or a stream of them, refusing undecodable bytes as they come.

    Raises InvalidArgument for undecodable bytes.
    """
    if request is _UNDECODABLE:
        raise _malformed()
    return _checked_stream(request) if isinstance(request, AsyncIterator) or hasattr(request, "__aiter__") else request


async def _checked_stream(requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
    async for request in requests:
        if request is _UNDECODABLE:
            raise _malformed()
        yield request


def _malformed() -> InvalidArgument:
    return InvalidArgument("the bytes are not a message of this method", reason="MALFORMED_REQUEST")
