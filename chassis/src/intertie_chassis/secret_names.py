"""Which values of a connection's configuration are secret, by the names of their keys.

Registry leaves them out of what it shows; who writes a configuration or compares one must know the same ones.
"""

import re
from collections.abc import Callable
from typing import Any

#: whether the value under a key of an object is one
IsSecret = Callable[[str], bool]

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


def inside(key: str) -> IsSecret:
    """What is secret among the members of the object under this key."""
    return is_secret_header if key.lower() == "headers" else is_secret


def redacted(value: Any, is_secret: IsSecret = is_secret) -> Any:
    """The same JSON without the members that are secret, at any depth."""
    if isinstance(value, dict):
        return {key: redacted(item, inside(key)) for key, item in value.items() if not is_secret(key)}
    if isinstance(value, list):
        return [redacted(item) for item in value]
    return value
