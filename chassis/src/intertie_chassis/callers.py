"""Which certificates may call this process, and for whom they speak.

A certificate lets its holder connect. Who makes a call then, a bearer token says, where there is one; without one it is
the certificate's own service or module.
"""

import re
import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping

from cryptography import x509

from intertie_chassis.certificates import Identity, identity_of
from intertie_chassis.errors import StartupError, Unauthenticated
from intertie_chassis.principals import Principal

SERVICES = ("registry", "ingest", "pull", "mapper", "audit", "gateway", "cli", "envoy")
_PROXY = "service:envoy"
"""Whose certificate speaks for nobody: it hands on what strangers send, and would lend its name to who has no token."""
DEFAULT = (*(f"service:{name}" for name in SERVICES), "module:*")
"""Whom a process lets in unless its settings say otherwise."""

REFUSED = "CERTIFICATE_REFUSED"
"""The reason of what is refused for its certificate."""

_ENTRY = re.compile(r"(service|module):(\*|[A-Za-z0-9][A-Za-z0-9_.-]{0,99})|[a-z][a-z0-9+.-]*://[\x21-\x7e]{1,2000}")
_MOST_KNOWN = 512


class Callers:
    """The allow-list of one process."""

    def __init__(self, allowed: Iterable[str] = DEFAULT) -> None:
        """Args:
        allowed: ``service:<name>``, ``module:<name>``, with ``*`` for every name, or the URI of a SAN as it stands.

        Raises StartupError for anything else.
        """
        self._allowed = frozenset(allowed)
        for entry in self._allowed:
            if not _ENTRY.fullmatch(entry):
                raise StartupError(
                    f"INTERTIE_TLS_CALLERS: {entry} is not service:NAME, module:NAME or the URI of a certificate"
                )
        self._known: OrderedDict[bytes, Identity | None] = OrderedDict()

    @classmethod
    def parse(cls, text: str) -> "Callers":
        """Those of a list with commas; an empty one is the default. Raises StartupError."""
        entries = [entry.strip() for entry in text.split(",") if entry.strip()]
        return cls(entries or DEFAULT)

    def of(self, auth_context: Mapping[str, Iterable[bytes]]) -> "Caller":
        """Who is at the other end of a connection, as `ServicerContext.auth_context` has it.

        Raises Unauthenticated, one text for all, unless there is one certificate whose one URI is on the list.
        """
        certificates = list(auth_context.get("x509_pem_cert", ()))
        identity = self._identity(certificates[0]) if len(certificates) == 1 else None
        if identity is None or not self._lets_in(identity):
            raise Unauthenticated("this process does not let the certificate in", reason=REFUSED)
        if identity.ends_at <= time.time():
            # A connection may be older than that.
            raise Unauthenticated("the certificate has ended; connect with a new one", reason=REFUSED)
        return Caller(identity)

    def _identity(self, pem: bytes) -> Identity | None:
        """Whose the certificate is; None when it cannot be read. Remembered, since every call has it anew."""
        if pem in self._known:
            self._known.move_to_end(pem)
            return self._known[pem]
        try:
            identity = identity_of(x509.load_pem_x509_certificate(pem))
        except ValueError:
            identity = None
        self._known[pem] = identity
        if len(self._known) > _MOST_KNOWN:
            self._known.popitem(last=False)
        return identity

    def _lets_in(self, identity: Identity) -> bool:
        if not identity.uri:
            return False
        names = {identity.uri}
        if identity.role:
            names |= {identity.label, f"{identity.role}:*"}
        return not self._allowed.isdisjoint(names)


class Caller:
    """Who is at the other end of a connection."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity

    @property
    def principal(self) -> Principal:
        """Whom the certificate itself speaks for.

        Raises Unauthenticated when its URI is not one of ours, or is a proxy's: such a caller needs a token.
        """
        identity = self._identity
        if not identity.role or identity.label == _PROXY:
            raise Unauthenticated
        return Principal(identity.role, identity.name, identity.label, "", identity.ends_at)

    def vouch_for(self, principal: Principal) -> None:
        """Raises Unauthenticated when the token of this principal may not come with the certificate.

        The token of a service comes from that service alone. A module's comes from the module, or from a service that
        hands on what it was sent, as the gateway does.
        """
        label = self._identity.label
        is_own = principal.label == label
        if principal.role == "service" and not is_own:
            raise Unauthenticated("the token is another service's than the certificate", reason=REFUSED)
        if principal.role == "module" and self._identity.role == "module" and not is_own:
            raise Unauthenticated("the token is another module's than the certificate", reason=REFUSED)
