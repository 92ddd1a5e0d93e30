"""What is to be done so that registry holds what files declare: created, changed, switched off, in which order."""

import json
from pathlib import Path
from typing import Any

import pytest

from intertie.registry.v1 import registry_pb2
from intertie_cli.declared import live, loaded, messages, plan_text
from intertie_cli.declared.credential_changes import Compared
from intertie_cli.declared.live import State
from intertie_cli.declared.pairs import Pair, paired
from intertie_cli.declared.plan import Plan, Prune, Pruning, made, second_verifiers

KEEP = Pruning()
OFF = Pruning(Prune.DEACTIVATE)
GONE = Pruning(Prune.DELETE, systems=True)

HELD = live.state(
    [registry_pb2.System(id=n, system_name=name, system_type="api", is_active=True) for n, name in enumerate("ab", 1)],
    [
        registry_pb2.Connection(
            id=1,
            system="a",
            connection_type="rest",
            db_driver="mysql",
            api_auth_type="bearer",
            api_base_url="https://h.example",
            api_timeout=30,
            config_json=b'{"retries": 1, "headers": {"Accept": "text/plain"}}',
            is_active=True,
            secrets_set=["api_auth_token", "config_json.webhook_secret", "config_json.headers.X-Key"],
        )
    ],
    [
        registry_pb2.Mapping(
            id=1,
            system="a",
            mapping_name="m",
            target_table="t",
            mapping_config=b'{"constants": {"c": 1}, "sync": {"connection_id": 1}}',
            sync_frequency="manual",
            is_active=True,
        )
    ],
    [registry_pb2.Grant(id=1, module_name="x", system="a", access_type="read", is_active=True)],
)

CONSTANT = {"constants": {"c": 1}}

FILE: dict[str, Any] = {
    "version": 1,
    "systems": [{"system_name": "a"}],
    "connections": [
        {
            "system": "a",
            "name": "rest",
            "connection_type": "rest",
            "api_base_url": "https://h.example",
            "config_json": {"retries": 1, "headers": {"Accept": "text/plain"}},
        }
    ],
    "mappings": [
        {
            "system": "a",
            "mapping_name": "m",
            "target_table": "t",
            "mapping_config": {"sync": {"connection": "rest"}, "constants": {"c": 1}},
        }
    ],
    "grants": [{"module_name": "x", "system": "a"}],
}


def changed(section: str, **values: Any) -> dict[str, Any]:
    """The file with other values of the one part of a section."""
    return {**FILE, section: [{**FILE[section][0], **values}]}


def pairs_of(tmp_path: Path, file: dict[str, Any], state: State = HELD) -> list[Pair]:
    """What a file declares that nothing is wrong with, beside what is there."""
    path = tmp_path / "f.json"
    path.write_text(json.dumps(file))
    declared, problems, _ = loaded.read([str(path)], {"HOST": "other.example"})
    pairs, more = paired(declared, state)
    assert [*problems, *more] == []
    return pairs


def planned(
    tmp_path: Path, file: dict[str, Any], pruning: Pruning = KEEP, state: State = HELD, compared: Compared = "same"
) -> Plan:
    """The plan for a file, when registry says this of all credentials."""
    pairs = pairs_of(tmp_path, file, state)
    verdict = {pair.declared.key: dict.fromkeys(pair.declared.secrets, compared) for pair in pairs}
    return made(pairs, state, verdict, pruning)


def shown(plan: Plan) -> list[str]:
    """The plan as people see it, without the last line."""
    return [line for change in plan.changes for line in plan_text.lines(change)]


def test_what_is_as_declared_stays(tmp_path: Path) -> None:
    """Whatever the order of members; credentials that are left out count as they are."""
    plan = planned(tmp_path, FILE)
    assert (shown(plan), plan.unchanged) == ([], 4)
    assert plan_text.summary(plan) == "No changes: 4 parts as declared."


def test_changes_are_shown_field_by_field(tmp_path: Path) -> None:
    """What is left out has its default again; what holds a variable is shown as written, what it replaces is not."""
    connection = changed("connections", api_base_url="https://${HOST}", api_timeout=5, config_json={"retries": 2})
    lines = shown(planned(tmp_path, connection))
    assert lines[0] == "~ connection a/rest"
    assert '    api_base_url: (not shown) → "https://${HOST}"' in lines
    assert "    api_timeout: 30 → 5" in lines
    assert "    config_json.retries: 1 → 2" in lines
    assert '    config_json.headers: {"Accept": "text/plain"} → (left out)' in lines
    mapping = changed("mappings", mapping_config={"constants": {"c": "1", "d": None}})
    assert shown(planned(tmp_path, mapping)) == [
        "~ mapping a/m",
        '    mapping_config.constants.c: 1 → "1"',
        "    mapping_config.constants.d: null",
        '    mapping_config.sync: {"connection": "rest"} → (left out)',
    ]


def test_long_values_are_shown_by_the_lines_that_differ(tmp_path: Path) -> None:
    """Else nobody would see what changes in a long expression."""
    text = "\n".join(f"line {number}" for number in range(20))
    held = live.state(
        [registry_pb2.System(system_name="a", system_type="api", description=text, is_active=True)], [], [], []
    )
    file = {"version": 1, "systems": [{"system_name": "a", "description": text.replace("line 10", "other")}]}
    assert shown(planned(tmp_path, file, state=held))[1:] == [
        "    description:",
        *(f"      {line}" for line in (" line 8", " line 9", "-line 10", "+other", " line 11", " line 12")),
    ]


@pytest.mark.parametrize(
    ("compared", "lines"),
    [
        ("same", []),
        ("differing", ["~ connection a/rest", "    api_auth_token: (secret changed)"]),
        (
            "unknown",
            ["~ connection a/rest", "    api_auth_token: (secret written; registry cannot say whether it differs)"],
        ),
    ],
)
def test_credentials_are_never_shown(tmp_path: Path, compared: Compared, lines: list[str]) -> None:
    """Only whether they change, as registry says."""
    plan = planned(tmp_path, changed("connections", api_auth_token="t0k3n"), compared=compared)
    assert shown(plan) == lines
    assert "t0k3n" not in repr(plan)


def test_credentials_that_go_are_told(tmp_path: Path) -> None:
    """Null takes one away; a changed destination, or the loss of the object around it, those that are not given."""
    away = changed("connections", api_auth_token=None)
    assert "    api_auth_token: (secret taken away)" in shown(planned(tmp_path, away))
    lost = "(secret taken away: what it belongs to changes, and it is not given)"
    moved = shown(planned(tmp_path, changed("connections", api_base_url="https://n.example", api_auth_token="new")))
    assert f"    config_json.headers.X-Key: {lost}" in moved
    assert not any("webhook_secret" in line for line in moved)
    without = shown(planned(tmp_path, changed("connections", config_json={"retries": 1})))
    assert f"    config_json.headers.X-Key: {lost}" in without
    assert not any("api_auth_token" in line for line in without)


def test_what_a_rotation_leaves_stays(tmp_path: Path) -> None:
    """A secret that is good for a while longer is no difference, and its end is sent along."""
    config = b'{"webhook_secret_previous_expires_at": "2026-12-01T00:00:00Z"}'
    held = live.state(
        [registry_pb2.System(system_name="a", system_type="api", is_active=True)],
        [registry_pb2.Connection(id=7, system="a", connection_type="api", config_json=config, is_active=True,
                                 api_timeout=30, api_auth_type="bearer", db_driver="mysql",
                                 secrets_set=["config_json.webhook_secret", "config_json.webhook_secret_previous"])],
        [],
        [],
    )  # fmt: skip
    connection = {"system": "a", "name": "api", "connection_type": "api", "config_json": {"webhook_secret": "s"}}
    file = {"version": 1, "connections": [connection]}
    assert shown(planned(tmp_path, file, state=held)) == []
    sent = messages.connection(pairs_of(tmp_path, file, held)[0])
    assert json.loads(sent.config_json) == {"webhook_secret": "s", **json.loads(config)}


def test_pruning_is_asked_for_and_stays_within_declared_systems(tmp_path: Path) -> None:
    """Nothing goes by itself; then parts of declared systems, and whole systems only when that is said."""
    only_system = {"version": 1, "systems": FILE["systems"]}
    assert shown(planned(tmp_path, only_system)) == []
    assert shown(planned(tmp_path, only_system, OFF)) == [
        "- connection a/rest (switch off)",
        "- grant x/a (switch off)",
        "- mapping a/m (switch off)",
    ]
    assert shown(planned(tmp_path, FILE, GONE)) == ["- system b (delete)"]
    assert shown(planned(tmp_path, {"version": 1, "grants": FILE["grants"]}, OFF)) == []
    assert shown(planned(tmp_path, {"version": 1}, GONE)) == []


def test_things_are_made_before_what_needs_them_and_go_after_it(tmp_path: Path) -> None:
    """And a connection that verifies goes before another one takes its place."""
    file = {
        "version": 1,
        "grants": [{"module_name": "y", "system": "c"}],
        "mappings": [{"system": "c", "mapping_name": "n", "target_table": "t", "mapping_config": CONSTANT}],
        "connections": [
            {"system": "a", "name": "other", "connection_type": "api", "config_json": {"webhook_auth": "none"}},
            {"system": "c", "name": "k", "connection_type": "api"},
        ],
        "systems": [{"system_name": "a"}, {"system_name": "c"}],
    }  # fmt: skip
    plan = planned(tmp_path, file, GONE)
    assert [f"{change.action} {change.title}" for change in plan.changes] == [
        "create system c",
        "delete connection a/rest",
        "create connection a/other",
        "create connection c/k",
        "create mapping c/n",
        "create grant y/c",
        "delete grant x/a",
        "delete mapping a/m",
        "delete system b",
    ]
    assert second_verifiers(pairs_of(tmp_path, file), HELD, plan) == []
    [problem] = second_verifiers(pairs_of(tmp_path, file), HELD, planned(tmp_path, file))
    assert "connection a/rest says already" in problem.text


def unnamed(*numbers: int, **config: str) -> State:
    """A state with connections of one system and type that have no names, and perhaps one that has."""
    rest = [registry_pb2.Connection(id=n, system="a", connection_type="rest", is_active=True) for n in numbers]
    if config:
        rest.append(
            registry_pb2.Connection(id=99, system="a", connection_type="rest", config_json=json.dumps(config).encode())
        )
    return live.state([registry_pb2.System(system_name="a")], rest, [], [])


def test_connections_without_a_name_are_known_by_their_type(tmp_path: Path) -> None:
    """By type and number where several have it; which stays true when only one is left."""

    def found(name: str, state: State) -> Any:
        path = tmp_path / "f.json"
        path.write_text(
            json.dumps({"version": 1, "connections": [{"system": "a", "name": name, "connection_type": "rest"}]})
        )
        declared, _, _ = loaded.read([str(path)], {})
        pairs, problems = paired(declared, state)
        return problems[0].text if problems else pairs[0].live and pairs[0].live.id

    assert found("rest", unnamed(3)) == 3
    assert found("rest-3", unnamed(3)) == 3
    assert found("rest-3", unnamed(3, 5)) == 3
    assert (
        found("rest", unnamed(3, 5))
        == "registry has several that connection a/rest may mean (3, 5); name one by its type and number, as rest-3"
    )
    assert found("rest", unnamed(3, name="rest")) == 99
    assert found("mine", unnamed(3, name="mine")) == 99
    assert found("new", unnamed(3)) is None


def test_a_new_connection_keeps_its_name_and_an_old_one_gets_none(tmp_path: Path) -> None:
    """In config_json, where SQL may look for it, too."""
    created, known = pairs_of(tmp_path, changed("connections", name="new"))[1], pairs_of(tmp_path, FILE)[1]
    assert json.loads(messages.connection(created).config_json)["name"] == "new"
    assert "name" not in json.loads(messages.connection(known).config_json)
    assert (messages.connection(created).id, messages.connection(known).id) == (0, 1)


def test_names_that_nothing_has_are_told(tmp_path: Path) -> None:
    """A system, and a connection that a mapping reads through."""
    file = {
        "version": 1,
        "grants": [{"module_name": "x", "system": "none"}],
        "mappings": [
            {**FILE["mappings"][0], "mapping_config": {"constants": {"c": 1}, "sync": {"connection": "none"}}}
        ],
    }
    path = tmp_path / "f.json"
    path.write_text(json.dumps(file))
    declared, _, _ = loaded.read([str(path)], {})
    _, problems = paired(declared, HELD)
    assert sorted(problem.text for problem in problems) == [
        "a has no connection none, here or in registry, or several",
        "no system none is there, here or in registry",
    ]


def test_two_that_verify_already_are_left_alone(tmp_path: Path) -> None:
    """SQL may have made them; a third, or a change of one of them, is refused before anything is done."""
    held = live.state(
        [registry_pb2.System(system_name="a", system_type="api", is_active=True)],
        [
            registry_pb2.Connection(id=n, system="a", connection_type=kind, config_json=b'{"webhook_auth": "none"}',
                                    api_timeout=30, api_auth_type="bearer", db_driver="mysql", is_active=True)
            for n, kind in enumerate(("api", "soap"), 1)
        ],
        [],
        [],
    )  # fmt: skip

    def faults(**values: Any) -> list[str]:
        part = {"system": "a", "config_json": {"webhook_auth": "none"}}
        api, soap = ({**part, "name": each, "connection_type": each} for each in ("api", "soap"))
        file = {"version": 1, "connections": [{**api, **values}, soap]}
        pairs = pairs_of(tmp_path, file, held)
        same = {pair.declared.key: dict.fromkeys(pair.declared.secrets, "same") for pair in pairs}
        return [each.text for each in second_verifiers(pairs, held, made(pairs, held, same, KEEP))]

    assert faults() == []
    assert faults(api_timeout=5) == ["connection a/soap says already how what a sends is verified"]
    assert faults(is_active=False) == []
