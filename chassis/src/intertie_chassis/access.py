"""Which callers a method lets in, as its contract says: ``option (intertie.api.v1.access)``."""

from dataclasses import dataclass
from typing import Self

from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor

from intertie.api.v1 import options_pb2
from intertie_chassis.errors import PermissionDenied
from intertie_chassis.principals import Principal

_INCLUDES = {
    "admin": {"admin", "operator", "viewer"},
    "operator": {"operator", "viewer"},
    "viewer": {"viewer"},
    "module": {"module"},
    "service": {"service"},
}
"""What each role may call: whatever is open to one of these."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Who may call one method."""

    roles: frozenset[str] = frozenset()
    """Roles let in; empty: nobody."""
    services: frozenset[str] = frozenset()
    """Names that narrow the role service; empty: every service."""
    is_open: bool = False
    """Whether no token is asked for (health alone)."""
    is_quiet: bool = False
    """Whether calls are left out of the access log and the limits."""

    @classmethod
    def of(cls, method: MethodDescriptor) -> Self:
        """The rule in the method's contract; without the option nobody is let in."""
        access = method.GetOptions().Extensions[options_pb2.access]
        names = {value: name.removeprefix("ROLE_").lower() for name, value in options_pb2.Role.items()}
        roles = frozenset(names[role] for role in access.roles if role in names)
        return cls(roles & set(_INCLUDES), frozenset(access.services))

    def check(self, principal: Principal) -> None:
        """Raises PermissionDenied unless the principal may call the method."""
        is_in = not self.roles.isdisjoint(_INCLUDES.get(principal.role, ()))
        if is_in and principal.role == "service" and self.services:
            is_in = principal.name in self.services
        if not is_in:
            raise PermissionDenied(
                f"the role {principal.label} may not call this method", metadata={"role": principal.label}
            )


DENIED = Rule()
OPEN_AND_QUIET = Rule(is_open=True, is_quiet=True)
ANY_TOKEN = Rule(frozenset(_INCLUDES))


def rules_of(service: ServiceDescriptor) -> dict[str, Rule]:
    """The rule of each method of a service by its path, ``/package.Service/Method``."""
    return {f"/{service.full_name}/{method.name}": Rule.of(method) for method in service.methods}
