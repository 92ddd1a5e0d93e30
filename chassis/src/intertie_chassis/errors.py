"""The errors that may cross a process boundary: a code, a machine-readable reason, and a text for a person.

A handler raises one of these; the server turns it into a ``google.rpc.Status`` (always with one ``ErrorInfo``), and the
client turns that back into the same class. Nothing else leaves a process: any other exception becomes `Internal` with a
generic text. The class's docstring is its default message.
"""

from collections.abc import Iterable, Mapping
from typing import ClassVar

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

DOMAIN = "intertie"
"""The domain of every ErrorInfo that this suite sends."""

STATUS_METADATA_KEY = "grpc-status-details-bin"
"""The trailing metadata key under which gRPC carries a serialised google.rpc.Status."""


LONGEST_RETRY = 30 * 86_400.0
"""Seconds. A rate that is next to nothing would give a time that no Duration holds."""


class StartupError(Exception):
    """The process cannot start as it is configured."""

    # Not an IntertieError: it is for the person at the terminal, who gets its text on one line and exit code 78 or 69,
    # and never crosses the wire.


class IntertieError(Exception):
    """The call could not be completed."""

    code: ClassVar[grpc.StatusCode] = grpc.StatusCode.INTERNAL
    reason: str = "INTERNAL"

    def __init__(
        self,
        message: str | None = None,
        *,
        reason: str | None = None,
        metadata: Mapping[str, str] | None = None,
        retry_after: float | None = None,
        violations: Iterable[tuple[str, str]] = (),
    ) -> None:
        """Args:
        message: for a person; says what to do where that is known. Default: the class's docstring.
        reason: a name of ``intertie.api.v1.ErrorReason`` without its prefix. Default: the class's.
        metadata: the values that the message mentions, for programs.
        retry_after: seconds after which trying again makes sense, at most LONGEST_RETRY; None when waiting does not
            help.
        violations: pairs of a request field's path and what is wrong with it.
        """
        self.message = message or (type(self).__doc__ or "").strip().splitlines()[0]
        if reason is not None:
            self.reason = reason
        self.metadata = {key: str(value) for key, value in (metadata or {}).items()}
        self.retry_after = None if retry_after is None else min(retry_after, LONGEST_RETRY)
        self.violations = tuple(violations)
        super().__init__(self.message)


class InvalidArgument(IntertieError):
    """The request is not valid."""

    code = grpc.StatusCode.INVALID_ARGUMENT
    reason = "INVALID_REQUEST"


class Unauthenticated(IntertieError):
    """This call needs a valid token."""

    code = grpc.StatusCode.UNAUTHENTICATED
    reason = "UNAUTHENTICATED"


class PermissionDenied(IntertieError):
    """This token does not allow the call."""

    code = grpc.StatusCode.PERMISSION_DENIED
    reason = "PERMISSION_DENIED"


class NotFound(IntertieError):
    """There is no such thing."""

    code = grpc.StatusCode.NOT_FOUND
    reason = "NOT_FOUND"


class AlreadyExists(IntertieError):
    """It exists already."""

    code = grpc.StatusCode.ALREADY_EXISTS
    reason = "ALREADY_EXISTS"


class FailedPrecondition(IntertieError):
    """The present state does not allow this."""

    code = grpc.StatusCode.FAILED_PRECONDITION
    reason = "FAILED_PRECONDITION"


class Aborted(IntertieError):
    """Another change came in between; read again and retry."""

    code = grpc.StatusCode.ABORTED
    reason = "CONFLICT"


class ResourceExhausted(IntertieError):
    """A limit is reached; try again later."""

    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    reason = "OVERLOADED"


class Unavailable(IntertieError):
    """The service is not available at the moment; try again."""

    code = grpc.StatusCode.UNAVAILABLE
    reason = "SERVICE_UNAVAILABLE"


class StoreBusy(Unavailable):
    """The database is there, but others held what this needed for too long; try again."""

    # For callers of a store in the same process: to everybody else it is a store that is away.
    reason = "STORE_UNAVAILABLE"


class DeadlineExceeded(IntertieError):
    """The call did not end within its deadline."""

    code = grpc.StatusCode.DEADLINE_EXCEEDED
    reason = "DEADLINE_EXCEEDED"


class Unimplemented(IntertieError):
    """There is no such method."""

    code = grpc.StatusCode.UNIMPLEMENTED
    reason = "UNIMPLEMENTED"


class Internal(IntertieError):
    """Something failed inside; the log of the service has the cause under this request id."""


_CLASS_BY_CODE: Mapping[int, type[IntertieError]] = {
    cls.code.value[0]: cls
    for cls in (
        InvalidArgument,
        Unauthenticated,
        PermissionDenied,
        NotFound,
        AlreadyExists,
        FailedPrecondition,
        Aborted,
        ResourceExhausted,
        Unavailable,
        DeadlineExceeded,
        Unimplemented,
        Internal,
    )
} | {
    # gRPC itself makes these three. A call that the other side cancelled (it stops, say) may be tried again.
    grpc.StatusCode.CANCELLED.value[0]: Unavailable,
    grpc.StatusCode.OUT_OF_RANGE.value[0]: InvalidArgument,
    grpc.StatusCode.DATA_LOSS.value[0]: Internal,
}

_MOST_MESSAGE_BYTES = 1000
_MOST_VALUE_BYTES = 2000
_MOST_METADATA_BYTES = 2400
_LEAST_VALUE_BYTES = 50
_MOST_FIELD_BYTES = 200
_MOST_VALUES = 8
_MOST_VIOLATION_BYTES = 4096

_LIBRARY_TEXTS: dict[type[IntertieError], str] = {
    # What grpc itself says ("failed to connect to all addresses; last error: …") is no text for our callers.
    ResourceExhausted: "the call is larger than the service takes, or the service has too much to do",
    Unavailable: "the service does not answer at the moment; try again",
    DeadlineExceeded: "the service did not answer within the deadline",
    Internal: "the service failed; its log has the cause under this request id",
}


def to_status(error: IntertieError) -> status_pb2.Status:
    """The error as a google.rpc.Status: ErrorInfo always, BadRequest with violations, RetryInfo with retry_after.

    Long texts are cut, and after 4 KiB of violations the rest is only counted: a status travels in the trailing
    metadata, of which gRPC takes 16 KiB; a larger one would reach the caller as another error altogether.
    """
    status = status_pb2.Status(code=error.code.value[0], message=_cut(error.message, _MOST_MESSAGE_BYTES))
    info = error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=_metadata(error.metadata))
    status.details.add().Pack(info)
    if error.violations:
        status.details.add().Pack(_bad_request(error.violations))
    if error.retry_after is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromNanoseconds(int(error.retry_after * 1_000_000_000))
        status.details.add().Pack(retry)
    return status


def _metadata(values: Mapping[str, str]) -> dict[str, str]:
    """The first values; a long one is cut, and once there are 2400 bytes of them each to 50 bytes."""
    found, room = {}, _MOST_METADATA_BYTES
    for key, value in list(values.items())[:_MOST_VALUES]:
        found[key] = _cut(value, min(_MOST_VALUE_BYTES, max(_LEAST_VALUE_BYTES, room)))
        room -= len(found[key].encode("utf-8", "replace"))
    return found


def _bad_request(violations: tuple[tuple[str, str], ...]) -> error_details_pb2.BadRequest:
    bad_request = error_details_pb2.BadRequest()
    for number, (field, text) in enumerate(violations):
        violation = bad_request.field_violations.add(
            field=_cut(field, _MOST_FIELD_BYTES), description=_cut(text, _MOST_MESSAGE_BYTES)
        )
        if bad_request.ByteSize() > _MOST_VIOLATION_BYTES:
            violation.field, violation.description = "…", f"and {len(violations) - number} more"
            break
    return bad_request


def _cut(text: str, most_bytes: int) -> str:
    raw = text.encode("utf-8", "replace")
    return text if len(raw) <= most_bytes else raw[: most_bytes - 3].decode("utf-8", "ignore") + "…"


def from_status(status: status_pb2.Status) -> IntertieError:
    """The error that `to_status` was given; details of other kinds are left out.

    A status without ErrorInfo (from another library) becomes the class of its code with that class's reason.
    """
    cls = _CLASS_BY_CODE.get(status.code, Internal)
    info, bad_request, retry = (
        error_details_pb2.ErrorInfo(),
        error_details_pb2.BadRequest(),
        error_details_pb2.RetryInfo(),
    )
    retry_after: float | None = None
    for detail in status.details:
        if detail.Is(info.DESCRIPTOR):
            detail.Unpack(info)
        elif detail.Is(bad_request.DESCRIPTOR):
            detail.Unpack(bad_request)
        elif detail.Is(retry.DESCRIPTOR):
            detail.Unpack(retry)
            retry_after = retry.retry_delay.ToNanoseconds() / 1_000_000_000
    return cls(
        status.message or None,
        reason=info.reason or None,
        metadata=dict(info.metadata),
        retry_after=retry_after,
        violations=[(violation.field, violation.description) for violation in bad_request.field_violations],
    )


def from_rpc_error(error: grpc.aio.AioRpcError) -> IntertieError:
    """What a failed call means for the caller; the text of the gRPC library is replaced by ours."""
    for key, value in error.trailing_metadata() or ():
        if key == STATUS_METADATA_KEY and isinstance(value, bytes):
            try:
                return from_status(status_pb2.Status.FromString(value))
            except DecodeError:
                break  # not made by us; the code alone tells enough
    cls = _CLASS_BY_CODE.get(error.code().value[0], Internal)
    if cls is ResourceExhausted and "larger than max" in (error.details() or ""):
        return ResourceExhausted("the message is larger than the service takes", reason="BODY_TOO_LARGE")
    retry_after = 1.0 if cls is Unavailable else None
    return cls(_LIBRARY_TEXTS.get(cls, error.details() or None), retry_after=retry_after)
