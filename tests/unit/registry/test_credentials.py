"""Credentials in rows: every secret of a connection is sealed, opened to the letter, and bound to where it belongs."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intertie_chassis.errors import InvalidArgument
from intertie_chassis.sealing import SealingKey
from intertie_chassis.sealing_sources import GivenKeys
from intertie_registry import secrets
from intertie_registry.changes import KEPT_UNTIL, applied_to_connection
from intertie_registry.credentials import Credentials, usable
from intertie_registry.model import Connection, digest
from intertie_registry.secret_spans import secret_spans

KEY = SealingKey("k1", b"1" * 32)
ON = Credentials(GivenKeys(KEY.line()))
OFF = Credentials(GivenKeys(KEY.line()), is_on=False)
CONFIG = """ {"webhook_secret" : "CANARY\\u00e9\\"}", "list": [1.10, {"password": {"deep": [1, {"b": "CANARY}"}]}}],
  "headers":{"X-Key":12.50,"Accept":"a/b", "L":[{"q":"CANARY","token":true}]},
  "token" :null, "secret":"", "n":-0.0, "big":1e400, "token": [ ], "a.b":{"cookie":false}} """
WHOLE = Connection(
    7, 1, "api", db_host="db.example", db_port=3306, db_name="police", db_username="reader", db_password="CANARY pass",
    api_base_url="https://api.example/v1", api_auth_token="CANARY token", config_json=CONFIG,
)  # fmt: skip
PATHS = {
    ("db_password",),
    ("api_auth_token",),
    ("config_json", "webhook_secret"),
    ("config_json", "list", 1, "password"),
    ("config_json", "headers", "X-Key"),
    ("config_json", "headers", "L"),
    ("config_json", "token"),
    ("config_json", "a.b", "cookie"),
}
KEYS = st.sampled_from(["token", "webhook_secret", "headers", "Accept", "X-A", "plain", 'a"b', "Password", "é"])
LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
JSON = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4))


def lost(connection: Connection) -> set[str]:
    """What could not be opened, by the last part of its path."""
    return {str(each.path[-1]) for each in ON.opened(connection).unreadable}


def test_every_secret_is_sealed_and_all_else_stays() -> None:
    """Texts, numbers, flags, objects and lists under a secret key, at any depth; opened, not one character differs."""
    row = ON.sealed(WHOLE)
    assert "CANARY" not in f"{row.db_password}{row.api_auth_token}{row.config_json}"
    assert {found.path for found in ON.look(row) if found.is_sealed} == PATHS
    config = json.loads(row.config_json)
    assert (config["list"][0], config["headers"]["Accept"], config["secret"]) == (1.1, "a/b", "")
    assert all(
        isinstance(value, str) for value in (config["token"], config["headers"]["X-Key"], config["a.b"]["cookie"])
    )
    assert ON.opened(row) == WHOLE
    assert ON.opened(row).config_json == CONFIG


@given(st.dictionaries(KEYS, JSON, max_size=5), st.sampled_from([None, 2]), st.booleans())
def test_any_configuration_comes_back(config: dict[str, Any], indent: int | None, ascii_only: bool) -> None:
    """And what is sealed is what would not be shown: the two rules agree."""
    text = json.dumps(config, indent=indent, ensure_ascii=ascii_only)
    row = ON.sealed(replace(WHOLE, config_json=text))
    assert ON.opened(row).config_json == text
    assert secrets.redacted(json.loads(row.config_json)) == secrets.redacted(config)
    assert len(secret_spans(text)) == len(list(secrets.paths(config, "")))
    assert all(found.is_sealed for found in ON.look(row))


@pytest.mark.parametrize("text", ["", "null", "[]", "no JSON", '{"token": "x"', "[" * 100_000])
def test_what_is_no_configuration_stays(text: str) -> None:
    """SQL may have written anything."""
    assert ON.opened(ON.sealed(replace(WHOLE, config_json=text))).config_json == text


def test_a_clear_text_that_looks_sealed() -> None:
    """A call's is sealed like any other, also where sealing is off, since nobody could read it otherwise."""
    for credentials in (ON, OFF):
        wanted = replace(WHOLE, db_password="sealed:v1:k1:x", config_json='{"webhook_secret": "sealed:v9:"}')
        row = credentials.sealed(wanted)
        assert credentials.opened(row) == wanted
        assert row.db_password != wanted.db_password


def test_an_sql_text_that_looks_sealed_is_closed() -> None:
    """It is no password: whoever reads the database must not be able to send it."""
    opened = ON.opened(replace(WHOLE, db_password="sealed:v1:k1:x", config_json='{"webhook_secret": "sealed:v1:"}'))
    assert len(opened.unreadable) == 2
    assert usable(opened).db_password == ""
    assert json.loads(usable(opened).config_json) == {"webhook_secret": None}


@pytest.mark.parametrize(
    ("change", "closed"),
    [
        ({"id": 8}, {str(path[-1]) for path in PATHS}),
        ({"db_host": "evil.example"}, {"db_password"}),
        ({"db_port": 3307}, {"db_password"}),
        ({"db_name": "other"}, {"db_password"}),
        ({"db_driver": "postgresql"}, {"db_password"}),
        ({"api_base_url": "https://evil.example/v1"}, {"api_auth_token", "password", "X-Key", "L", "token", "cookie"}),
        ({"api_base_url": "http://api.example/v1"}, {"api_auth_token", "password", "X-Key", "L", "token", "cookie"}),
        ({"api_base_url": "https://API.example:443/v2"}, set()),
        ({"db_username": "other", "api_timeout": 9, "is_active": False, "connection_type": "rest"}, set()),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else None,
)
def test_a_redirected_credential_does_not_open(change: dict[str, Any], closed: set[str]) -> None:
    """SQL that points a row elsewhere does not take its credentials along; what verifies deliveries stays."""
    assert lost(replace(ON.sealed(WHOLE), **change)) == closed


def test_who_gives_out_tokens_is_a_destination() -> None:
    """The client's secret, and the token that may stand in for it, are sent there."""
    config = '{"oauth2_token_url": "https://id.example/token", "oauth2_client_secret": "x", "webhook_secret": "y"}'
    row = ON.sealed(replace(WHOLE, config_json=config))
    moved = replace(row, config_json=row.config_json.replace("id.example", "evil.example"))
    assert lost(moved) == {"api_auth_token", "oauth2_client_secret"}


def test_credentials_that_change_places_do_not_open() -> None:
    """Within a row, too: a webhook's secret, which its senders know, must not become the token that is sent out."""
    row = ON.sealed(replace(WHOLE, config_json='{"webhook_secret": "a", "webhook_secret_previous": "b"}'))
    config = json.loads(row.config_json)
    swapped = {"webhook_secret": config["webhook_secret_previous"], "webhook_secret_previous": config["webhook_secret"]}
    assert lost(replace(row, config_json=json.dumps(swapped))) == set(config)
    assert lost(replace(row, api_auth_token=row.db_password)) == {"api_auth_token"}


def test_what_cannot_be_opened_is_kept() -> None:
    """A change of something else writes it back as it stands: its key may come again."""
    row = ON.sealed(WHOLE)
    stranger = Credentials(GivenKeys(SealingKey("k2", b"2" * 32).line()))
    opened = stranger.opened(row)
    assert all(each.is_key_missing for each in opened.unreadable)
    again = stranger.sealed(replace(opened, api_timeout=9), row)
    assert ON.opened(again) == replace(WHOLE, api_timeout=9)
    moved = replace(opened, api_auth_token=opened.db_password)
    assert stranger.opened(stranger.sealed(moved, row)).api_auth_token in {each.stored for each in moved.unreadable}
    assert ON.opened(stranger.sealed(moved, row)).unreadable[0].path == ("api_auth_token",)
    anew = stranger.opened(stranger.sealed(replace(opened, db_password="new"), row))
    assert anew.db_password == "new"
    assert len(anew.unreadable) == len(PATHS) - 1


def test_a_secret_that_cannot_be_opened_is_not_kept_beside_a_new_one() -> None:
    """What stands in its place is known to all who read the row; the new one takes its place."""
    lost = ON.opened(replace(ON.sealed(replace(WHOLE, config_json='{"webhook_secret":"old"}')), id=8))
    new = {"config_json": {"webhook_secret": "new"}}
    with pytest.raises(InvalidArgument, match="none to keep"):
        applied_to_connection(lost, {**new, KEPT_UNTIL: "2030-01-01T00:00:00Z"})
    row = ON.sealed(applied_to_connection(lost, new))
    assert json.loads(ON.opened(row).config_json) == {"webhook_secret": "new"}


def test_where_sealing_is_off() -> None:
    """New values are clear, for those who read the rows; what stands sealed stays so until it is changed."""
    assert OFF.sealed(WHOLE) == WHOLE
    row = ON.sealed(WHOLE)
    changed = OFF.sealed(replace(OFF.opened(row), api_auth_token="new", api_timeout=9), row)
    assert changed.api_auth_token == "new"
    assert {found.path for found in OFF.look(changed) if found.is_sealed} == PATHS - {("api_auth_token",)}
    assert OFF.opened(changed) == replace(WHOLE, api_auth_token="new", api_timeout=9)


def test_digests_are_of_what_is_stored() -> None:
    """So that replicas with other keys agree on them, and nobody tries passwords on them."""
    row = ON.sealed(WHOLE)
    assert digest(ON.opened(row)) == digest(row) != digest(WHOLE)
    assert digest(Credentials(None).opened(row)) == digest(row)
