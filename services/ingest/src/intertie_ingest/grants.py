"""What a module's grant on a system is worth at the moment at which it is used."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol, TypeVar

from intertie_ingest.errors import GrantExpired, GrantMissing

NEVER = math.inf
_TARGETS = {"read": "to read this system", "write": "to write to this system"}


@dataclass(frozen=True, slots=True)
class Grant:
    """A grant that is active; whether it has ended is asked at each use, since nobody tells when it does."""

    #: `read`, `write` or `read_write`; any other word allows nothing
    access_type: str
    #: seconds since 1970
    ends_at: float = NEVER

    def covers(self, access: str) -> bool:
        """Whether it covers `read` or `write`."""
        return self.access_type in (access, "read_write")

    def has_ended(self, now: float) -> bool:
        """Whether its time is over."""
        return self.ends_at <= now


G = TypeVar("G", bound=Grant, covariant=True)


class Granting(Protocol[G]):
    """A system with each module's active grant."""

    @property
    def is_active(self) -> bool:
        """Whether the system is switched on."""
        ...

    @property
    def grants(self) -> Mapping[str, G]:
        """By the module's name."""
        ...


def held(system: Granting[G] | None, name: str, module: str, now: float, wanted: str = "for this system") -> G:
    """The module's grant, whatever it covers. `name` and `wanted` are for the text of a refusal.

    Raises GrantMissing without one, also for a system that does not exist or is switched off: the module learns nothing
    of it. Raises GrantExpired for one that has ended.
    """
    grant = system.grants.get(module) if system is not None and system.is_active else None
    metadata = {"system": name[:100], "module": module[:100]}
    if grant is None:
        raise GrantMissing(f"the module has no active grant {wanted}", metadata=metadata)
    if grant.has_ended(now):
        ended = datetime.fromtimestamp(grant.ends_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        raise GrantExpired(f"the module's grant for this system ended at {ended}", metadata=metadata)
    return grant


def require(system: Granting[Grant] | None, name: str, module: str, access: str, now: float) -> None:
    """Let a module do what a grant to `read` or to `write` is for. Raises as `held`, GrantMissing for another grant."""
    if not held(system, name, module, now, _TARGETS[access]).covers(access):
        metadata = {"system": name[:100], "module": module[:100]}
        raise GrantMissing(f"the module has no active grant {_TARGETS[access]}", metadata=metadata)
