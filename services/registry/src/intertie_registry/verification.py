"""Which connection says how a system's deliveries are verified, and whether what it says makes sense."""

from collections.abc import Iterator
from datetime import datetime

from intertie_registry import secrets, webhook_options
from intertie_registry.model import Connection, SystemImage
from intertie_registry.secrets import JsonObject

WEBHOOK_AUTHS = ("secret", "standard-webhooks", "github", "stripe", "shopify", "slack", "hmac", "none")
PUSH_AUTHS = ("secret", "none")
_MOST_SECRET = 1024


def verifies(connection: Connection) -> bool:
    """Whether the connection takes part in verifying deliveries: active, with a secret or a word about how."""
    if not connection.is_active:
        return False
    config = secrets.parse(connection.config_json) or {}
    return bool(config.get("webhook_secret")) or config.get("webhook_auth") is not None


def verifiers(image: SystemImage) -> tuple[int, ...]:
    """The ids of the connections that verify the system's deliveries; more than one can only come from SQL."""
    return tuple(connection.id for connection in image.connections if verifies(connection))


def problems(config: JsonObject) -> Iterator[tuple[str, str]]:
    """What is wrong with the members of a config_json that the suite knows: pairs of a member and a text."""
    for key in ("webhook_secret", "webhook_secret_previous"):
        value = config.get(key)
        if value is not None and (not isinstance(value, str) or not 1 <= len(value) <= _MOST_SECRET):
            yield key, f"must be a text of 1 to {_MOST_SECRET} characters, or null to remove it"
    for key, words in (("webhook_auth", WEBHOOK_AUTHS), ("push_auth", PUSH_AUTHS)):
        if config.get(key) is not None and config[key] not in words:
            yield key, f"must be one of {', '.join(words)}"
    ends = config.get("webhook_secret_previous_expires_at")
    if ends is not None and not _is_time(ends):
        yield "webhook_secret_previous_expires_at", "must be a time with a zone, like 2026-01-31T12:00:00Z"


def lacking(config: JsonObject) -> Iterator[tuple[str, str]]:
    """What is wrong with a whole config_json, its secrets among it: what one member needs of another. Nothing is saved
    by which all deliveries would be refused.
    """
    auth = config.get("webhook_auth")
    if auth in WEBHOOK_AUTHS and auth != "none" and not config.get("webhook_secret"):
        yield "webhook_secret", f"is missing: webhook_auth {auth} needs a webhook_secret"
    yield from webhook_options.lacking(config)


def _is_time(value: object) -> bool:
    try:
        return isinstance(value, str) and datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return False
