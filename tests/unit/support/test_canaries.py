"""The search for secrets finds each form, so that its silence means something."""

import base64
import json
from urllib.parse import quote

import pytest

from canaries import canary, forms, found

SECRET = canary("a secret")


@pytest.mark.parametrize(
    "written",
    [
        f'{{"token": "{SECRET}"}}',
        json.dumps({"é": f'"{SECRET}"'}),
        f"https://example.com/?key={quote(SECRET, safe='')}&x=1",
        SECRET.encode().hex(),
        SECRET.encode().hex().upper(),
        base64.b64encode(f"user:{SECRET}".encode()).decode(),
        base64.b64encode(f"someone:{SECRET}!".encode()).decode(),
        base64.urlsafe_b64encode(f"longer user:{SECRET}!!".encode()).decode(),
        SECRET[::-1],
    ],
)
def test_each_form_is_found(written: str) -> None:
    """As itself, within JSON, in a URL, in hex, in base64 at each alignment, and turned round."""
    assert found([SECRET, canary("another")], f"before {written} after".encode()) == [SECRET]


def test_nothing_is_found_where_nothing_is() -> None:
    """Another canary is another secret, and one too short is refused rather than found everywhere."""
    assert found([SECRET], canary("another").encode()) == []
    with pytest.raises(ValueError, match="no canary"):
        forms("short")
