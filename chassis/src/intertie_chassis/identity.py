"""Who calls: verifies bearer tokens against the installation's public keys.

The names that other parts need (principals, keys, token sources) can be had from here.
"""

import base64
import json
import time
from collections import OrderedDict
from pathlib import Path
from typing import Self

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

from intertie_chassis.errors import IntertieError, Unauthenticated, Unavailable
from intertie_chassis.keys import ALGORITHM, ISSUER, KeyRing
from intertie_chassis.principals import Principal, current_principal, set_principal, split_role
from intertie_chassis.settings import Settings
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

    Verified tokens are remembered until they end, since Ed25519 costs more than the rest of a small call. The file of
    keys is looked at again each second and whenever an unknown key is named; when it changed, everything remembered is
    dropped: so removing a key from the set takes effect within a second.
    """

    def __init__(self, jwks_path: Path | str) -> None:
        self._path = Path(jwks_path)
        self._keys: dict[str, OKPKey] = {}
        self._seen: tuple[int, int, int] | None = None
        self._looked_at = 0.0
        self._cache: OrderedDict[str, Principal] = OrderedDict()

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """The verifier of INTERTIE_IDENTITY_KEYS, or of the data directory's keys, which are made if need be.

        Raises StartupError when they cannot be made.
        """
        if settings.identity_keys is not None:
            return cls(settings.identity_keys)
        keys = KeyRing(settings.data_dir)
        keys.ensure()
        return cls(keys.jwks_path)

    def verify(self, token: str) -> Principal:
        """Whom the token speaks for.

        Raises Unauthenticated (one text for every cause but the end of its time), Unavailable when the keys
        cannot be read at all.
        """
        now = time.monotonic()
        if now - self._looked_at >= _LOOK_EVERY:
            self._look(now)
        principal = self._cache.get(token)
        if principal is None:
            principal = self._check(token)
            self._cache[token] = principal
            if len(self._cache) > _MOST_CACHED:
                self._cache.popitem(last=False)
        else:
            self._cache.move_to_end(token)
        if principal.expires_at <= time.time():
            del self._cache[token]
            raise Unauthenticated("the token has expired; get a new one")
        return principal

    def _check(self, token: str) -> Principal:
        refused = Unauthenticated("the token is not valid")
        if len(token) > _MOST_CHARACTERS or not token.isascii():
            raise refused
        try:
            # A bare key would be taken whatever kid the token names; the callback is asked per token.
            decoded = jwt.decode(token, self._key_of(token), algorithms=[ALGORITHM])
        except (JoseError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise refused from error
        claims = decoded.claims
        subject, role, token_id = claims.get("sub"), claims.get("role"), claims.get("jti")
        issued, expires = claims.get("iat"), claims.get("exp")
        if not (isinstance(subject, str) and isinstance(role, str) and isinstance(token_id, str)):
            raise refused
        if type(issued) is not int or type(expires) is not int or claims.get("iss") != ISSUER:
            raise refused
        if issued > time.time() + _CLOCK_LEEWAY:
            raise refused
        try:
            return Principal.of(role, subject, token_id, expires)
        except IntertieError as error:
            raise refused from error

    def _key_of(self, token: str) -> OKPKey:
        header = json.loads(_unpadded(token.partition(".")[0]))
        kid = header.get("kid") if isinstance(header, dict) else None
        if not isinstance(kid, str):
            raise ValueError("no kid")
        if kid not in self._keys:
            self._look(time.monotonic())
        if not self._keys:
            raise Unavailable(
                "the identity keys cannot be read, so nobody can be authenticated; see INTERTIE_IDENTITY_KEYS",
                retry_after=1,
            )
        return self._keys[kid]

    def _look(self, now: float) -> None:
        """Reads the file of keys if it changed; what was read before stays when it cannot be read now."""
        self._looked_at = now
        try:
            stat = self._path.stat()
            seen = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
            if seen == self._seen:
                return
            entries = json.loads(self._path.read_bytes())["keys"]
            self._keys = {entry["kid"]: OKPKey.import_key(entry) for entry in entries if entry.get("crv") == "Ed25519"}
            self._seen = seen
            self._cache.clear()
        except (OSError, ValueError, KeyError, TypeError, AttributeError, JoseError):
            return


def _unpadded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
