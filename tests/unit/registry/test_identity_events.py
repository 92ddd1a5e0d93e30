"""What audit is told of tokens and keys: everything that the journal says, each event once, and no token."""

import json
from pathlib import Path

import pytest

from intertie.audit.v1 import audit_pb2
from intertie_chassis.errors import Unauthenticated, Unavailable
from intertie_chassis.identity import KeyRing, Verifier
from intertie_chassis.key_files import KeyFiles
from intertie_registry.identity_events import IdentityEvents


class Log:
    """Takes batches as audit does, or is away."""

    def __init__(self) -> None:
        self.entries: list[audit_pb2.Entry] = []
        self.is_away = False

    async def append(self, payload: bytes) -> None:
        """Take a batch."""
        if self.is_away:
            raise Unavailable
        self.entries += audit_pb2.AppendEntriesRequest.FromString(payload).entries

    @property
    def said(self) -> list[str]:
        """What the entries say happened."""
        return [entry.query_string for entry in self.entries]


@pytest.fixture
def ring(tmp_path: Path) -> KeyRing:
    """The keys of a new data directory."""
    made = KeyRing(tmp_path)
    made.ensure()
    return made


async def test_each_event_is_told_once_also_after_a_restart(ring: KeyRing, tmp_path: Path) -> None:
    log, events = Log(), IdentityEvents(tmp_path)
    first = ring.listed_keys()[0].id
    token = ring.issue("module:events", "alice")
    token_id = Verifier(ring.jwks_path).verify(token).token_id
    await events.tell(log.append)
    ring.revoke([token_id])
    await events.tell(log.append)
    ring.rotate()
    ring.withdraw(first)
    await IdentityEvents(tmp_path).tell(log.append)
    await IdentityEvents(tmp_path).tell(log.append)

    admins = [token.id for token in ring.issued_tokens() if token.role == "admin"]
    second = next(key.id for key in ring.listed_keys() if key.state == "signing")
    assert log.said == [
        f"rotate key {first}",
        f"issue token {admins[0]}",
        f"issue token {token_id}",
        f"revoke token {token_id}",
        f"rotate key {second}",
        f"issue token {admins[1]}",
        f"withdraw key {first}",
    ]
    issued = log.entries[2]
    assert (issued.query_type, issued.actor, issued.module_name) == ("configuration", "command", "events")
    assert "alice" in json.loads(issued.request_payload)["name"]
    assert token.rpartition(".")[2] not in str(log.entries)


async def test_what_audit_has_not_taken_is_told_later(ring: KeyRing, tmp_path: Path) -> None:
    log, events = Log(), IdentityEvents(tmp_path)
    log.is_away = True
    with pytest.raises(Unavailable):
        await events.tell(log.append)
    log.is_away = False
    await events.tell(log.append)
    assert len(log.said) == 2


async def test_a_revocation_whose_command_was_cut_off_takes_effect(
    ring: KeyRing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token, log = ring.issue("viewer"), Log()
    token_id = Verifier(ring.jwks_path).verify(token).token_id

    def cut(*_arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(KeyFiles, "write", cut)
        with pytest.raises(KeyboardInterrupt):
            ring.revoke([token_id])
    await IdentityEvents(tmp_path).tell(log.append)
    assert log.said[-1] == f"revoke token {token_id}"
    with pytest.raises(Unauthenticated):
        Verifier(ring.jwks_path).verify(token)


async def test_without_a_journal_nothing_is_told_or_made(tmp_path: Path) -> None:
    log = Log()
    await IdentityEvents(tmp_path).tell(log.append)
    assert (log.entries, list(tmp_path.iterdir())) == ([], [])
