"""What pull makes of the stored configuration: whatever is stored compiles, and a fault closes what it belongs to."""

import pytest

from ingest_samples import mapping
from intertie_ingest import errors
from intertie_ingest.configuration import StoredConnection, StoredGrant, StoredSystem
from intertie_ingest.pull.configuration import PullConfiguration, PullSystem, compile_pull_system
from intertie_ingest.pull.snapshot import PullSnapshot
from intertie_ingest.snapshot import Change

DATABASE = StoredConnection(3, True, b"{}", "database", db_host="db", db_password="db_password")
SECOND = StoredConnection(4, True, b'{"tls": "require"}', "database", db_driver="postgresql")
API = StoredConnection(5, True, b"", "rest", api_base_url="https://api.example.com", api_auth_token="api_token")


def compiled(
    *connections: StoredConnection, name: str = "police", is_active: bool = True, **rest: object
) -> PullSystem:
    return compile_pull_system(StoredSystem(1, name, is_active, connections, **rest))  # type: ignore[arg-type]


def test_the_first_active_connection_of_the_fitting_type_is_chosen() -> None:
    """By number any active one of the system; one of the other type or inactive is as if it were not there."""
    system = compiled(API, SECOND, DATABASE, StoredConnection(1, False, b"", "database"))
    configuration = PullConfiguration.of([system])
    assert configuration.database_of(system, 0).id == 3
    assert configuration.database_of(system, 4).id == 4
    assert configuration.api_of(system, None).id == 5
    for number in (1, 5, 99):
        with pytest.raises(errors.ConnectionNotFound):
            configuration.database_of(system, number)
    with pytest.raises(errors.NoConnection):
        configuration.api_of(compiled(DATABASE), 0)


def test_what_is_not_given_has_the_defaults_of_the_schema() -> None:
    """Driver, auth type and time limit."""
    system = compiled(DATABASE, API)
    assert (system.connections[0].db_driver, system.connections[1].api_timeout) == ("mysql", 30)
    assert system.connections[1].api_auth_type == "bearer"


@pytest.mark.parametrize("text", [b"{oops", b"[1]", b'"text"'])
def test_an_unreadable_configuration_closes_its_connection_alone(text: bytes) -> None:
    """It may have been meant to say which networks are allowed."""
    system = compiled(StoredConnection(2, True, text, "database"), DATABASE)
    assert system.connections[0].problem
    assert not system.connections[1].problem
    assert system.problems[0].startswith("connection 2: config_json is not")


def test_inactive_grants_count_as_none_and_an_unknown_access_type_allows_nothing() -> None:
    """Neither reading nor writing."""
    grants = (
        StoredGrant("events", "read", True),
        StoredGrant("surveys", "read_write", False),
        StoredGrant("legal", "everything", True),
        StoredGrant("health", "read_write", True),
    )
    system = compiled(DATABASE, grants=grants)
    assert [(name, grant.covers("read"), grant.covers("write")) for name, grant in system.grants.items()] == [
        ("events", True, False),
        ("legal", False, False),
        ("health", True, True),
    ]
    assert "'everything'" in system.problems[0]


def test_a_mapping_at_fault_keeps_its_place_and_says_why() -> None:
    """Of one whose `sync` is wrong, and of one that is no JSON."""
    system = compiled(
        DATABASE,
        mappings=(
            mapping(1, "fine", sync={"cursor_field": "updated_at", "page_size": 10}),
            mapping(2, "wrong", sync={"page_size": 0}),
            mapping(3, "broken", config=b"{oops"),
        ),
    )
    fine, wrong, broken = system.mappings
    assert fine.synchronisation is not None
    assert (fine.synchronisation.cursor_field, fine.synchronisation.page_size, fine.problem) == ("updated_at", 10, "")
    assert (wrong.synchronisation, broken.synchronisation, broken.plan) == (None, None, None)
    assert "page_size" in wrong.problem
    assert broken.fault is not None
    assert broken.problem == broken.fault.message


def test_systems_and_mappings_are_found_by_name_where_they_are_active() -> None:
    """An inactive system does not hide the active one of its name."""
    active = compile_pull_system(
        StoredSystem(2, "police", True, mappings=(mapping(1, "on"), mapping(2, "off", is_active=False)))
    )
    configuration = PullConfiguration.of(
        [compiled(name="police", is_active=False), active, compiled(name="old", is_active=False)]
    )
    assert configuration.system("police") is active
    assert configuration.mapping(active, "on").id == 1
    for name in ("old", "nobody"):
        with pytest.raises(errors.SystemNotFound):
            configuration.system(name)
    with pytest.raises(errors.MappingNotFound):
        configuration.mapping(active, "off")


def test_no_secret_shows() -> None:
    """Neither as stored nor as compiled."""
    system = compiled(
        DATABASE, StoredConnection(6, True, b'{"password": "api_password"}', "rest", api_auth_token="api_token")
    )
    shown = repr(system) + repr(DATABASE) + repr(API)
    assert not [secret for secret in ("db_password='db", "api_token", "api_password") if secret in shown]


async def test_whoever_waits_is_given_the_next_configuration() -> None:
    """Any number of them, also those that come late."""
    snapshot = PullSnapshot()
    snapshot.apply(Change((StoredSystem(1, "a", True),), is_snapshot=True))
    first = await snapshot.other_than(None)
    snapshot.apply(Change((StoredSystem(2, "b", True),)))
    assert sorted((await snapshot.other_than(first)).by_name) == ["a", "b"]
