"""What a person is told when a command fails, and what to do about it."""

import socket

from intertie_chassis.errors import IntertieError, StartupError, Unauthenticated, Unavailable
from intertie_cli.session import Session


class UsageError(Exception):
    """The command cannot be run like this."""


def told(error: Exception, session: Session | None) -> str:
    """The text for standard error: what went wrong, what to do, and each field at fault."""
    if isinstance(error, (StartupError, UsageError)) or not isinstance(error, IntertieError):
        return f"intertie: {error}"
    lines = [f"intertie: {_message(error, session)}"]
    lines += [f"  {field}: {text}" for field, text in error.violations]
    return "\n".join(lines)


def _message(error: IntertieError, session: Session | None) -> str:
    if session is None or not session.called:
        return error.message
    service = session.called[-1]
    address = session.settings.address_of(service)
    if isinstance(error, Unavailable) and not _listens(address):
        return (
            f"{service} does not answer on {address}: is the suite running? Start it with `intertie up`, "
            f"or say with INTERTIE_{service.upper()}_ADDRESS where it is"
        )
    if isinstance(error, Unavailable) and error.reason == "SERVICE_UNAVAILABLE":
        speaks = "TLS" if session.settings.has_tls else "clear text"
        return (
            f"{error.message} ({service} on {address}). Should it stay so: this command speaks {speaks}; "
            f"does {service}? See INTERTIE_TLS_DIR"
        )
    if isinstance(error, Unauthenticated):
        source = "INTERTIE_TOKEN" if session.settings.token is not None else f"the token in {session.settings.data_dir}"
        return (
            f"{service} on {address} does not take {source} ({error.message}); a token fits only the installation "
            "whose data directory it comes from: see --data-dir and `intertie token issue`"
        )
    return error.message


def _listens(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=1):
            return True
    except (OSError, ValueError):
        return False
