"""Where a connection's credentials stand, and what each is bound to: the row, the place in it, and where it is sent."""

import json
from urllib.parse import urlsplit

from intertie_registry import secrets
from intertie_registry.model import Connection
from intertie_registry.secret_spans import Path

#: the column whose JSON holds credentials, too; its paths begin with it
CONFIG = "config_json"
# Without the prefix: the same rows under another one are the same rows.
_TABLE = "external_system_connections"
_DEFAULT_PORTS = {"http": 80, "https": 443}


def shown(path: Path) -> str:
    """The path for people: ``config_json.headers.X-Key``."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return secrets.shown_name(text.removeprefix("."))


def bound_to(connection: Connection, path: Path) -> bytes:
    """What a credential is sealed with as associated data.

    Moved to another row or place, or left in a row that leads elsewhere, it does not open: whoever can write rows must
    not have it sent to a host of their own. What a call changes it seals anew, or clears; see `changes`.
    """
    bound = [_TABLE, connection.id, list(path), _destination(connection, path)]
    return json.dumps(bound, ensure_ascii=True, separators=(",", ":")).encode()


def is_sent(path: Path) -> bool:
    """Whether a credential is sent to the system; the others verify what the system sends."""
    return path[0] != CONFIG or not str(path[1]).startswith("webhook_")


def _destination(connection: Connection, path: Path) -> list[str | int]:
    if path == ("db_password",):
        return [connection.db_driver, connection.db_host, connection.db_port, connection.db_name]
    if not is_sent(path):
        return []
    config = secrets.parse(connection.config_json) or {}
    # Who gives out tokens is sent the client's secret, which api_auth_token may stand in for.
    token_url = config.get("oauth2_token_url")
    return [_origin(connection.api_base_url), _origin(token_url) if isinstance(token_url, str) else ""]


def _origin(url: str) -> str:
    """Scheme, host and port of a URL, alike for all spellings; what is no URL stays as it is."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return url
    if not parts.hostname:
        return url
    scheme = parts.scheme.lower()
    return f"{scheme}://{parts.hostname}:{port or _DEFAULT_PORTS.get(scheme, 0)}"
