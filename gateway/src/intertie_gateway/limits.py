"""The bounds at the edge: how large headers and bodies may be, how slow a sender, how much is held at once."""

from dataclasses import dataclass

from intertie_gateway.asgi import ClientGone, Receive
from intertie_gateway.problems import BodyTooLarge, Overloaded

MOST_HEADER_BYTES = 8 * 1024
"""Names and values together. gRPC refuses metadata above this at random, so nothing larger may pass the edge."""
MOST_HEADERS = 60
MOST_URL_BYTES = 8 * 1024
MOST_HEAD_BYTES = 2 * MOST_HEADER_BYTES + MOST_URL_BYTES
"""What is read of a request that has not ended its headers; more is given up without waiting for their end."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a connection may take, in seconds."""

    headers: float = 5.0
    """From the first byte of a request to the end of its headers."""
    body: float = 10.0
    """From the end of the headers to the end of the body, and as much longer as `body_rate` earns it."""
    body_rate: int = 64 * 1024
    """Bytes a second that count as progress: large bodies get their time, a drip does not."""
    idle: float = 30.0
    """With no request on the connection."""


class Held:
    """Counts the bytes of bodies that are still being received, over all connections."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._bytes = 0

    def take(self, size: int) -> None:
        """Counts `size` bytes more. Raises Overloaded when that is too much; then nothing is counted."""
        if self._bytes + size > self._most:
            raise Overloaded
        self._bytes += size

    def give_back(self, size: int) -> None:
        """Counts `size` bytes less."""
        self._bytes -= size


async def read_body(receive: Receive, limit: int, held: Held) -> bytes:
    """The whole body, chunked ones counted as they come.

    Raises BodyTooLarge as soon as it is, Overloaded when too much is being received at once, ClientGone when the
    client goes away before its end: what is cut short is never handed on.
    """
    message = await receive()
    if message["type"] == "http.disconnect":
        raise ClientGone
    body: bytes = message.get("body", b"")
    if len(body) > limit:
        raise BodyTooLarge(limit)
    if not message.get("more_body", False):
        return body
    chunks = [body]
    size = 0
    try:
        held.take(len(body))
        size = len(body)
        while message.get("more_body", False):
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            body = message.get("body", b"")
            if size + len(body) > limit:
                raise BodyTooLarge(limit)
            held.take(len(body))
            size += len(body)
            chunks.append(body)
    finally:
        held.give_back(size)
    return b"".join(chunks)
