"""A system of each kind that refuses, and what strangers send: nobody may tell one kind from another."""

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ingest_samples import JSON, mapping, system
from intertie_ingest.configuration import Configuration, StoredConnection, StoredSystem, compile_system

NOW = 1_700_000_000.0
SECRET = "s3cret-of-thirty-two-characters!"
STANDARD_SECRET = "whsec_" + base64.b64encode(SECRET.encode()).decode()
PUBLIC_KEY = "whpk_" + base64.b64encode(Ed25519PrivateKey.generate().public_key().public_bytes_raw()).decode()
OVERLAP = {
    "webhook_secret_previous": "an older secret",
    "webhook_secret_previous_expires_at": (datetime.fromtimestamp(NOW, UTC) + timedelta(hours=1)).isoformat(),
}
KINDS: dict[str, dict[str, Any]] = {
    "secret": {"webhook_secret": SECRET},
    "second_secret": {"webhook_secret": SECRET},
    "third_secret": {"webhook_secret": SECRET},
    "rotating": {"webhook_secret": SECRET, **OVERLAP},
    "standard": {"webhook_auth": "standard-webhooks", "webhook_secret": STANDARD_SECRET},
    "public": {"webhook_auth": "standard-webhooks", "webhook_secret": PUBLIC_KEY},
    "github": {"webhook_auth": "github", "webhook_secret": SECRET},
    "rotating_github": {"webhook_auth": "github", "webhook_secret": SECRET, **OVERLAP},
    "stripe": {"webhook_auth": "stripe", "webhook_secret": SECRET},
    "shopify": {"webhook_auth": "shopify", "webhook_secret": SECRET},
    "slack": {"webhook_auth": "slack", "webhook_secret": SECRET},
    "generic": {
        "webhook_auth": "hmac",
        "webhook_secret": SECRET * 40,
        "webhook_hmac": {"header": "X-Acme-Signature", "algorithm": "sha512", "encoding": "base64"},
    },
    "unusable": {"webhook_auth": "seckret", "webhook_secret": SECRET},
    "unsaid": {"note": "nothing about webhooks"},
}
NAMES = (*KINDS, "asleep", "bare", "nobody")
"""All of them: also one that is inactive, one without a connection, one that there is not."""


def strangers() -> Configuration:
    """Systems of all kinds."""
    stored = [
        system(mapping(number), number=number, name=name, **options)
        for number, (name, options) in enumerate(KINDS.items(), 1)
    ]
    stored.append(system(mapping(50), number=50, name="asleep", is_active=False, webhook_secret=SECRET))
    stored.append(StoredSystem(51, "bare", True, (StoredConnection(51, False, json.dumps(KINDS["secret"]).encode()),)))
    return Configuration.of([compile_system(one) for one in stored])


def signed_by_nobody(**changed: list[bytes]) -> dict[str, list[bytes]]:
    """The headers of all schemes at once, well-formed and wrong."""
    now = b"%d" % NOW
    mac = b"5" * 64
    return {
        **JSON,
        "x-webhook-secret": [b"wrong"],
        "webhook-id": [b"msg_1"],
        "webhook-timestamp": [now],
        "webhook-signature": [b"v1,AAAA v1a,AAAA v1a," + base64.b64encode(bytes(64))],
        "x-hub-signature-256": [b"sha256=" + mac],
        "stripe-signature": [b"t=%b,v1=%b,v1=%b" % (now, mac, mac)],
        "x-shopify-hmac-sha256": [base64.b64encode(bytes(32))],
        "x-slack-signature": [b"v0=" + mac],
        "x-slack-request-timestamp": [now],
        "x-acme-signature": [base64.b64encode(bytes(64))],
        **changed,
    }
