"""Secrets in a config_json: recognised, left out, kept."""

import pytest

from intertie_registry import secrets


@pytest.mark.parametrize(
    "key",
    [
        "webhook_secret",
        "webhook_secret_previous",
        "clientSecret",
        "API-Key",
        "access_token",
        "Authorization",
        "password",
    ],
)
def test_secret_keys(key: str) -> None:
    """Whatever its spelling, a key that names a credential is secret."""
    assert secrets.is_secret(key)


@pytest.mark.parametrize(
    "key",
    ["webhook_auth", "push_auth", "webhook_secret_previous_expires_at", "token_url", "allowed_networks", "region"],
)
def test_other_keys(key: str) -> None:
    """What is said about a secret is none."""
    assert not secrets.is_secret(key)


def test_nothing_secret_is_left_at_any_depth() -> None:
    """Objects and lists are gone through."""
    text = '{"webhook_secret":"a","oauth":{"client_secret":"b","scope":"c"},"keys":[{"api_key":"d","id":1}]}'
    assert secrets.redacted_text(text) == '{"oauth":{"scope":"c"},"keys":[{"id":1}]}'
    assert list(secrets.paths(secrets.parse(text), "config_json")) == [
        "config_json.webhook_secret",
        "config_json.oauth.client_secret",
        "config_json.keys[0].api_key",
    ]


@pytest.mark.parametrize("text", ["", "{broken webhook_secret: x", '["webhook_secret"]', "[" * 5000])
def test_what_is_no_object_is_not_shown(text: str) -> None:
    """In what cannot be read nobody can tell the secrets from the rest."""
    assert secrets.redacted_text(text) == ""


def test_an_update_keeps_the_secrets_that_it_does_not_name() -> None:
    """Named: replaced; null: removed; not named: kept, also inside an object that both have."""
    old = {"webhook_secret": "a", "api_key": "b", "oauth": {"client_secret": "c", "scope": "d"}, "region": "n"}
    new = {"webhook_secret": "A", "api_key": None, "oauth": {"scope": "e"}}
    assert secrets.merged(old, new) == {"webhook_secret": "A", "oauth": {"scope": "e", "client_secret": "c"}}


def test_what_was_read_can_be_written_back() -> None:
    """Redacted and merged again, nothing changes."""
    old = {"webhook_secret": "a", "oauth": {"client_secret": "c"}, "region": "n"}
    assert secrets.merged(old, secrets.redacted(old)) == old


def test_urls_are_shown_without_their_user() -> None:
    """SQL may have written one with credentials."""
    assert secrets.shown_url("https://u:p@host:8/x?y=1") == "https://host:8/x?y=1"
    assert secrets.shown_url("https://host/a@b") == "https://host/a@b"
    assert secrets.shown_url("https://[@") == ""


def test_a_list_keeps_its_secrets_while_it_is_the_same_without_them() -> None:
    """In another one nobody can tell whose they were."""
    old = {"accounts": [{"user": "a", "password": "A"}, {"user": "b", "password": "B"}], "lists": [[{"token": "t"}]]}
    assert secrets.merged(old, secrets.redacted(old)) == old
    renewed = {
        "accounts": [{"user": "a", "password": "N"}, {"user": "b", "password": None}],
        "lists": [[{"token": "t"}]],
    }
    assert secrets.merged(old, renewed)["accounts"] == [{"user": "a", "password": "N"}, {"user": "b"}]
    turned = {"accounts": [{"user": "b"}, {"user": "a"}]}
    assert secrets.merged(old, turned) == turned
