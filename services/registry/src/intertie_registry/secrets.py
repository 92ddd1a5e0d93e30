"""Which values are secret, and how a connection's config_json is shown and changed without giving them away."""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit, urlunsplit

JsonObject = dict[str, Any]
#: whether the value under a key of an object is one
IsSecret = Callable[[str], bool]

#: columns of a connection that hold a credential
CREDENTIALS = ("db_password", "api_auth_token")

_SECRET = re.compile(
    r"secret|password|passwd|passphrase|token|credential|private_?key|api_?key|signing_?key|access_?key|authorization|cookie"
)
# Texts about a secret, not secrets: when one ends, where one is asked for, how it is sent.
_ABOUT = re.compile(r"_(expires_at|expires_in|expiry|url|uri|endpoint|header|header_name|name|type|param|field)$")


# In an object of HTTP headers any may be a credential; these say how to answer.
_OPEN_HEADERS = {"accept", "accept-charset", "accept-language", "cache-control", "content-type", "prefer", "user-agent"}


def is_secret(key: str) -> bool:
    """Whether the value under this key of a config_json must not be shown."""
    name = re.sub(r"[^a-z0-9]+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", key).lower())
    return bool(_SECRET.search(name)) and not _ABOUT.search(name)


def is_secret_header(name: str) -> bool:
    """Whether the value of this HTTP header must not be shown: any may hold a credential, but for a few."""
    return name.lower() not in _OPEN_HEADERS


def parse(text: str) -> JsonObject | None:
    """The object in a config_json as stored; None when there is none, or something else than an object."""
    if not text:
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def redacted(value: Any, is_secret: IsSecret = is_secret) -> Any:
    """The same JSON without the members that are secret, at any depth."""
    if isinstance(value, dict):
        return {key: redacted(item, inside(key)) for key, item in value.items() if not is_secret(key)}
    if isinstance(value, list):
        return [redacted(item) for item in value]
    return value


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

    So what was read (without secrets), edited and written back loses no secret. Goes into objects that both have.
    """
    result: JsonObject = {}
    for key, value in new.items():
        if is_secret(key) and value is None:
            continue
        before = old.get(key)
        if isinstance(value, dict):
            value = merged(before if isinstance(before, dict) else {}, value, inside(key))
        result[key] = value
    kept = {key: value for key, value in old.items() if is_secret(key) and key not in new}
    return {**result, **kept}


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


def inside(key: str) -> IsSecret:
    """What is secret among the members of the object under this key."""
    return is_secret_header if key.lower() == "headers" else is_secret


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
