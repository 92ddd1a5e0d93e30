"""Exported files: applied they change nothing, hold no credential, and are read by everybody as they were meant."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from intertie.registry.v1 import registry_pb2
from intertie_cli.declared import live, loaded, loader
from intertie_cli.declared.export import export
from intertie_cli.declared.live import State
from intertie_cli.declared.pairs import paired
from intertie_cli.declared.plan import Pruning, made
from intertie_cli.declared.yaml_text import written

AWKWARD = (
    *("no", "1e3", "0777", "12:30", "2026-01-01", "~", "null", "", " x", "x ", "${A}", "$${A}", "a: b", "#", "=", "<<"),
    *("two\nlines\n", "two\n  lines", "tabs\t", "\r\n", "é\u2028\x85", "🙂", "- x", "'", '"', "1_000", ".5", "|", "@a"),
)
HEADERS = {"Accept": "text/plain"}
CONFIG = {
    "allowed_networks": ["10.0.0.0/8"],
    "headers": HEADERS,
    "accounts": [{"user": "u"}, {"user": "v"}],
    "webhook_secret_previous_expires_at": "2026-12-01T00:00:00Z",
}
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
SECRETS = (
    "db_password",
    "config_json.webhook_secret",
    "config_json.webhook_secret_previous",
    "config_json.headers.X-Api.Key",
    "config_json.accounts[1].password",
)


def held(**fields: Any) -> State:
    """A state with two connections of one system, one with much to tell, and a mapping that reads through it."""
    connection = registry_pb2.Connection(
        id=4,
        system="1st system",
        connection_type="database",
        db_driver="sqlite",
        db_name="x.db",
        api_auth_type="bearer",
        api_timeout=30,
        config_json=json.dumps(CONFIG).encode(),
        is_active=False,
        secrets_set=SECRETS,
    )
    other = registry_pb2.Connection(
        id=5, system="1st system", connection_type="database", api_timeout=30, is_active=True
    )
    mapping = registry_pb2.Mapping(
        id=1,
        system="1st system",
        mapping_name="m",
        target_table="t",
        mapping_config=json.dumps(
            fields.get("mapping", {"constants": {"c": 1}, "sync": {"connection_id": 4}})
        ).encode(),
        is_active=True,
    )
    systems = [
        registry_pb2.System(system_name="1st system", description=fields.get("description", ""), is_active=True),
        registry_pb2.System(system_name="empty", is_active=True),
    ]
    grant = registry_pb2.Grant(module_name="x", system="empty", is_active=True, query_permissions=b'["a", "/b/*"]')
    grant.expires_at.FromJsonString("2027-01-31T12:00:00Z")
    return live.state(systems, [connection, other], [mapping], [grant])


def round_trip(state: State, tmp_path: Path, *, with_secrets: bool = True) -> list[Any]:
    """What applying an export would change, when registry says of all credentials that they are the same."""
    exported = export(state, (), with_secrets=with_secrets, schema="s.json")
    file = tmp_path / "f.yaml"
    file.write_text(exported.text, encoding="utf-8")
    declared, problems, remarks = loaded.read([str(file)], dict.fromkeys(exported.variables, "secret of nobody"))
    pairs, more = paired(declared, state)
    assert [*problems, *more, *remarks] == []
    same = {pair.declared.key: dict.fromkeys(pair.declared.secrets, "same") for pair in pairs}
    return list(made(pairs, state, same, Pruning()).changes)  # type: ignore[arg-type]


def test_an_export_is_no_change(tmp_path: Path) -> None:
    """Credentials in headers and lists included; which of them could not be left out is said."""
    assert round_trip(held(), tmp_path) == []


def test_credentials_come_as_variables(tmp_path: Path) -> None:
    """Each with a name of its own, each told what it is for; never what is only good for a while."""
    exported = export(held(), (), with_secrets=True, schema="")
    at, name = "_1ST_SYSTEM_DATABASE_4", "connection 1st system/database-4"
    assert exported.variables == {
        f"{at}_DB_PASSWORD": f"db_password of {name}",
        f"{at}_ACCOUNTS_1_PASSWORD": f"config_json.accounts[1].password of {name}",
        f"{at}_HEADERS_X_API_KEY": f"config_json.headers.X-Api.Key of {name}",
        f"{at}_WEBHOOK_SECRET": f"config_json.webhook_secret of {name}",
    }
    config = yaml.safe_load(exported.text)["connections"][0]["config_json"]
    assert config["headers"] == HEADERS | {"X-Api.Key": "${_1ST_SYSTEM_DATABASE_4_HEADERS_X_API_KEY}"}
    assert config["accounts"][1] == {"user": "v", "password": "${_1ST_SYSTEM_DATABASE_4_ACCOUNTS_1_PASSWORD}"}
    assert "previous" not in exported.text


def test_credentials_can_be_left_out(tmp_path: Path) -> None:
    """Then they stay as they are."""
    exported = export(held(), (), with_secrets=False, schema="")
    assert (exported.variables, exported.remarks, "${" in exported.text) == ({}, [], False)
    assert round_trip(held(), tmp_path, with_secrets=False) == []


def test_variables_of_the_same_name_are_told_apart() -> None:
    """`a-b` and `a.b` would be one."""
    connections = [
        registry_pb2.Connection(
            id=n, system=name, connection_type="api", secrets_set=["api_auth_token"], api_timeout=30
        )
        for n, name in enumerate(("a-b", "a.b"), 1)
    ]
    systems = [registry_pb2.System(system_name=name) for name in ("a-b", "a.b")]
    exported = export(live.state(systems, connections, [], []), (), with_secrets=True, schema="")
    assert list(exported.variables) == ["A_B_API_API_AUTH_TOKEN", "A_B_API_API_AUTH_TOKEN_2"]


def test_an_export_can_be_of_some_systems_and_is_the_same_each_time() -> None:
    """In an order that depends on names alone, and without times."""
    one = export(held(), ("empty",), with_secrets=True, schema="s.json").text
    assert list(yaml.safe_load(one)) == ["version", "systems", "grants"]
    assert one.startswith("# yaml-language-server: $schema=s.json\n")
    assert one == export(held(), ("empty",), with_secrets=True, schema="s.json").text


def test_what_is_no_json_is_left_out_and_told() -> None:
    """SQL may have left anything in a column."""
    broken = registry_pb2.Mapping(system="a", mapping_name="m", mapping_config=b"{oops")
    exported = export(
        live.state([registry_pb2.System(system_name="a")], [], [broken], []), (), with_secrets=True, schema=""
    )
    assert exported.remarks == ["mapping a/m is left out: its mapping_config is no JSON"]
    assert "mappings" not in exported.text


@pytest.mark.parametrize("text", AWKWARD)
def test_texts_come_back_as_they_were(tmp_path: Path, text: str) -> None:
    """As descriptions, and as keys and values of a mapping."""
    mapping = {"constants": {"c": text, "d": [text, {text: text}]}}
    assert round_trip(held(description=text, mapping=mapping), tmp_path) == []


@given(VALUES)
@settings(max_examples=150, deadline=None)
def test_any_json_comes_back_as_it_was(value: Any) -> None:
    """Through our reader; and what PyYAML, which knows the old rules, makes of its texts are texts."""
    text = written({"value": value})
    [document], problems = loader.load(text, "f")
    assert problems == []
    assert json.dumps(document.plain()) == json.dumps({"value": value})
    assert json.dumps(yaml.safe_load(text)) == json.dumps({"value": value})


def test_long_texts_stand_as_blocks() -> None:
    """So that a change of one line of an expression is a change of one line in git."""
    assert written({"a": "$join([\n  x,\n  y\n])\n"}) == "a: |\n  $join([\n    x,\n    y\n  ])\n"
