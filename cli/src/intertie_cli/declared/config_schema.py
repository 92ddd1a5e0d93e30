"""The JSON Schema of a connection's config_json. Members that it does not know are allowed, as registry does."""

from typing import Any

Schema = dict[str, Any]

WEBHOOK_AUTHS = ("secret", "standard-webhooks", "github", "stripe", "shopify", "slack", "hmac", "none")
PUSH_AUTHS = ("secret", "none")
TLS_MODES = ("off", "require", "verify-ca", "verify-full")
SOAP_VERSIONS = ("1.1", "1.2")

_TEXT: Schema = {"type": ["string", "null"]}
_SECRET: Schema = {"type": ["string", "null"], "minLength": 1}
_TEXTS: Schema = {"type": ["array", "null"], "items": {"type": "string"}}
_VARIABLE: Schema = {"$ref": "#/definitions/variable"}


def config_schema() -> Schema:
    """What `config_json` may hold."""
    return {
        "description": "How deliveries are verified, and how the system is reached.",
        "type": ["object", "null"],
        "properties": {
            "name": False,
            **{key: {"description": about, **value} for key, (about, value) in MEMBERS.items()},
        },
    }


def _words(*words: str) -> Schema:
    return {"anyOf": [{"enum": [*words, None]}, _VARIABLE]}


def _whole(least: int, most: int) -> Schema:
    return {"type": ["integer", "null"], "minimum": least, "maximum": most}


def _object(properties: Schema, *needed: str) -> Schema:
    return {
        "type": ["object", "null"],
        "additionalProperties": False,
        "required": list(needed),
        "properties": properties,
    }


_ANSWER: Schema = {"status": {"type": "integer"}, "content_type": {"type": "string"}, "body": {"type": "string"}}
_HMAC: Schema = {
    "header": {"type": "string"},
    "algorithm": {"enum": ["sha1", "sha256", "sha384", "sha512"]},
    "encoding": {"enum": ["hex", "base64"]},
    "prefix": {"type": "string"},
    "signed": {"type": "string"},
    "timestamp_header": _TEXT,
    "id_header": _TEXT,
    "tolerance_seconds": {"type": "integer", "minimum": 1, "maximum": 86_400},
    "replay": {"enum": ["refuse_same_body", None]},
}
_HANDSHAKE: Schema = {"header": _TEXT, "field": _TEXT, "equals": {}, **_ANSWER}

MEMBERS: dict[str, tuple[str, Schema]] = {
    "webhook_auth": ("How webhooks are verified.", _words(*WEBHOOK_AUTHS)),
    "webhook_secret": ("What senders prove they know.", _SECRET),
    "webhook_secret_previous": ("The secret before, good until it ends.", _SECRET),
    "webhook_secret_previous_expires_at": ("When the secret before ends.", _TEXT),
    "webhook_hmac": ("How hmac signs.", _object(_HMAC, "header")),
    "webhook_handshakes": (
        "What is answered and not stored.",
        {"type": ["array", "null"], "maxItems": 20, "items": _object(_HANDSHAKE, "equals")},
    ),
    "webhook_response": ("What accepted webhooks are answered.", _object(_ANSWER)),
    "delivery_key_header": ("The header that is the delivery's key.", _TEXT),
    "delivery_key_path": ("The path in the body that is the delivery's key.", _TEXT),
    "push_auth": ("How pushes without a token are verified.", _words(*PUSH_AUTHS)),
    "rate_limit": (
        "How often the system may deliver.",
        _object({"per_second": {"type": "number", "exclusiveMinimum": 0}, "burst": _whole(1, 1_000_000)}, "per_second"),
    ),
    "max_in_flight": ("Deliveries of the system at once.", _whole(1, 1_000_000)),
    "allowed_sources": ("Addresses and networks that may deliver.", _TEXTS),
    "allowed_networks": ("Private addresses and networks that may be reached.", _TEXTS),
    "headers": (
        "Further headers. Any may hold a credential: write ${NAME}.",
        {"type": ["object", "null"], "additionalProperties": _TEXT},
    ),
    "tls": ("How a database is connected to.", _words(*TLS_MODES)),
    "tls_ca": ("Certificates of authorities, as PEM text.", _TEXT),
    "statement_seconds": (
        "How long a query may take.",
        {"type": ["number", "null"], "exclusiveMinimum": 0, "maximum": 300},
    ),
    "api_key_header": ("The header for apikey.", _TEXT),
    "username": ("The user for basic.", _TEXT),
    "password": ("The password for basic.", _SECRET),
    "oauth2_token_url": ("Where tokens are asked for.", _TEXT),
    "oauth2_client_id": ("Who asks for tokens.", _TEXT),
    "oauth2_client_secret": ("The client's secret.", _SECRET),
    "oauth2_scope": ("What tokens are for.", _TEXT),
    "oauth2_audience": ("For whom tokens are.", _TEXT),
    "test_endpoint": ("What a trial of the connection asks for.", _TEXT),
    "retries": ("How often a call is tried again.", _whole(0, 5)),
    "soap_version": ("Of SOAP.", _words(*SOAP_VERSIONS)),
    "max_response_bytes": ("Bytes that an answer may have.", _whole(1, 2**30)),
}
