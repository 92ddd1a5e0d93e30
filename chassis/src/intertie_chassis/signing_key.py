"""A private key of the installation: made, read, and used to sign tokens."""

import base64
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

from intertie_chassis.errors import StartupError
from intertie_chassis.ids import new_ulid

ISSUER = "intertie"
ALGORITHM = "Ed25519"
"""EdDSA over Ed25519 under the name that RFC 9864 gives it; the older name ``EdDSA`` leaves the curve open."""

DAY = 86_400


@dataclass(frozen=True, slots=True)
class Token:
    """A token just signed, with what the journal keeps of it."""

    text: str
    token_id: str
    role: str
    subject: str
    expires_at: int
    key_id: str


class SigningKey:
    """An Ed25519 key pair under its id, the thumbprint of RFC 7638."""

    def __init__(self, key: OKPKey) -> None:
        self._key = key
        self.key_id: str = key.kid or key.thumbprint()

    @classmethod
    def generate(cls) -> Self:
        """A new key."""
        while True:
            made = cls(OKPKey.generate_key("Ed25519", private=True))
            # An id is also an argument of commands, where a leading hyphen would make it an option.
            if not made.key_id.startswith("-"):
                return made

    @classmethod
    def read(cls, path: Path) -> Self:
        """The key in the file. Raises StartupError when it is none, OSError when it cannot be read."""
        raw = path.read_bytes()
        try:
            key = OKPKey.import_key(json.loads(raw))
        except (ValueError, JoseError, KeyError, TypeError) as error:
            raise StartupError(f"{path} is not a key; restore it, or remove it to get a new one") from error
        if not key.is_private:
            raise StartupError(f"{path} is not a private key; restore it, or remove it to get a new one")
        return cls(key)

    def private_text(self) -> str:
        """The key as a JSON Web Key: what its file holds."""
        return json.dumps({**self._key.as_dict(private=True), **self._header()})

    def public_entry(self) -> dict[str, Any]:
        """Its public half as an entry of a JSON Web Key Set."""
        return {**self._key.as_dict(private=False), **self._header()}

    def sign(self, role: str, subject: str | None, days: float) -> Token:
        """A new token; `subject` is the role when there is none."""
        now = int(time.time())
        token_id, ends, subject = new_ulid(), now + int(days * DAY), subject or role
        claims = {"iss": ISSUER, "sub": subject, "role": role, "jti": token_id, "iat": now, "exp": ends}
        text = jwt.encode({"alg": ALGORITHM, "kid": self.key_id}, claims, self._key, algorithms=[ALGORITHM])
        return Token(text, token_id, role, subject, ends, self.key_id)

    def claims_of(self, text: str) -> dict[str, Any] | None:
        """The claims of a token that this key signed; None for any other text."""
        try:
            return jwt.decode(text, self._key, algorithms=[ALGORITHM]).claims
        except (ValueError, JoseError):
            return None

    def _header(self) -> dict[str, str]:
        return {"kid": self.key_id, "alg": ALGORITHM, "use": "sig"}


def key_id_of(token: str) -> str:
    """The id of the key that the token says has signed it. Raises ValueError when it says none."""
    head = token.partition(".")[0]
    header = json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))
    key_id = header.get("kid") if isinstance(header, dict) else None
    if not isinstance(key_id, str):
        raise ValueError("no kid")
    return key_id
