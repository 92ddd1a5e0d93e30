"""uvicorn's HTTP protocol with the bounds that it leaves to a proxy in front, and our shape for what it refuses itself.

uvicorn bounds neither the size of headers nor the time that they and a body may take, and answers what it cannot parse
in plain text. There may be no proxy in front of us.
"""

import http
from asyncio import Transport
from collections.abc import Callable, Iterable
from functools import cache, partial
from typing import Any

import httptools
import structlog
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from intertie_chassis.errors import DeadlineExceeded, IntertieError, InvalidArgument
from intertie_gateway.addresses import Connections
from intertie_gateway.asgi import Header
from intertie_gateway.limits import MOST_HEAD_BYTES, MOST_URL_BYTES, Patience
from intertie_gateway.problems import HeadersTooLarge, Overloaded, RateLimited, answer_of
from intertie_gateway.request_telemetry import note_refusal

WHOLE_ANSWER = "intertie.whole_answer"
"""The extension of a request's scope by which its answer can be written at once: ASGI's two messages, each checked
header by header, cost a quarter of what an accepted webhook costs the gateway."""
WholeAnswer = Callable[[int, Iterable[Header], bytes], bool]

_FREE_FRAMING = MOST_HEAD_BYTES + 256 * 1024
"""Bytes after the headers that need not be body: what is read along with them, chunk sizes, trailers."""
_FRAMING_PER_BYTE = 16
"""A chunk of one byte takes six; what is far beyond is no body."""


class BoundedProtocol(HttpToolsProtocol):
    """One connection.

    A sweep calls `look_at_the_clock` on every connection each second; timers of its own would cost each request two.
    """

    patience = Patience()
    most_connections = 4096
    of_address = Connections(0, [])

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Takes the connection, or refuses it when there are too many."""
        super().connection_made(transport)
        self._since = self.loop.time()
        self._in_head = False
        self._head_bytes = 0
        self._body_bytes = 0
        self._bytes_after_head = 0
        self._framing = b""
        self._is_resuming = False
        if len(self.connections) > self.most_connections:
            self._refuse(Overloaded())
        if not self.of_address.enter(_address(self.client)):
            self._refuse(RateLimited("too many connections of this address are open", 1))

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has ended."""
        self.of_address.leave(_address(self.client))
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Takes bytes in; gives up on headers that do not end."""
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._go_on_without_upgrade(data[upgrade.args[0] :])
            return
        except httptools.HttpParserError:
            self.send_400_response("")
            return
        if self._in_head and self.parser is not None:
            self._head_bytes += len(data)
            if self._head_bytes > MOST_HEAD_BYTES:
                self._refuse(HeadersTooLarge())
        elif self.cycle is not None and self.cycle.more_body:
            self._bytes_after_head += len(data)
            if self._bytes_after_head > _FREE_FRAMING + _FRAMING_PER_BYTE * self._body_bytes:
                self._refuse(InvalidArgument("the body is hardly anything but framing", reason="MALFORMED_REQUEST"))

    def on_url(self, url: bytes) -> None:
        """A part of the URL."""
        if not self._is_resuming:
            super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header. A trailer is left out: uvicorn would put it among the headers, so whether it counts would depend
        on when its packet came, and no proxy that checks headers has seen it.
        """
        if self._in_head:
            super().on_header(name, value)

    def on_message_begin(self) -> None:
        """A request begins."""
        if self._is_resuming:
            return
        super().on_message_begin()
        self._since = self.loop.time()
        self._in_head = True
        self._head_bytes = 0

    def on_headers_complete(self) -> None:
        """A request's headers have ended; its answer may begin."""
        if self._is_resuming:
            return
        self._in_head = False
        self._body_bytes = 0
        self._bytes_after_head = 0
        if len(self.url) > MOST_URL_BYTES:
            self._refuse(InvalidArgument(f"the URL is longer than {MOST_URL_BYTES} bytes"), 414)
            return
        super().on_headers_complete()
        self.scope["extensions"] = {WHOLE_ANSWER: partial(self._answer, self.cycle)}  # type: ignore[dict-item]
        if self.parser.should_upgrade():
            self._framing = _framing_of(self.headers)

    def on_body(self, body: bytes) -> None:
        """A part of a body."""
        if self.cycle is None:
            return
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """A request has ended."""
        if self.cycle is None or self._framing:
            # At an upgrade the parser takes a body for another protocol's bytes.
            return
        super().on_message_complete()

    def look_at_the_clock(self, now: float) -> None:
        """Ends the connection when it has taken longer than it may."""
        waited = now - self._since
        cycle = self.cycle
        if self._in_head:
            if waited > self.patience.headers:
                self._refuse(DeadlineExceeded("the headers did not end in time"), 408)
        elif cycle is None:
            if waited > self.patience.idle:
                self.transport.close()
        elif cycle.more_body:
            # A body whose request is answered already only keeps the connection busy: it earns no time.
            earned = 0.0 if cycle.response_complete else self._body_bytes / self.patience.body_rate
            if waited > self.patience.body + earned:
                self._refuse(DeadlineExceeded("the body did not end in time"), 408)
        elif cycle.response_complete and waited > self.patience.idle:
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """Answers what the parser cannot make sense of."""
        self._refuse(InvalidArgument("this is not a valid HTTP/1.1 request", reason="MALFORMED_REQUEST"))

    def _go_on_without_upgrade(self, rest: bytes) -> None:
        """Ignores an upgrade that is not taken, as RFC 9110 has it: the request is answered with its body, which Java's
        HTTP client for one sends along. The connection ends with that answer.

        Args:
            rest: what came behind the headers.
        """
        framing, self._framing = self._framing, b""
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()
            return
        self.cycle.keep_alive = False
        if framing:
            # The parser has ended; another one is told how long the body is.
            self.parser = httptools.HttpRequestParser(self)
            self._is_resuming = True
            self.parser.feed_data(b"POST / HTTP/1.1\r\n" + framing + b"\r\n")
            self._is_resuming = False
            if rest:
                self.data_received(rest)

    def on_response_complete(self) -> None:
        """An answer is written; the next request of the connection may begin."""
        if self.pipeline or self.transport.is_closing():
            super().on_response_complete()
            return
        # The sweep ends connections that rest: a timer of each answer, set and taken back, costs as much as the answer.
        self.server_state.total_requests += 1
        self.flow.resume_reading()
        self._since = self.loop.time()

    def _answer(self, cycle: RequestResponseCycle, status: int, headers: Iterable[Header], body: bytes) -> bool:
        """Writes an answer whole, whose headers are sane and complete; False when it must be sent piece by piece.

        To be asked once for each request.
        """
        # The scope would hold what holds the scope: some thousand such rings stop the process for 8 ms when collected.
        cycle.scope.pop("extensions", None)
        if cycle.response_started or cycle.disconnected or self.flow.write_paused or cycle.scope["method"] == "HEAD":
            return False
        fields = [*self.server_state.default_headers, *headers]
        if not cycle.keep_alive:
            fields.append((b"connection", b"close"))
        head = b"\r\n".join([_status_line(status), *[b": ".join(field) for field in fields], b"\r\n"])
        if head.count(b"\n") != len(fields) + 2 or head.count(b"\r") != len(fields) + 2:
            return False  # a value that would be a header of its own
        self.transport.write(head + body)
        cycle.response_started = cycle.response_complete = True
        cycle.waiting_for_100_continue = False
        cycle.message_event.set()
        if not cycle.keep_alive:
            self.transport.close()
        cycle.on_response()
        return True

    def _refuse(self, error: IntertieError, status: int | None = None) -> None:
        """Answers in place of the application, and closes.

        When the request before is still being answered, only closes after that: its client must not take this for the
        answer of the other.
        """
        if self.transport.is_closing():
            return
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete and not cycle.more_body:
            cycle.keep_alive = False
            self.flow.pause_reading()
            return
        if cycle is None or not cycle.response_started or cycle.response_complete:
            answer = answer_of(error, status)
            headers = [*self.server_state.default_headers, *answer.headers]
            lines = [_status_line(answer.status), *[b": ".join(header) for header in headers]]
            lines += [b"content-length: %d" % len(answer.body), b"connection: close", b"", answer.body]
            self.transport.write(b"\r\n".join(lines))
            note_refusal(answer.status)
            structlog.get_logger().info(
                "request refused", status=answer.status, reason=error.reason, peer=_address(self.client)
            )
        self.transport.close()


@cache
def _status_line(status: int) -> bytes:
    return f"HTTP/1.1 {status} {http.HTTPStatus(status).phrase}".encode()


def _framing_of(headers: list[tuple[bytes, bytes]]) -> bytes:
    """The header that says how long the body is; empty: there is none."""
    for name, value in headers:
        if name == b"transfer-encoding" or (name == b"content-length" and value.strip(b"0")):
            return name + b": " + value + b"\r\n"
    return b""


def _address(client: Any) -> str:
    return str(client[0]) if client else ""
