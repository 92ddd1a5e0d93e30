"""What a config_json says of webhooks beside the secrets, and whether it makes sense: signatures, handshakes, answers.

Ingest reads it again, and lets nothing in by what it cannot use; here all faults are told at once, before it is saved.
"""

import base64
import binascii
import re
from collections.abc import Iterator
from typing import Any

from intertie_mapping.paths import PathError, compile_path
from intertie_registry.secrets import JsonObject

_HEADER_NAME = re.compile(r"[A-Za-z0-9-]{1,64}")
_CONTENT_TYPE = re.compile(
    r"(?:text/plain|application/(?:[a-z0-9.-]+\+)?(?:json|xml))(?:; ?charset=utf-8)?", re.IGNORECASE
)
_PLACEHOLDER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_.\[\]*-]*)\}")
_SIGNED = re.compile(r"\{(body|timestamp|id)\}")

_HMAC = (
    "header",
    "algorithm",
    "encoding",
    "prefix",
    "signed",
    "timestamp_header",
    "id_header",
    "tolerance_seconds",
    "replay",
)
_ALGORITHMS = ("sha1", "sha256", "sha384", "sha512")
_ANSWER = ("status", "content_type", "body")
_HANDSHAKE = ("header", "field", "equals", *_ANSWER)
_RESPONSE_NAMES = {"delivery_id", "external_id"}
_MOST_SIGNED = 200
_MOST_TOLERANCE = 86_400
_MOST_HANDSHAKES = 20
_MOST_EQUALS = 255
_MOST_BODY = 4096
_WITHOUT_BODY = (204, 205)
_PUBLIC_KEY_BYTES = 32

Problems = Iterator[tuple[str, str]]


def problems(config: JsonObject) -> Problems:
    """What is wrong with the members that are there: pairs of a path and a text. Null is none."""
    header, path = config.get("delivery_key_header"), config.get("delivery_key_path")
    if header is not None and not _is_header(header):
        yield "delivery_key_header", "must be the name of a header"
    if path is not None and (text := _path_fault(path)):
        yield "delivery_key_path", text
    if config.get("webhook_hmac") is not None:
        yield from _hmac("webhook_hmac", config["webhook_hmac"])
    if config.get("webhook_handshakes") is not None:
        yield from _handshakes("webhook_handshakes", config["webhook_handshakes"])
    if config.get("webhook_response") is not None:
        yield from _response("webhook_response", config["webhook_response"])


def lacking(config: JsonObject) -> Problems:
    """What is wrong with a whole config_json, its secrets among it: what one member needs of another."""
    auth = config.get("webhook_auth")
    if auth == "hmac" and config.get("webhook_hmac") is None:
        yield "webhook_hmac", "is needed for this webhook_auth: an object with header and, if need be, more"
    previous, ends = config.get("webhook_secret_previous"), config.get("webhook_secret_previous_expires_at")
    if previous is not None and ends is None:
        yield "webhook_secret_previous_expires_at", "is needed with a webhook_secret_previous"
    if auth == "standard-webhooks":
        for key in ("webhook_secret", "webhook_secret_previous"):
            if isinstance(config.get(key), str) and (text := _standard_fault(config[key])):
                yield key, text


def _standard_fault(secret: str) -> str:
    if secret.startswith("sealed:"):
        return ""  # cannot be opened now, so it cannot be judged either
    is_public = secret.startswith("whpk_")
    try:
        key = base64.b64decode(secret.removeprefix("whpk_" if is_public else "whsec_"), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not key or (is_public and len(key) != _PUBLIC_KEY_BYTES):
        return "must be whsec_ and base64, or whpk_ and a public key of 32 bytes in base64, for standard-webhooks"
    return ""


def _hmac(at: str, options: Any) -> Problems:
    if not isinstance(options, dict):
        yield at, "must be an object"
        return
    yield from _unknown(at, options, _HMAC)
    header, timestamp, message_id = (options.get(name) for name in ("header", "timestamp_header", "id_header"))
    if header is None:
        yield f"{at}.header", "is needed: the name of the header that has the signature"
    for name in ("header", "timestamp_header", "id_header"):
        if options.get(name) is not None and not _is_header(options[name]):
            yield f"{at}.{name}", "must be the name of a header"
    named = [name.lower() for name in (header, timestamp, message_id) if isinstance(name, str)]
    if len(set(named)) < len(named):
        yield at, "must name a header of its own for the signature, the time and the id"
    if options.get("algorithm", "sha256") not in _ALGORITHMS:
        yield f"{at}.algorithm", f"must be one of {', '.join(_ALGORITHMS)}"
    if options.get("encoding", "hex") not in ("hex", "base64"):
        yield f"{at}.encoding", "must be hex or base64"
    prefix = options.get("prefix", "")
    if not isinstance(prefix, str) or not prefix.isascii() or len(prefix) > _MOST_SIGNED:
        yield f"{at}.prefix", f"must be an ASCII text of at most {_MOST_SIGNED} characters"
    tolerance = options.get("tolerance_seconds", 1)
    if type(tolerance) is not int or not 1 <= tolerance <= _MOST_TOLERANCE:
        yield f"{at}.tolerance_seconds", f"must be a whole number from 1 to {_MOST_TOLERANCE}"
    signed = options.get("signed", "{body}")
    if not isinstance(signed, str) or len(signed) > _MOST_SIGNED:
        yield f"{at}.signed", f"must be a text of at most {_MOST_SIGNED} characters, such as {{timestamp}}.{{body}}"
    elif sorted(_SIGNED.findall(signed)) != sorted(
        ["body", *["timestamp"] * (timestamp is not None), *["id"] * (message_id is not None)]
    ):
        yield f"{at}.signed", "must hold {body}, and {timestamp} and {id} just when they have headers, each once"
    elif "{id}{body}" in signed or "{body}{id}" in signed:
        yield f"{at}.signed", "must have something between {id} and {body}"
    replay = options.get("replay")
    if replay is not None and (replay != "refuse_same_body" or message_id is not None):
        yield f"{at}.replay", "must be refuse_same_body, and only where there is no id_header"


def _handshakes(at: str, given: Any) -> Problems:
    if not isinstance(given, list) or len(given) > _MOST_HANDSHAKES:
        yield at, f"must be a list of at most {_MOST_HANDSHAKES} objects"
        return
    for index, one in enumerate(given):
        yield from _handshake(f"{at}[{index}]", one)


def _handshake(at: str, options: Any) -> Problems:
    if not isinstance(options, dict):
        yield at, "must be an object with header or field, equals, and an answer"
        return
    yield from _unknown(at, options, _HANDSHAKE)
    header, field, equals = options.get("header"), options.get("field"), options.get("equals")
    if (header is None) == (field is None):
        yield at, "must have either header or field"
    if header is not None and not _is_header(header):
        yield f"{at}.header", "must be the name of a header"
    if field is not None and (text := _path_fault(field)):
        yield f"{at}.field", text
    is_word = isinstance(equals, str) and len(equals) <= _MOST_EQUALS
    if not is_word and (header is not None or not isinstance(equals, int)):
        yield f"{at}.equals", f"must be a text of at most {_MOST_EQUALS} characters; of a field also a number or true"
    yield from _answer(at, options)
    if isinstance(options.get("body"), str):
        for name in _PLACEHOLDER.findall(options["body"]):
            if text := _path_fault(name):
                yield f"{at}.body", text


def _response(at: str, options: Any) -> Problems:
    if not isinstance(options, dict):
        yield at, "must be an object with status, content_type and body"
        return
    yield from _unknown(at, options, _ANSWER)
    yield from _answer(at, options)
    if isinstance(options.get("body"), str):
        for name in sorted(set(_PLACEHOLDER.findall(options["body"])) - _RESPONSE_NAMES):
            yield f"{at}.body", f"may name {{delivery_id}} and {{external_id}}, not {{{name}}}"


def _answer(at: str, options: JsonObject) -> Problems:
    status, content_type, body = (
        options.get("status", 200),
        options.get("content_type", "text/plain"),
        options.get("body", ""),
    )
    if type(status) is not int or not 200 <= status <= 299:
        yield f"{at}.status", "must be a whole number from 200 to 299"
    if not isinstance(content_type, str) or not _CONTENT_TYPE.fullmatch(content_type):
        yield f"{at}.content_type", "must be text/plain, application/json, a +json type or one of XML, in UTF-8"
    if not isinstance(body, str) or len(body) > _MOST_BODY:
        yield f"{at}.body", f"must be a text of at most {_MOST_BODY} characters"
    elif body and status in _WITHOUT_BODY:
        yield f"{at}.body", f"must be empty with the status {status}"


def _unknown(at: str, options: JsonObject, known: tuple[str, ...]) -> Problems:
    for name in sorted(set(options) - set(known)):
        yield f"{at}.{name}", f"is not known; there are {', '.join(known)}"


def _is_header(name: Any) -> bool:
    return isinstance(name, str) and bool(_HEADER_NAME.fullmatch(name))


def _path_fault(path: Any) -> str:
    if not isinstance(path, str):
        return "must be a path into the body"
    try:
        compile_path(path)
    except PathError as error:
        return f"must be a path into the body: {error}"
    return ""
