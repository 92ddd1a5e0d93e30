"""The schemes by which deliveries are verified, over the raw bytes and in constant time."""

import base64
import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar, Self, cast

from intertie_ingest import signature_ed25519
from intertie_ingest.signatures import (
    NO_SECRETS,
    TOLERANCE_SECONDS,
    HeaderRule,
    Headers,
    Mismatch,
    Repeated,
    Secret,
    Secrets,
    Verified,
    Verifier,
    check_time,
    checked_id,
    fits,
    one,
)

SECRET_HEADER = "x-webhook-secret"
NO_PUBLIC_KEYS = Secrets(*[Secret("", signature_ed25519.DECOY_KEY)] * 3)

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
    def decoys(self) -> tuple[Verifier, ...]:
        """The same without secrets."""
        return (cast(Verifier, self._without_secrets()),)

    @property
    def previous_until(self) -> float | None:
        """Seconds since 1970 at which the previous secret ends; None when there is none."""
        return self.secrets.previous.until if self.secrets.previous.name else None

    def _without_secrets(self) -> Self:
        return replace(self, secrets=NO_SECRETS)


@dataclass(frozen=True, slots=True)
class SharedSecret(_Keyed):
    """The secret itself stands in `X-Webhook-Secret`. The keys are the secrets' SHA-256."""

    rules: ClassVar[tuple[HeaderRule, ...]] = (SECRET_RULE,)

    def verify(self, headers: Headers, body: bytes, now: float) -> Verified:
        """Raises Mismatch or Repeated."""
        presented = (digest_of(one(headers, SECRET_RULE)),)
        for secret in self.secrets.pair(now):
            if fits(presented, secret.key) and secret.name:
                return Verified(None, secret.name)
        raise Mismatch


@dataclass(frozen=True, slots=True)
class StandardWebhooks(_Keyed):
    """`webhook-id`, `webhook-timestamp`, `webhook-signature`, or the same under svix's names; the id is signed too.

    Source: Standard Webhooks 1.0.0, `v1`: an HMAC-SHA256 in base64.
    """

    rules: ClassVar[tuple[HeaderRule, ...]] = (*STANDARD_RULES["webhook"], *STANDARD_RULES["svix"])

    def verify(self, headers: Headers, body: bytes, now: float) -> Verified:
        """Raises Mismatch or Repeated."""
        signed_id, listed, message = _standard(headers, body, now)
        presented = [entry[3:] for entry in listed.split(b" ") if entry.startswith(b"v1,")]
        for secret in self.secrets.pair(now):
            if fits(presented, base64.b64encode(hmac.digest(secret.key, message, "sha256"))) and secret.name:
                return Verified(signed_id, secret.name)
        raise Mismatch


@dataclass(frozen=True, slots=True)
class StandardPublic(_Keyed):
    """The same with Ed25519 signatures, `v1a`; the keys are the sender's public ones."""

    rules: ClassVar[tuple[HeaderRule, ...]] = StandardWebhooks.rules

    def verify(self, headers: Headers, body: bytes, now: float) -> Verified:
        """Raises Mismatch or Repeated."""
        signed_id, listed, message = _standard(headers, body, now)
        for secret in self.secrets.pair(now):
            if signature_ed25519.fits(listed, secret.key, message) and secret.name:
                return Verified(signed_id, secret.name)
        raise Mismatch

    def _without_secrets(self) -> Self:
        return replace(self, secrets=NO_PUBLIC_KEYS)


@dataclass(frozen=True, slots=True)
class Either:
    """Two verifiers of the same headers, for a rotation between a secret and a public key."""

    first: Verifier
    second: Verifier

    @property
    def rules(self) -> tuple[HeaderRule, ...]:
        """The headers that they read."""
        return self.first.rules

    @property
    def decoys(self) -> tuple[Verifier, ...]:
        """Those of both."""
        return (*self.first.decoys, *self.second.decoys)

    @property
    def previous_until(self) -> float | None:
        """Seconds since 1970 at which the previous secret ends."""
        found = (self.first.previous_until, self.second.previous_until)
        return next((until for until in found if until is not None), None)

    def verify(self, headers: Headers, body: bytes, now: float) -> Verified:
        """Raises Mismatch or Repeated."""
        try:
            return self.first.verify(headers, body, now)
        except (Mismatch, Repeated):
            return self.second.verify(headers, body, now)


@dataclass(frozen=True, slots=True)
class Stripe(_Keyed):
    """`Stripe-Signature: t=…,v1=…`."""

    rules: ClassVar[tuple[HeaderRule, ...]] = (STRIPE_RULE,)

    def verify(self, headers: Headers, body: bytes, now: float) -> Verified:
        """Raises Mismatch or Repeated."""
        parts = [part.strip().partition(b"=") for part in one(headers, STRIPE_RULE).split(b",")]
        times = [value for name, _, value in parts if name == b"t"]
        presented = [value for name, _, value in parts if name == b"v1"]
        if len(times) != 1:
            raise Mismatch
        check_time(times[0], now, TOLERANCE_SECONDS)
        message = b"%b.%b" % (times[0], body)
        for secret in self.secrets.pair(now):
            if fits(presented, hexadecimal(hmac.digest(secret.key, message, "sha256"))) and secret.name:
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
    #: whether the header may list several signatures, each with the prefix
    is_list: bool = False

    @property
    def rules(self) -> tuple[HeaderRule, ...]:
        """The headers that it reads."""
        return tuple(rule for rule in (self.header, self.timestamp_header, self.id_header) if rule is not None)

    def verify(self, headers: Headers, body: bytes, now: float) -> Verified:
        """Raises Mismatch or Repeated."""
        presented = self._presented(one(headers, self.header))
        parts = {"body": body}
        if self.timestamp_header is not None:
            parts["timestamp"] = one(headers, self.timestamp_header)
            check_time(parts["timestamp"], now, self.tolerance)
        signed_id: str | None = None
        if self.id_header is not None:
            parts["id"] = one(headers, self.id_header)
            signed_id = checked_id(parts["id"])
            if self._is_ambiguous(parts["id"]):
                raise Mismatch
        message = b"".join(parts[part] if isinstance(part, str) else part for part in self.signed)
        for secret in self.secrets.pair(now):
            if fits(presented, self.encode(hmac.digest(secret.key, message, self.algorithm))) and secret.name:
                return Verified(signed_id, secret.name, self._beside_body(signed_id, parts))
        raise Mismatch

    def _presented(self, value: bytes) -> list[bytes]:
        entries = [entry.strip() for entry in value.split(b",")] if self.is_list else [value]
        if not all(entry.startswith(self.prefix) for entry in entries):
            raise Mismatch
        presented = [entry[len(self.prefix) :] for entry in entries]
        return [entry.lower() for entry in presented] if self.encode is hexadecimal else presented

    def _is_ambiguous(self, identifier: bytes) -> bool:
        """Whether the id holds a character of what parts it from the body: then the same signature would fit another id
        with another body, the end of the one moved to the other. (A time has digits alone, and is near to now.)
        """
        place = self.signed.index("id")
        for separator, neighbour in ((place + 1, place + 2), (place - 1, place - 2)):
            if 0 <= neighbour < len(self.signed) and self.signed[neighbour] == "body":
                between = self.signed[separator]
                if isinstance(between, bytes) and any(byte in between for byte in identifier):
                    return True
        return False

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
    decoys: ClassVar[tuple[Verifier, ...]] = ()
    previous_until: ClassVar[float | None] = None

    def verify(self, headers: Headers, body: bytes, now: float) -> Verified:
        """Never raises."""
        return Verified()


CLOSED = SharedSecret(NO_SECRETS)
"""Nobody is let in: the system is unknown or inactive, or its configuration is missing or cannot be used."""


def digest_of(secret: bytes) -> bytes:
    """The key of a SharedSecret: of one length whatever the secret is."""
    return hashlib.sha256(secret).digest()


def _standard(headers: Headers, body: bytes, now: float) -> tuple[str, bytes, bytes]:
    """The id, the listed signatures and what they sign. Raises Mismatch or Repeated."""
    family = "webhook" if "webhook-signature" in headers else "svix"
    message_id, timestamp, listed = (one(headers, rule) for rule in STANDARD_RULES[family])
    signed_id = checked_id(message_id)
    if "." in signed_id:
        raise Mismatch
    check_time(timestamp, now, TOLERANCE_SECONDS)
    return signed_id, listed, b"%b.%b.%b" % (message_id, timestamp, body)
