"""What a connection may say about how its system is reached, and what becomes of credentials when that changes."""

import json
from pathlib import Path
from typing import Any

import certifi
import pytest

from intertie.registry.v1 import registry_pb2
from intertie_chassis.errors import InvalidArgument
from intertie_registry import connection_convert, secrets
from intertie_registry.changes import applied_to_connection
from intertie_registry.model import Connection

FULL: dict[str, Any] = {
    "allowed_networks": ["10.1.0.0/16", "192.168.7.9", "fd12::/16"],
    "tls": "verify-full",
    "statement_seconds": 0.5,
    "api_key_header": "X-Token",
    "username": "ada",
    "password": "p4ss",
    "oauth2_token_url": "https://login.example/token?tenant=7",
    "oauth2_client_id": "client",
    "oauth2_client_secret": "s3cret",
    "oauth2_scope": "read write",
    "oauth2_audience": "https://api.example",
    "headers": {"Accept": "application/json", "X-Tenant": "t3nant", "Authorization": "Custom abc"},
    "test_endpoint": "/health?deep=1",
    "retries": 0,
    "soap_version": "1.2",
    "max_response_bytes": 1024,
}
SECRETS = ("p4ss", "s3cret", "t3nant", "abc")


def new_connection(config: dict[str, Any]) -> Connection:
    """Convert a creation."""
    body = json.dumps(config).encode()
    wire = registry_pb2.Connection(system="police", connection_type="api", config_json=body)
    return connection_convert.new_connection(registry_pb2.CreateConnectionRequest(connection=wire))


def refused(config: dict[str, Any]) -> set[str]:
    """The members of config_json at fault."""
    with pytest.raises(InvalidArgument) as error:
        new_connection(config)
    return {field.removeprefix("connection.config_json.") for field, _ in error.value.violations}


def test_everything_at_its_best() -> None:
    """Each member is taken as it is; null is none; certificates are looked at, and no key is kept with them."""
    end = "-----END CERTIFICATE-----\n"
    certificate = Path(certifi.where()).read_text(encoding="utf-8").partition(end)[0] + end
    config = {**FULL, "tls_ca": certificate}
    assert json.loads(new_connection(config).config_json) == config
    assert new_connection(dict.fromkeys(config)).config_json == ""
    assert refused({"tls_ca": certificate + "-----BEGIN PRIVATE KEY-----\n"}) == {"tls_ca"}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("allowed_networks", "10.0.0.0/8"),
        ("allowed_networks", [10]),
        ("allowed_networks", ["10.0.0.1/8"]),
        ("allowed_networks", ["localhost"]),
        ("allowed_networks", ["10.0.0.1"] * 101),
        ("tls", True),
        ("tls", "verify"),
        ("tls_ca", "/etc/ssl/ca.pem"),
        ("tls_ca", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
        ("tls_ca", ["x"]),
        ("statement_seconds", 0),
        ("statement_seconds", 301),
        ("statement_seconds", True),
        ("statement_seconds", "5"),
        ("retries", -1),
        ("retries", 6),
        ("retries", 1.0),
        ("headers", ["Accept: x"]),
        ("soap_version", 1.2),
        ("soap_version", "2.0"),
        ("max_response_bytes", 0),
        ("max_response_bytes", 2**30 + 1),
        ("api_key_header", "X Key"),
        ("api_key_header", "Host"),
        ("api_key_header", ""),
        ("username", "a:b"),
        ("username", ""),
        ("password", 5),
        ("oauth2_token_url", "http://"),
        ("oauth2_token_url", "https://u:p@login.example"),
        ("oauth2_token_url", "ftp://login.example"),
        ("oauth2_token_url", "https://login.example/#x"),
        ("oauth2_token_url", ["https://login.example"]),
        ("oauth2_client_secret", {"a": 1}),
        ("test_endpoint", "https://elsewhere.example/"),
        ("test_endpoint", "//elsewhere.example/"),
        ("test_endpoint", "/a/../../b"),
        ("test_endpoint", "/a\\b"),
        ("test_endpoint", ""),
    ],
)
def test_what_is_refused(key: str, value: Any) -> None:
    """By its name, and nothing else is."""
    assert refused({key: value}) == {key}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Host", "x"),
        ("content-length", "5"),
        ("Transfer-Encoding", "chunked"),
        ("X Y", "x"),
        ("X-Y", "a\r\nX-Z: b"),
        ("X-Y", "caf\u00e9"),
        ("X-Y", 5),
        ("Accept", None),
    ],
)
def test_headers_that_are_refused(name: str, value: Any) -> None:
    """What the connection makes itself, what would split a request, and what is no text."""
    assert refused({"headers": {"X-Fine": "x", name: value}}) == {f"headers.{name}"}


def test_all_faults_come_in_one_answer() -> None:
    """Beside those of how deliveries are verified, and what needs something else."""
    found = refused({"tls": 1, "retries": 9, "headers": {"Host": "x"}, "webhook_auth": "magic", "oauth2_scope": "read"})
    assert found == {"tls", "retries", "headers.Host", "webhook_auth", "oauth2_scope"}


@pytest.mark.parametrize("url", ["https://api.example/?key=1", "https://api.example?", "http://a\\b", "https://h:0"])
def test_base_urls_that_are_refused(url: str) -> None:
    """Endpoints cannot be joined to a query."""
    wire = registry_pb2.Connection(system="police", connection_type="api", api_base_url=url)
    with pytest.raises(InvalidArgument) as error:
        connection_convert.new_connection(registry_pb2.CreateConnectionRequest(connection=wire))
    assert [field for field, _ in error.value.violations] == ["connection.api_base_url"]


def test_no_secret_of_theirs_is_shown() -> None:
    """Which are set is told, what they are is not; the rest is shown."""
    message = connection_convert.connection_message(new_connection(FULL))
    assert not any(secret in str(message) for secret in SECRETS)
    assert set(message.secrets_set) == {
        f"config_json.{name}"
        for name in ("password", "oauth2_client_secret", "headers.X-Tenant", "headers.Authorization")
    }
    shown = json.loads(message.config_json)
    assert shown.keys() == FULL.keys() - {"password", "oauth2_client_secret"}
    assert shown["headers"] == {"Accept": "application/json"}


def test_headers_are_kept_replaced_and_removed() -> None:
    """As other secrets: what was read and edited loses none, null takes one away."""
    old = {"headers": {"Accept": "a", "X-Tenant": "t", "X-Key": "k"}}
    assert secrets.merged(old, secrets.redacted(old)) == old
    new = {"headers": {"Accept": "b", "X-Tenant": None, "X-More": "m"}}
    assert secrets.merged(old, new) == {"headers": {"Accept": "b", "X-More": "m", "X-Key": "k"}}
    assert secrets.merged({}, {"headers": {"X-Tenant": None}}) == {"headers": {}}


STORED = Connection(
    1, 1, "api", system="police", db_host="db.example", db_password="db", api_base_url="https://api.example",
    api_auth_token="token", config_json=json.dumps({**FULL, "webhook_secret": "w"}),
)  # fmt: skip


def test_another_host_gets_no_credentials() -> None:
    """Of an API or a database; what verifies deliveries stays."""
    after = applied_to_connection(STORED, {"api_base_url": "https://evil.example"})
    assert (after.api_auth_token, after.db_password) == ("", "db")
    assert not any(secret in after.config_json for secret in SECRETS)
    assert json.loads(after.config_json)["webhook_secret"] == "w"
    assert json.loads(after.config_json)["headers"] == {"Accept": "application/json"}
    after = applied_to_connection(STORED, {"db_host": "evil.example", "db_password": "new"})
    assert (after.api_auth_token, after.db_password) == ("token", "new")


def test_another_address_for_tokens_gets_no_credentials() -> None:
    """Neither the client's secret nor the token that may stand in for it, unless they are given anew."""
    shown = secrets.redacted(json.loads(STORED.config_json))
    same = applied_to_connection(STORED, {"config_json": {**shown, "retries": 1}})
    assert (same.api_auth_token, json.loads(same.config_json)["oauth2_client_secret"]) == ("token", "s3cret")
    moved = {**shown, "oauth2_token_url": "https://evil.example/token"}
    after = applied_to_connection(STORED, {"config_json": moved})
    assert after.api_auth_token == ""
    assert "oauth2_client_secret" not in json.loads(after.config_json)
    assert json.loads(after.config_json)["password"] == "p4ss"
    anew = {"config_json": {**moved, "oauth2_client_secret": "new"}, "api_auth_token": "given"}
    after = applied_to_connection(STORED, anew)
    assert (after.api_auth_token, json.loads(after.config_json)["oauth2_client_secret"]) == ("given", "new")
    without = {key: value for key, value in shown.items() if not key.startswith("oauth2")}
    assert applied_to_connection(STORED, {"config_json": without}).api_auth_token == "token"


def test_networks_and_tls_are_no_destination() -> None:
    """The host is the same, and so are its credentials."""
    shown = secrets.redacted(json.loads(STORED.config_json))
    after = applied_to_connection(STORED, {"config_json": {**shown, "allowed_networks": [], "tls": "off"}})
    assert after.api_auth_token == "token"
    assert all(secret in after.config_json for secret in SECRETS)
