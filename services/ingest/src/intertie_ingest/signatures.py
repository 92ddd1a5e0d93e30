"""Whether a delivery comes from whom it says: secrets and signatures over the raw bytes, in constant time.

Pure: the clock is passed in. Whatever is missing or cannot be understood fails closed. Every scheme asks for exactly
one of each header that it reads; a second one is a mistake of the sender that is told apart (`Repeated`), everything
else that does not fit is one and the same `Mismatch`.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

TOLERANCE_SECONDS = 300
MOST_SIGNATURES = 8
SECRET_HEADER = "x-webhook-secret"

Headers = Mapping[str, list[bytes]]

_DIGITS = re.compile(rb"[0-9]{1,12}")
_HEADER_NAME = re.compile(r"[a-z0-9-]{1,64}")
_PLACEHOLDER = re.compile(r"\{(body|timestamp|id)\}")


class Mismatch(Exception):
    """The secret or signature is missing or does not fit."""


class Repeated(Exception):
    """The named header must stand once."""


class Misconfigured(Exception):
    """The system's configuration of its verification cannot be used; nothing is let in by it."""


@dataclass(frozen=True, slots=True)
class Secrets:
    """The present secret and, while a rotation lasts, the one before it."""

    present: bytes = field(repr=False)
    previous: bytes | None = field(default=None, repr=False)
    #: seconds since 1970 at which the previous one ends
    previous_until: float = 0.0

    def active(self, now: float) -> tuple[bytes, ...]:
        """The secrets that count at this time."""
        if self.previous is not None and now < self.previous_until:
            return (self.present, self.previous)
        return (self.present,)


class Verifier(Protocol):
    """Decides about one system's deliveries."""

    def verify(self, headers: Headers, body: bytes, now: float) -> str | None:
        """Gives the delivery id that was signed with the body, None when the scheme signs none.

        Raises Mismatch or Repeated.
        """


@dataclass(frozen=True, slots=True)
class SharedSecret:
    """The secret itself stands in `X-Webhook-Secret`."""

    secrets: Secrets

    def verify(self, headers: Headers, body: bytes, now: float) -> str | None:
        """Raises Mismatch or Repeated."""
        presented = hashlib.sha256(_one(headers, SECRET_HEADER)).digest()
        # Digests are of one length whatever was sent, and every active secret is compared whatever the first one gave.
        fits = [hmac.compare_digest(presented, hashlib.sha256(secret).digest()) for secret in self.secrets.active(now)]
        if not any(fits):
            raise Mismatch
        return None


@dataclass(frozen=True, slots=True)
class StandardWebhooks:
    """`webhook-id`, `webhook-timestamp`, `webhook-signature`, or the same under svix's names; the id is signed too."""

    secrets: Secrets

    def verify(self, headers: Headers, body: bytes, now: float) -> str | None:
        """Raises Mismatch or Repeated."""
        family = "webhook" if "webhook-signature" in headers else "svix"
        message_id = _one(headers, f"{family}-id")
        timestamp = _one(headers, f"{family}-timestamp")
        listed = _one(headers, f"{family}-signature").split(b" ")
        if not message_id or b"." in message_id or len(message_id) > 255 or not _is_printable(message_id):
            raise Mismatch
        _check_time(timestamp, now, TOLERANCE_SECONDS)
        presented = [entry[3:] for entry in _bounded(listed, f"{family}-signature") if entry.startswith(b"v1,")]
        signed = b"%b.%b.%b" % (message_id, timestamp, body)
        expected = [base64.b64encode(hmac.digest(key, signed, "sha256")) for key in self.secrets.active(now)]
        _check(presented, expected)
        return message_id.decode("ascii")


@dataclass(frozen=True, slots=True)
class Stripe:
    """`Stripe-Signature: t=…,v1=…`."""

    secrets: Secrets

    def verify(self, headers: Headers, body: bytes, now: float) -> str | None:
        """Raises Mismatch or Repeated."""
        parts = [part.strip().partition(b"=") for part in _one(headers, "stripe-signature").split(b",")]
        times = [value for name, _, value in parts if name == b"t"]
        presented = [value for name, _, value in parts if name == b"v1"]
        _bounded(presented, "stripe-signature")
        if len(times) != 1:
            raise Mismatch
        _check_time(times[0], now, TOLERANCE_SECONDS)
        signed = b"%b.%b" % (times[0], body)
        _check(presented, [_hex(hmac.digest(key, signed, "sha256")) for key in self.secrets.active(now)])
        return None


@dataclass(frozen=True, slots=True)
class Signature:
    """An HMAC in one header, as GitHub, Shopify, Slack and most others have it."""

    secrets: Secrets
    header: str
    encode: Callable[[bytes], bytes]
    prefix: bytes = b""
    algorithm: str = "sha256"
    #: what is signed: texts, and the names `body`, `timestamp` and `id` in turn
    signed: tuple[bytes | str, ...] = ("body",)
    timestamp_header: str | None = None
    id_header: str | None = None
    tolerance: int = TOLERANCE_SECONDS

    def verify(self, headers: Headers, body: bytes, now: float) -> str | None:
        """Raises Mismatch or Repeated."""
        value = _one(headers, self.header)
        if not value.startswith(self.prefix):
            raise Mismatch
        presented = [entry.strip() for entry in value[len(self.prefix) :].split(b",")]
        if self.encode is _hex:
            presented = [entry.lower() for entry in presented]
        parts = {"body": body}
        if self.timestamp_header is not None:
            parts["timestamp"] = _one(headers, self.timestamp_header)
            _check_time(parts["timestamp"], now, self.tolerance)
        message_id: str | None = None
        if self.id_header is not None:
            parts["id"] = _one(headers, self.id_header)
            if not parts["id"] or len(parts["id"]) > 255 or not _is_printable(parts["id"]):
                raise Mismatch
            message_id = parts["id"].decode("ascii")
        message = b"".join(parts[part] if isinstance(part, str) else part for part in self.signed)
        expected = [self.encode(hmac.digest(key, message, self.algorithm)) for key in self.secrets.active(now)]
        _check(_bounded(presented, self.header), expected)
        return message_id


class Unverified:
    """Everybody is let in: `webhook_auth` is `none`."""

    def verify(self, headers: Headers, body: bytes, now: float) -> str | None:
        """Never raises."""
        return None


class Closed:
    """Nobody is let in: the configuration is missing or cannot be used. Works as much as a comparison of secrets."""

    _SECRETS = SharedSecret(Secrets(b"nobody knows this one, and it would not help"))

    def verify(self, headers: Headers, body: bytes, now: float) -> str | None:
        """Always raises Mismatch, or Repeated."""
        self._SECRETS.verify(headers, body, now)
        raise Mismatch


CLOSED = Closed()


def compile_verifier(configuration: Mapping[str, Any]) -> Verifier:
    """The verifier that a connection's `config_json` asks for. Raises Misconfigured when it cannot be made."""
    scheme = configuration.get("webhook_auth", "secret")
    if scheme == "none":
        return Unverified()
    if not isinstance(scheme, str) or scheme not in _SCHEMES:
        raise Misconfigured(f"webhook_auth must be one of {', '.join([*_SCHEMES, 'none'])}")
    return _SCHEMES[scheme](configuration)


def _secrets(configuration: Mapping[str, Any], decode: Callable[[str], bytes] = str.encode) -> Secrets:
    present = configuration.get("webhook_secret")
    if not isinstance(present, str) or not present:
        raise Misconfigured("webhook_secret must be a text that is not empty")
    previous = configuration.get("webhook_secret_previous")
    if previous is None:
        return Secrets(decode(present))
    if not isinstance(previous, str) or not previous:
        raise Misconfigured("webhook_secret_previous must be a text that is not empty")
    until = _moment(configuration.get("webhook_secret_previous_expires_at"))
    return Secrets(decode(present), decode(previous), until)


def _moment(value: object) -> float:
    """Seconds since 1970. Without a time the previous secret would be good for ever, so there must be one."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            raise Misconfigured("webhook_secret_previous_expires_at is not a time like 2026-01-31T12:00:00Z") from None
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    raise Misconfigured("webhook_secret_previous needs webhook_secret_previous_expires_at")


def _standard_key(secret: str) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError):
        raise Misconfigured("the secret of standard-webhooks must be whsec_ and base64") from None
    if not key:
        raise Misconfigured("the secret of standard-webhooks is empty")
    return key


def _generic(configuration: Mapping[str, Any]) -> Signature:
    options = configuration.get("webhook_hmac")
    if not isinstance(options, dict):
        raise Misconfigured("webhook_auth hmac needs an object webhook_hmac")
    unknown = set(options) - _GENERIC_OPTIONS
    if unknown:
        raise Misconfigured(f"webhook_hmac knows no {', '.join(sorted(unknown))}")
    algorithm, encoding = options.get("algorithm", "sha256"), options.get("encoding", "hex")
    prefix, tolerance = options.get("prefix", ""), options.get("tolerance_seconds", TOLERANCE_SECONDS)
    if algorithm not in ("sha1", "sha256", "sha384", "sha512"):
        raise Misconfigured("webhook_hmac.algorithm must be sha1, sha256, sha384 or sha512")
    if not isinstance(encoding, str) or encoding not in _ENCODINGS:
        raise Misconfigured("webhook_hmac.encoding must be hex or base64")
    if not isinstance(prefix, str) or not prefix.isascii():
        raise Misconfigured("webhook_hmac.prefix must be an ASCII text")
    if type(tolerance) is not int or not 1 <= tolerance <= 86_400:
        raise Misconfigured("webhook_hmac.tolerance_seconds must be a number from 1 to 86400")
    timestamp_header, id_header = _header(options, "timestamp_header"), _header(options, "id_header")
    header = _header(options, "header")
    if header is None:
        raise Misconfigured("webhook_hmac.header must name the header of the signature")
    signed = _template(options.get("signed", "{body}"), timestamp_header, id_header)
    return Signature(
        _secrets(configuration),
        header,
        _ENCODINGS[encoding],
        prefix.encode(),
        algorithm,
        signed,
        timestamp_header,
        id_header,
        tolerance,
    )


def _header(options: Mapping[str, Any], name: str) -> str | None:
    value = options.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or not _HEADER_NAME.fullmatch(value.lower()):
        raise Misconfigured(f"webhook_hmac.{name} must be the name of a header")
    return value.lower()


def _template(text: object, timestamp_header: str | None, id_header: str | None) -> tuple[bytes | str, ...]:
    """`{timestamp}.{body}` as ("timestamp", b".", "body")."""
    if not isinstance(text, str):
        raise Misconfigured("webhook_hmac.signed must be a text such as {timestamp}.{body}")
    # Of a split by a pattern with one group, every other part is what the group matched.
    parts = _PLACEHOLDER.split(text)
    names = parts[1::2]
    expected = {"body"} | ({"timestamp"} if timestamp_header else set()) | ({"id"} if id_header else set())
    if names.count("body") != 1 or set(names) != expected:
        # An unsigned timestamp would protect from nothing, and a signed one must come from somewhere.
        raise Misconfigured(
            "webhook_hmac.signed must hold {body}, and {timestamp} and {id} just when they have headers"
        )
    return tuple(part if index % 2 else part.encode() for index, part in enumerate(parts) if index % 2 or part)


def _one(headers: Headers, name: str) -> bytes:
    values = headers.get(name)
    if not values:
        raise Mismatch
    if len(values) > 1:
        raise Repeated(name)
    return values[0]


def _bounded(signatures: list[bytes], header: str) -> list[bytes]:
    if len(signatures) > MOST_SIGNATURES:
        raise Repeated(header)
    return signatures


def _check(presented: list[bytes], expected: list[bytes]) -> None:
    fits = [hmac.compare_digest(one, other) for one in presented for other in expected]
    if not any(fits):
        raise Mismatch


def _check_time(text: bytes, now: float, tolerance: int) -> None:
    if not _DIGITS.fullmatch(text) or abs(now - int(text)) > tolerance:
        raise Mismatch


def _is_printable(text: bytes) -> bool:
    return all(32 < byte < 127 for byte in text)


def _hex(raw: bytes) -> bytes:
    return raw.hex().encode()


_ENCODINGS: dict[str, Callable[[bytes], bytes]] = {"hex": _hex, "base64": base64.b64encode}
_GENERIC_OPTIONS = {
    "header",
    "algorithm",
    "encoding",
    "prefix",
    "signed",
    "timestamp_header",
    "id_header",
    "tolerance_seconds",
}
_SCHEMES: dict[str, Callable[[Mapping[str, Any]], Verifier]] = {
    "secret": lambda configuration: SharedSecret(_secrets(configuration)),
    "standard-webhooks": lambda configuration: StandardWebhooks(_secrets(configuration, _standard_key)),
    "github": lambda configuration: Signature(
        _secrets(configuration), "x-hub-signature-256", encode=_hex, prefix=b"sha256="
    ),
    "stripe": lambda configuration: Stripe(_secrets(configuration)),
    "shopify": lambda configuration: Signature(
        _secrets(configuration), "x-shopify-hmac-sha256", encode=base64.b64encode
    ),
    "slack": lambda configuration: Signature(
        _secrets(configuration),
        "x-slack-signature",
        encode=_hex,
        prefix=b"v0=",
        signed=(b"v0:", "timestamp", b":", "body"),
        timestamp_header="x-slack-request-timestamp",
    ),
    "hmac": _generic,
}
