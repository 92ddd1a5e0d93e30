"""The feed's messages: parts of a bounded size, marks, and secrets for those who need them."""

from dataclasses import replace

from intertie.registry.v1 import feed_pb2
from intertie_registry import feed_convert
from intertie_registry.feed_convert import Trust
from intertie_registry.model import Connection, Mapping, System, SystemImage, Unreadable, difference

SECRET = SystemImage(System(1, "police"), connections=(Connection(1, 1, "api", config_json='{"webhook_secret":"s"}'),))


def images(count: int, config: str = "{}") -> dict[int, SystemImage]:
    """So many systems with a mapping each."""
    return {
        number: SystemImage(System(number, f"s{number}"), mappings=(Mapping(number, number, "m", "t", config),))
        for number in range(1, count + 1)
    }


def test_an_empty_snapshot_is_complete() -> None:
    """A watcher must learn that there is nothing, too."""
    [message] = feed_convert.snapshot({}, Trust.SECRETS)
    assert (message.snapshot, message.complete, len(message.systems)) == (True, True, 0)


def test_a_snapshot_comes_in_parts() -> None:
    """At most 500 systems or a MiB each; only the last is complete; nothing is lost."""
    parts = list(feed_convert.snapshot(images(1001), Trust.SECRETS))
    assert [len(part.systems) for part in parts] == [500, 500, 1]
    assert [part.complete for part in parts] == [False, False, True]
    assert all(part.snapshot for part in parts)
    large = list(feed_convert.snapshot(images(5, '"' + "x" * 400_000 + '"'), Trust.SECRETS))
    assert [len(part.systems) for part in large] == [2, 2, 1]


def test_changes_and_the_sign_of_life() -> None:
    """Changed and gone systems; without any, a message all the same."""
    [message] = feed_convert.changes({3: None, **images(1)}, Trust.SECRETS)
    assert [system.name for system in message.systems] == ["s1"]
    assert list(message.removed_system_ids) == [3]
    assert (message.snapshot, message.complete) == (False, True)
    [life] = feed_convert.changes({}, Trust.SECRETS)
    assert life.complete
    assert not life.systems


def test_secrets_are_for_some() -> None:
    """The same system with its secret and without."""
    [full] = feed_convert.snapshot({1: SECRET}, Trust.SECRETS)
    [redacted] = feed_convert.snapshot({1: SECRET}, Trust.NONE)
    assert full.systems[0].connections[0].config_json == b'{"webhook_secret":"s"}'
    assert redacted.systems[0].connections[0].config_json == b"{}"


def test_credentials_are_for_pull() -> None:
    """Where a connection leads, and with what: only to those whom that much is trusted."""
    connection = Connection(
        1, 1, "database", db_host="db.example", db_port=5432, db_name="police", db_username="reader",
        db_password="p4ss", db_driver="postgresql", api_base_url="https://api.example", api_auth_type="apikey",
        api_auth_token="t0k3n", api_timeout=7, config_json='{"tls":"require","password":"s3cret"}',
    )  # fmt: skip
    image = {1: SystemImage(System(1, "police"), connections=(connection,))}

    def sent(trust: Trust) -> feed_pb2.ConnectionConfiguration:
        [message] = feed_convert.snapshot(image, trust)
        return message.systems[0].connections[0]

    whole = sent(Trust.CREDENTIALS)
    names = set(whole.DESCRIPTOR.fields_by_name) - {"problem"}
    assert {field.name for field, _ in whole.ListFields()} == names
    for name in names:
        value, kept = getattr(whole, name), getattr(connection, name)
        assert value == (kept.encode() if name == "config_json" else kept)
    unset = {"db_host", "db_password", "db_username", "api_base_url", "api_auth_token", "api_timeout"}
    for trust in (Trust.SECRETS, Trust.NONE):
        assert not unset & {field.name for field, _ in sent(trust).ListFields()}
    assert sent(Trust.SECRETS).config_json == whole.config_json
    assert sent(Trust.NONE).config_json == b'{"tls":"require"}'


def test_what_cannot_be_opened_is_not_sent_as_if_it_could() -> None:
    """A sealed text is no credential: pull is told not to use the connection, and ingest that nothing verifies."""
    connection = Connection(
        1, 1, "api", db_password="sealed:v1:k:a", api_auth_token="t0k3n",
        config_json='{"webhook_secret": "sealed:v1:k:b", "headers": {"X-Key": "clear"}}',
        unreadable=(
            Unreadable(("db_password",), "sealed:v1:k:a", "moved"),
            Unreadable(("config_json", "webhook_secret"), "sealed:v1:k:b", "moved"),
        ),
    )  # fmt: skip
    [message] = feed_convert.snapshot({1: SystemImage(System(1, "a"), connections=(connection,))}, Trust.CREDENTIALS)
    [sent] = message.systems[0].connections
    assert (sent.db_password, sent.api_auth_token) == ("", "t0k3n")
    assert sent.config_json == b'{"webhook_secret": null, "headers": {"X-Key": "clear"}}'
    assert sent.problem == "db_password is sealed and cannot be opened; set it anew"
    webhook_only = replace(connection, db_password="", unreadable=connection.unreadable[1:])
    [message] = feed_convert.snapshot({1: SystemImage(System(1, "a"), connections=(webhook_only,))}, Trust.CREDENTIALS)
    assert message.systems[0].connections[0].problem == ""


def test_reports_are_no_change() -> None:
    """A tested connection or a touched row configures nothing else."""
    before = {1: SystemImage(System(1, "a"), connections=(Connection(1, 1, "api"),))}
    after = {1: SystemImage(System(1, "a"), connections=(Connection(1, 1, "api", connection_status="connected"),))}
    assert difference(before, after) == ({}, ())
    assert difference(before, {}) == ({}, (1,))
