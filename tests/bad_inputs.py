"""Bad inputs and the status that each gets, row by row of the table of bad inputs: what tests send to one edge or both.

Where the table and the design differ, the design decides: 202 for a stored delivery, nesting of at most 31, names with
spaces and capitals, unknown members of a push tolerated, sizes of pages cut to the most that there is.
"""

import base64
import hmac
import json
import time
from dataclasses import dataclass

from suite import SECRET, Suite

SYSTEM = "bad_inputs"
SIGNED_SYSTEM = "bad_inputs_signed"
HOOK = f"/webhook/{SYSTEM}"
SIGNED_HOOK = f"/webhook/{SIGNED_SYSTEM}"
KEY = b"k" * 24
GOOD = b'{"id": "1", "title": "ok"}'
PUSH = {"system": SYSTEM, "mapping": "events", "data": {"id": "push", "title": "ok"}}
CONFIG = {
    "field_mappings": {"title": "event_title", "count": "linked_campaign_id", "date": "date"},
    "transformations": {"date": "date_format"},
}


@dataclass(frozen=True, slots=True)
class Case:
    """A request and the status that it gets."""

    row: int
    what: str
    status: int
    body: bytes = GOOD
    path: str = HOOK
    #: beside the content type and the secret
    headers: tuple[tuple[str, str], ...] = ()
    content_type: str | None = "application/json"
    secret: str | None = SECRET
    method: str = "POST"


def number(digits: str) -> bytes:
    """A record with this number."""
    return b'{"id": "number", "title": "n", "n": %b}' % digits.encode()


def nested(depth: int, kind: str) -> bytes:
    """A record that is nested so deep, itself counted."""
    if kind == "arrays":
        return b'{"id": "deep", "a": ' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"
    return b'{"a":' * depth + b"1" + b"}" * depth


def push(**change: object) -> bytes:
    """A push with something else in it."""
    return json.dumps({**PUSH, **change}).encode()


def signed(shift: int = 0, *, others: int = 0, timestamp: str | None = None) -> tuple[tuple[str, str], ...]:
    """Headers of Standard Webhooks for GOOD, sent so many seconds from now."""
    at = timestamp or str(int(time.time()) + shift)
    digest = hmac.digest(KEY, f"message.{at}.".encode() + GOOD, "sha256")
    signatures = " ".join(["v1,AAAA"] * others + ["v1," + base64.b64encode(digest).decode()])
    return (("webhook-id", "message"), ("webhook-timestamp", at), ("webhook-signature", signatures))


CASES = [
    Case(1, "valid", 202),
    Case(4, "no-secret", 401, secret=None),
    Case(4, "wrong-secret", 401, secret="wrong"),
    Case(4, "empty-secret", 401, secret=""),
    Case(4, "unknown-system", 401, path="/webhook/nobody"),
    Case(5, "secret-not-ascii", 401, secret="é"),
    Case(6, "two-secrets", 400, headers=(("X-Webhook-Secret", SECRET),)),
    Case(6, "two-secrets-one-wrong", 400, headers=(("X-Webhook-Secret", "wrong"),)),
    Case(7, "underscores", 400, secret=None, headers=(("X_Webhook_Secret", SECRET),)),
    Case(8, "header-of-9-kB", 431, headers=(("X-Filler", "x" * 9000),)),
    Case(8, "header-of-20-kB", 431, headers=(("X-Filler", "x" * 20_000),)),
    Case(8, "61-headers", 431, headers=tuple((f"X-{n}", "a") for n in range(61))),
    Case(9, "bin-header", 400, headers=(("x-foo-bin", "!!!notb64"),)),
    Case(12, "nine-signatures", 400, secret=None, path=SIGNED_HOOK, headers=signed(others=8)),
    Case(12, "200-signatures", 400, secret=None, path=SIGNED_HOOK, headers=signed(others=199)),
    Case(13, "slash", 400, path="/webhook/a%2Fb"),
    Case(13, "dots-and-slash", 400, path="/webhook/..%2f..%2fpush"),
    Case(13, "nul", 400, path="/webhook/a%00"),
    Case(13, "101-characters", 400, path="/webhook/" + "x" * 101),
    Case(13, "capitals-and-spaces-are-names", 401, path="/webhook/Bad%20Inputs"),
    Case(14, "not-utf-8", 400, path="/webhook/%ff"),
    Case(15, "escaped-twice", 400, path="/webhook/%2523"),
    Case(16, "system-in-the-query", 400, path=f"{HOOK}?system=evil"),
    Case(16, "the-same-system-in-the-query", 400, path=f"{HOOK}?system={SYSTEM}"),
    Case(16, "system-escaped-in-the-query", 400, path=f"{HOOK}?s%79stem=evil"),
    Case(17, "unknown-parameter-tolerated", 202, path=f"{HOOK}?unknown=1"),
    Case(17, "unknown-parameter", 400, path="/systems?unknown=1", method="GET"),
    Case(18, "unknown-path", 404, path="/nowhere"),
    Case(18, "get", 405, method="GET"),
    Case(18, "empty-system", 404, path="/webhook/"),
    Case(19, "dot-segment", 400, path="/webhook/../push"),
    Case(19, "dot-segment-escaped", 400, path="/webhook/%2e%2e/push"),
    Case(20, "over-1-MiB", 413, body=b'{"id": "1", "t": "' + b"x" * 1024 * 1024 + b'"}'),
    Case(22, "gzip", 415, headers=(("Content-Encoding", "gzip"),)),
    Case(23, "text", 415, body=push(), path="/push", content_type="text/plain"),
    Case(23, "no-type", 415, body=push(), path="/push", content_type=None),
    Case(24, "empty-push", 400, body=b"", path="/push"),
    Case(24, "empty-webhook", 400, body=b""),
    Case(25, "no-json", 400, body=b"not json"),
    Case(25, "truncated", 400, body=b'{"id": "1"'),
    Case(25, "trailing", 400, body=b'{"id": "1"} x'),
    Case(25, "array-push", 400, body=b"[]", path="/push"),
    Case(25, "scalar-push", 400, body=b"3", path="/push"),
    Case(25, "scalar-webhook", 400, body=b'"text"'),
    Case(26, "not-utf-8", 400, body=b'{"id": "\xff"}'),
    Case(26, "half-a-surrogate", 400, body=b'{"id": "1", "a": "\\ud800"}'),
    Case(27, "byte-order-mark", 400, body=b"\xef\xbb\xbf" + GOOD),
    Case(27, "utf-16", 400, body=GOOD.decode().encode("utf-16")),
    Case(27, "utf-16-without-mark", 400, body=GOOD.decode().encode("utf-16-le")),
    Case(28, "nul-in-a-value", 202, body=b'{"id": "nul", "title": "ok", "note": "a\\u0000b"}'),
    Case(28, "nul-in-a-name", 400, body=push(system="a\0b"), path="/push"),
    Case(29, "nan", 400, body=number("NaN")),
    Case(29, "infinity", 400, body=number("-Infinity")),
    Case(29, "1e999", 400, body=number("1e999")),
    Case(29, "tiny-exponent", 400, body=number("1e-99999999999999999999")),
    Case(30, "4300-digits", 202, body=number("9" * 4300)),
    Case(30, "4301-digits", 400, body=number("9" * 4301)),
    Case(30, "minus-4301-digits", 400, body=number("-" + "9" * 4301)),
    Case(30, "4301-decimals", 400, body=number("0." + "1" * 4301)),
    Case(31, "key-twice-in-a-push", 400, body=b'{"system": "a", "system": "b", "data": {}}', path="/push"),
    Case(31, "key-twice-in-its-data", 400, body=push().replace(b'"title"', b'"id"'), path="/push"),
    *(
        Case(32, f"{depth}-{kind}", 202 if depth <= 31 else 400, body=nested(depth, kind))
        for kind in ("objects", "arrays")
        for depth in (31, 32, 64, 65, 100, 5000, 100_000)
    ),
    Case(32, "never-closed", 400, body=b"[" * 100_000),
    Case(33, "a-million-keys", 413, body=b"{" + b",".join(b'"%d":1' % n for n in range(1_000_000)) + b"}"),
    Case(33, "elements-of-a-MB", 202, body=b'{"id": "many", "a": [' + b"0," * 490_000 + b"0]}"),
    Case(33, "key-of-a-MB", 202, body=b'{"id": "long", "' + b"k" * 1_000_000 + b'": 1}'),
    Case(33, "records-of-a-MB", 400, body=b"[" + b"{}," * 300_000 + b"{}]"),
    Case(34, "unknown-member-of-a-push-tolerated", 202, body=push(extra=1), path="/push"),
    Case(34, "unknown-field", 400, body=b'{"system_name": "x", "nonsense": 1}', path="/systems"),
    Case(35, "enum-number", 400, path="/deliveries?state=99", method="GET"),
    Case(35, "enum-lower-case", 400, path="/deliveries?state=delivery_state_synced", method="GET"),
    *(
        Case(36, f"int-{text.strip(chr(34))}", 400, body=b'{"api_timeout": %b}' % text.encode(), path="/connections")
        for text in ("4294967296", "1.5", "-1", '"NaN"', "1e10")
    ),
    Case(37, "page-size-negative", 400, path="/systems?page_size=-1", method="GET"),
    Case(37, "page-size-over-32-bit", 400, path="/systems?page_size=2147483648", method="GET"),
    Case(37, "page-size-cut-to-the-most", 200, path="/systems?page_size=1000000000", method="GET"),
    Case(37, "bad-cursor", 400, path="/systems?page_token=made-up", method="GET"),
    Case(37, "limit-over-32-bit", 400, path="/logs?limit=2147483648", method="GET"),
]  # fmt: skip


def set_up(suite: Suite) -> None:
    """Makes the systems that are sent to."""
    suite.add_system(SYSTEM)
    suite.add_mapping(SYSTEM, "events", CONFIG)
    secret = "whsec_" + base64.b64encode(KEY).decode()
    suite.add_system(SIGNED_SYSTEM, {"webhook_secret": secret, "webhook_auth": "standard-webhooks"})
