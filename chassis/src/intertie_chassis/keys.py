"""The installation's signing key, the public keys that verify, and the tokens that it issues.

All of it lives in the data directory: ``keys/signing.jwk`` and ``admin.token`` for the owner alone, ``keys/jwks.json``
for everyone. Whoever starts first makes them, under a lock file, so that processes starting together agree.
"""

import fcntl
import json
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

from intertie_chassis.errors import StartupError
from intertie_chassis.ids import new_ulid
from intertie_chassis.principals import split_role

ISSUER = "intertie"
ALGORITHM = "Ed25519"
"""EdDSA over Ed25519 under the name that RFC 9864 gives it; the older name ``EdDSA`` leaves the curve open."""

_DAY = 86_400
_ADMIN_DAYS = 3650


class KeyRing:
    """The keys of one data directory."""

    def __init__(self, data_dir: Path | str) -> None:
        self._data_dir = Path(data_dir)
        self._signing_key: OKPKey | None = None

    @property
    def jwks_path(self) -> Path:
        """The public keys, as a JSON Web Key Set."""
        return self._data_dir / "keys" / "jwks.json"

    @property
    def signing_path(self) -> Path:
        """The private key, as a JSON Web Key."""
        return self._data_dir / "keys" / "signing.jwk"

    @property
    def admin_token_path(self) -> Path:
        """The admin token, one line."""
        return self._data_dir / "admin.token"

    @property
    def can_sign(self) -> bool:
        """Whether the signing key is here and readable for this process."""
        return os.access(self.signing_path, os.R_OK)

    def ensure(self) -> None:
        """Makes what is missing: signing key, key set, admin token. Safe to run in many processes at once.

        Raises StartupError when the data directory cannot be written or the key cannot be read.
        """
        try:
            # The directory's too: the embedded databases in it hold the secrets of systems.
            for directory in (self._data_dir, self.signing_path.parent):
                directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            with _locked(self.signing_path.parent / ".lock"):
                if not self.signing_path.exists():
                    key = OKPKey.generate_key("Ed25519", private=True)
                    document = {**key.as_dict(private=True), "kid": key.thumbprint(), "alg": ALGORITHM, "use": "sig"}
                    _write(self.signing_path, json.dumps(document), 0o600)
                self._signing_key = self._read_signing_key()
                if not self._is_published(self._signing_key):
                    _write(self.jwks_path, json.dumps({"keys": [_public(self._signing_key)]}, indent=2), 0o644)
                if not self._is_own(self.admin_token_path):
                    _write(self.admin_token_path, self.issue("admin", "admin", days=_ADMIN_DAYS) + "\n", 0o600)
        except OSError as error:
            raise StartupError(
                f"the keys in {self.signing_path.parent} cannot be read or made ({error.strerror}); "
                "let this user own INTERTIE_DATA_DIR, or give INTERTIE_IDENTITY_KEYS and INTERTIE_SERVICE_TOKEN_FILE"
            ) from error

    def issue(self, role: str, subject: str | None = None, days: float = 90) -> str:
        """A new token.

        Args:
            role: ``admin``, ``operator``, ``viewer``, ``module:<name>`` or ``service:<name>``.
            subject: whom it is for, as the audit shows it; default: the role.
            days: how long it is valid.

        Raises InvalidArgument for another role, StartupError when there is no signing key.
        """
        split_role(role)
        if self._signing_key is None:
            if not self.can_sign:
                self.ensure()
            self._signing_key = self._read_signing_key()
        key = self._signing_key
        now = int(time.time())
        claims = {
            "iss": ISSUER,
            "sub": subject or role,
            "role": role,
            "jti": new_ulid(),
            "iat": now,
            "exp": now + int(days * _DAY),
        }
        return jwt.encode({"alg": ALGORITHM, "kid": _kid(key)}, claims, key, algorithms=[ALGORITHM])

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

    def _read_signing_key(self) -> OKPKey:
        try:
            key = OKPKey.import_key(json.loads(self.signing_path.read_bytes()))
        except (ValueError, JoseError, KeyError) as error:
            raise StartupError(
                f"{self.signing_path} is not a key; restore it, or remove it to get a new one"
            ) from error
        if not key.is_private:
            raise StartupError(f"{self.signing_path} is not a private key; restore it, or remove it to get a new one")
        return key

    def _is_published(self, key: OKPKey) -> bool:
        try:
            keys = json.loads(self.jwks_path.read_bytes())["keys"]
            return any(entry["kid"] == _kid(key) for entry in keys)
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def _is_own(self, path: Path) -> bool:
        """Whether the file holds a token of the present signing key (a replaced key leaves an old token behind)."""
        if self._signing_key is None:
            return False
        try:
            jwt.decode(path.read_text().strip(), self._signing_key, algorithms=[ALGORITHM])
        except (OSError, ValueError, JoseError):
            return False
        return True


def _kid(key: OKPKey) -> str:
    return key.kid or key.thumbprint()


def _public(key: OKPKey) -> dict[str, object]:
    return {**key.as_dict(private=False), "kid": _kid(key), "alg": ALGORITHM, "use": "sig"}


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Holds an exclusive lock on the file; the kernel frees it with the process, so none is left behind."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _write(path: Path, text: str, mode: int) -> None:
    """Writes the file whole or not at all, also when the power fails."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w") as file:
            os.fchmod(file.fileno(), mode)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
