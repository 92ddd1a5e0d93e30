"""The installation's keys and the tokens that they sign: made, shown, replaced and refused.

All of it lives in the data directory: ``keys/signing.jwk`` and ``admin.token`` for the owner alone, ``keys/jwks.json``
and ``keys/revoked.json`` for everyone who verifies. Whoever starts first makes them, under a lock file, so that
processes starting together agree. Keys and refusals are changed here alone, with or without a running suite.
"""

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from joserfc import jwt
from joserfc.errors import JoseError

from intertie_chassis import public_keys
from intertie_chassis.durable_files import FileVersion, version_of
from intertie_chassis.errors import FailedPrecondition, InvalidArgument, NotFound, StartupError
from intertie_chassis.identity_journal import Event
from intertie_chassis.issued_tokens import IssuedToken, ListedKey, listed_keys, listed_tokens
from intertie_chassis.key_directory import KeyDirectory, issued
from intertie_chassis.key_files import KeyFiles
from intertie_chassis.principals import split_role
from intertie_chassis.signing_key import ALGORITHM, DAY, SigningKey, key_id_of

MINTED_DAYS = 1.0
"""How long the tokens are valid that services mint for themselves."""
MOST_DAYS = 3650
"""The longest that a token may be valid."""
_SLACK = 300
"""Seconds in which a process may still mint with a key that has just been replaced."""


class KeyRing:
    """The keys of one data directory."""

    def __init__(self, data_dir: Path | str) -> None:
        self._files = KeyFiles(data_dir)
        self._key: SigningKey | None = None
        self._seen: FileVersion | None = None

    @property
    def jwks_path(self) -> Path:
        """The public keys, as a JSON Web Key Set."""
        return self._files.public

    @property
    def signing_path(self) -> Path:
        """The private key, as a JSON Web Key."""
        return self._files.signing

    @property
    def admin_token_path(self) -> Path:
        """The admin token, one line."""
        return self._files.admin_token

    @property
    def can_sign(self) -> bool:
        """Whether the signing key is here and readable for this process."""
        return os.access(self.signing_path, os.R_OK)

    def ensure(self) -> None:
        """Makes what is missing: signing key, key set, admin token. Safe to run in many processes at once.

        Raises StartupError when the data directory cannot be written or the key cannot be read.
        """
        with self._changing() as (directory, key):
            directory.ensure_admin_token(key)

    def finish(self) -> None:
        """Makes true what the journal says, should a command have been cut off. Raises StartupError as `ensure`."""
        with self._changing():
            return

    def issue(self, role: str, subject: str | None = None, days: float = 90) -> str:
        """A new token, entered in the journal.

        Args:
            role: ``admin``, ``operator``, ``viewer``, ``module:<name>`` or ``service:<name>``.
            subject: whom it is for, as the audit shows it; default: the role.
            days: how long it is valid; at most MOST_DAYS.

        Raises InvalidArgument for another role or a longer time, StartupError when the journal cannot be written.
        """
        split_role(role)
        if days > MOST_DAYS:
            raise InvalidArgument(f"a token is valid for {MOST_DAYS} days at most", violations=[("days", "too many")])
        with self._changing() as (directory, key):
            directory.ensure_admin_token(key)
            token = key.sign(role, subject, days)
            directory.record(issued(token))
            return token.text

    def mint(self, role: str, subject: str | None = None, days: float = MINTED_DAYS) -> str:
        """A new token that no journal knows, with the key that signs now: for services, which renew theirs each hour.

        Raises InvalidArgument for a role that does not exist, StartupError when there is no signing key.
        """
        split_role(role)
        return self._present_key().sign(role, subject, days).text

    def version(self) -> tuple[FileVersion | None, FileVersion | None]:
        """What differs when another key signs, or something was revoked: then minted tokens are made anew."""
        return version_of(self._files.signing), version_of(self._files.revoked)

    def admin_token(self) -> str:
        """The admin token, made if need be.

        Raises StartupError when it can be neither read nor made.
        """
        if not self.admin_token_path.exists():
            self.ensure()
        try:
            return self.admin_token_path.read_text().strip()
        except OSError as error:
            raise StartupError(f"{self.admin_token_path} cannot be read ({error.strerror})") from error

    def stage(self) -> str:
        """Publishes the key that will sign after the next `rotate`; gives its id. The second time nothing changes.

        Raises StartupError as `ensure`.
        """
        with self._changing() as (directory, _):
            return directory.stage().key_id

    def rotate(self, overlap_days: float | None = None) -> ListedKey:
        """Lets a new key sign, the staged one if there is one, and renews the admin token; gives the key before.

        Args:
            overlap_days: how long the key before goes on verifying. Default: until the last token ends that it signed,
                but for the admin token in the file, which the new one replaces.

        Raises StartupError as `ensure`.
        """
        with self._changing() as (directory, old):
            ends = _end_of(directory, old) if overlap_days is None else int(time.time() + overlap_days * DAY)
            directory.begin_to_sign(directory.stage(), ends=ends)
            directory.ensure_admin_token(directory.settle())
            return next(each for each in self._listed_keys(directory) if each.id == old.key_id)

    def withdraw(self, key_id: str) -> None:
        """Refuses, from now on and for good, all that the key signed. The second time nothing changes.

        Raises FailedPrecondition for the key that signs, NotFound for one that is unknown, StartupError as `ensure`.
        """
        with self._changing() as (directory, key):
            if key_id == key.key_id:
                raise FailedPrecondition(
                    "this key signs at present, so withdrawing it would shut everybody out; rotate first",
                    metadata={"key_id": key_id},
                )
            if key_id not in (each.id for each in self._listed_keys(directory)):
                raise NotFound("there is no such key", metadata={"key_id": key_id})
            if key_id not in directory.history.withdrawn:
                directory.record(Event("withdrawn", key_id=key_id))
                directory.settle()

    def listed_keys(self) -> list[ListedKey]:
        """The keys, the oldest first. Raises StartupError as `ensure`."""
        with self._changing() as (directory, _):
            return self._listed_keys(directory)

    def issued_tokens(self) -> list[IssuedToken]:
        """The tokens that were issued, the oldest first. Raises StartupError as `ensure`."""
        with self._changing() as (directory, _):
            return listed_tokens(directory.history, self._ends(directory))

    def revoke(self, token_ids: Iterable[str]) -> int:
        """Refuses these tokens from now on; gives how many were not refused before.

        Raises NotFound, and revokes none, when one of them is not in the journal; StartupError as `ensure`.
        """
        wanted = list(dict.fromkeys(token_ids))
        with self._changing() as (directory, _):
            history = directory.history
            unknown = [token for token in wanted if token not in history.issued and token not in history.revoked]
            if unknown:
                raise NotFound(
                    f"there is no token with the id {unknown[0]} in the journal; nothing was revoked",
                    metadata={"token_id": unknown[0]},
                )
            events = [history.issued[token] for token in wanted if token not in history.revoked]
            return self._revoke(directory, events)

    def revoke_text(self, text: str) -> str:
        """Refuses a token itself, also one that no journal knows; gives its id.

        Raises InvalidArgument when it is no token of this installation, StartupError as `ensure`.
        """
        with self._changing() as (directory, _):
            try:
                keys = public_keys.parse(self._files.public.read_bytes())
                key_id = key_id_of(text)
                claims = jwt.decode(text, keys[key_id].key, algorithms=[ALGORITHM]).claims
                event = Event("issued", claims["jti"], claims["role"], claims["sub"], claims["exp"], key_id)
            except (ValueError, KeyError, TypeError, AttributeError, JoseError):
                raise InvalidArgument("this is no token of a key of this installation") from None
            if event.token_id not in directory.history.revoked:
                self._revoke(directory, [event])
            return event.token_id

    def admin_token_id(self) -> str:
        """The id of the admin token in the data directory; empty when there is none. Raises StartupError."""
        with self._changing() as (directory, key):
            return str((directory.admin_claims(key) or {"jti": ""})["jti"])

    def _revoke(self, directory: KeyDirectory, tokens: list[Event]) -> int:
        directory.record(
            *(Event("revoked", each.token_id, each.role, each.subject, each.expires_at, each.key_id) for each in tokens)
        )
        directory.settle()
        return len(tokens)

    def _listed_keys(self, directory: KeyDirectory) -> list[ListedKey]:
        staged = SigningKey.read(self._files.next).key_id if self._files.next.exists() else ""
        signing = SigningKey.read(self._files.signing).key_id
        return listed_keys(directory.history, self._ends(directory), signing=signing, staged=staged)

    def _ends(self, directory: KeyDirectory) -> dict[str, float]:
        return {entry["kid"]: entry.get("not_after", float("inf")) for entry in directory.public_entries()}

    @contextmanager
    def _changing(self) -> Iterator[tuple[KeyDirectory, SigningKey]]:
        """The directory, locked and settled, with the key that signs."""
        try:
            with self._files.locked():
                directory = KeyDirectory(self._files)
                yield directory, directory.settle()
        except OSError as error:
            raise StartupError(
                f"the keys in {self._files.directory} cannot be read or made ({error.strerror}); "
                "let this user own INTERTIE_DATA_DIR, or give INTERTIE_IDENTITY_KEYS and INTERTIE_SERVICE_TOKEN_FILE"
            ) from error

    def _present_key(self) -> SigningKey:
        version = version_of(self.signing_path)
        if version == self._seen and self._key is not None:
            return self._key
        if not self.can_sign and self._key is None:
            self.ensure()
            version = version_of(self.signing_path)
        try:
            self._key = SigningKey.read(self.signing_path)
            self._seen = version
        except (OSError, StartupError) as error:
            # What was read before goes on signing while the file is being put back.
            if self._key is None:
                raise StartupError(f"{self.signing_path} cannot be read") from error
        return self._key


def _end_of(directory: KeyDirectory, key: SigningKey) -> int:
    """When the last token ends that the key signed, in seconds since 1970."""
    now, history = int(time.time()), directory.history
    if key.key_id not in history.rotated:
        # It signed before there was a journal: tokens may be about that nobody wrote down.
        return now + MOST_DAYS * DAY
    admin = (directory.admin_claims(key) or {}).get("jti")
    of_key = [each for each in history.issued.values() if each.key_id == key.key_id and each.token_id != admin]
    ends = [each.expires_at for each in of_key if each.token_id not in history.revoked]
    return max([now + int(MINTED_DAYS * DAY) + _SLACK, *ends])
