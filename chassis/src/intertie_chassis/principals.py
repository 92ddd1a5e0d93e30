"""Who calls: a role, and the name of the module or service when the role has one."""

import re
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Self

from intertie_chassis.errors import InvalidArgument, Unauthenticated

HUMAN_ROLES = ("admin", "operator", "viewer")
NAMED_ROLES = ("module", "service")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


@dataclass(frozen=True, slots=True)
class Principal:
    """Whom a verified token speaks for."""

    role: str
    """admin, operator, viewer, module or service."""
    name: str
    """The module's or service's name; empty for the other roles."""
    subject: str
    """The token's ``sub``: a person or a part, for the audit."""
    token_id: str
    """The token's ``jti``."""
    expires_at: int = 0
    """When the token ends, in seconds since 1970."""

    @property
    def label(self) -> str:
        """The role as tokens and logs write it: ``admin``, ``module:events``."""
        return f"{self.role}:{self.name}" if self.name else self.role

    @classmethod
    def of(cls, role_text: str, subject: str, token_id: str, expires_at: int = 0) -> Self:
        """The principal of a role as a token writes it.

        Raises InvalidArgument for a role that does not exist.
        """
        role, name = split_role(role_text)
        return cls(role, name, subject, token_id, expires_at)


def split_role(text: str) -> tuple[str, str]:
    """Role and name of ``admin``, ``operator``, ``viewer``, ``module:<name>`` or ``service:<name>``.

    Raises InvalidArgument for anything else.
    """
    role, colon, name = text.partition(":")
    if (role in HUMAN_ROLES and not colon) or (role in NAMED_ROLES and _NAME.fullmatch(name)):
        return role, name
    raise InvalidArgument(
        "the role must be admin, operator, viewer, module:<name> or service:<name>",
        violations=[("role", "is none of these")],
    )


_current: ContextVar[Principal | None] = ContextVar("principal", default=None)


def current_principal() -> Principal:
    """Who makes the call that is being answered.

    Raises Unauthenticated outside a call, or in one that is open to all.
    """
    principal = _current.get()
    if principal is None:
        raise Unauthenticated
    return principal


def peek_principal() -> Principal | None:
    """Who makes the call that is being answered; None outside a call, or in one that is open to all."""
    return _current.get()


def set_principal(principal: Principal | None) -> None:
    """Makes this the caller of everything that happens from here on in the current context."""
    _current.set(principal)
