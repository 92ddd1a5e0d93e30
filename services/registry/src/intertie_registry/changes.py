"""What an update makes of a stored value: pure, apart from saying no.

An update is a dict of the fields that it names. `system` (and a grant's `module_name`) may be named but not changed; a
connection's `config_json` is named by the new object, not yet merged with the secrets that are stored.
"""

import dataclasses
from typing import Any, TypeVar

from intertie_chassis.errors import InvalidArgument
from intertie_mapping import documents
from intertie_registry import secrets, verification
from intertie_registry.model import Connection, Grant, Mapping, System

Changes = dict[str, Any]
P = TypeVar("P", System, Mapping, Grant)

#: of an update, beside the fields: until when the webhook_secret that it replaces stays good
KEPT_UNTIL = "keep_webhook_secret_until"

_DATABASE = ("db_host", "db_port", "db_name")
_TOKEN_URL = "oauth2_token_url"
_WEBHOOK_SECRET = ("config_json", "webhook_secret")
_FIXED = {
    "system": "cannot be changed; create it anew under the other system",
    "module_name": "cannot be changed; create a grant for the other module",
}


def applied(current: P, changes: Changes) -> P:
    """The value with the changes. Raises InvalidArgument when they would move it elsewhere."""
    return dataclasses.replace(current, **_movable(current, changes))


def applied_to_connection(current: Connection, changes: Changes) -> Connection:
    """The connection with the changes: stored secrets that they do not name are kept, unless the destination changes.

    Credentials are for one destination: pointed elsewhere with them, a connection would hand them to whoever is there.
    A destination is a host and what it is asked for by name, so neither allowed_networks nor tls is a part of it.
    Raises InvalidArgument for a move to another system, or a config_json that no longer makes sense.
    """
    values = _movable(current, changes)
    kept_until = values.pop(KEPT_UNTIL, None)
    to_database = any(key in values and values[key] != getattr(current, key) for key in _DATABASE)
    to_api = "api_base_url" in values and values["api_base_url"] != current.api_base_url
    if to_database:
        values.setdefault("db_password", "")
    if to_api:
        values.setdefault("api_auth_token", "")
    old = secrets.parse(current.config_json) or {}
    to_token = "config_json" in values and values["config_json"].get(_TOKEN_URL) not in (None, old.get(_TOKEN_URL))
    if to_token:
        # Who gives out tokens is sent the client's secret, which api_auth_token may stand in for.
        values.setdefault("api_auth_token", "")
        old.pop("oauth2_client_secret", None)
    if to_database or to_api:
        # What verifies deliveries has nothing to do with where queries go.
        verifying = {key: item for key, item in old.items() if key.startswith("webhook_")}
        old = secrets.redacted({key: item for key, item in old.items() if key not in verifying}) | verifying
    secret = None if _WEBHOOK_SECRET in (lost.path for lost in current.unreadable) else old.get("webhook_secret")
    if "config_json" in values:
        old = secrets.merged(old, values["config_json"])
    if kept_until is not None:
        old = _with_previous(old, secret, kept_until)
    if "config_json" in values or to_database or to_api:
        values["config_json"] = config_text(old) if old or current.config_json else ""
    return dataclasses.replace(current, **values)


def config_text(config: secrets.JsonObject) -> str:
    """The config_json to store. Raises InvalidArgument when it verifies by what it does not have, a secret say."""
    found = [(f"connection.config_json.{path}", text) for path, text in verification.lacking(config)]
    if found:
        raise InvalidArgument("; ".join(f"{path} {text}" for path, text in found[:3]), violations=found)
    return documents.serialise(config)


def _with_previous(merged: secrets.JsonObject, stored: object, until: str) -> secrets.JsonObject:
    """The config_json in which the stored secret, which another one replaces, stays good for a while.

    Raises InvalidArgument when none replaces it.
    """
    at = "connection.config_json.webhook_secret"
    if not isinstance(stored, str) or not stored:
        raise InvalidArgument(
            f"{at} is not set yet, so there is none to keep", violations=[(KEPT_UNTIL, "has none to keep")]
        )
    if merged.get("webhook_secret") in (None, stored):
        raise InvalidArgument(
            f"{at} must be the new secret, another one than before", violations=[(at, "must be the new secret")]
        )
    return merged | {"webhook_secret_previous": stored, "webhook_secret_previous_expires_at": until}


def _movable(current: Connection | P, changes: Changes) -> Changes:
    moved = [key for key in _FIXED if key in changes and changes[key] != getattr(current, key)]
    if moved:
        raise InvalidArgument(
            f"{moved[0]} {_FIXED[moved[0]]}", violations=[(f"{current.kind}.{key}", _FIXED[key]) for key in moved]
        )
    return {key: value for key, value in changes.items() if key not in _FIXED}
