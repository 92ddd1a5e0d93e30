"""Ingest's refusals; the class's docstring is what the caller reads."""

from intertie_chassis import errors


class WrongSecret(errors.Unauthenticated):
    """The system is not known, or the secret or signature does not fit."""

    # One text for an unknown system, an inactive one, and no, a wrong or an ambiguous secret: names cannot be sounded.


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


class DeliveryNotFound(errors.NotFound):
    """There is no delivery of this id."""

    reason = "DELIVERY_NOT_FOUND"


class RecordNotFound(errors.NotFound):
    """There is no cached record of this number."""

    reason = "RECORD_NOT_FOUND"


class NoSnapshot(errors.Unavailable):
    """The configuration has not arrived from registry yet; try again."""

    reason = "NO_SNAPSHOT"


class Overloaded(errors.ResourceExhausted):
    """More deliveries are waiting than the limits allow; try again."""


class Clash(Exception):
    """Another process has just written the same record or delivery key; reading again will show it."""


class Refused(Exception):
    """The database refuses a value of the group; halving the group finds whose."""
