"""Who calls: verifies bearer tokens against the installation's public keys.

The names that other parts need (principals, keys, token sources) can be had from here.
"""

import time
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from joserfc import jwt
from joserfc.errors import JoseError

from intertie_chassis import public_keys
from intertie_chassis.durable_files import FileVersion, version_of
from intertie_chassis.errors import IntertieError, Unauthenticated, Unavailable
from intertie_chassis.keys import KeyRing
from intertie_chassis.principals import Principal, current_principal, set_principal, split_role
from intertie_chassis.public_keys import PublicKey
from intertie_chassis.revocations import RevocationFile, Revocations
from intertie_chassis.settings import Settings
from intertie_chassis.signing_key import ALGORITHM, ISSUER, key_id_of
from intertie_chassis.tokens import FileToken, FixedToken, MintedToken, TokenSource

__all__ = [
    "FileToken",
    "FixedToken",
    "KeyRing",
    "MintedToken",
    "Principal",
    "TokenSource",
    "Verifier",
    "current_principal",
    "set_principal",
    "split_role",
]

_MOST_CHARACTERS = 4096
_MOST_CACHED = 2048
_LOOK_EVERY = 1.0
_CLOCK_LEEWAY = 60


class Verifier:
    """Turns bearer tokens into principals.

    Verified tokens are remembered until they end, since Ed25519 costs more than the rest of a small call. The files of
    keys and of revocations are looked at again each second, that of keys also whenever an unknown key is named; when
    one changed, everything remembered is dropped: so what is revoked or withdrawn is refused within a second.
    """

    def __init__(self, jwks_path: Path | str, *, told_path: Path | None = None) -> None:
        """Args:
        jwks_path: the file of public keys; ``revoked.json`` beside it says what is refused.
        told_path: a file with what the feed of another machine has told, kept for the next start.
        """
        self._path = Path(jwks_path)
        self._local = RevocationFile(self._path.parent / "revoked.json")
        self._told = RevocationFile(told_path) if told_path is not None else None
        self._told_now = Revocations()
        self._revoked = Revocations()
        self._keys: dict[str, PublicKey] = {}
        self._seen: FileVersion | None = None
        self._looked_at = float("-inf")
        self._cache: OrderedDict[str, _Remembered] = OrderedDict()

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """The verifier of INTERTIE_IDENTITY_KEYS, or of the data directory's keys, which are made if need be.

        Raises StartupError when they cannot be made.
        """
        told = told_path(settings)
        if settings.identity_keys is not None:
            return cls(settings.identity_keys, told_path=told)
        keys = KeyRing(settings.data_dir)
        keys.ensure()
        return cls(keys.jwks_path, told_path=told)

    def verify(self, token: str) -> Principal:
        """Whom the token speaks for.

        Raises Unauthenticated (one text for every cause but the end of its time), Unavailable when the keys, or the
        list of what is refused, cannot be read at all.
        """
        self._look_if_due()
        remembered = self._cache.get(token)
        if remembered is None:
            remembered = self._check(token)
            self._cache[token] = remembered
            if len(self._cache) > _MOST_CACHED:
                self._cache.popitem(last=False)
        else:
            self._cache.move_to_end(token)
        if remembered.ends <= time.time():
            del self._cache[token]
            raise Unauthenticated("the token has expired; get a new one")
        return remembered.principal

    def local_revocations(self) -> Revocations:
        """What the file beside the keys refuses. Raises Unavailable when it cannot be read."""
        self._look_if_due()
        _require_readable(self._local)
        return self._local.present

    def own_revocations(self) -> Revocations:
        """What the files refuse that this process reads, at this moment and as far as they can be read."""
        self._look(time.monotonic())
        return self._in_files()

    def refuse(self, told: Revocations) -> None:
        """Refuses these from now on, instead of those of the call before, and beside those of the files."""
        self._told_now = told
        self._join()

    def _check(self, token: str) -> "_Remembered":
        refused = Unauthenticated("the token is not valid")
        _require_readable(self._local)
        if self._told is not None:
            _require_readable(self._told)
        if len(token) > _MOST_CHARACTERS or not token.isascii():
            raise refused
        try:
            key_id = key_id_of(token)
            key = self._public_key(key_id)
            # The key is ours by its id; one that the token itself brings or points at (jwk, jku, x5c) is never used.
            claims = jwt.decode(token, key.key, algorithms=[ALGORITHM]).claims
        except (JoseError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise refused from error
        subject, role, token_id = claims.get("sub"), claims.get("role"), claims.get("jti")
        issued, expires, begins = claims.get("iat"), claims.get("exp"), claims.get("nbf", 0)
        if not (isinstance(subject, str) and isinstance(role, str) and isinstance(token_id, str)):
            raise refused
        if not (type(issued) is type(expires) is type(begins) is int) or claims.get("iss") != ISSUER:
            raise refused
        if max(issued, begins) > time.time() + _CLOCK_LEEWAY:
            raise refused
        if token_id in self._revoked.tokens or key_id in self._revoked.keys:
            raise refused
        try:
            principal = Principal.of(role, subject, token_id, expires)
        except IntertieError as error:
            raise refused from error
        return _Remembered(principal, min(expires, key.not_after))

    def _public_key(self, key_id: str) -> PublicKey:
        if key_id not in self._keys:
            self._look(time.monotonic())
        if not self._keys:
            raise Unavailable(
                "the identity keys cannot be read, so nobody can be authenticated; see INTERTIE_IDENTITY_KEYS",
                retry_after=1,
            )
        return self._keys[key_id]

    def _look_if_due(self) -> None:
        now = time.monotonic()
        if now - self._looked_at >= _LOOK_EVERY:
            self._look(now)

    def _look(self, now: float) -> None:
        """Reads the files that changed; what was read before stays when one cannot be read now."""
        self._looked_at = now
        changed = self._local.look()
        if self._told is not None:
            changed = self._told.look() or changed
        if changed:
            self._join()
        try:
            seen = version_of(self._path)
            if seen is None or seen == self._seen:
                return
            self._keys = public_keys.parse(self._path.read_bytes())
            self._seen = seen
            self._cache.clear()
        except (OSError, ValueError, KeyError, TypeError, AttributeError, JoseError):
            return

    def _in_files(self) -> Revocations:
        return self._local.present | (self._told.present if self._told is not None else Revocations())

    def _join(self) -> None:
        joined = self._in_files() | self._told_now
        if joined != self._revoked:
            self._revoked = joined
            self._cache.clear()


@dataclass(frozen=True, slots=True)
class _Remembered:
    """A verified token."""

    principal: Principal
    ends: float
    """When the token, or its key, ends; seconds since 1970."""


def told_path(settings: Settings) -> Path:
    """Where a process keeps what the feed has told it beyond its own file."""
    return settings.data_dir / "revoked-elsewhere.json"


def _require_readable(file: RevocationFile) -> None:
    if file.is_lost:
        raise Unavailable(
            f"the list of revoked tokens, {file.name}, cannot be read, so nobody can be authenticated", retry_after=1
        )
