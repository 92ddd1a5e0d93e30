"""The directory of keys as its journal says that it is: a change is an event first, and then made true of the files.

So a command that was cut off anywhere has either not happened, or is finished by whoever opens the directory next. All
methods are for the holder of the directory's lock, and raise OSError.
"""

import json
import time
from collections.abc import Iterable
from typing import Any

from intertie_chassis.durable_files import PRIVATE, PUBLIC
from intertie_chassis.errors import StartupError
from intertie_chassis.identity_journal import Event, History, Journal
from intertie_chassis.key_files import KeyFiles
from intertie_chassis.revocations import RevocationFile, Revocations
from intertie_chassis.signing_key import SigningKey, Token

ADMIN_DAYS = 3650

Entry = dict[str, Any]
"""A public key as the set has it."""


class KeyDirectory:
    """One directory of keys, while its lock is held."""

    def __init__(self, files: KeyFiles) -> None:
        self._files = files
        self._journal = Journal(files)
        self.history: History = self._journal.history()
        """What the journal says, this holder's own events included."""

    def record(self, *events: Event) -> None:
        """Writes events; `settle` then makes them true."""
        self._journal.append(*events)
        self.history = self._journal.history()

    def settle(self) -> SigningKey:
        """Makes everything as the journal says, with a key that signs; gives that key.

        Raises StartupError when a file of a key is none, or the key that signs is withdrawn.
        """
        self._finish_rotation()
        if not self._files.signing.exists():
            self.begin_to_sign(self.stage(), ends=0)
        key = SigningKey.read(self._files.signing)
        refused = self._refuse()
        if key.key_id in refused.keys:
            raise StartupError(f"{self._files.signing} is a withdrawn key; remove it to get a new one")
        entries = {entry["kid"]: entry for entry in self.public_entries()}
        wanted = {key_id: entry for key_id, entry in entries.items() if key_id not in refused.keys}
        if key.key_id not in wanted:
            # The file was lost, or the key put there by hand: what else was believed before cannot be known.
            wanted = {entry["kid"]: entry for entry in self._staged_entries()}
        wanted[key.key_id] = key.public_entry()
        if wanted != entries:
            self._publish(wanted.values())
        return key

    def stage(self) -> SigningKey:
        """Publishes the key that will sign next, made if need be; gives it."""
        if self._files.next.exists():
            key = SigningKey.read(self._files.next)
        else:
            key = SigningKey.generate()
            self._files.write(self._files.next, key.private_text(), PRIVATE)
        entries = self.public_entries()
        if key.key_id not in (entry["kid"] for entry in entries):
            self._publish([*entries, key.public_entry()])
        return key

    def begin_to_sign(self, staged: SigningKey, *, ends: int) -> None:
        """Lets the staged key sign. That of the one before is refused from `ends` on, in seconds since 1970."""
        if staged.key_id not in self.history.rotated:
            self.record(Event("rotated", key_id=staged.key_id, expires_at=ends))
        self._finish_rotation()

    def ensure_admin_token(self, key: SigningKey) -> None:
        """Makes the admin token unless it is there, of this key, and neither ended nor revoked."""
        claims = self.admin_claims(key)
        if claims is None or claims["exp"] <= time.time() or claims["jti"] in self._refused().tokens:
            token = key.sign("admin", None, ADMIN_DAYS)
            self.record(issued(token))
            self._files.write(self._files.admin_token, token.text + "\n", PRIVATE)
        elif claims["jti"] not in self.history.issued:
            # Made before there was a journal.
            self.record(Event("issued", claims["jti"], claims["role"], claims["sub"], claims["exp"], key.key_id))

    def admin_claims(self, key: SigningKey) -> Entry | None:
        """What the admin token says; None when it is not there, or of another key."""
        try:
            return key.claims_of(self._files.admin_token.read_text().strip())
        except (OSError, ValueError):
            return None

    def public_entries(self) -> list[Entry]:
        """The published keys; none when the file is lost."""
        try:
            entries = json.loads(self._files.public.read_bytes())["keys"]
            return [entry for entry in entries if isinstance(entry["kid"], str)]
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return []

    def _finish_rotation(self) -> None:
        """Puts the staged key in the place of the one that signs, if the journal says so."""
        if not self._files.next.exists():
            return
        staged = SigningKey.read(self._files.next)
        rotated = self.history.rotated.get(staged.key_id)
        if rotated is None:
            return
        if self._files.signing.exists():
            # Published, and the end of the old one known, before the first token of the new one.
            old, now = SigningKey.read(self._files.signing).key_id, time.time()
            entries = {entry["kid"]: entry for entry in self.public_entries()}
            if old in entries and old != staged.key_id and rotated.expires_at:
                entries[old] = {**entries[old], "not_after": rotated.expires_at}
            entries.setdefault(staged.key_id, staged.public_entry())
            self._publish(entry for entry in entries.values() if _end_of(entry) > now or entry["kid"] == old)
        else:
            self._publish([staged.public_entry()])
        self._files.rename(self._files.next, self._files.signing)

    def _refuse(self) -> Revocations:
        """Makes the list of refusals say what the journal says; gives it."""
        if self._files.next.exists() and SigningKey.read(self._files.next).key_id in self.history.withdrawn:
            self._files.remove(self._files.next)
        wanted = self._journalled().lasting()
        present = RevocationFile(self._files.revoked)
        present.look()
        if present.is_lost or not present.present.covers(wanted):
            # Joined, not replaced: should the journal be lost, what was refused stays refused.
            wanted = present.present.lasting() | wanted
            self._files.write(self._files.revoked, wanted.text(), PUBLIC)
        return present.present | wanted

    def _refused(self) -> Revocations:
        present = RevocationFile(self._files.revoked)
        present.look()
        return present.present | self._journalled()

    def _journalled(self) -> Revocations:
        return Revocations(self.history.revoked, frozenset(self.history.withdrawn))

    def _staged_entries(self) -> list[Entry]:
        return [SigningKey.read(self._files.next).public_entry()] if self._files.next.exists() else []

    def _publish(self, entries: Iterable[Entry]) -> None:
        self._files.write(self._files.public, json.dumps({"keys": list(entries)}, indent=2) + "\n", PUBLIC)


def issued(token: Token) -> Event:
    """The event of a token's making."""
    return Event("issued", token.token_id, token.role, token.subject, token.expires_at, token.key_id)


def _end_of(entry: Entry) -> float:
    ends = entry.get("not_after")
    return ends if isinstance(ends, (int, float)) else float("inf")
