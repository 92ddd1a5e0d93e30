"""New secrets: of the scheme's own form, and never the same twice."""

import base64

import pytest

from intertie_cli.secret_rotation import SECRET_BYTES, new_secret


@pytest.mark.parametrize("scheme", ["secret", "github", "stripe", "shopify", "slack", "hmac"])
def test_a_new_secret_is_hex_of_enough_randomness(scheme: str) -> None:
    """A text that fits in a header and in every provider's form."""
    one, other = new_secret(scheme), new_secret(scheme)
    assert len(bytes.fromhex(one)) == SECRET_BYTES
    assert one != other


def test_standard_webhooks_have_a_form_of_their_own() -> None:
    """`whsec_` and base64 of 24 to 64 bytes."""
    secret = new_secret("standard-webhooks")
    assert len(base64.b64decode(secret.removeprefix("whsec_"), validate=True)) == SECRET_BYTES
    assert secret.startswith("whsec_")
