"""What gRPC raised, as one of our errors: by the status details where there are some, else by the code alone."""

from typing import Any

from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from intertie_client import errors

DOMAIN = "intertie"
_DETAILS_KEY = "grpc-status-details-bin"
#: what gRPC itself says ("failed to connect to all addresses; last error: …") stays in the cause
_TEXTS = {
    "UNAVAILABLE": "the service does not answer at the moment",
    "DEADLINE_EXCEEDED": "the service did not answer in time; whether the call was done is not known",
    "CANCELLED": "the call was cut off",
}


def from_rpc_error(error: Any, request_id: str = "") -> errors.IntertieError:
    """The error of a failed call. `error` is a grpc.RpcError with a call's methods, or a grpc.aio.AioRpcError."""
    for key, value in error.trailing_metadata() or ():
        if key == _DETAILS_KEY and isinstance(value, bytes):
            try:
                return from_status(status_pb2.Status.FromString(value), error.code().name, request_id)
            except DecodeError:
                break  # of another library or a proxy; the code alone tells enough
    code, text = error.code().name, error.details() or ""
    if code == "RESOURCE_EXHAUSTED" and "larger than max" in text:
        return errors.TooLarge(request_id=request_id)
    cls = errors.BY_CODE.get(code, errors.IntertieError)
    return cls(_TEXTS.get(code, text), request_id=request_id)


def from_status(status: status_pb2.Status, code: str, request_id: str = "") -> errors.IntertieError:
    """The error that a google.rpc.Status tells of. `code` is the name of the call's gRPC code."""
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    bad_request = error_details_pb2.BadRequest()
    retry_after: float | None = None
    for detail in status.details:
        for known in (info, retry, bad_request):
            if detail.Is(known.DESCRIPTOR):
                detail.Unpack(known)
                if known is retry:
                    retry_after = retry.retry_delay.ToNanoseconds() / 1_000_000_000
    return _class_of(code, info, retry_after)(
        status.message,
        reason=info.reason,
        metadata=dict(info.metadata),
        retry_after=retry_after,
        violations=[errors.FieldViolation(one.field, one.description) for one in bad_request.field_violations],
        request_id=request_id,
    )


def _class_of(code: str, info: error_details_pb2.ErrorInfo, retry_after: float | None) -> type[errors.IntertieError]:
    by_code = errors.BY_CODE.get(code, errors.IntertieError)
    if code == "RESOURCE_EXHAUSTED" and retry_after is not None:
        return errors.RateLimited
    by_reason = errors.BY_REASON.get(info.reason) if info.domain == DOMAIN else None
    # A reason that comes with another code than we know it by is a later version's: then the code says more.
    return by_reason if by_reason is not None and issubclass(by_reason, by_code) else by_code
