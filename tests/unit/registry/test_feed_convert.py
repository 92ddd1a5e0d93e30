"""The feed's messages: parts of a bounded size, marks, and secrets for those who need them."""

from intertie_registry import feed_convert
from intertie_registry.model import Connection, Mapping, System, SystemImage, difference

SECRET = SystemImage(System(1, "police"), connections=(Connection(1, 1, "api", config_json='{"webhook_secret":"s"}'),))


def images(count: int, config: str = "{}") -> dict[int, SystemImage]:
    """So many systems with a mapping each."""
    return {
        number: SystemImage(System(number, f"s{number}"), mappings=(Mapping(number, number, "m", "t", config),))
        for number in range(1, count + 1)
    }


def test_an_empty_snapshot_is_complete() -> None:
    """A watcher must learn that there is nothing, too."""
    [message] = feed_convert.snapshot({}, with_secrets=True)
    assert (message.snapshot, message.complete, len(message.systems)) == (True, True, 0)


def test_a_snapshot_comes_in_parts() -> None:
    """At most 500 systems or a MiB each; only the last is complete; nothing is lost."""
    parts = list(feed_convert.snapshot(images(1001), with_secrets=True))
    assert [len(part.systems) for part in parts] == [500, 500, 1]
    assert [part.complete for part in parts] == [False, False, True]
    assert all(part.snapshot for part in parts)
    large = list(feed_convert.snapshot(images(5, '"' + "x" * 400_000 + '"'), with_secrets=True))
    assert [len(part.systems) for part in large] == [2, 2, 1]


def test_changes_and_the_sign_of_life() -> None:
    """Changed and gone systems; without any, a message all the same."""
    [message] = feed_convert.changes({3: None, **images(1)}, with_secrets=True)
    assert [system.name for system in message.systems] == ["s1"]
    assert list(message.removed_system_ids) == [3]
    assert (message.snapshot, message.complete) == (False, True)
    [life] = feed_convert.changes({}, with_secrets=True)
    assert life.complete
    assert not life.systems


def test_secrets_are_for_some() -> None:
    """The same system with its secret and without."""
    [full] = feed_convert.snapshot({1: SECRET}, with_secrets=True)
    [redacted] = feed_convert.snapshot({1: SECRET}, with_secrets=False)
    assert full.systems[0].connections[0].config_json == b'{"webhook_secret":"s"}'
    assert redacted.systems[0].connections[0].config_json == b"{}"


def test_reports_are_no_change() -> None:
    """A tested connection or a touched row configures nothing else."""
    before = {1: SystemImage(System(1, "a"), connections=(Connection(1, 1, "api"),))}
    after = {1: SystemImage(System(1, "a"), connections=(Connection(1, 1, "api", connection_status="connected"),))}
    assert difference(before, after) == ({}, ())
    assert difference(before, {}) == ({}, (1,))
