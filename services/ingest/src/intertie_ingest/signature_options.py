"""What a connection's `config_json` may say of verification, and the verifier that it asks for."""

import base64
import binascii
import hashlib
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from intertie_ingest import signature_ed25519
from intertie_ingest.signature_schemes import (
    NO_PUBLIC_KEYS,
    Either,
    SharedSecret,
    Signature,
    StandardPublic,
    StandardWebhooks,
    Stripe,
    Unverified,
    digest_of,
    hexadecimal,
)
from intertie_ingest.signatures import (
    DECOY,
    NO_SECRETS,
    PRESENT,
    PREVIOUS,
    TOLERANCE_SECONDS,
    HeaderRule,
    Misconfigured,
    Secret,
    Secrets,
    Verifier,
)

MOST_TEMPLATE_CHARACTERS = 200
REFUSE_SAME_BODY = "refuse_same_body"

_PUBLIC = "whpk_"
_HEADER_NAME = re.compile(r"[a-z0-9-]{1,64}")
_PLACEHOLDER = re.compile(r"\{(body|timestamp|id)\}")
_BLOCK_BYTES = {"sha1": 64, "sha256": 64, "sha384": 128, "sha512": 128}
_ENCODINGS: dict[str, Callable[[bytes], bytes]] = {"hex": hexadecimal, "base64": base64.b64encode}
_GENERIC_OPTIONS = {
    "header",
    "algorithm",
    "encoding",
    "prefix",
    "signed",
    "timestamp_header",
    "id_header",
    "tolerance_seconds",
    "replay",
}
# These schemes have one signature; that a list of many is told of in their headers too makes them like the others.
_GITHUB, _SHOPIFY = HeaderRule("x-hub-signature-256", b","), HeaderRule("x-shopify-hmac-sha256", b",")
_SLACK, _SLACK_TIME = HeaderRule("x-slack-signature", b","), HeaderRule("x-slack-request-timestamp")


def compile_verifier(configuration: Mapping[str, Any]) -> Verifier:
    """The verifier that a connection's `config_json` asks for. Raises Misconfigured when it cannot be made."""
    scheme = configuration.get("webhook_auth", "secret")
    if scheme == "none":
        return Unverified()
    if not isinstance(scheme, str) or scheme not in _SCHEMES:
        raise Misconfigured(f"webhook_auth must be one of {', '.join([*_SCHEMES, 'none'])}")
    return _SCHEMES[scheme](configuration)


def _previous_end(configuration: Mapping[str, Any]) -> float:
    """When the previous secret ends; never was, when there is none. Raises Misconfigured, also about the secrets."""
    for name in (PRESENT, PREVIOUS):
        text = configuration.get(name)
        if (text is not None or name == PRESENT) and (not isinstance(text, str) or not text):
            raise Misconfigured(f"{name} must be a text that is not empty")
    if configuration.get(PREVIOUS) is None:
        return -math.inf
    return _moment(configuration.get("webhook_secret_previous_expires_at"))


def _secrets(configuration: Mapping[str, Any], key: Callable[[str], bytes]) -> Secrets:
    until, previous = _previous_end(configuration), configuration.get(PREVIOUS)
    old = Secret("", DECOY.key, until) if previous is None else Secret(PREVIOUS, key(previous), until)
    return Secrets(Secret(PRESENT, key(configuration[PRESENT])), old, DECOY)


def _moment(value: object) -> float:
    """Seconds since 1970. Without a time the previous secret would be good for ever, so there must be one."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError):
            raise Misconfigured("webhook_secret_previous_expires_at is not a time like 2026-01-31T12:00:00Z") from None
    raise Misconfigured("webhook_secret_previous needs webhook_secret_previous_expires_at")


def _shared(text: str) -> bytes:
    return digest_of(text.encode())


def _hmac_key(algorithm: str) -> Callable[[str], bytes]:
    return lambda text: _short(text.encode(), algorithm)


def _short(key: bytes, algorithm: str) -> bytes:
    """What HMAC makes of a key that is longer than a block: once, so that a long one takes no longer each time."""
    return hashlib.new(algorithm, key).digest() if len(key) > _BLOCK_BYTES[algorithm] else key


def _standard(configuration: Mapping[str, Any]) -> Verifier:
    """Secrets (`whsec_`), public keys (`whpk_`), or one of each while a rotation goes from one to the other."""
    until = _previous_end(configuration)
    hmac_secrets, public_keys = NO_SECRETS, NO_PUBLIC_KEYS
    for name in (PREVIOUS, PRESENT):
        text = configuration.get(name)
        if text is None:
            continue
        place = "present" if name == PRESENT else "previous"
        end = math.inf if name == PRESENT else until
        if text.startswith(_PUBLIC):
            public_keys = replace(public_keys, **{place: Secret(name, _public_key(text), end)})
        else:
            hmac_secrets = replace(hmac_secrets, **{place: Secret(name, _standard_key(text), end)})
    if public_keys is NO_PUBLIC_KEYS:
        return StandardWebhooks(hmac_secrets)
    if hmac_secrets is NO_SECRETS:
        return StandardPublic(public_keys)
    return Either(StandardWebhooks(hmac_secrets), StandardPublic(public_keys))


def _standard_key(text: str) -> bytes:
    key = _decoded(text.removeprefix("whsec_"))
    if not key:
        raise Misconfigured("the secret of standard-webhooks must be whsec_ (or whpk_) and base64")
    return _short(key, "sha256")


def _public_key(text: str) -> bytes:
    key = _decoded(text.removeprefix(_PUBLIC))
    if len(key) != signature_ed25519.KEY_BYTES:
        raise Misconfigured("the public key of standard-webhooks must be whpk_ and 32 bytes in base64")
    return key


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""


def _preset(configuration: Mapping[str, Any], header: HeaderRule, **options: Any) -> Signature:
    return Signature(_secrets(configuration, _hmac_key("sha256")), header, **options)


def _generic(configuration: Mapping[str, Any]) -> Signature:
    options = configuration.get("webhook_hmac")
    if not isinstance(options, dict):
        raise Misconfigured("webhook_auth hmac needs an object webhook_hmac")
    unknown = set(options) - _GENERIC_OPTIONS
    if unknown:
        raise Misconfigured(f"webhook_hmac knows no {', '.join(sorted(unknown))}")
    algorithm, encoding = options.get("algorithm", "sha256"), options.get("encoding", "hex")
    prefix, tolerance = options.get("prefix", ""), options.get("tolerance_seconds", TOLERANCE_SECONDS)
    if not isinstance(algorithm, str) or algorithm not in _BLOCK_BYTES:
        raise Misconfigured("webhook_hmac.algorithm must be sha1, sha256, sha384 or sha512")
    if not isinstance(encoding, str) or encoding not in _ENCODINGS:
        raise Misconfigured("webhook_hmac.encoding must be hex or base64")
    if not isinstance(prefix, str) or not prefix.isascii() or len(prefix) > MOST_TEMPLATE_CHARACTERS:
        raise Misconfigured(f"webhook_hmac.prefix must be an ASCII text of at most {MOST_TEMPLATE_CHARACTERS}")
    if type(tolerance) is not int or not 1 <= tolerance <= 86_400:
        raise Misconfigured("webhook_hmac.tolerance_seconds must be a number from 1 to 86400")
    header = _header(options, "header")
    timestamp_header, id_header = _header(options, "timestamp_header"), _header(options, "id_header")
    if header is None:
        raise Misconfigured("webhook_hmac.header must name the header of the signature")
    names = [rule.name for rule in (header, timestamp_header, id_header) if rule is not None]
    if len(set(names)) < len(names):
        raise Misconfigured("webhook_hmac must name a header of its own for the signature, the time and the id")
    replay = options.get("replay")
    if replay is not None and (replay != REFUSE_SAME_BODY or id_header is not None):
        raise Misconfigured(f"webhook_hmac.replay must be {REFUSE_SAME_BODY}, and only where no id_header is")
    return Signature(
        _secrets(configuration, _hmac_key(algorithm)),
        HeaderRule(header.name, b","),
        _ENCODINGS[encoding],
        prefix.encode(),
        algorithm,
        _template(options.get("signed", "{body}"), timestamp_header is not None, id_header is not None),
        timestamp_header,
        id_header,
        tolerance,
        refuses_same_body=replay is not None,
        is_list=True,
    )


def _header(options: Mapping[str, Any], name: str) -> HeaderRule | None:
    value = options.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or not _HEADER_NAME.fullmatch(value.lower()):
        raise Misconfigured(f"webhook_hmac.{name} must be the name of a header")
    return HeaderRule(value.lower())


def _template(text: object, has_timestamp: bool, has_id: bool) -> tuple[bytes | str, ...]:
    """`{timestamp}.{body}` as ("timestamp", b".", "body")."""
    if not isinstance(text, str) or len(text) > MOST_TEMPLATE_CHARACTERS:
        raise Misconfigured(
            f"webhook_hmac.signed must be a text of at most {MOST_TEMPLATE_CHARACTERS}, such as {{timestamp}}.{{body}}"
        )
    # Of a split by a pattern with one group, every other part is what the group matched.
    parts = _PLACEHOLDER.split(text)
    names = sorted(parts[1::2])
    # An unsigned timestamp would protect from nothing, and a signed one must come from somewhere.
    if names != sorted(["body", *["timestamp"] * has_timestamp, *["id"] * has_id]):
        raise Misconfigured(
            "webhook_hmac.signed must hold {body}, and {timestamp} and {id} just when they have headers, each once"
        )
    if "{id}{body}" in text or "{body}{id}" in text:
        raise Misconfigured("webhook_hmac.signed must have something between {id} and {body}")
    return tuple(part if index % 2 else part.encode() for index, part in enumerate(parts) if index % 2 or part)


_SCHEMES: dict[str, Callable[[Mapping[str, Any]], Verifier]] = {
    "secret": lambda configuration: SharedSecret(_secrets(configuration, _shared)),
    "standard-webhooks": _standard,
    "github": lambda configuration: _preset(
        configuration, _GITHUB, encode=hexadecimal, prefix=b"sha256=", refuses_same_body=True
    ),
    "stripe": lambda configuration: Stripe(_secrets(configuration, _hmac_key("sha256"))),
    "shopify": lambda configuration: _preset(configuration, _SHOPIFY, encode=base64.b64encode, refuses_same_body=True),
    "slack": lambda configuration: _preset(
        configuration,
        _SLACK,
        encode=hexadecimal,
        prefix=b"v0=",
        signed=(b"v0:", "timestamp", b":", "body"),
        timestamp_header=_SLACK_TIME,
    ),
    "hmac": _generic,
}

PRESETS: tuple[Verifier, ...] = tuple(
    decoy
    for scheme in ("secret", "standard-webhooks", "github", "stripe", "shopify", "slack")
    for decoy in _SCHEMES[scheme]({"webhook_auth": scheme, PRESENT: "whsec_bm9ib2R5"}).decoys
)
"""The schemes that need no options, without secrets."""
