"""What a config_json says about how a system is reached, and whether it makes sense. Who reaches it reads it again."""

import ipaddress
import re
import ssl
from collections.abc import Callable, Iterator
from typing import Any

from intertie_registry import secrets, urls
from intertie_registry.secrets import JsonObject

TLS_MODES = ("off", "require", "verify-ca", "verify-full")
SOAP_VERSIONS = ("1.1", "1.2")
_MOST_NETWORKS = 100
_MOST_SECONDS = 300
_MOST_RETRIES = 5
_MOST_BYTES = 2**30
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")
_HEADER_VALUE = re.compile(r"[\x20-\x7e\t]{0,8000}")
#: what a connection makes itself, or what lets a request be read in two ways
_OWN_HEADERS = {
    "accept-encoding",
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
}

#: what is wrong with a value; empty when nothing is
_Check = Callable[[Any], str]


def problems(config: JsonObject) -> Iterator[tuple[str, str]]:
    """What is wrong with the members that say how the system is reached: pairs of a member and a text. Null is none."""
    for key, check in _CHECKS.items():
        if config.get(key) is not None and (text := check(config[key])):
            yield key, text
    headers = config.get("headers")
    if isinstance(headers, dict):
        yield from ((f"headers.{name}", text) for name, value in headers.items() if (text := _header(name, value)))
    if config.get("oauth2_token_url") is None:
        needing = ("oauth2_client_id", "oauth2_scope", "oauth2_audience")
        yield from ((key, "needs an oauth2_token_url") for key in needing if config.get(key) is not None)


def _networks(value: Any) -> str:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        return "must be a list of addresses or networks, like 10.0.0.0/8"
    if len(value) > _MOST_NETWORKS:
        return f"must have at most {_MOST_NETWORKS} entries"
    for item in value:
        try:
            ipaddress.ip_network(item.strip())
        except ValueError:
            return f"{item[:100]!r} is no address or network such as 10.1.2.3 or 10.1.0.0/16"
    return ""


def _word(*words: str) -> _Check:
    return lambda value: "" if value in words else f"must be one of {', '.join(words)}"


def _whole(least: int, most: int) -> _Check:
    def check(value: Any) -> str:
        fits = type(value) is int and least <= value <= most
        return "" if fits else f"must be a whole number from {least} to {most}"

    return check


def _seconds(value: Any) -> str:
    fits = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= _MOST_SECONDS
    return "" if fits else f"must be a number of seconds above 0, at most {_MOST_SECONDS}"


def _text(most: int) -> _Check:
    def check(value: Any) -> str:
        fits = isinstance(value, str) and 1 <= len(value) <= most and "\0" not in value
        return "" if fits else f"must be a text of 1 to {most} characters"

    return check


def _username(value: Any) -> str:
    return _text(255)(value) or ("must not hold a colon" if ":" in value else "")


def _certificates(value: Any) -> str:
    if not isinstance(value, str) or "PRIVATE KEY" in value:
        return "must be certificates as PEM text, without a private key"
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=value)
    except (ssl.SSLError, ValueError):
        return "must be certificates as PEM text: -----BEGIN CERTIFICATE----- and so on"
    return ""


def _headers(value: Any) -> str:
    return "" if isinstance(value, dict) else "must be an object of texts"


def _header(name: str, value: Any) -> str:
    if _header_name(name):
        return "is no header that may be set"
    if value is None and secrets.is_secret_header(name):
        return ""  # takes the stored one away
    fits = isinstance(value, str) and _HEADER_VALUE.fullmatch(value)
    return "" if fits else "must be a text of one line in plain ASCII"


def _header_name(value: Any) -> str:
    fits = isinstance(value, str) and _HEADER_NAME.fullmatch(value) and value.lower() not in _OWN_HEADERS
    return "" if fits else "must be the name of a header that may be set"


def _token_url(value: Any) -> str:
    try:
        fits = isinstance(value, str) and len(value) <= 2000 and urls.is_http(value)
    except ValueError:
        fits = False
    return "" if fits else "must be an http:// or https:// URL with a host, without user, password and fragment"


def _endpoint(value: Any) -> str:
    fits = isinstance(value, str) and 1 <= len(value) <= 2000 and value.isprintable()
    if fits and "#" not in value and "\\" not in value and "://" not in value.partition("?")[0]:
        path = value.partition("?")[0]
        if not path.startswith("//") and ".." not in path.split("/"):
            return ""
    return "must be a path below api_base_url, such as /health"


_CHECKS: dict[str, _Check] = {
    "allowed_networks": _networks,
    "tls": _word(*TLS_MODES),
    "tls_ca": _certificates,
    "statement_seconds": _seconds,
    "api_key_header": _header_name,
    "username": _username,
    "password": _text(1024),
    "oauth2_token_url": _token_url,
    "oauth2_client_id": _text(1024),
    "oauth2_client_secret": _text(4096),
    "oauth2_scope": _text(1024),
    "oauth2_audience": _text(1024),
    "headers": _headers,
    "test_endpoint": _endpoint,
    "retries": _whole(0, _MOST_RETRIES),
    "soap_version": _word(*SOAP_VERSIONS),
    "max_response_bytes": _whole(1, _MOST_BYTES),
}
