"""TLS to an external database: what a connection's `tls` and `tls_ca` ask for.

We connect to the address that was checked, never to the name again; so the context itself knows which name the
certificate must be for, whatever the driver says that it connects to.
"""

import ssl
from collections.abc import Mapping
from typing import Any

from intertie_ingest.errors import ConnectionUnusable

MODES = ("off", "require", "verify-ca", "verify-full")


class _NamedContext(ssl.SSLContext):
    """A context whose connections are all to one host, by its configured name."""

    host = ""

    def wrap_bio(self, *arguments: Any, **options: Any) -> ssl.SSLObject:
        """As SSLContext's, to the configured host. Both event loops come through here."""
        return super().wrap_bio(*arguments, **{**options, "server_hostname": self.host})


def context(options: Mapping[str, Any], host: str) -> ssl.SSLContext | None:
    """The context for a connection with these options to the host; None without TLS.

    `require` encrypts and checks nothing, `verify-ca` checks who signed the certificate, `verify-full` also its name.
    Raises ConnectionUnusable for options that make no sense.
    """
    mode, authorities = options.get("tls") or "off", options.get("tls_ca")
    if mode not in MODES:
        raise ConnectionUnusable(f"tls must be one of {', '.join(MODES)}")
    if mode == "off":
        return None
    made = _NamedContext(ssl.PROTOCOL_TLS_CLIENT)
    made.host = host
    made.check_hostname = mode == "verify-full"
    made.verify_mode = ssl.CERT_NONE if mode == "require" else ssl.CERT_REQUIRED
    if mode == "require":
        return made
    if not authorities:
        made.load_default_certs()
        return made
    try:
        made.load_verify_locations(cadata=str(authorities))
    except (ssl.SSLError, ValueError):
        raise ConnectionUnusable("tls_ca must hold certificates in PEM") from None
    return made
