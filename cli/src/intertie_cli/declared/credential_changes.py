"""What becomes of a connection's credentials, which nobody can look at, when it is made what is declared."""

from collections.abc import Collection
from typing import Any, Literal

from intertie_cli.declared.difference import FieldChange, is_same
from intertie_cli.declared.pairs import Pair

#: what is known of a credential that is given and set
Compared = Literal["same", "differing", "unknown"]

_PREVIOUS, _PREVIOUS_ENDS = "webhook_secret_previous", "webhook_secret_previous_expires_at"
_DATABASE = ("db_host", "db_port", "db_name")


def expected_values(pair: Pair) -> dict[str, Any]:
    """The values that a part is to have: those declared, and what a rotation of secrets has left for a while."""
    part, live = pair.declared, pair.live
    if part.kind != "connection" or live is None:
        return part.values
    ends = live.values["config_json"].get(_PREVIOUS_ENDS)
    config = part.config or {}
    if ends is None or _PREVIOUS in config or _PREVIOUS_ENDS in config:
        return part.values
    return {**part.values, "config_json": {**part.values["config_json"], _PREVIOUS_ENDS: ends}}


def secret_changes(pair: Pair, compared_secrets: dict[str, Compared]) -> list[FieldChange]:
    """What is done with each credential that does not stay as it is."""
    part, live = pair.declared, pair.live
    found: list[FieldChange] = []
    for at, value in part.secrets.items():
        is_set = live is not None and at in live.secrets
        if value in (None, ""):
            if is_set:
                found.append(FieldChange(at, secret="taken away"))
        elif not is_set:
            found.append(FieldChange(at, secret="set"))
        elif compared_secrets.get(at, "unknown") == "differing":
            found.append(FieldChange(at, secret="changed"))
        elif compared_secrets.get(at, "unknown") == "unknown":
            found.append(FieldChange(at, secret="written; registry cannot say whether it differs"))
    lost = sorted((live.secrets if live is not None else frozenset()) - part.secrets.keys() - secrets_after(pair))
    found += [FieldChange(at, secret="taken away: what it belongs to changes, and it is not given") for at in lost]
    return found


def secrets_after(pair: Pair) -> frozenset[str]:
    """The credentials that are set once a connection is as declared."""
    part, live = pair.declared, pair.live
    given = {at for at, value in part.secrets.items() if value not in (None, "")}
    if live is None:
        return frozenset(given)
    kept = {at for at in live.secrets if at not in part.secrets and _is_kept(at, pair)}
    return frozenset(given | kept)


def _is_kept(at: str, pair: Pair) -> bool:
    """Whether a credential that is not given stays: registry keeps it for one destination, and in the same object."""
    old, new = pair.live.values if pair.live is not None else {}, pair.declared.values
    to_database = any(old[name] != new[name] for name in _DATABASE)
    to_api = old["api_base_url"] != new["api_base_url"]
    to_token = _token_url(new) not in (None, _token_url(old))
    if at == "db_password":
        return not to_database
    if at == "api_auth_token":
        return not (to_api or to_token)
    inner = at.removeprefix("config_json.")
    if to_token and inner == "oauth2_client_secret":
        return False
    if (to_database or to_api) and not inner.startswith("webhook_"):
        return False
    return _holder_stays(inner, old["config_json"], new["config_json"])


def _holder_stays(at: str, old: dict[str, Any], new: dict[str, Any]) -> bool:
    """Whether the object that holds a credential is one still, and a list the same but for credentials."""
    for key in sorted(old, key=len, reverse=True):
        if at.startswith(f"{key}.") and isinstance(old[key], dict):
            inner = new.get(key)
            return isinstance(inner, dict) and _holder_stays(at[len(key) + 1 :], old[key], inner)
        if at.startswith(f"{key}[") and isinstance(old[key], list):
            return is_same(old[key], new.get(key))
    return True


def _token_url(values: dict[str, Any]) -> Any:
    return values["config_json"].get("oauth2_token_url")


def verifies(values: dict[str, Any], secrets: Collection[str]) -> bool:
    """Whether a connection takes part in saying how deliveries are verified."""
    config = values["config_json"]
    return values["is_active"] is True and (
        "config_json.webhook_secret" in secrets or config.get("webhook_auth") is not None
    )
