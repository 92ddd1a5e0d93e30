"""What the gateway itself reads of a request's headers, in one pass over them."""

import re
from collections.abc import Iterable

from intertie_chassis.errors import InvalidArgument
from intertie_chassis.ids import is_request_id
from intertie_chassis.traces import TraceContext
from intertie_gateway.limits import MOST_HEADER_BYTES, MOST_HEADERS
from intertie_gateway.problems import BodyTooLarge, HeadersTooLarge, UnsupportedMediaType
from intertie_gateway.request_ids import RequestIds

_NOTED = frozenset(
    {
        *(b"host", b"content-type", b"content-encoding", b"content-length", b"authorization", b"x-request-id"),
        b"traceparent",
    }
)
_JSON = re.compile(r"application/(json|[!#$&^_.+a-z0-9-]+\+json)")
_BASE64 = re.compile(rb"([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{4}|[A-Za-z0-9+/]{3}=?|[A-Za-z0-9+/]{2}(==)?)?")
"""What gRPC takes in metadata of names in `-bin`, padded or not."""
_TWO_TOKENS = re.compile(rb", *[Bb][Ee][Aa][Rr][Ee][Rr] ")
_TWO_TYPES = re.compile(rb", *[A-Za-z]+/[A-Za-z]")
"""What a proxy makes of two headers."""
_FORM = "application/x-www-form-urlencoded"
_KNOWN_TYPES_MOST = 256
_ids = RequestIds()


class Head:
    """The headers that decide how a request is read. None: the request does not have it."""

    __slots__ = (
        *("authorization", "content_encoding", "content_length", "content_type", "fault", "hosts", "request_id"),
        *("trace", "traceparent"),
    )

    def __init__(self, headers: Iterable[tuple[bytes, bytes]]) -> None:
        self.content_type: bytes | None = None
        self.content_encoding: bytes | None = None
        self.content_length: bytes | None = None
        self.authorization: bytes | None = None
        self.traceparent: bytes | None = None
        self.trace: TraceContext | None = None
        """Where in a trace the request is answered; the application says so."""
        self.fault: InvalidArgument | HeadersTooLarge | None = None
        """Why the request is refused whatever it asks for. Kept, not raised, so that the answer has the request id."""
        self.hosts = 0
        """How many Host headers there are."""
        request_id: bytes | None = None
        size = count = 0
        for name, value in headers:
            count += 1
            size += len(name) + len(value)
            if name not in _NOTED:
                if name[-4:] == b"-bin" and _BASE64.fullmatch(value) is None:
                    self.fault = InvalidArgument(
                        f"the header {name.decode('latin-1')} ends in -bin, so it must be base64",
                        metadata={"header": name.decode("latin-1")},
                    )
                continue
            if name == b"host":
                # A proxy may have made one of two; a host has no comma.
                self.hosts += 1 + value.count(b",")
            elif name == b"content-type":
                self._note_twice(name, value if _TWO_TYPES.search(value) else self.content_type)
                self.content_type = value
            elif name == b"content-length":
                self.content_length = value
            elif name == b"authorization":
                self._note_twice(name, value if _TWO_TOKENS.search(value) else self.authorization)
                self.authorization = value
            elif name == b"content-encoding":
                self._note_twice(name, self.content_encoding)
                self.content_encoding = value
            elif name == b"traceparent":
                # W3C: with two of them nobody knows which trace it is, so it is none.
                self.traceparent = value if self.traceparent is None else b""
            else:
                request_id = value
        if size > MOST_HEADER_BYTES or count > MOST_HEADERS:
            self.fault = HeadersTooLarge(
                f"the headers are {size} bytes in {count} fields; {MOST_HEADER_BYTES} in {MOST_HEADERS} are taken",
                metadata={"limit": str(MOST_HEADER_BYTES)},
            )
        self.request_id = _sane(request_id) if request_id is not None else _ids.new()

    def _note_twice(self, name: bytes, before: bytes | None) -> None:
        if before is not None:
            self.fault = InvalidArgument(f"the request has two {name.decode()} headers; which one counts is not clear")

    def check_host(self, http_version: str) -> None:
        """Raises InvalidArgument unless there is one Host header, as HTTP/1.1 requires of every request."""
        if self.hosts != 1 and (self.hosts or http_version != "1.0"):
            raise InvalidArgument("the request must have one Host header")

    def check_length(self, limit: int) -> None:
        """Raises BodyTooLarge when the request announces more than `limit` bytes, before any of them is read."""
        if self.content_length is not None and int(self.content_length) > limit:
            raise BodyTooLarge(limit)


def _sane(request_id: bytes) -> str:
    text = request_id.decode("latin-1")
    return text if is_request_id(text) else _ids.new()


class MediaTypes:
    """Tells which content types a route takes; remembers its verdicts, since senders use few."""

    def __init__(self, *, form: bool) -> None:
        """Args:
        form: whether form bodies are taken besides JSON.
        """
        self._form = form
        self._takes: dict[bytes, bool] = {}

    def check(self, head: Head) -> None:
        """Raises UnsupportedMediaType unless the body is JSON (or a form) in UTF-8, not compressed."""
        if head.content_encoding is not None and head.content_encoding.strip().lower() not in (b"", b"identity"):
            raise UnsupportedMediaType("compressed bodies are not taken; send the body without Content-Encoding")
        value = head.content_type
        if value is None:
            raise UnsupportedMediaType(f"the request has no Content-Type; {self._wanted()}")
        taken = self._takes.get(value)
        if taken is None:
            taken = self._judge(value)
            if len(self._takes) < _KNOWN_TYPES_MOST:
                self._takes[value] = taken
        if not taken:
            raise UnsupportedMediaType(f"the body has a Content-Type that is not taken; {self._wanted()}")

    def _judge(self, value: bytes) -> bool:
        kind, *parameters = [part.strip() for part in value.decode("latin-1").lower().split(";")]
        for parameter in parameters:
            name, _, setting = parameter.partition("=")
            if name.strip() == "charset" and setting.strip().strip("\"'") not in ("utf-8", "utf8", "us-ascii"):
                return False
        return _JSON.fullmatch(kind) is not None or (self._form and kind == _FORM)

    def _wanted(self) -> str:
        return "send application/json" + (f" or {_FORM}" if self._form else "") + " in UTF-8"
