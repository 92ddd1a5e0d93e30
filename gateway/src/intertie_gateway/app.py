"""The ASGI application: finds who answers, sends the answer, and lets nothing else out.

The receiving routes are looked at before anything else, and nothing of a framework stands in their way.
"""

import time
from collections.abc import Awaitable, Callable, Mapping

import structlog

from intertie_chassis.calls import set_request_id
from intertie_chassis.errors import Internal, IntertieError, InvalidArgument, ResourceExhausted
from intertie_chassis.traces import TRACER, Span, set_current
from intertie_gateway.access_log import AccessLog
from intertie_gateway.addresses import Requests
from intertie_gateway.asgi import Answer, ClientGone, Receive, Scope, Send
from intertie_gateway.denial_log import DenialLog
from intertie_gateway.head import Head
from intertie_gateway.path_segments import has_dot_segment
from intertie_gateway.problems import MethodNotAllowed, RouteNotFound, answer_of
from intertie_gateway.protocol import WHOLE_ANSWER, WholeAnswer
from intertie_gateway.receive import PUSH, WEBHOOK, Receiver
from intertie_gateway.request_telemetry import RequestTelemetry, begin_span
from intertie_gateway.transcoder import NoToken, Transcoder

_NO_CONTENT = 204
_CLOSED_BY_CLIENT = 499
_SAFE = ("GET", "HEAD")

Page = Callable[[], Awaitable[Answer]]


class Gateway:
    """Answers every HTTP request."""

    def __init__(
        self,
        receiver: Receiver,
        transcoder: Transcoder,
        pages: Mapping[bytes, Page],
        access_log: AccessLog,
        *,
        most_calls: int = 256,
        denials: DenialLog | None = None,
        requests: Requests | None = None,
        telemetry: RequestTelemetry | None = None,
    ) -> None:
        """Args:
        pages: what is answered to GET without a token, by its path.
        most_calls: transcoded requests that are answered at the same time.
        denials: where requests without a token are told of.
        requests: limits the requests of each address; None: there is no limit.
        telemetry: counts and traces requests; None: neither.
        """
        self._receiver = receiver
        self._transcoder = transcoder
        self._pages = pages
        self._denials = denials
        self._access_log = access_log
        self._free_calls = most_calls
        self._requests = requests
        self._telemetry = telemetry
        self._log = structlog.get_logger()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        started = time.perf_counter()
        head = Head(scope["headers"])
        request_id = head.request_id
        client = scope["client"]
        source: str | None = None
        span: Span | None = None
        if head.traceparent is not None or TRACER.is_on:
            span = begin_span(head)
        try:
            if self._requests is not None:
                source = self._requests.enter(client[0] if client else "", started)
            if head.fault is not None:
                raise head.fault
            head.check_host(scope["http_version"])
            answer = await self._answer(scope, head, receive)
        except IntertieError as error:
            answer = answer_of(error)
        except ClientGone:
            answer = None
        except Exception:
            # The last line: whatever it was, the client gets our shape and none of its text.
            self._log.exception("a request failed", request_id=request_id, path=scope["raw_path"].decode("latin-1"))
            answer = answer_of(Internal(metadata={"request_id": request_id}))
        finally:
            if source is not None and self._requests is not None:
                self._requests.leave(source)
        if answer is not None:
            await _send(answer, request_id, scope, send)
        status = answer.status if answer is not None else _CLOSED_BY_CLIENT
        seconds = time.perf_counter() - started
        if self._telemetry is not None:
            self._telemetry.note(scope, status, seconds, request_id, span)
        self._access_log.record(
            scope["method"],
            scope["raw_path"],
            scope["query_string"],
            status,
            seconds,
            request_id,
            client[0] if client else "",
            head.trace,
        )

    async def _answer(self, scope: Scope, head: Head, receive: Receive) -> Answer:
        path: bytes = scope["raw_path"]
        if path.startswith(WEBHOOK):
            segment = path[len(WEBHOOK) :]
            if segment and b"/" not in segment:
                return await self._receiver.webhook(segment, scope, head, receive)
        elif path == PUSH:
            return await self._receiver.push(scope, head, receive)
        else:
            page = self._pages.get(path)
            if page is not None:
                if scope["method"] not in _SAFE:
                    raise MethodNotAllowed(_SAFE)
                return await page()
        if has_dot_segment(path):
            raise InvalidArgument("the path holds a dot segment; write it out")
        return await self._transcoded(path, scope, head, receive)

    async def _transcoded(self, path: bytes, scope: Scope, head: Head, receive: Receive) -> Answer:
        match = self._transcoder.find(scope["method"], path)
        if match is None:
            if path.endswith(b"/") and self._is_route(path.rstrip(b"/")):
                raise RouteNotFound("there is no such route; it has a slash too many at its end")
            raise RouteNotFound
        if self._free_calls <= 0:
            raise ResourceExhausted("too many requests are being answered; try again", retry_after=1)
        self._free_calls -= 1
        try:
            set_request_id(head.request_id)
            set_current(head.trace)
            return await self._transcoder.answer(match, scope["query_string"], head, receive)
        except NoToken as error:
            if self._denials is not None:
                client = scope["client"]
                self._denials.add(match.binding.method, error, client[0] if client else "", head.request_id)
            raise
        finally:
            self._free_calls += 1

    def _is_route(self, path: bytes) -> bool:
        if path == PUSH or path in self._pages or (path.startswith(WEBHOOK) and b"/" not in path[len(WEBHOOK) :]):
            return True
        try:
            return self._transcoder.find("GET", path) is not None
        except IntertieError:
            return True


async def _send(answer: Answer, request_id: str, scope: Scope, send: Send) -> None:
    status, body = answer.status, answer.body
    headers = [
        *answer.headers,
        # RFC 9110: a 204 has no length.
        *(() if status == _NO_CONTENT else ((b"content-length", b"%d" % len(body)),)),
        (b"x-request-id", request_id.encode("ascii")),
    ]
    whole: WholeAnswer | None = scope.get("extensions", {}).get(WHOLE_ANSWER)
    if whole is None or not whole(status, headers, body):
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})
