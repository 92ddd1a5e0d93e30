"""Whether a delivery comes from whom it says: what every scheme of verification gives, refuses and checks alike.

Pure: the clock is passed in. Whatever is missing or cannot be understood fails closed. Every scheme asks for exactly
one of each header that it reads; a second one is a mistake of the sender that is told apart (`Repeated`), everything
else that does not fit is one and the same `Mismatch`. The schemes stand in `signature_schemes`, what a connection may
say of them in `signature_options`, and what keeps refusals from being told apart in `signature_gate`.
"""

import hmac
import math
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

MOST_SIGNATURES = 8
"""A list of signatures is as long as this at most."""
TOLERANCE_SECONDS = 300
MOST_ID_CHARACTERS = 255

PRESENT, PREVIOUS = "webhook_secret", "webhook_secret_previous"
"""The members of a connection's config_json that hold secrets."""

Headers = Mapping[str, list[bytes]]

# Without zeros in front: where nothing stands between it and its neighbours, a zero of theirs could become one of it.
_DIGITS = re.compile(rb"0|[1-9][0-9]{0,11}")
_WIDTH = 128
"""Bytes of the longest signature as it is written: SHA-512 in hex."""


class Mismatch(Exception):
    """The secret or signature is missing or does not fit."""


class Repeated(Exception):
    """A header stands twice, or lists too many signatures; the text says so to the sender."""

    def __init__(self, header: str, text: str = "must stand once") -> None:
        super().__init__(f"the header {header} {text}")
        self.header = header


class Misconfigured(Exception):
    """The system's configuration of its verification cannot be used; nothing is let in by it."""


@dataclass(frozen=True, slots=True)
class Verified:
    """A delivery that comes from whom it says."""

    #: the delivery's id, when it was signed with the body
    signed_id: str | None = None
    #: the member of config_json that matched; empty where none was asked for
    secret: str = ""
    #: what was signed beside the body, where no id was: the same again with the same body is a replay. Empty: the body
    #: alone was signed. None: nothing tells a replay from a delivery that says the same again.
    beside_body: bytes | None = None


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret, ready to be used."""

    #: the member of config_json that holds it; empty of a decoy, by which nobody is let in
    name: str
    key: bytes = field(repr=False)
    #: seconds since 1970 at which it ends
    until: float = math.inf


@dataclass(frozen=True, slots=True)
class Secrets:
    """The present secret and, while a rotation lasts, the one before it."""

    present: Secret
    previous: Secret
    decoy: Secret = field(repr=False)

    def pair(self, now: float) -> tuple[Secret, Secret]:
        """Two secrets to try, whatever counts at this time: how many there are is not to be seen by the clock."""
        return self.present, self.previous if now < self.previous.until else self.decoy


DECOY = Secret("", secrets.token_bytes(32))
"""What nobody knows: it stands in where there is no secret, so that looking takes as long."""
NO_SECRETS = Secrets(DECOY, DECOY, DECOY)


@dataclass(frozen=True, slots=True)
class HeaderRule:
    """A header that a scheme reads: it must stand once, and list no more signatures than may be."""

    name: str
    #: what stands between signatures; empty: there is one
    separator: bytes = b""
    #: what a part must begin with to be a signature
    marker: bytes = b""

    def fault(self, headers: Headers) -> Repeated | None:
        """What is wrong with the header, if it stands there at all."""
        values = headers.get(self.name)
        if not values:
            return None
        if len(values) > 1:
            return Repeated(self.name)
        if self.separator:
            parts = values[0].split(self.separator)
            if sum(part.strip().startswith(self.marker) for part in parts) > MOST_SIGNATURES:
                return Repeated(self.name, f"must list at most {MOST_SIGNATURES} signatures")
        return None


class Verifier(Protocol):
    """Decides about one system's deliveries."""

    @property
    def rules(self) -> tuple[HeaderRule, ...]:
        """The headers that it reads."""
        ...

    @property
    def decoys(self) -> "tuple[Verifier, ...]":
        """Verifiers that let nobody in, and together do for it what this one does."""
        ...

    @property
    def previous_until(self) -> float | None:
        """Seconds since 1970 at which the previous secret ends; None when there is none."""
        ...

    def verify(self, headers: Headers, body: bytes, now: float) -> Verified:
        """Raises Mismatch or Repeated."""
        ...


def fits(presented: Sequence[bytes], expected: bytes) -> bool:
    """Whether one of the presented signatures is the expected one; all are compared, whatever the first gave."""
    framed = _framed(expected)
    fitting = [hmac.compare_digest(_framed(one), framed) for one in presented]
    return any(fitting)


def one(headers: Headers, rule: HeaderRule) -> bytes:
    """The header's value. Raises Mismatch without one, Repeated by its rule."""
    values = headers.get(rule.name)
    if not values:
        raise Mismatch
    fault = rule.fault(headers)
    if fault is not None:
        raise fault
    return values[0]


def check_time(text: bytes, now: float, tolerance: int) -> None:
    """Raises Mismatch unless it is a plain number of seconds since 1970, at most `tolerance` from now either way."""
    if not _DIGITS.fullmatch(text) or abs(now - int(text)) > tolerance:
        raise Mismatch


def checked_id(text: bytes) -> str:
    """The id. Raises Mismatch unless it is 1 to 255 printable ASCII characters without spaces."""
    if not 1 <= len(text) <= MOST_ID_CHARACTERS or not all(32 < byte < 127 for byte in text):
        raise Mismatch
    return text.decode("ascii")


def _framed(text: bytes) -> bytes:
    """The text at one width, with its length: how long a comparison takes must not tell how long the other side is."""
    return len(text).to_bytes(4, "big") + text[:_WIDTH].ljust(_WIDTH, b"\0")
