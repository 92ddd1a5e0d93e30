"""What others' code signs gets in, and what their code refuses does not: Stripe's library, Standard Webhooks', Svix'
published vector, and the examples that GitHub, Slack and others publish.
"""

import base64
import hmac
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from standardwebhooks import Webhook, WebhookVerificationError
from stripe import SignatureVerificationError, WebhookSignature

from intertie_ingest.signature_options import compile_verifier
from intertie_ingest.signatures import Misconfigured, Mismatch, Repeated, Verified

NOW = 1_700_000_000
BODY = b'{"id":"evt_1","object":"event","type":"charge.succeeded"}'
STRIPE_SECRET = "whsec_dGhpcyBpcyBub3QgYmFzZTY0IHRvIHN0cmlwZQ"
STANDARD_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SLACK_BODY = (
    b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V"
    b"&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text="
    b"&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN"
    b"&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
)


def of(scheme: str, secret: str, **options: Any) -> Any:
    return compile_verifier({"webhook_auth": scheme, "webhook_secret": secret, **options})


def stripe_header(body: bytes = BODY, timestamp: int = NOW, secret: str = STRIPE_SECRET) -> dict[str, list[bytes]]:
    header = WebhookSignature.generate_signature_header(body.decode(), secret, timestamp)
    return {"stripe-signature": [header.encode()]}


def standard_headers(
    drift: int = 0, message_id: str = "msg_1", secret: str = STANDARD_SECRET, family: str = "webhook"
) -> dict[str, list[bytes]]:
    when = datetime.fromtimestamp(NOW + drift, UTC)
    return {
        f"{family}-id": [message_id.encode()],
        f"{family}-timestamp": [b"%d" % (NOW + drift)],
        f"{family}-signature": [Webhook(secret).sign(message_id, when, BODY.decode()).encode()],
    }


def test_what_stripe_signs_gets_in_and_theirs_agrees_on_what_does_not() -> None:
    """Body, secret, header and an old time: our answer is their library's."""
    verifier = of("stripe", STRIPE_SECRET)
    now = int(time.time())
    fresh = stripe_header(timestamp=now)
    assert verifier.verify(fresh, BODY, now) == Verified(None, "webhook_secret", b"%d" % now)
    value = fresh["stripe-signature"][0].decode()
    assert WebhookSignature.verify_header(BODY.decode(), value, STRIPE_SECRET, tolerance=300)
    old = stripe_header(timestamp=now - 301)["stripe-signature"][0].decode()
    for body, header in (
        (BODY + b" ", value),
        (BODY, value.replace("v1=", "v0=")),
        (BODY, value.replace(f"t={now}", f"t={now - 1}")),
        (BODY, stripe_header(timestamp=now, secret="another")["stripe-signature"][0].decode()),
        (BODY, old),
        (BODY, ""),
    ):
        with pytest.raises(SignatureVerificationError):
            WebhookSignature.verify_header(body.decode(), header, STRIPE_SECRET, tolerance=300)
        with pytest.raises(Mismatch):
            verifier.verify({"stripe-signature": [header.encode()]}, body, now)


def test_stripe_signs_with_both_secrets_while_it_rotates() -> None:
    """Its header then has a v1 of each; whichever of the two we have, it gets in."""
    one, other = (stripe_header(secret=secret)["stripe-signature"][0] for secret in ("old", "new"))
    both = {"stripe-signature": [one + b"," + other.partition(b",")[2]]}
    for secret in ("old", "new"):
        assert of("stripe", secret).verify(both, BODY, NOW).secret == "webhook_secret"


@pytest.mark.parametrize("family", ["webhook", "svix"])
@pytest.mark.parametrize(
    ("drift", "fits"), [(-301, False), (-300, True), (-299, True), (299, True), (300, True), (301, False)]
)
def test_times_of_standard_webhooks(family: str, drift: int, fits: bool) -> None:
    """Five minutes either way, signed by the reference library."""
    verifier, headers = of("standard-webhooks", STANDARD_SECRET), standard_headers(drift, family=family)
    if fits:
        assert verifier.verify(headers, BODY, NOW) == Verified("msg_1", "webhook_secret")
    else:
        with pytest.raises(Mismatch):
            verifier.verify(headers, BODY, NOW)


def test_the_reference_library_agrees_on_what_does_not_fit() -> None:
    """A changed body, id, time, secret or signature, and each header missing."""
    now = datetime.now(UTC).replace(microsecond=0)
    seconds = int(now.timestamp())
    signature = Webhook(STANDARD_SECRET).sign("msg_1", now, BODY.decode())
    good = {"webhook-id": "msg_1", "webhook-timestamp": str(seconds), "webhook-signature": signature}
    assert Webhook(STANDARD_SECRET).verify(BODY.decode(), good) == {
        "id": "evt_1",
        "object": "event",
        "type": "charge.succeeded",
    }
    verifier = of("standard-webhooks", STANDARD_SECRET)
    other = Webhook("whsec_" + base64.b64encode(b"another secret of 24 b..").decode()).sign("msg_1", now, BODY.decode())
    wrong: list[tuple[bytes, dict[str, str]]] = [
        (BODY + b" ", good),
        (BODY, {**good, "webhook-id": "msg_2"}),
        (BODY, {**good, "webhook-timestamp": str(seconds + 1)}),
        (BODY, {**good, "webhook-timestamp": "soon"}),
        (BODY, {**good, "webhook-signature": other}),
        (BODY, {**good, "webhook-signature": signature.replace("v1,", "v2,")}),
        *((BODY, {name: value for name, value in good.items() if name != missing}) for missing in good),
    ]
    for body, headers in wrong:
        with pytest.raises(WebhookVerificationError):
            Webhook(STANDARD_SECRET).verify(body.decode(), headers)
        with pytest.raises(Mismatch):
            verifier.verify({name: [value.encode()] for name, value in headers.items()}, body, seconds)


def test_one_valid_signature_of_five_and_two_hundred() -> None:
    """A list is how senders rotate; beyond eight it is no list of signatures any more."""
    headers = standard_headers()
    (signature,) = headers["webhook-signature"]
    others = [b"v1," + base64.b64encode(bytes(32)), b"v1a,AAAA", b"v2,x", b"nonsense"]
    listed = {**headers, "webhook-signature": [b" ".join([*others, signature])]}
    verifier = of("standard-webhooks", STANDARD_SECRET)
    assert verifier.verify(listed, BODY, NOW).signed_id == "msg_1"
    with pytest.raises(Repeated, match="at most 8"):
        verifier.verify({**headers, "webhook-signature": [b" ".join([signature] * 200)]}, BODY, NOW)


def ed25519_signature(key: Ed25519PrivateKey, message_id: bytes = b"msg_1") -> bytes:
    return b"v1a," + base64.b64encode(key.sign(b"%b.%d.%b" % (message_id, NOW, BODY)))


def whpk(key: Ed25519PrivateKey) -> str:
    return "whpk_" + base64.b64encode(key.public_key().public_bytes_raw()).decode()


def test_ed25519_signatures_of_standard_webhooks() -> None:
    """`v1a` by the key whose public half the connection has; a `v1` beside it proves nothing to a public key."""
    key, other = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    verifier = of("standard-webhooks", whpk(key))
    headers = standard_headers()
    hmac_signature = headers["webhook-signature"][0]
    listed = b" ".join([hmac_signature, ed25519_signature(other), ed25519_signature(key)])
    assert verifier.verify({**headers, "webhook-signature": [listed]}, BODY, NOW) == Verified("msg_1", "webhook_secret")
    for wrong in (
        hmac_signature,
        ed25519_signature(other),
        ed25519_signature(key, b"msg_2"),
        ed25519_signature(key)[:-4],
        b"v1a,",
        b"v1a,%%%",
        b"v1," + ed25519_signature(key)[4:],
    ):
        with pytest.raises(Mismatch):
            verifier.verify({**headers, "webhook-signature": [wrong]}, BODY, NOW)


def test_a_rotation_from_a_secret_to_a_public_key_and_back() -> None:
    """Either kind may be the previous one, until its end."""
    key = Ed25519PrivateKey.generate()
    symmetric = standard_headers()
    asymmetric = {**symmetric, "webhook-signature": [ed25519_signature(key)]}
    for present, previous, new, old in (
        (whpk(key), STANDARD_SECRET, asymmetric, symmetric),
        (STANDARD_SECRET, whpk(key), symmetric, asymmetric),
    ):
        verifier = of(
            "standard-webhooks",
            present,
            webhook_secret_previous=previous,
            webhook_secret_previous_expires_at=(datetime.fromtimestamp(NOW, UTC) + timedelta(seconds=10)).isoformat(),
        )
        assert verifier.previous_until == NOW + 10
        assert verifier.verify(new, BODY, NOW + 11).secret == "webhook_secret"
        assert verifier.verify(old, BODY, NOW + 9).secret == "webhook_secret_previous"
        with pytest.raises(Mismatch):
            verifier.verify(old, BODY, NOW + 10)


@pytest.mark.parametrize("secret", ["whpk_", "whpk_AAAA", "whpk_%%", "whsec_"])
def test_keys_that_are_none(secret: str) -> None:
    """A public key has 32 bytes; anything else lets nobody in."""
    with pytest.raises(Misconfigured):
        of("standard-webhooks", secret)


def test_slacks_documented_example() -> None:
    """The slash command of "Verifying requests from Slack"; a list, or another time, is none of Slack's signatures."""
    signature = b"v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"
    verifier = of("slack", "8f742231b10e8888abcd99yyyzzz85a5")
    headers = {"x-slack-signature": [signature], "x-slack-request-timestamp": [b"1531420618"]}
    assert verifier.verify(headers, SLACK_BODY, 1531420618 + 300).beside_body == b"1531420618"
    for changed in (
        {"x-slack-signature": [b"v0=" + b"0" * 64 + b"," + signature]},
        {"x-slack-signature": [signature + b", " + signature]},
        {"x-slack-signature": [signature.removeprefix(b"v0=")]},
        {"x-slack-request-timestamp": [b"1531420619"]},
    ):
        with pytest.raises(Mismatch):
            verifier.verify({**headers, **changed}, SLACK_BODY, 1531420618)
    with pytest.raises(Mismatch):
        verifier.verify(headers, SLACK_BODY, 1531420618 + 301)


def test_shopifys_scheme_as_another_receiver_tests_it() -> None:
    """The vector of SQLPage's test of Shopify's webhooks."""
    body = b'{"id":1234567890,"email":"customer@example.com","total_price":"123.45"}'
    verifier = of("shopify", "test-webhook-secret")
    good = b"QNyObTlKbMx2qDlPF/ZOZcBqg5OgPg+2oky3zldc0Gw="
    assert verifier.verify({"x-shopify-hmac-sha256": [good]}, body, NOW) == Verified(None, "webhook_secret", b"")
    for wrong in (good[:-1], good.lower(), good + b"=", good + b"\0", b"", base64.b64decode(good).hex().encode()):
        with pytest.raises(Mismatch):
            verifier.verify({"x-shopify-hmac-sha256": [wrong]}, body, NOW)
    with pytest.raises(Mismatch):
        verifier.verify({"x-shopify-hmac-sha256": [good]}, body + b"\n", NOW)


@pytest.mark.parametrize("scheme", ["slack", "stripe", "standard-webhooks"])
@pytest.mark.parametrize(
    "text", [b"", b"-1", b"-1700000000", b"1e9", b"abc", b"1" + b"0" * 20, "١٢٣".encode(), b"+1700000000"]
)
def test_a_time_that_is_no_plain_number_is_refused_although_signed(scheme: str, text: bytes) -> None:
    """Whoever signed it: a time is a number of seconds, and one that is near."""
    secret = STANDARD_SECRET if scheme == "standard-webhooks" else "s3cret"
    key = base64.b64decode(secret.removeprefix("whsec_")) if scheme == "standard-webhooks" else secret.encode()
    message = {"slack": b"v0:%b:%b", "stripe": b"%b.%b", "standard-webhooks": b"msg_1.%b.%b"}[scheme] % (text, BODY)
    mac = hmac.new(key, message, "sha256")
    headers = {
        "slack": {"x-slack-signature": [b"v0=" + mac.hexdigest().encode()], "x-slack-request-timestamp": [text]},
        "stripe": {"stripe-signature": [b"t=%b,v1=%b" % (text, mac.hexdigest().encode())]},
        "standard-webhooks": {
            "webhook-id": [b"msg_1"],
            "webhook-timestamp": [text],
            "webhook-signature": [b"v1," + base64.b64encode(mac.digest())],
        },
    }[scheme]
    with pytest.raises(Mismatch):
        of(scheme, secret).verify(headers, BODY, NOW)
