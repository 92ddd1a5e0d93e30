"""What a call may raise: a class for each code, and some for reasons that a module may want to tell apart.

Compare classes or `reason`, never messages. What gRPC raised is the `__cause__`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """A field of the request, and what is wrong with it."""

    field: str
    description: str


class IntertieError(Exception):
    """The call could not be completed."""

    code: ClassVar[str] = "UNKNOWN"
    """The gRPC code that the class stands for."""
    default_reason: ClassVar[str] = ""

    def __init__(
        self,
        message: str = "",
        *,
        reason: str = "",
        metadata: Mapping[str, str] | None = None,
        retry_after: float | None = None,
        violations: Iterable[FieldViolation] = (),
        request_id: str = "",
    ) -> None:
        self.message = message or (type(self).__doc__ or "").strip().splitlines()[0]
        """For people; may change."""
        self.reason = reason or self.default_reason or self.code
        """Stable; docs/errors.md lists them."""
        self.metadata = dict(metadata or {})
        """The values that the message mentions."""
        self.retry_after = retry_after
        """Seconds after which trying again makes sense; None when nobody said."""
        self.violations = tuple(violations)
        """The fields at fault, where the request is."""
        self.request_id = request_id
        """The call's id, under which the services' logs have it."""
        super().__init__(self.message)

    def __str__(self) -> str:
        return f"{self.message} ({self.reason})"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.message!r}, reason={self.reason!r}, request_id={self.request_id!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        # Without it an error that crosses to another process (multiprocessing) cannot be read there.
        return type(self), (self.message,), self.__dict__


class InvalidArgument(IntertieError):
    """The request is not valid."""

    code = "INVALID_ARGUMENT"


class Unauthenticated(IntertieError):
    """The call needs a valid token."""

    code = "UNAUTHENTICATED"


class PermissionDenied(IntertieError):
    """The token or the grant does not allow the call."""

    code = "PERMISSION_DENIED"


class NotFound(IntertieError):
    """There is no such thing."""

    code = "NOT_FOUND"


class AlreadyExists(IntertieError):
    """It exists already."""

    code = "ALREADY_EXISTS"


class FailedPrecondition(IntertieError):
    """The present state does not allow this."""

    code = "FAILED_PRECONDITION"


class Aborted(IntertieError):
    """Another change came in between; read again and retry."""

    code = "ABORTED"


class ResourceExhausted(IntertieError):
    """A limit is reached."""

    code = "RESOURCE_EXHAUSTED"


class RateLimited(ResourceExhausted):
    """More than the limits allow at the moment; `retry_after` says when to come again."""

    default_reason = "RATE_LIMITED"


class Unavailable(IntertieError):
    """The service, or what it needs for the answer, is not available at the moment."""

    code = "UNAVAILABLE"


class DeadlineExceeded(IntertieError):
    """The call did not end within its time; whether it was done is not known."""

    code = "DEADLINE_EXCEEDED"


class Cancelled(IntertieError):
    """The call was cut off."""

    code = "CANCELLED"


class Unimplemented(IntertieError):
    """The service has no such method; it may be older than this client."""

    code = "UNIMPLEMENTED"


class Internal(IntertieError):
    """The service failed; its log has the cause under the request id."""

    code = "INTERNAL"


class TooLarge(ResourceExhausted):
    """The message is larger than the service takes."""

    default_reason = "BODY_TOO_LARGE"


class DeliveryKeyReused(AlreadyExists):
    """The idempotency key was used before with other data."""

    default_reason = "DELIVERY_KEY_REUSED"


class GrantExpired(PermissionDenied):
    """The module's grant on the system has ended; an operator can renew it."""

    default_reason = "GRANT_EXPIRED"


class QueryNotPermitted(PermissionDenied):
    """The grant does not cover this table, column, kind of statement, endpoint or method."""

    default_reason = "QUERY_NOT_PERMITTED"


class QueryRefused(InvalidArgument):
    """The statement is not one that may be run at all."""

    default_reason = "QUERY_REFUSED"


class QueryFailed(InvalidArgument):
    """The external database does not accept the statement or its parameters."""

    default_reason = "QUERY_FAILED"


class QueryTimedOut(DeadlineExceeded):
    """The external database did not finish the statement in time."""

    default_reason = "QUERY_TIMED_OUT"


class ExternalError(IntertieError):
    """The external system is at fault, not Intertie and not the request."""

    @property
    def upstream_status(self) -> int | None:
        """The HTTP status that the external API answered with, where it did."""
        text = self.metadata.get("upstream_status", "")
        return int(text) if text.isdecimal() else None


class ExternalUnavailable(ExternalError, Unavailable):
    """The external system cannot be reached, or says that it is overloaded."""

    default_reason = "EXTERNAL_UNAVAILABLE"


class ExternalTimedOut(ExternalError, DeadlineExceeded):
    """The external system did not answer in time."""

    default_reason = "EXTERNAL_TIMED_OUT"


class ExternalRefused(ExternalError, FailedPrecondition):
    """The external system answered with an error."""

    default_reason = "EXTERNAL_REFUSED"


class ExternalNotFound(ExternalError, NotFound):
    """The external system has no such thing."""

    default_reason = "EXTERNAL_NOT_FOUND"


class ExternalInvalid(ExternalError, FailedPrecondition):
    """The external system's answer is too large, or not what it says it is."""

    default_reason = "EXTERNAL_INVALID"


BY_CODE: Mapping[str, type[IntertieError]] = {
    cls.code: cls
    for cls in (
        *(InvalidArgument, Unauthenticated, PermissionDenied, NotFound, AlreadyExists, FailedPrecondition, Aborted),
        *(ResourceExhausted, Unavailable, DeadlineExceeded, Cancelled, Unimplemented, Internal),
    )
}
"""The class of each gRPC code."""

BY_REASON: Mapping[str, type[IntertieError]] = {
    cls.default_reason: cls
    for cls in (
        *(TooLarge, DeliveryKeyReused, GrantExpired, QueryNotPermitted, QueryRefused, QueryFailed, QueryTimedOut),
        *(ExternalUnavailable, ExternalTimedOut, ExternalRefused, ExternalNotFound, ExternalInvalid, RateLimited),
    )
}
"""The classes of reasons that have one."""
