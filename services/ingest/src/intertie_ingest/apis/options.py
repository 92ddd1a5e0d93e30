"""What an API connection's configuration says, checked once."""

import json
import re
import ssl
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, quote

from intertie_ingest.apis.target import BaseUrl
from intertie_ingest.egress import Networks, networks_of
from intertie_ingest.errors import ConnectionUnusable
from intertie_ingest.external import ExternalConnection

AUTH_TYPES = ("none", "basic", "bearer", "apikey", "oauth2")
_SOAP_VERSIONS = ("1.1", "1.2")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")
_HEADER_VALUE = re.compile(r"[\x20-\x7e\t]{0,8000}")
#: what the connection itself makes, and what would let a request be read in two ways
_OWN_HEADERS = {"host", "content-length", "transfer-encoding", "connection", "te", "trailer", "upgrade", "expect"}
_OWN_HEADERS |= {"accept-encoding", "proxy-authorization", "keep-alive"}
#: shorter ones stand in other words by chance
_LEAST_SECRET = 4


@dataclass(frozen=True, slots=True)
class ApiOptions:
    """A connection's configuration with every default filled in."""

    base: BaseUrl
    networks: Networks
    auth_type: str
    #: seconds for a whole call
    timeout: float
    retries: int
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    #: of `basic`
    username: str = field(repr=False)
    password: str = field(repr=False)
    #: of `bearer` and `apikey`
    token: str = field(repr=False)
    api_key_header: str
    token_url: str = field(repr=False)
    client_id: str = field(repr=False)
    client_secret: str = field(repr=False)
    scope: str
    audience: str
    soap_version: str
    test_endpoint: str
    #: None: as the process has it
    max_response_bytes: int | None
    #: certificates to trust besides the usual ones, as PEM
    tls_ca: str = field(repr=False)

    @classmethod
    def of(cls, connection: ExternalConnection) -> "ApiOptions":
        """Raises ConnectionUnusable, for people, for what is missing or makes no sense."""
        if connection.problem:
            raise ConnectionUnusable(connection.problem)
        given = connection.options
        if connection.api_auth_type not in AUTH_TYPES:
            raise ConnectionUnusable(f"api_auth_type must be one of {', '.join(AUTH_TYPES)}")
        token = connection.api_auth_token
        user, _, password = token.partition(":")
        options = cls(
            base=BaseUrl.of(connection.api_base_url),
            networks=networks_of(given),
            auth_type=connection.api_auth_type,
            timeout=float(connection.api_timeout if connection.api_timeout > 0 else 30),
            retries=_number(given.get("retries"), "retries", 2, 0, 5),
            headers=_headers(given.get("headers")),
            username=_text(given.get("username"), "username") or user,
            password=_text(given.get("password"), "password") or ("" if given.get("username") else password),
            token=token,
            api_key_header=_text(given.get("api_key_header"), "api_key_header") or "X-API-Key",
            token_url=_text(given.get("oauth2_token_url"), "oauth2_token_url"),
            client_id=_text(given.get("oauth2_client_id"), "oauth2_client_id"),
            client_secret=_text(given.get("oauth2_client_secret"), "oauth2_client_secret") or token,
            scope=_text(given.get("oauth2_scope"), "oauth2_scope"),
            audience=_text(given.get("oauth2_audience"), "oauth2_audience"),
            soap_version=_text(given.get("soap_version"), "soap_version") or "1.1",
            test_endpoint=_text(given.get("test_endpoint"), "test_endpoint"),
            max_response_bytes=_number(given.get("max_response_bytes"), "max_response_bytes", 0, 1, 2**30) or None,
            tls_ca=_text(given.get("tls_ca"), "tls_ca"),
        )
        options._require()
        return options

    def _require(self) -> None:
        if self.soap_version not in _SOAP_VERSIONS:
            raise ConnectionUnusable(f"soap_version must be {' or '.join(_SOAP_VERSIONS)}")
        if not _HEADER_NAME.fullmatch(self.api_key_header) or self.api_key_header.lower() in _OWN_HEADERS:
            raise ConnectionUnusable("api_key_header is no header's name that may be set")
        # Bearer is the column's default: a row that says nothing of a token is of an API that needs none.
        has_none = self.auth_type == "bearer" and not self.token
        if self.auth_type in ("bearer", "apikey") and not (
            has_none or (self.token and _HEADER_VALUE.fullmatch(self.token))
        ):
            raise ConnectionUnusable(f"api_auth_type {self.auth_type} needs api_auth_token, in plain ASCII")
        if self.auth_type == "basic" and (not self.username or ":" in self.username):
            raise ConnectionUnusable(
                "api_auth_type basic needs username and password, or `username:password` as api_auth_token"
            )
        if self.auth_type == "oauth2":
            if not (self.token_url and self.client_id and self.client_secret):
                raise ConnectionUnusable("api_auth_type oauth2 needs oauth2_token_url, -_client_id and -_client_secret")
            try:
                BaseUrl.of(self.token_url)
            except ConnectionUnusable:
                raise ConnectionUnusable("oauth2_token_url must be an HTTP address") from None

    def tls(self) -> ssl.SSLContext:
        """How servers prove who they are. Raises ConnectionUnusable for certificates that are none."""
        context = ssl.create_default_context()
        if self.tls_ca:
            try:
                context.load_verify_locations(cadata=self.tls_ca)
            except (ssl.SSLError, ValueError):
                raise ConnectionUnusable("tls_ca must be certificates as PEM text") from None
        return context

    def secrets(self) -> Iterator[str]:
        """Every text that must not be seen, in the spellings in which a server may send it back; longest first."""
        plain = {self.token, self.password, self.client_secret, *(value for _, value in self.headers)}
        plain |= {value for _, value in parse_qsl(self.base.query)}
        plain.add(f"{self.username}:{self.password}" if self.password else "")
        plain |= {part for text in plain for part in text.split() if part.lower() not in ("bearer", "basic", "token")}
        spelt = {secret for secret in plain if len(secret) >= _LEAST_SECRET}
        spelt |= {quote(secret, safe="") for secret in spelt} | {json.dumps(secret)[1:-1] for secret in spelt}
        spelt |= {b64encode(secret.encode()).decode() for secret in spelt}
        yield from sorted(spelt, key=len, reverse=True)


def _text(value: Any, name: str) -> str:
    if value is None:
        return ""
    if not isinstance(value, str) or "\x00" in value:
        raise ConnectionUnusable(f"{name} must be a text")
    return value


def _number(value: Any, name: str, default: int, least: int, most: int) -> int:
    if value is None:
        return default
    if type(value) is not int or not least <= value <= most:
        raise ConnectionUnusable(f"{name} must be a whole number from {least} to {most}")
    return value


def _headers(value: Any) -> tuple[tuple[str, str], ...]:
    if value is None:
        return ()
    if not isinstance(value, dict):
        raise ConnectionUnusable("headers must be an object of texts")
    for name, text in value.items():
        if not _HEADER_NAME.fullmatch(name) or name.lower() in _OWN_HEADERS:
            raise ConnectionUnusable(f"headers: {name[:50]!r} is no header that may be set")
        if not isinstance(text, str) or not _HEADER_VALUE.fullmatch(text):
            raise ConnectionUnusable(f"headers: {name[:50]!r} must be a text of one line in plain ASCII")
    return tuple(value.items())
