"""The schemes by which deliveries are verified, over the raw bytes and in constant time."""

import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from intertie_ingest.signature_effort import ED25519, SECRET_HEADER, Effort
from intertie_ingest.signatures import (
    TOLERANCE_SECONDS,
    HeaderRule,
    Headers,
    Mismatch,
    Secrets,
    Verified,
    check_time,
    checked_id,
    one,
)

SECRET_RULE = HeaderRule(SECRET_HEADER)
STRIPE_RULE = HeaderRule("stripe-signature", b",", b"v1=")
STANDARD_RULES = {
    family: (
        HeaderRule(f"{family}-id"),
        HeaderRule(f"{family}-timestamp"),
        HeaderRule(f"{family}-signature", b" "),
    )
    for family in ("webhook", "svix")
}


def hexadecimal(raw: bytes) -> bytes:
    """The bytes in lower-case hex."""
    return raw.hex().encode()


@dataclass(frozen=True, slots=True)
class _Keyed:
    secrets: Secrets

    @property
    def previous_until(self) -> float | None:
        """Seconds since 1970 at which the previous secret ends; None when there is none."""
        return self.secrets.previous.until if self.secrets.previous is not None else None


@dataclass(frozen=True, slots=True)
class SharedSecret(_Keyed):
    """The secret itself stands in `X-Webhook-Secret`. The keys are the secrets' SHA-256."""

    rules: ClassVar[tuple[HeaderRule, ...]] = (SECRET_RULE,)
    algorithms: ClassVar[frozenset[str]] = frozenset()

    def verify(self, headers: Headers, body: bytes, now: float, effort: Effort | None = None) -> Verified:
        """Raises Mismatch or Repeated."""
        effort = effort or Effort()
        one(headers, SECRET_RULE)
        presented = (effort.digest_of_secret(headers),)
        for secret in self.secrets.active(now):
            if effort.fits(presented, secret.key):
                return Verified(None, secret.name)
        raise Mismatch


@dataclass(frozen=True, slots=True)
class StandardWebhooks(_Keyed):
    """`webhook-id`, `webhook-timestamp`, `webhook-signature`, or the same under svix's names; the id is signed too.

    Source: Standard Webhooks 1.0.0; `v1` is an HMAC-SHA256 in base64, `v1a` an Ed25519 signature.
    """

    rules: ClassVar[tuple[HeaderRule, ...]] = (*STANDARD_RULES["webhook"], *STANDARD_RULES["svix"])

    @property
    def algorithms(self) -> frozenset[str]:
        """`sha256`, and `ed25519` when a key is a public one."""
        secrets = (self.secrets.present, self.secrets.previous)
        is_public = any(secret is not None and secret.is_public for secret in secrets)
        return frozenset({"sha256", ED25519} if is_public else {"sha256"})

    def verify(self, headers: Headers, body: bytes, now: float, effort: Effort | None = None) -> Verified:
        """Raises Mismatch or Repeated."""
        effort = effort or Effort()
        family = "webhook" if "webhook-signature" in headers else "svix"
        message_id, timestamp, listed = (one(headers, rule) for rule in STANDARD_RULES[family])
        signed_id = checked_id(message_id)
        if "." in signed_id:
            raise Mismatch
        check_time(timestamp, now, TOLERANCE_SECONDS)
        message = b"%b.%b.%b" % (message_id, timestamp, body)
        presented = [entry[3:] for entry in listed.split(b" ") if entry.startswith(b"v1,")]
        for secret in self.secrets.active(now):
            if secret.is_public:
                fits = effort.fits_public(listed, secret.key, message)
            else:
                fits = effort.fits(presented, base64.b64encode(effort.mac(secret.key, message, "sha256")))
            if fits:
                return Verified(signed_id, secret.name)
        raise Mismatch


@dataclass(frozen=True, slots=True)
class Stripe(_Keyed):
    """`Stripe-Signature: t=…,v1=…`."""

    rules: ClassVar[tuple[HeaderRule, ...]] = (STRIPE_RULE,)
    algorithms: ClassVar[frozenset[str]] = frozenset({"sha256"})

    def verify(self, headers: Headers, body: bytes, now: float, effort: Effort | None = None) -> Verified:
        """Raises Mismatch or Repeated."""
        effort = effort or Effort()
        parts = [part.strip().partition(b"=") for part in one(headers, STRIPE_RULE).split(b",")]
        times = [value for name, _, value in parts if name == b"t"]
        presented = [value for name, _, value in parts if name == b"v1"]
        if len(times) != 1:
            raise Mismatch
        check_time(times[0], now, TOLERANCE_SECONDS)
        message = b"%b.%b" % (times[0], body)
        for secret in self.secrets.active(now):
            if effort.fits(presented, hexadecimal(effort.mac(secret.key, message, "sha256"))):
                return Verified(None, secret.name, times[0])
        raise Mismatch


@dataclass(frozen=True, slots=True)
class Signature(_Keyed):
    """An HMAC in one header, as GitHub, Shopify, Slack and most others have it."""

    header: HeaderRule
    encode: Callable[[bytes], bytes]
    prefix: bytes = b""
    algorithm: str = "sha256"
    #: what is signed: texts, and the names `body`, `timestamp` and `id` in turn
    signed: tuple[bytes | str, ...] = ("body",)
    timestamp_header: HeaderRule | None = None
    id_header: HeaderRule | None = None
    tolerance: int = TOLERANCE_SECONDS
    #: whether the same body again is a replay, whatever was signed beside it
    refuses_same_body: bool = False

    @property
    def rules(self) -> tuple[HeaderRule, ...]:
        """The headers that it reads."""
        return tuple(rule for rule in (self.header, self.timestamp_header, self.id_header) if rule is not None)

    @property
    def algorithms(self) -> frozenset[str]:
        """The one hash algorithm."""
        return frozenset({self.algorithm})

    def verify(self, headers: Headers, body: bytes, now: float, effort: Effort | None = None) -> Verified:
        """Raises Mismatch or Repeated."""
        effort = effort or Effort()
        presented = self._presented(one(headers, self.header))
        parts = {"body": body}
        if self.timestamp_header is not None:
            parts["timestamp"] = one(headers, self.timestamp_header)
            check_time(parts["timestamp"], now, self.tolerance)
        signed_id: str | None = None
        if self.id_header is not None:
            parts["id"] = one(headers, self.id_header)
            signed_id = checked_id(parts["id"])
        message = b"".join(parts[part] if isinstance(part, str) else part for part in self.signed)
        for secret in self.secrets.active(now):
            if effort.fits(presented, self.encode(effort.mac(secret.key, message, self.algorithm))):
                return Verified(signed_id, secret.name, self._beside_body(signed_id, parts))
        raise Mismatch

    def _presented(self, value: bytes) -> list[bytes]:
        entries = [entry.strip() for entry in value.split(self.header.separator)] if self.header.separator else [value]
        if not all(entry.startswith(self.prefix) for entry in entries):
            raise Mismatch
        presented = [entry[len(self.prefix) :] for entry in entries]
        return [entry.lower() for entry in presented] if self.encode is hexadecimal else presented

    def _beside_body(self, signed_id: str | None, parts: dict[str, bytes]) -> bytes | None:
        if signed_id is not None:
            return None
        if self.refuses_same_body:
            return b""
        return parts.get("timestamp")


@dataclass(frozen=True, slots=True)
class Unverified:
    """Everybody is let in: `webhook_auth` is `none`."""

    rules: ClassVar[tuple[HeaderRule, ...]] = ()
    algorithms: ClassVar[frozenset[str]] = frozenset()
    previous_until: ClassVar[float | None] = None

    def verify(self, headers: Headers, body: bytes, now: float, effort: Effort | None = None) -> Verified:
        """Never raises."""
        return Verified()


@dataclass(frozen=True, slots=True)
class Closed:
    """Nobody is let in: the system is unknown or inactive, or its configuration is missing or cannot be used."""

    rules: ClassVar[tuple[HeaderRule, ...]] = ()
    algorithms: ClassVar[frozenset[str]] = frozenset()
    previous_until: ClassVar[float | None] = None

    def verify(self, headers: Headers, body: bytes, now: float, effort: Effort | None = None) -> Verified:
        """Always raises Mismatch."""
        raise Mismatch


CLOSED = Closed()


def digest_of(secret: bytes) -> bytes:
    """The key of a SharedSecret."""
    return hashlib.sha256(secret).digest()
