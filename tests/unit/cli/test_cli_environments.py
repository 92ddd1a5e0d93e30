"""What each process of `intertie up` finds in its environment: no keys but its own, and where ingest keeps things."""

import pytest

from intertie_cli.supervisor import PARTS, environment_of

GIVEN = {"INTERTIE_DATA_DIR": "/data", "INTERTIE_LOG_LEVEL": "debug"}
FILE, KEY, HOURS = (f"INTERTIE_INGEST_SNAPSHOT_{name}" for name in ("FILE", "KEY_FILE", "HOURS"))


def environments(**more: str) -> dict[str, dict[str, str]]:
    """Of each part, by its name."""
    return {part.name: environment_of(part, {**GIVEN, **more}) for part in PARTS}


def test_registry_alone_has_the_keys() -> None:
    """However they are given."""
    keys = {f"INTERTIE_SECRETS_KEYS{kind}": "x" for kind in ("", "_FILE", "_COMMAND")}
    found = environments(**keys)
    assert found.pop("registry") == {**GIVEN, **keys}
    assert not [name for environment in found.values() for name in environment if "SECRETS_KEYS" in name]


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({}, {FILE: "/data/ingest-snapshot.sealed"}),
        ({FILE: ""}, {FILE: "/data/ingest-snapshot.sealed"}),
        ({FILE: "/elsewhere"}, {FILE: "/elsewhere"}),
        ({HOURS: "0"}, {FILE: "/data/ingest-snapshot.sealed", HOURS: "0"}),
        # Keys elsewhere: a key of ingest's beside the file would open what theirs is to keep closed.
        ({"INTERTIE_SECRETS_KEYS_COMMAND": "c"}, {FILE: "/data/ingest-snapshot.sealed", HOURS: "0"}),
        ({"INTERTIE_SECRETS_KEYS": "", HOURS: "3"}, {FILE: "/data/ingest-snapshot.sealed", HOURS: "3"}),
        ({"INTERTIE_SECRETS_KEYS": "x", FILE: "/elsewhere"}, {FILE: "/elsewhere"}),
        ({"INTERTIE_SECRETS_KEYS": "x", KEY: "/key"}, {FILE: "/data/ingest-snapshot.sealed", KEY: "/key"}),
    ],
)
def test_ingest_keeps_its_configuration(given: dict[str, str], wanted: dict[str, str]) -> None:
    """In the data directory, where nothing is weakened by it, unless told otherwise; no other part is told of it."""
    found = environments(**given)
    assert {name: value for name, value in found["ingest"].items() if "SNAPSHOT" in name} == wanted
    assert FILE not in found["mapper"] or found["mapper"][FILE] == given.get(FILE)
