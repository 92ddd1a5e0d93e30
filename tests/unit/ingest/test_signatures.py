"""Secrets and signatures: what fits gets in, nothing else does, and each refusal is of the right kind."""

import base64
import hashlib
import hmac
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from intertie_ingest.signature_options import compile_verifier
from intertie_ingest.signature_schemes import CLOSED
from intertie_ingest.signatures import DECOY, Misconfigured, Mismatch, Repeated, Verified

NOW = 1_700_000_000.0
MATCHED = "webhook_secret"
BODY = b'{"id": "evt_1", "type": "ping"}'
STANDARD_SECRET = "whsec_plJ3nmyCDGBKInavdOK15jsl"


def of(scheme: str, secret: str = "s3cret", **options: Any) -> Any:
    return compile_verifier({"webhook_auth": scheme, "webhook_secret": secret, **options})


def hex_mac(key: str, message: bytes, algorithm: str = "sha256") -> bytes:
    return hmac.new(key.encode(), message, algorithm).hexdigest().encode()


@pytest.mark.parametrize(
    "presented",
    [[b"wrong"], [b""], [b"s3cre"], [b"s3crett"], ["é".encode()], [b"\xff\xfe"], []],
    ids=["wrong", "empty", "shorter", "longer", "not-ascii", "not-utf8", "absent"],
)
def test_a_secret_that_is_not_the_secret_is_one_mismatch(presented: list[bytes]) -> None:
    """Whatever is wrong with it, also what text comparison could not compare."""
    with pytest.raises(Mismatch):
        of("secret").verify({"x-webhook-secret": presented} if presented else {}, BODY, NOW)


def test_the_secret_gets_in_and_twice_is_a_mistake() -> None:
    """One header with the secret fits; two are refused even when both are right."""
    assert of("secret").verify({"x-webhook-secret": [b"s3cret"]}, BODY, NOW).secret == MATCHED
    with pytest.raises(Repeated, match="x-webhook-secret"):
        of("secret").verify({"x-webhook-secret": [b"s3cret", b"s3cret"]}, BODY, NOW)


def test_a_secret_without_a_scheme_is_the_default() -> None:
    """The seed's configuration names no scheme."""
    verifier = compile_verifier({"webhook_secret": "your_secret_here"})
    assert verifier.verify({"x-webhook-secret": [b"your_secret_here"]}, BODY, NOW).secret == MATCHED


@pytest.mark.parametrize(("seconds", "fits"), [(-1, True), (1, False)], ids=["before-its-end", "after-its-end"])
def test_the_previous_secret_counts_until_its_time(seconds: int, fits: bool) -> None:
    """A rotation leaves the old secret good until `webhook_secret_previous_expires_at`, in either spelling."""
    end = datetime.fromtimestamp(NOW, UTC)
    for spelling in (end.isoformat(), end.isoformat().replace("+00:00", "Z"), NOW):
        verifier = of("secret", webhook_secret_previous="old", webhook_secret_previous_expires_at=spelling)
        assert verifier.verify({"x-webhook-secret": [b"s3cret"]}, BODY, NOW + seconds).secret == MATCHED
        if fits:
            assert (
                verifier.verify({"x-webhook-secret": [b"old"]}, BODY, NOW + seconds).secret == "webhook_secret_previous"
            )
        else:
            with pytest.raises(Mismatch):
                verifier.verify({"x-webhook-secret": [b"old"]}, BODY, NOW + seconds)


@pytest.mark.parametrize("family", ["webhook", "svix"])
def test_standard_webhooks_published_vector(family: str) -> None:
    """The vector of svix's documentation verifies under both families of headers, and its id is the delivery's."""
    body = b'{"event_type":"ping","data":{"success":true}}'
    headers = {
        f"{family}-id": [b"msg_loFOjxBNrRLzqYUf"],
        f"{family}-timestamp": [b"1731705121"],
        f"{family}-signature": [b"v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0="],
    }
    assert of("standard-webhooks", STANDARD_SECRET).verify(headers, body, 1731705121.0) == Verified(
        "msg_loFOjxBNrRLzqYUf", MATCHED
    )


@given(body=st.binary(max_size=200), drift=st.integers(-300, 300), others=st.integers(0, 7))
def test_what_the_reference_library_signs_fits(body: bytes, drift: int, others: int) -> None:
    """Any body, any drift within the tolerance, among up to seven signatures that do not fit."""
    text = body.hex()
    when = datetime.fromtimestamp(NOW, UTC)
    signature = Webhook(STANDARD_SECRET).sign("msg_1", when, text).encode()
    listed = b" ".join([b"v1,AAAA"] * others + [signature])
    headers = {"webhook-id": [b"msg_1"], "webhook-timestamp": [b"%d" % NOW], "webhook-signature": [listed]}
    assert of("standard-webhooks", STANDARD_SECRET).verify(headers, text.encode(), NOW + drift) == Verified(
        "msg_1", MATCHED
    )


def standard_headers(**changed: list[bytes]) -> dict[str, list[bytes]]:
    key = base64.b64decode(STANDARD_SECRET.removeprefix("whsec_"))
    message_id = changed.get("webhook-id", [b"msg_1"])[0]
    timestamp = changed.get("webhook-timestamp", [b"%d" % NOW])[0]
    signed = b"%b.%b.%b" % (message_id, timestamp, BODY)
    mac = base64.b64encode(hmac.new(key, signed, "sha256").digest())
    return {
        "webhook-id": [message_id],
        "webhook-timestamp": [timestamp],
        "webhook-signature": [b"v1," + mac],
        **changed,
    }


@pytest.mark.parametrize(
    "timestamp", [b"1699999699", b"1700000301", b"-1", b"abc", b"", b"1" + b"0" * 20, b" 1700000000", b"1700000000.0"]
)
def test_a_time_that_is_off_is_a_mismatch_although_signed(timestamp: bytes) -> None:
    """301 s either way, or no plain number of seconds."""
    with pytest.raises(Mismatch):
        of("standard-webhooks", STANDARD_SECRET).verify(
            standard_headers(**{"webhook-timestamp": [timestamp]}), BODY, NOW
        )


def test_standard_webhooks_refusals() -> None:
    """A missing header and a foreign body mismatch; a second header and more than eight signatures are mistakes."""
    verifier = of("standard-webhooks", STANDARD_SECRET)
    assert verifier.verify(standard_headers(), BODY, NOW) == Verified("msg_1", MATCHED)
    for name in ("webhook-id", "webhook-timestamp", "webhook-signature"):
        headers = standard_headers()
        del headers[name]
        with pytest.raises(Mismatch):
            verifier.verify(headers, BODY, NOW)
        headers = standard_headers()
        headers[name] = headers[name] * 2
        with pytest.raises(Repeated):
            verifier.verify(headers, BODY, NOW)
    with pytest.raises(Mismatch):
        verifier.verify(standard_headers(), BODY + b" ", NOW)
    with pytest.raises(Mismatch):
        verifier.verify(standard_headers(**{"webhook-id": [b"a.b"]}), BODY, NOW)
    crowd = standard_headers()
    crowd["webhook-signature"] = [b" ".join([crowd["webhook-signature"][0]] * 9)]
    with pytest.raises(Repeated):
        verifier.verify(crowd, BODY, NOW)


def test_github_published_vector() -> None:
    """The vector of GitHub's documentation on validating deliveries."""
    signature = b"sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    verifier = of("github", "It's a Secret to Everybody")
    assert verifier.verify({"x-hub-signature-256": [signature]}, b"Hello, World!", NOW).secret == MATCHED
    for wrong in (signature[:-1] + b"8", signature.removeprefix(b"sha256="), b"sha256=", "sha256=é".encode()):
        with pytest.raises(Mismatch):
            verifier.verify({"x-hub-signature-256": [wrong]}, b"Hello, World!", NOW)


def test_stripe_takes_any_of_its_v1_signatures_within_five_minutes() -> None:
    """Other schemes in the header are left alone; a time that is repeated, late or unsigned is a mismatch."""
    signed = hex_mac("whsec_test", b"%d.%b" % (NOW, BODY))
    verifier = of("stripe", "whsec_test")
    header = b"t=%d,v1=%b,v1=%b,v0=%b" % (NOW, b"0" * 64, signed, b"1" * 64)
    assert verifier.verify({"stripe-signature": [header]}, BODY, NOW + 299).secret == MATCHED
    for wrong in (b"t=%d,v0=%b" % (NOW, signed), b"v1=%b" % signed, b"t=%d,t=%d,v1=%b" % (NOW, NOW, signed), b""):
        with pytest.raises(Mismatch):
            verifier.verify({"stripe-signature": [wrong]}, BODY, NOW)
    with pytest.raises(Mismatch):
        verifier.verify({"stripe-signature": [header]}, BODY, NOW + 301)


def test_shopify_and_slack() -> None:
    """Base64 over the body; hex over version, time and body."""
    mac = base64.b64encode(hmac.new(b"s3cret", BODY, hashlib.sha256).digest())
    assert of("shopify").verify({"x-shopify-hmac-sha256": [mac]}, BODY, NOW).secret == MATCHED
    headers = {
        "x-slack-signature": [b"v0=" + hex_mac("s3cret", b"v0:%d:%b" % (NOW, BODY))],
        "x-slack-request-timestamp": [b"%d" % NOW],
    }
    assert of("slack").verify(headers, BODY, NOW).secret == MATCHED
    with pytest.raises(Mismatch):
        of("slack").verify({**headers, "x-slack-request-timestamp": [b"%d" % (NOW + 1)]}, BODY, NOW)


def test_generic_signature_with_template_time_and_id() -> None:
    """Header, algorithm, encoding, prefix, template, time and id are the configuration's."""
    options = {
        "header": "X-Acme-Signature",
        "algorithm": "sha512",
        "encoding": "base64",
        "prefix": "s=",
        "signed": "{id}|{timestamp}|{body}",
        "timestamp_header": "X-Acme-Time",
        "id_header": "X-Acme-Id",
        "tolerance_seconds": 10,
    }
    mac = base64.b64encode(hmac.new(b"s3cret", b"e1|%d|%b" % (NOW, BODY), "sha512").digest())
    headers = {"x-acme-signature": [b"s=" + mac], "x-acme-time": [b"%d" % NOW], "x-acme-id": [b"e1"]}
    verifier = of("hmac", webhook_hmac=options)
    assert verifier.verify(headers, BODY, NOW) == Verified("e1", MATCHED)
    with pytest.raises(Mismatch):
        verifier.verify(headers, BODY, NOW + 11)
    with pytest.raises(Mismatch):
        verifier.verify({**headers, "x-acme-id": [b"e2"]}, BODY, NOW)


@pytest.mark.parametrize(
    ("signed", "body", "moved_id", "moved_body"),
    [
        ("{id}.{body}", b"a=1&mail=x@y.org", b"e1.a=1&mail=x@y", b"org"),
        ("{body}.{id}", b"a=1&b=3", b"14.e1", b"a=1&b=3"),
    ],
)
def test_an_id_that_could_reach_into_the_body_is_refused(
    signed: str, body: bytes, moved_id: bytes, moved_body: bytes
) -> None:
    """Who recorded a delivery could else send its end as the end of another id, under the same signature."""
    options = {"header": "x-sig", "id_header": "x-id", "signed": signed}
    verifier = of("hmac", webhook_hmac=options)

    def verified(identifier: bytes, text: bytes) -> Verified:
        message = signed.encode().replace(b"{id}", identifier).replace(b"{body}", text)
        return verifier.verify({"x-sig": [hex_mac("s3cret", message)], "x-id": [identifier]}, text, NOW)

    assert verified(b"e1", body).signed_id == "e1"
    with pytest.raises(Mismatch):
        verified(moved_id, moved_body)


def test_a_time_has_no_zeros_in_front() -> None:
    """They may be the end of what stands before it in what is signed."""
    verifier = of("hmac", webhook_hmac={"header": "x-sig", "timestamp_header": "x-time", "signed": "{body}{timestamp}"})
    mac = hex_mac("s3cret", b"a=10%d" % NOW)
    assert verifier.verify({"x-sig": [mac], "x-time": [b"%d" % NOW]}, b"a=10", NOW).secret == MATCHED
    with pytest.raises(Mismatch):
        verifier.verify({"x-sig": [mac], "x-time": [b"0%d" % NOW]}, b"a=1", NOW)


@pytest.mark.parametrize(
    "configuration",
    [
        {
            "webhook_auth": "hmac",
            "webhook_secret": "s",
            "webhook_hmac": {"header": "x", "id_header": "i", "signed": "{id}{body}"},
        },
        {"webhook_auth": "secret"},
        {"webhook_secret": ""},
        {"webhook_secret": 5},
        {"webhook_auth": "seckret", "webhook_secret": "s"},
        {"webhook_auth": None, "webhook_secret": "s"},
        {"webhook_auth": "standard-webhooks", "webhook_secret": "whsec_%%%"},
        {"webhook_secret": "s", "webhook_secret_previous": "t"},
        {"webhook_secret": "s", "webhook_secret_previous": "t", "webhook_secret_previous_expires_at": "soon"},
        {"webhook_auth": "hmac", "webhook_secret": "s"},
        {"webhook_auth": "hmac", "webhook_secret": "s", "webhook_hmac": {"header": "a b"}},
        {"webhook_auth": "hmac", "webhook_secret": "s", "webhook_hmac": {"header": "x", "signed": "constant"}},
        {"webhook_auth": "hmac", "webhook_secret": "s", "webhook_hmac": {"header": "x", "timestamp_header": "t"}},
        {"webhook_auth": "hmac", "webhook_secret": "s", "webhook_hmac": {"header": "x", "algorithm": "md5"}},
        {"webhook_auth": "hmac", "webhook_secret": "s", "webhook_hmac": {"header": "x", "typo": 1}},
        {"webhook_auth": "hmac", "webhook_secret": "s", "webhook_hmac": {"header": "x", "encoding": []}},
        {"webhook_auth": "hmac", "webhook_secret": "s", "webhook_hmac": {"header": "x", "algorithm": {}}},
        {"webhook_auth": [], "webhook_secret": "s"},
    ],
)
def test_what_cannot_be_used_does_not_compile(configuration: dict[str, Any]) -> None:
    """An unknown scheme, a missing secret or an unsigned time is a fault of the configuration, not an open door."""
    with pytest.raises(Misconfigured):
        compile_verifier(configuration)


def test_none_lets_in_and_closed_never_does() -> None:
    """The two that compare nothing of the sender's."""
    assert compile_verifier({"webhook_auth": "none"}).verify({}, BODY, NOW) == Verified()
    for presented in (b"", DECOY.key):
        with pytest.raises(Mismatch):
            CLOSED.verify({"x-webhook-secret": [presented]}, BODY, NOW)
