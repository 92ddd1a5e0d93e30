"""What is measured of HTTP requests: their number, outcome and time by route, and a span of those that are traced.

Routes are patterns and methods of a fixed set: what callers make up is `unknown` or `other`.
"""

from collections.abc import Container

from intertie_chassis import metrics
from intertie_chassis.errors import IntertieError
from intertie_chassis.request_metrics import UNCLAIMED, RequestMetrics
from intertie_chassis.traces import TRACER, Span, TraceContext, parse
from intertie_gateway.asgi import Scope
from intertie_gateway.head import Head
from intertie_gateway.receive import PUSH, WEBHOOK
from intertie_gateway.transcoder import Transcoder

REQUESTS = RequestMetrics(
    metrics.REGISTRY, "intertie_http", "HTTP requests", counted=("route", "method", "status"), timed=("route",)
)
OTHER = "other"
"""The label of a method that no route has."""

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_WEBHOOK_ROUTE = f"{WEBHOOK.decode()}{{system}}"
_SERVER_ERROR = 500
_LONGEST_PATH = 200


def begin_span(head: Head) -> Span | None:
    """Says in which trace the request is answered; gives its span, if it is one of those that are traced.

    A sender's trace goes on also where it is not traced here: its id stands in the logs.
    """
    sender = parse(head.traceparent.decode("latin-1")) if head.traceparent is not None else None
    span = TRACER.enter("request", sender)
    if span is not None:
        head.trace = span.context
    elif sender is not None:
        head.trace = TraceContext(sender.trace_id, sender.span_id, False)
    return span


class RequestTelemetry:
    """Takes note of what was answered."""

    def __init__(self, transcoder: Transcoder, pages: Container[bytes]) -> None:
        self._transcoder = transcoder
        self._pages = pages

    def note(self, scope: Scope, status: int, seconds: float, request_id: str, span: Span | None) -> None:
        """Counts the request, and ends its span."""
        if span is None and not metrics.PAGE.is_shown:
            return
        method = scope["method"] if scope["method"] in _METHODS else OTHER
        route = self.route(method, scope["raw_path"])
        if metrics.PAGE.is_shown:
            REQUESTS.note((route, method, str(status)), (route,), seconds)
        # Pages are asked for by probes, all the time: the spans of those are left to nobody.
        if span is not None and scope["raw_path"] not in self._pages:
            span.name = f"{method} {route}"
            span.attributes |= {
                "http.request.method": method,
                "http.route": route,
                "http.response.status_code": status,
                "url.path": scope["raw_path"][:_LONGEST_PATH].decode("latin-1"),
                "intertie.request_id": request_id,
            }
            span.end(str(status) if status >= _SERVER_ERROR else "")

    def route(self, method: str, path: bytes) -> str:
        """The pattern of the route that answers this path."""
        if path.startswith(WEBHOOK) and b"/" not in path[len(WEBHOOK) :]:
            return _WEBHOOK_ROUTE
        if path == PUSH or path in self._pages:
            return path.decode("ascii")
        try:
            match = self._transcoder.find(method, path)
        except IntertieError:  # of a method that the path does not take
            return UNCLAIMED
        return UNCLAIMED if match is None else match.binding.route.template


def note_refusal(status: int) -> None:
    """Counts what was refused before anybody knew what it asks for."""
    if metrics.PAGE.is_shown:
        REQUESTS.note((UNCLAIMED, OTHER, str(status)), None, 0.0)
