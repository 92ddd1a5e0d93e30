"""The shapes of ASGI as the gateway uses them, and the answer that every handler returns."""

from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Header = tuple[bytes, bytes]
Headers = list[Header]
"""Each header field by itself, in order: names in lower case, values as they came."""

JSON_TYPE = (b"content-type", b"application/json")


class ClientGone(Exception):
    """The client closed the connection before the request was complete; there is nobody to answer."""


@dataclass(slots=True)
class Answer:
    """What is sent back. Not frozen: one is made for each request, and a frozen one costs thrice as much to make."""

    status: int
    body: bytes
    headers: tuple[Header, ...] = (JSON_TYPE,)
    """All but ``content-length`` and ``x-request-id``, which every answer gets."""
