"""Ingest is killed while registry is away and stays so: deliveries are accepted all the same, and land."""

import os
import signal
import time
from datetime import timedelta

import victims
from intertie_chassis.sealing_sources import FileKeys
from intertie_ingest.snapshot_file import SnapshotFile
from suite import Suite
from waiting import eventually

CONFIG = {"field_mappings": {"title": "event_title", "date": "date"}}


async def test_ingest_restarts_without_registry(suite: Suite) -> None:
    """A registry that hangs is as good as dead, and is not started again.

    Whoever is known gets 202, whoever registry alone may know 503; tokens are verified, and revoked ones refused. Once
    registry is back it is as if nothing had been.
    """
    suite.add_system("sender")
    suite.add_mapping("sender", "events", CONFIG)
    revoked = suite.cli("token", "issue", "--role", "viewer", "--subject", "left").stdout.strip()
    suite.cli("token", "revoke", "--subject", "left", "--yes")
    keys = FileKeys(suite.data / "keys" / "ingest-snapshot.key")
    file = SnapshotFile(suite.data / "ingest-snapshot.sealed", keys, timedelta(hours=1))

    def is_kept() -> bool:
        kept = file.read(time.time())
        return kept is not None and any(one.name == "sender" and one.mappings for one in kept.systems)

    await eventually(is_kept)
    registry, killed = victims.find_process(suite, "registry"), victims.find_process(suite, "ingest")
    os.kill(registry, signal.SIGSTOP)
    try:
        os.kill(killed, signal.SIGKILL)
        await eventually(lambda: send(suite, 1) == 202, timeout=30)
        assert victims.find_process(suite, "ingest") != killed
        assert [send(suite, number) for number in (2, 3)] == [202, 202]
        assert suite.webhook("sender", {"id": "4"}, secret="set a moment ago").status_code == 503
        assert suite.webhook("made_a_moment_ago", {"id": "4"}).status_code == 503
        await eventually(lambda: len(suite.rows("events", "event_title LIKE 'event %%'")) == 3, timeout=30)
        assert {one["state"] for one in suite.get("/deliveries", system="sender")["deliveries"]} <= STATES
        response = suite.request("GET", "/deliveries", role=None, headers={"Authorization": f"Bearer {revoked}"})
        assert response.status_code == 401
    finally:
        os.kill(registry, signal.SIGCONT)
    suite.add_system("made_a_moment_ago")
    await eventually(lambda: suite.webhook("made_a_moment_ago", {"id": "4"}).status_code == 202)
    assert suite.webhook("sender", {"id": "4"}, secret="set a moment ago").status_code == 401
    await eventually(lambda: not suite.get("/records", system="sender", sync_status="pending")["records"])


STATES = {"DELIVERY_STATE_SYNCED", "DELIVERY_STATE_PENDING"}


def send(suite: Suite, number: int) -> int:
    """The status of a record's delivery; 0 for a lost connection."""
    try:
        return suite.webhook(
            "sender", {"id": str(number), "title": f"event {number}", "date": "2025-01-20"}
        ).status_code
    except victims.CONNECTION_LOST:
        return 0
