"""What an X.509 certificate says of its holder: the one URI in its SAN, the role in that, and when it ends.

Read from the certificate itself, not from the texts that gRPC makes of its names: those end at an embedded NUL, so that
one name could pass for another.
"""

import re
from dataclasses import dataclass

from cryptography import x509

TRUST_DOMAIN = "spiffe://intertie/"
"""What the URIs of our own certificates begin with; then ``service/<name>`` or ``module/<name>``."""

_OURS = re.compile(rf"{TRUST_DOMAIN}(service|module)/([A-Za-z0-9][A-Za-z0-9_.-]{{0,99}})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose a certificate is."""

    uri: str
    """The URI in its SAN; empty when there is none, or more than one."""
    role: str
    """service or module; empty for a URI that is not ours."""
    name: str
    """The service's or module's; empty likewise."""
    ends_at: int
    """When it ends, in seconds since 1970."""

    @property
    def label(self) -> str:
        """``service:gateway``, ``module:events``; for others the URI."""
        return f"{self.role}:{self.name}" if self.role else self.uri


def uri_of(role: str, name: str) -> str:
    """The URI of a service or module."""
    return f"{TRUST_DOMAIN}{role}/{name}"


def identity_of(certificate: x509.Certificate) -> Identity:
    """Whose the certificate is. Raises ValueError for a SAN that cannot be read."""
    ends_at = int(certificate.not_valid_after_utc.timestamp())
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return Identity("", "", "", ends_at)
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    # A second URI would leave open who is meant (SPIFFE allows one).
    uri = uris[0] if len(uris) == 1 else ""
    ours = _OURS.fullmatch(uri)
    return Identity(uri, ours[1] if ours else "", ours[2] if ours else "", ends_at)
