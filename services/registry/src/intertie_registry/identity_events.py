"""Tells audit what the journal of identities says: tokens issued and revoked, keys rotated and withdrawn, each once.

The journal is the outbox: commands write it with or without a running suite. An event is told until audit has it,
under its own id, so that what is told twice (by two registries, or after a crash) is kept once. How far it is told
stands in a file beside the journal.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import structlog

from intertie_chassis.durable_files import PRIVATE, FileVersion, version_of, write_whole
from intertie_chassis.errors import IntertieError, StartupError
from intertie_chassis.identity_journal import Event, Journal
from intertie_chassis.key_files import KeyFiles
from intertie_chassis.keys import KeyRing
from intertie_registry import audit_convert
from intertie_registry.audit_entries import AuditEntry
from intertie_registry.model import Actor

#: whoever may write in the data directory; the journal does not say who that was
BY_COMMAND = Actor("command")

_log = structlog.get_logger()
_LOOK_SECONDS = 1.0
_LONGEST_PAUSE = 5.0
_BATCH = 200


class IdentityEvents:
    """The events of one data directory."""

    def __init__(self, data_dir: Path) -> None:
        self._keys, files = KeyRing(data_dir), KeyFiles(data_dir)
        self._journal = Journal(files)
        self._path = files.journal
        self._position_path = files.directory / "journal.told"
        self._position: str | None = None
        self._seen: FileVersion | None = None

    async def run(self, send: Callable[[bytes], Awaitable[None]]) -> None:
        """Tells what is there and what comes, until cancelled. `send` returns when audit has a batch for good."""
        pause, is_said = _LOOK_SECONDS, False
        while True:
            try:
                await self.tell(send)
                pause, is_said = _LOOK_SECONDS, False
            except IntertieError as error:
                if not is_said:
                    _log.warning("events of identities wait", reason=error.reason, cause=error.message)
                pause, is_said = min(pause * 2, _LONGEST_PAUSE), True
            await asyncio.sleep(pause)

    async def tell(self, send: Callable[[bytes], Awaitable[None]]) -> None:
        """Tells what was not told yet, if the journal has grown. Raises what `send` raises."""
        version = version_of(self._path)
        if version is None or version == self._seen:
            return
        try:
            # A revocation whose command was cut off behind its entry takes effect all the same.
            await asyncio.to_thread(self._keys.finish)
        except StartupError as error:
            _log.error("the keys are not as their journal says", cause=str(error))
        events = self._untold(await asyncio.to_thread(self._journal.events))
        for start in range(0, len(events), _BATCH):
            some = events[start : start + _BATCH]
            await send(audit_convert.batch(entry_of(event) for event in some))
            self._remember(some[-1].id)
        self._seen = version

    def _untold(self, events: list[Event]) -> list[Event]:
        """Those behind the last one told; all when the journal does not know that one."""
        if self._position is None and self._position_path.exists():
            self._position = self._position_path.read_text().strip()
        ids = [event.id for event in events]
        return events[ids.index(self._position) + 1 :] if self._position in ids else events

    def _remember(self, event_id: str) -> None:
        self._position = event_id
        try:
            write_whole(self._position_path, event_id + "\n", PRIVATE)
        except OSError as error:
            _log.warning("events of identities will be told again after a restart", cause=str(error))


def entry_of(event: Event) -> AuditEntry:
    """The event as audit keeps it."""
    verb = {"issued": "issue", "revoked": "revoke", "rotated": "rotate", "withdrawn": "withdraw"}[event.event]
    is_token = event.event in ("issued", "revoked")
    title = f"{event.role} for {event.subject}" if is_token else f"signing key {event.key_id}"
    if event.event == "issued":
        title += f", until {datetime.fromtimestamp(event.expires_at, UTC):%Y-%m-%dT%H:%M:%SZ}"
    role, _, name = event.role.partition(":")
    return AuditEntry(
        entry_id=event.id,
        system_id=0,
        system="",
        query_string=f"{verb} token {event.token_id}" if is_token else f"{verb} key {event.key_id}",
        title=title,
        changed=(),
        module_name=name if role == "module" else "",
        actor=BY_COMMAND,
        created_at=datetime.fromtimestamp(event.at, UTC).replace(tzinfo=None),
    )
