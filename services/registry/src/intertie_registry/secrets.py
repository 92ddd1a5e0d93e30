"""Which values are secret, and how a connection's config_json is shown and changed without giving them away."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from intertie_chassis.secret_names import IsSecret, inside, is_secret, is_secret_header, redacted

__all__ = ["IsSecret", "inside", "is_secret", "is_secret_header", "redacted"]

JsonObject = dict[str, Any]

#: columns of a connection that hold a credential
CREDENTIALS = ("db_password", "api_auth_token")


def parse(text: str) -> JsonObject | None:
    """The object in a config_json as stored; None when there is none, or something else than an object."""
    if not text:
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def redacted_text(text: str) -> str:
    """A config_json as stored, without its secrets; empty when it is not an object, since then nobody can tell them."""
    value = parse(text)
    if value is None:
        return ""
    shown = json.dumps(redacted(value), ensure_ascii=False, separators=(",", ":"))
    # SQL may have written `\\ud800`, half a character: it stays the escape that it was, since no message holds it.
    return shown.encode("utf-8", "backslashreplace").decode()


def shown_name(name: str) -> str:
    """The name of a member as messages and logs can hold it: halves of characters are escaped."""
    return name.encode("utf-8", "backslashreplace").decode()


def merged(old: JsonObject, new: JsonObject, is_secret: IsSecret = is_secret) -> JsonObject:
    """`new`, with the secrets of `old` that it does not name; a secret that is null in `new` is removed.

    So what was read (without secrets), edited and written back loses no secret. Goes into objects that both have, and
    into lists that are the same but for secrets: in another list nobody can tell which element is which.
    """
    result: JsonObject = {}
    for key, value in new.items():
        if is_secret(key):
            if value is not None:
                result[key] = value
        else:
            result[key] = _merged_value(old.get(key), value, inside(key))
    kept = {key: value for key, value in old.items() if is_secret(key) and key not in new}
    return {**result, **kept}


def _merged_value(before: Any, value: Any, rule: IsSecret) -> Any:
    if isinstance(value, dict):
        return merged(before if isinstance(before, dict) else {}, value, rule)
    if isinstance(value, list) and isinstance(before, list) and redacted(before) == redacted(value):
        return [_merged_value(*pair, is_secret) for pair in zip(before, value, strict=True)]
    return value


def paths(value: Any, at: str, is_secret: IsSecret = is_secret) -> Iterator[str]:
    """The paths of the secrets that are set: ``config_json.webhook_secret``."""
    if isinstance(value, dict):
        for key, item in value.items():
            if not is_secret(key):
                yield from paths(item, f"{at}.{shown_name(key)}", inside(key))
            elif item not in (None, ""):
                yield f"{at}.{shown_name(key)}"
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from paths(item, f"{at}[{index}]")


def shown_url(url: str) -> str:
    """A URL without user and password, which one written by SQL may hold; empty when it cannot be taken apart."""
    if "@" not in url:
        return url
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    if "@" not in parts.netloc:
        return url
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
