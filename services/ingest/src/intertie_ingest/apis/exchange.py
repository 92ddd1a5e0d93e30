"""One HTTP request and its answer, of which never more is read than is allowed."""

import ssl
import zlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import httpx

from intertie_chassis.errors import InvalidArgument
from intertie_ingest.apis.transport import CONNECT_SECONDS, CheckedTransport
from intertie_ingest.errors import ConnectionUnusable, ExternalInvalid, ExternalUnavailable

_MOST_URL_CHARACTERS = 16_000
_MOST_HEADERS = 200
_MOST_HEADER_BYTES = 64 * 1024
#: how much a decompression may give at once: the limit is looked at in between
_STEP_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent."""

    method: str
    url: str
    headers: Sequence[tuple[str, str]]
    content: bytes | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, decompressed."""

    status: int
    headers: httpx.Headers
    body: bytes

    @property
    def media_type(self) -> str:
        """The content type in lower case, without parameters."""
        return str(self.headers.get("content-type", "")).partition(";")[0].strip().lower()

    @property
    def charset(self) -> str | None:
        """The content type's charset."""
        for parameter in self.headers.get("content-type", "").split(";")[1:]:
            name, _, value = parameter.partition("=")
            if name.strip().lower() == "charset":
                return value.strip().strip('"') or None
        return None


_UNTRUSTED = (
    "no TLS connection can be made to the external system: its certificate is not trusted, or is for another name "
    "(tls_ca holds further certificates to trust)"
)


class Fault(Exception):
    """There is no answer, because the connection failed; the server may be tried again."""

    def __init__(self, *, sent: bool) -> None:
        #: whether any of the request can have reached the server
        self.sent = sent
        super().__init__()

    @property
    def error(self) -> ExternalUnavailable:
        """What the caller is told, without the library's words: they name addresses."""
        done = "broke the connection off" if self.sent else "cannot be reached"
        return ExternalUnavailable(f"the external system {done}; try again")


async def exchange(transport: CheckedTransport, request: Request, most_bytes: int, seconds: float) -> Answer:
    """Sends and reads. `seconds` is what a single read or write may take; the caller bounds the whole.

    Raises Fault, InvalidArgument for an address that is too long, ExternalInvalid for an answer that is larger than
    `most_bytes` or no HTTP, ConnectionUnusable, and what egress raises.
    """
    timeout = {"connect": min(CONNECT_SECONDS, seconds), "read": seconds, "write": seconds, "pool": seconds}
    if len(request.url) > _MOST_URL_CHARACTERS:
        raise InvalidArgument(f"with its query the address is longer than {_MOST_URL_CHARACTERS:,} characters")
    try:
        url = httpx.URL(request.url)
        _ = url.host  # only here it looks at what stands behind `xn--`
    except (httpx.InvalidURL, UnicodeError):
        raise ConnectionUnusable("the connection's address names a host that there cannot be") from None
    headers, extensions = [*request.headers], {"timeout": timeout}
    sent = httpx.Request(request.method, url, headers=headers, content=request.content, extensions=extensions)
    try:
        response = await transport.handle_async_request(sent)
        try:
            got = response.headers
            if len(got.raw) > _MOST_HEADERS or sum(len(n) + len(v) for n, v in got.raw) > _MOST_HEADER_BYTES:
                raise ExternalInvalid("the external system's answer has more headers than are taken")
            body = b"" if request.method == "HEAD" else await _read(response, most_bytes)
        finally:
            await response.aclose()
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
        if _is_of_tls(error):
            raise ExternalUnavailable(_UNTRUSTED) from None
        raise Fault(sent=False) from None
    except httpx.TransportError:
        raise Fault(sent=True) from None
    return Answer(response.status_code, got, body)


def _is_of_tls(error: BaseException | None) -> bool:
    """Whether an error came of TLS: the libraries wrap it twice."""
    while error is not None and not isinstance(error, ssl.SSLError):
        error = error.__cause__ or error.__context__
    return error is not None


async def _read(response: httpx.Response, most_bytes: int) -> bytes:
    parts = bytearray()
    async for part in _decoded(response):
        parts += part
        if len(parts) > most_bytes:
            raise ExternalInvalid(
                f"the external system's answer is larger than {most_bytes:,} bytes",
                metadata={"max_response_bytes": str(most_bytes)},
            )
    return bytes(parts)


async def _decoded(response: httpx.Response) -> AsyncIterator[bytes]:
    """The body in parts, decompressed by small steps: a kilobyte of gzip can stand for a megabyte."""
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding in ("identity", ""):
        async for raw in response.aiter_raw():
            yield raw
        return
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise ExternalInvalid("the external system's answer is compressed in a way that was not asked for")
    bits = zlib.MAX_WBITS | (0 if encoding == "deflate" else 16)
    unpacker, is_empty = zlib.decompressobj(bits), True
    try:
        async for raw in response.aiter_raw():
            is_empty = is_empty and not raw
            part = b""
            while raw or len(part) == _STEP_BYTES:  # after a full step more may come without further input
                if unpacker.eof and raw:  # gzip may have several members, one behind the other
                    unpacker = zlib.decompressobj(bits)
                part = unpacker.decompress(raw, _STEP_BYTES)
                yield part
                raw = unpacker.unused_data if unpacker.eof else unpacker.unconsumed_tail
    except zlib.error:
        raise ExternalInvalid("the external system's answer cannot be decompressed") from None
    if not unpacker.eof and not is_empty:
        raise ExternalInvalid("the external system's answer cannot be decompressed: it ends too early")
