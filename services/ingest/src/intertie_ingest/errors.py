"""Ingest's refusals; the class's docstring is what the caller reads."""

from intertie_chassis import errors


class WrongSecret(errors.Unauthenticated):
    """The system is not known, or the secret or signature does not fit."""

    # One text for an unknown system, an inactive one, and no, a wrong or an ambiguous secret: names cannot be sounded.


class SourceNotAllowed(WrongSecret):
    """The delivery came from an address that its connection does not allow."""

    #: what the log of rejections calls it; the sender is told what a wrong secret is told, to the letter
    noted_reason = "SOURCE_NOT_ALLOWED"

    def __init__(self) -> None:
        super().__init__(WrongSecret().message)


class RateLimited(errors.ResourceExhausted):
    """More comes than the limit of the system or of the address allows; try again later."""

    reason = "RATE_LIMITED"


class RepeatedHeader(errors.InvalidArgument):
    """A header that must stand once stands more than once."""


class UnsupportedMediaType(errors.InvalidArgument):
    """Send application/json, a +json type or a form, in UTF-8 and without content encoding; say so in Content-Type."""

    reason = "UNSUPPORTED_MEDIA_TYPE"


class InvalidJson(errors.InvalidArgument):
    """The body is not JSON as Intertie takes it."""

    reason = "INVALID_JSON"


class DuplicateKey(errors.InvalidArgument):
    """An object in the body has the same key twice."""

    reason = "DUPLICATE_KEY"


class BodyTooLarge(errors.ResourceExhausted):
    """The body is larger than the limit."""

    reason = "BODY_TOO_LARGE"


class DeliveryKeyReused(errors.AlreadyExists):
    """The delivery key was used before with other bytes; send a new key with a new delivery."""

    reason = "DELIVERY_KEY_REUSED"


class SystemNotFound(errors.NotFound):
    """There is no active external system of this name."""

    reason = "SYSTEM_NOT_FOUND"


class MappingNotFound(errors.NotFound):
    """The system has no active mapping of this name."""

    reason = "MAPPING_NOT_FOUND"


class GrantMissing(errors.PermissionDenied):
    """The module has no active grant for this on the system."""


class GrantExpired(errors.PermissionDenied):
    """The module's grant on the system has ended."""

    reason = "GRANT_EXPIRED"


class DeliveryNotFound(errors.NotFound):
    """There is no delivery of this id."""

    reason = "DELIVERY_NOT_FOUND"


class RecordNotFound(errors.NotFound):
    """There is no cached record of this number."""

    reason = "RECORD_NOT_FOUND"


class QueryRefused(errors.InvalidArgument):
    """The statement is not one that may be run."""

    reason = "QUERY_REFUSED"


class QueryFailed(errors.InvalidArgument):
    """The external database does not accept the statement or its parameters."""

    reason = "QUERY_FAILED"


class QueryTimedOut(errors.DeadlineExceeded):
    """The external database did not finish the statement in time."""

    reason = "QUERY_TIMED_OUT"


class QueryNotPermitted(errors.PermissionDenied):
    """The module's grant does not cover this."""

    reason = "QUERY_NOT_PERMITTED"


class ModuleMismatch(errors.PermissionDenied):
    """A module may ask in its own name only; leave `module` out, or name the module of the token."""

    reason = "MODULE_MISMATCH"


class NoConnection(errors.FailedPrecondition):
    """The system has no active connection of the fitting type."""

    reason = "NO_CONNECTION"


class ConnectionNotFound(errors.NotFound):
    """There is no connection of this id."""

    reason = "CONNECTION_NOT_FOUND"


class ConnectionUnusable(errors.FailedPrecondition):
    """The connection is not configured so that it can be used."""

    reason = "CONNECTION_UNUSABLE"


class AddressNotAllowed(errors.InvalidArgument):
    """The address is not one that may be reached; private ones must stand in the connection's `allowed_networks`."""

    # One text for every such address and name: what answers inside of the network cannot be sounded.

    reason = "ADDRESS_NOT_ALLOWED"


class ExternalUnavailable(errors.Unavailable):
    """The external system cannot be reached, or says that it is overloaded; try again."""

    reason = "EXTERNAL_UNAVAILABLE"


class ExternalTimedOut(errors.DeadlineExceeded):
    """The external system did not answer in time."""

    reason = "EXTERNAL_TIMED_OUT"


class ExternalRefused(errors.FailedPrecondition):
    """The external system answered with an error."""

    reason = "EXTERNAL_REFUSED"


class ExternalNotFound(errors.NotFound):
    """The external system has no such thing."""

    reason = "EXTERNAL_NOT_FOUND"


class ExternalInvalid(errors.FailedPrecondition):
    """The external system's answer is larger than the limit, or not what it says it is."""

    reason = "EXTERNAL_INVALID"


class NoSource(errors.FailedPrecondition):
    """The mapping has nothing to read from."""

    reason = "NO_SOURCE"


class RunNotFound(errors.NotFound):
    """There is no sync run of this id."""

    reason = "RUN_NOT_FOUND"


class RunState(errors.FailedPrecondition):
    """The sync run is not in a state that allows this."""

    reason = "RUN_STATE"


class NoSnapshot(errors.Unavailable):
    """The configuration has not arrived from registry yet; try again."""

    reason = "NO_SNAPSHOT"


class Overloaded(errors.ResourceExhausted):
    """More deliveries are waiting than the limits allow; try again."""


class Clash(Exception):
    """Another process has just written the same record or delivery key; reading again will show it."""


class Refused(Exception):
    """The database refuses a value of the group; halving the group finds whose."""

    def __init__(self, cause: str, *, is_certain: bool = True) -> None:
        """`cause`: the driver's text, for the log. `is_certain`: whether the error is known to be about a value."""
        self.is_certain = is_certain
        super().__init__(cause)


class RunLost(Exception):
    """Another worker has the run by now, or it has ended: nothing was written, and nothing more may be."""
