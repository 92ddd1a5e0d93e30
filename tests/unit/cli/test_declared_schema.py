"""The schema for editors: valid, as the contracts and the services have it, and of one mind with `apply`."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator

from intertie.registry.v1 import registry_pb2
from intertie_cli.declared import config_schema, loaded, mapping_schema
from intertie_cli.declared.fields import FIELDS, SECTIONS
from intertie_cli.declared.schema import schema, text
from intertie_mapping import synchronisation
from intertie_registry import model, reaching, verification, webhook_options
from source_tree import ROOT

VALIDATOR = Draft7Validator(schema())
MESSAGES: dict[str, Any] = {
    "system": registry_pb2.System,
    "connection": registry_pb2.Connection,
    "mapping": registry_pb2.Mapping,
    "grant": registry_pb2.Grant,
}
#: what comes out only
REPORTED = {
    *("id", "created_at", "updated_at", "last_sync_at", "next_sync_at"),
    *("secrets_set", "last_connection_test", "connection_status", "connection_error"),
}
PAGE = (ROOT / "docs" / "configuration-in-git.md").read_text(encoding="utf-8")
EXAMPLE = ROOT / "docs" / "examples" / "integrations.yaml"
EXAMPLES = {
    "the example": EXAMPLE.read_text(encoding="utf-8"),
    **{
        f"block {number}": block
        for number, block in enumerate(re.findall(r"```yaml\n(version.*?)```", PAGE, re.DOTALL))
    },
}


def accepts(document: Any) -> bool:
    """Whether the schema finds nothing wrong."""
    return bool(VALIDATOR.is_valid(document))


def test_it_is_a_schema() -> None:
    """By the rules of its own dialect."""
    Draft7Validator.check_schema(json.loads(text()))


@pytest.mark.parametrize("kind", FIELDS)
def test_it_has_the_fields_of_the_contract(kind: str) -> None:
    """All that can be set, and no other but a connection's name."""
    contract = set(MESSAGES[kind].DESCRIPTOR.fields_by_name) - REPORTED
    assert {each.name for each in FIELDS[kind]} - {"name"} == contract  # type: ignore[index]


def test_it_has_the_words_that_the_services_take() -> None:
    """What a service refuses an editor underlines."""
    words = {(kind, each.name): each.words for kind, fields in FIELDS.items() for each in fields if each.words}
    assert words == {
        ("system", "system_type"): model.SYSTEM_TYPES,
        ("connection", "connection_type"): model.CONNECTION_TYPES,
        ("connection", "db_driver"): model.DB_DRIVERS,
        ("connection", "api_auth_type"): model.API_AUTH_TYPES,
        ("mapping", "sync_frequency"): model.SYNC_FREQUENCIES,
        ("grant", "access_type"): model.ACCESS_TYPES,
    }
    assert config_schema.WEBHOOK_AUTHS == verification.WEBHOOK_AUTHS
    assert config_schema.PUSH_AUTHS == verification.PUSH_AUTHS
    assert (config_schema.TLS_MODES, config_schema.SOAP_VERSIONS) == (reaching.TLS_MODES, reaching.SOAP_VERSIONS)


def test_it_knows_the_members_of_config_json() -> None:
    """All those that registry checks."""
    checked = set(reaching._CHECKS) | {
        "webhook_hmac",
        "webhook_handshakes",
        "webhook_response",
        "rate_limit",
        "max_in_flight",
    }
    assert checked <= set(config_schema.MEMBERS)
    hmac = config_schema.MEMBERS["webhook_hmac"][1]["properties"]
    handshake = config_schema.MEMBERS["webhook_handshakes"][1]["items"]["properties"]
    assert (set(hmac), set(handshake)) == (set(webhook_options._HMAC), set(webhook_options._HANDSHAKE))


def test_it_knows_the_mapping_language() -> None:
    """Each pagination with its own keys."""
    sync = mapping_schema.mapping_schema()["properties"]["sync"]["properties"]
    kinds = {
        each["properties"]["kind"]["const"]: set(each["properties"]) - {"kind"}
        for each in sync["pagination"]["anyOf"][1:]
    }
    assert kinds == {kind: set(keys) for kind, keys in synchronisation.PAGINATION_KINDS.items()}


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_of_the_documentation_are_right(tmp_path: Path, name: str) -> None:
    """For the schema, and for apply."""
    for document in yaml.safe_load_all(EXAMPLES[name]):
        assert [error.message for error in VALIDATOR.iter_errors(document)] == []
    file = tmp_path / "f.yaml"
    file.write_text(EXAMPLES[name], encoding="utf-8")
    variables = dict.fromkeys(re.findall(r"\$\{(\w+)", EXAMPLES[name]), "value")
    declared, problems, remarks = loaded.read([str(file)], variables)
    assert ([*problems, *remarks], bool(declared)) == ([], True)


def test_descriptions_are_everywhere() -> None:
    """An editor shows them where one writes."""
    for kind in FIELDS:
        properties = schema()["definitions"][kind]["properties"]
        assert all(each["description"] for each in properties.values())
    assert set(SECTIONS) < set(schema()["properties"])


SYSTEM, MAPPING = {"system_name": "a"}, {"system": "a", "mapping_name": "m", "target_table": "t"}
CONNECTION = {"system": "a", "name": "b", "connection_type": "api"}
GRANT = {"module_name": "m", "system": "a"}
WRONG: list[dict[str, Any]] = [
    {},
    {"version": 2},
    {"version": 1, "system": []},
    {"version": 1, "systems": [{}]},
    {"version": 1, "systems": [{"system_name": "a/b"}]},
    {"version": 1, "systems": [{**SYSTEM, "colour": "red"}]},
    {"version": 1, "systems": [{**SYSTEM, "system_type": "ftp"}]},
    {"version": 1, "systems": [{**SYSTEM, "is_active": 1}]},
    {"version": 1, "systems": [{**SYSTEM, "description": 5}]},
    {"version": 1, "connections": [{**CONNECTION, "db_port": 70_000}]},
    {"version": 1, "connections": [{**CONNECTION, "db_port": "5432"}]},
    {"version": 1, "connections": [{**CONNECTION, "db_password": ""}]},
    {"version": 1, "connections": [{**CONNECTION, "config_json": []}]},
    {"version": 1, "connections": [{**CONNECTION, "config_json": {"name": "c"}}]},
    {"version": 1, "mappings": [MAPPING]},
    {"version": 1, "mappings": [{**MAPPING, "mapping_config": {"colour": "red"}}]},
    {"version": 1, "mappings": [{**MAPPING, "mapping_config": {"field_mappings": {"a": 5}}}]},
    {"version": 1, "mappings": [{**MAPPING, "mapping_config": {"transformations": {"b": "shout"}}}]},
    {"version": 1, "mappings": [{**MAPPING, "mapping_config": {"sync": {"pagination": {"kind": "x"}}}}]},
    {"version": 1, "grants": [{**GRANT, "expires_at": "2027-01-31"}]},
    {"version": 1, "grants": [{**GRANT, "expires_at": "2027-01-31T12:00:00"}]},
    {"version": 1, "grants": [{**GRANT, "query_permissions": "all"}]},
]  # fmt: skip


@pytest.mark.parametrize("document", WRONG, ids=str)
def test_what_the_schema_refuses_apply_refuses(tmp_path: Path, document: dict[str, Any]) -> None:
    """And the other way round, as far as a schema can tell."""
    assert not accepts(document)
    file = tmp_path / "f.json"
    file.write_text(json.dumps(document))
    _, problems, _ = loaded.read([str(file)], {})
    assert problems
