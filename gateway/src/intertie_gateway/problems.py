"""Everything that goes wrong over HTTP, in one shape: google.rpc.Status as JSON, under the HTTP status of its code.

The table is written out, never inverted: three HTTP statuses would collapse on UNAVAILABLE.
"""

import math
from collections.abc import Iterable

import grpc
import orjson

from intertie_chassis.errors import (
    DOMAIN,
    IntertieError,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    Unavailable,
    Unimplemented,
)
from intertie_gateway.asgi import JSON_TYPE, Answer

HTTP_STATUS: dict[grpc.StatusCode, int] = {
    grpc.StatusCode.OK: 200,
    grpc.StatusCode.CANCELLED: 499,
    grpc.StatusCode.UNKNOWN: 500,
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.FAILED_PRECONDITION: 400,
    grpc.StatusCode.ABORTED: 409,
    grpc.StatusCode.OUT_OF_RANGE: 400,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.INTERNAL: 500,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DATA_LOSS: 500,
    grpc.StatusCode.UNAUTHENTICATED: 401,
}

HTTP_STATUS_OF_REASON = {
    # HTTP has a status of its own for these; the code in the body is the nearest that gRPC has.
    "METHOD_NOT_ALLOWED": 405,
    "BODY_TOO_LARGE": 413,
    "UNSUPPORTED_MEDIA_TYPE": 415,
    "HEADERS_TOO_LARGE": 431,
}

_TYPE = "type.googleapis.com/google.rpc."


class RouteNotFound(NotFound):
    """there is no such route; GET /openapi.json lists all of them, /docs shows them"""

    reason = "ROUTE_NOT_FOUND"


class MethodNotAllowed(Unimplemented):
    """this route does not take this method"""

    reason = "METHOD_NOT_ALLOWED"

    def __init__(self, allowed: Iterable[str]) -> None:
        """Args:
        allowed: the methods that the route takes.
        """
        self.allowed = ", ".join(sorted(allowed))
        super().__init__(f"this route takes {self.allowed} only", metadata={"allow": self.allowed})


class BodyTooLarge(ResourceExhausted):
    """the body is larger than the limit"""

    reason = "BODY_TOO_LARGE"

    def __init__(self, limit: int) -> None:
        """Args:
        limit: the most that is taken, in bytes.
        """
        super().__init__(f"the body is larger than {limit} bytes", metadata={"limit": str(limit)})


class UnsupportedMediaType(InvalidArgument):
    """the route does not take bodies of this type"""

    reason = "UNSUPPORTED_MEDIA_TYPE"


class HeadersTooLarge(ResourceExhausted):
    """the headers are larger than the limit"""

    reason = "HEADERS_TOO_LARGE"


class Overloaded(Unavailable):
    """more requests are waiting than the gateway takes; try again"""

    reason = "OVERLOADED"

    def __init__(self) -> None:
        super().__init__(retry_after=1)


class RateLimited(ResourceExhausted):
    """more comes than the limit of its address or of its system allows; try again later"""

    reason = "RATE_LIMITED"

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message, retry_after=retry_after)


def http_status(error: IntertieError) -> int:
    """The HTTP status of an error."""
    return HTTP_STATUS_OF_REASON.get(error.reason) or HTTP_STATUS[error.code]


def body_of(error: IntertieError) -> bytes:
    """The error as google.rpc.Status in JSON: ErrorInfo always, BadRequest and RetryInfo where they apply."""
    details: list[dict[str, object]] = [
        {"@type": f"{_TYPE}ErrorInfo", "reason": error.reason, "domain": DOMAIN, "metadata": error.metadata}
    ]
    if error.violations:
        violations = [{"field": field, "description": text} for field, text in error.violations]
        details.append({"@type": f"{_TYPE}BadRequest", "field_violations": violations})
    if error.retry_after is not None:
        details.append({"@type": f"{_TYPE}RetryInfo", "retry_delay": f"{error.retry_after:g}s"})
    return orjson.dumps({"code": error.code.value[0], "message": error.message, "details": details})


def answer_of(error: IntertieError, status: int | None = None) -> Answer:
    """The answer that tells a client of the error.

    Args:
        status: overrides the error's HTTP status, where HTTP tells more apart than gRPC (408, 414).
    """
    status = status or http_status(error)
    headers = [JSON_TYPE]
    if error.retry_after is not None:
        headers.append((b"retry-after", b"%d" % max(1, math.ceil(error.retry_after))))
    elif status in (429, 503):
        headers.append((b"retry-after", b"1"))
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if isinstance(error, MethodNotAllowed):
        headers.append((b"allow", error.allowed.encode()))
    return Answer(status, body_of(error), tuple(headers))
