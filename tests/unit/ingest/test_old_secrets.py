"""What is told of old secrets and of handshakes: enough to be found, and no more than can be read."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ingest_samples import JSON, SECRET, configuration, desk, mapping, raw, system
from intertie.audit.v1 import audit_pb2
from intertie_chassis.errors import Unavailable
from intertie_ingest.answers import Answer
from intertie_ingest.audit_convert import entries_of_greetings, entries_of_group
from intertie_ingest.folding import fold
from intertie_ingest.greetings import MOST_SOURCES, Greetings
from intertie_ingest.model import Greeting, Route
from intertie_ingest.old_secrets import AGAIN_SECONDS, SOON_SECONDS, OldSecrets
from intertie_ingest.signatures import Verified

NOW = 1_700_000_000.0
OLD = "the one before"


def rotating(seconds: float) -> Any:
    until = (datetime.fromtimestamp(NOW, UTC) + timedelta(seconds=seconds)).isoformat()
    return configuration(
        system(
            mapping(),
            webhook_secret=SECRET,
            webhook_secret_previous=OLD,
            webhook_secret_previous_expires_at=until,
            push_auth="none",
        )
    )


@pytest.mark.parametrize(
    ("secret", "verified_by"), [(SECRET, "webhook_secret"), (OLD, "webhook_secret_previous")], ids=["new", "old"]
)
def test_the_entry_says_which_secret_matched(secret: str, verified_by: str) -> None:
    """By the name of its member, never by what it is."""
    taken = desk(rotating(10), now=NOW).take(raw(headers={**JSON, "x-webhook-secret": [secret.encode()]}))
    message = entries_of_group(fold([taken], {}, {}))
    assert message is not None
    (entry,) = audit_pb2.AppendEntriesRequest.FromString(message).entries
    assert json.loads(entry.request_payload)["verified_by"] == verified_by
    assert secret.encode() not in message


def test_what_no_secret_verified_is_said_too() -> None:
    """An open push, and a system that lets everybody in."""
    body = {"system": "law_enforcement", "mapping": "incidents_to_events", "data": {"id": 1}}
    assert desk(rotating(10)).take(raw(body, route=Route.PUSH, headers=JSON)).verified_by == "none"
    assert desk(configuration(system(mapping(), webhook_auth="none"))).take(raw(headers=JSON)).verified_by == "none"


def test_an_old_secret_is_warned_of_near_its_end_and_once_an_hour() -> None:
    """Not before, not for the present one, and for each system by itself."""
    config = rotating(SOON_SECONDS)
    here, old = config.by_name["law_enforcement"], Verified(None, "webhook_secret_previous")
    warnings = OldSecrets()
    assert not warnings.note(here, old, NOW - 1)
    assert not warnings.note(here, Verified(None, "webhook_secret"), NOW)
    assert [warnings.note(here, old, NOW + after) for after in (0, 1, AGAIN_SECONDS - 1, AGAIN_SECONDS)] == [
        True,
        False,
        False,
        True,
    ]


class Outbox:
    """Keeps what it is given, or is away."""

    is_away = False

    def __init__(self) -> None:
        self.entries: list[dict[str, Any]] = []

    async def post(self, message: bytes) -> None:
        if self.is_away:
            raise Unavailable
        request = audit_pb2.AppendEntriesRequest.FromString(message)
        self.entries += [json.loads(entry.request_payload) for entry in request.entries]


async def test_a_flood_of_handshakes_is_a_handful_of_entries() -> None:
    """The first at once, the others of its minute when that is over, none lost while the database is away."""
    clock = [datetime(2026, 1, 1, 12, 0)]
    outbox = Outbox()
    told: Any = Greetings(outbox, entries_of_greetings, lambda: clock[0])  # type: ignore[arg-type]
    greeting = Greeting(1, "police", "webhook_secret", Answer(200, "text/plain", b"x"))
    told.add(raw(peer="192.0.2.1"), greeting)
    await told.flush()
    for number in range(50):
        told.add(raw(peer="192.0.2.1"), greeting)
        told.add(raw(peer=f"198.51.100.{number}"), greeting)
    outbox.is_away = True
    await told.flush()
    told.add(raw(peer="198.51.100.0"), greeting)
    outbox.is_away = False
    clock[0] += timedelta(minutes=1)
    await told.flush()
    assert outbox.entries[0]["handshakes"] == 1
    assert sum(entry["handshakes"] for entry in outbox.entries) == 102
    assert len(outbox.entries) <= MOST_SOURCES + 3
    # Who was told apart before the others came is told apart after them.
    assert sum(entry["handshakes"] for entry in outbox.entries if entry["source"] == "192.0.2.1") == 51
    await told.flush()
    assert sum(entry["handshakes"] for entry in outbox.entries) == 102
