"""What the registry refuses, each with its reason."""

from intertie_chassis.errors import (
    Aborted,
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    Unavailable,
)


class SystemNotFound(NotFound):
    """There is no external system of this name."""

    reason = "SYSTEM_NOT_FOUND"

    @classmethod
    def named(cls, name: str) -> "SystemNotFound":
        """The error for a name."""
        return cls(f"there is no external system named {name!r}", metadata={"system": name})


class SystemExists(AlreadyExists):
    """An external system of this name exists."""

    reason = "SYSTEM_EXISTS"

    @classmethod
    def named(cls, name: str) -> "SystemExists":
        """The error for a name."""
        return cls(
            f"an external system named {name!r} exists (the database may take upper and lower case as the same)",
            metadata={"system": name},
        )


class ConnectionNotFound(NotFound):
    """There is no connection of this id."""

    reason = "CONNECTION_NOT_FOUND"

    @classmethod
    def numbered(cls, number: int) -> "ConnectionNotFound":
        """The error for an id."""
        return cls(f"there is no connection {number}", metadata={"connection": str(number)})


class SecondVerifier(FailedPrecondition):
    """Another active connection of the system already says how its deliveries are verified."""

    reason = "SECOND_VERIFIER"

    @classmethod
    def beside(cls, system: str, other: int) -> "SecondVerifier":
        """The error when connection `other` verifies the system's deliveries."""
        return cls(
            f"connection {other} of {system!r} already says how deliveries are verified; change that one, deactivate"
            " it, or leave webhook_secret and webhook_auth out of this one",
            metadata={"system": system, "connection": str(other)},
        )


class NotSealing(FailedPrecondition):
    """Credentials are not sealed here: INTERTIE_SECRETS_SEALING is off."""


class WrongSealingKey(FailedPrecondition):
    """A sealing key is not the one of its id that has sealed in this database."""

    @classmethod
    def named(cls, ids: list[str]) -> "WrongSealingKey":
        """The error for key ids."""
        shown = ", ".join(ids[:10])
        return cls(
            f"the sealing key {shown} is not the one of this id that has sealed in this database: restore that one, or "
            "give the new one an id of its own",
            metadata={"keys": shown},
        )


class TooManyGuesses(ResourceExhausted):
    """The credentials of a connection were compared with wrong ones too often."""

    reason = "RATE_LIMITED"

    @classmethod
    def of(cls, connection: int, retry_after: float) -> "TooManyGuesses":
        """The error for a connection that was guessed at."""
        return cls(
            f"connection {connection} was compared with wrong credentials too often; try again later",
            metadata={"connection": str(connection)},
            retry_after=retry_after,
        )


class MappingNotFound(NotFound):
    """There is no mapping of this id."""

    reason = "MAPPING_NOT_FOUND"

    @classmethod
    def numbered(cls, number: int) -> "MappingNotFound":
        """The error for an id."""
        return cls(f"there is no mapping {number}", metadata={"mapping": str(number)})


class MappingExists(AlreadyExists):
    """The system has a mapping of this name."""

    reason = "MAPPING_EXISTS"

    @classmethod
    def named(cls, system: str, name: str) -> "MappingExists":
        """The error for a name."""
        return cls(f"{system!r} has a mapping named {name!r}", metadata={"system": system, "mapping": name})


class InvalidMapping(InvalidArgument):
    """The mapping does not fit its target or is not well formed."""

    reason = "INVALID_MAPPING"


class TargetUnreachable(Unavailable):
    """Mapper cannot be asked whether the mapping fits its target; skip_target_validation saves it unchecked."""

    reason = "TARGET_UNREACHABLE"


class GrantNotFound(NotFound):
    """There is no grant of this id."""

    reason = "GRANT_NOT_FOUND"

    @classmethod
    def numbered(cls, number: int) -> "GrantNotFound":
        """The error for an id."""
        return cls(f"there is no grant {number}", metadata={"grant": str(number)})


class GrantExists(AlreadyExists):
    """The module has a grant on this system."""

    reason = "GRANT_EXISTS"

    @classmethod
    def of(cls, module: str, system: str) -> "GrantExists":
        """The error for a module and a system."""
        return cls(
            f"the module {module!r} has a grant on {system!r}; change that one",
            metadata={"module": module, "system": system},
        )


class OtherModule(PermissionDenied):
    """A module may ask for itself only."""

    reason = "MODULE_MISMATCH"


class ChangedMeanwhile(Aborted):
    """It was changed by somebody else meanwhile; read it again and retry."""


class NoImageYet(Unavailable):
    """The registry has not read its database yet; try again."""

    reason = "STORE_UNAVAILABLE"
