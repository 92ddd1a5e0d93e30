"""Secrets made to be recognised, and the search for them in what comes out of a running installation.

A secret is looked for as it is and as it may be written on the way: in base64 at each alignment, in hex,
percent-encoded, as the inside of a JSON text, and turned round.
"""

import base64
import json
from collections.abc import Iterable
from urllib.parse import quote

_SHORTEST = 12


def canary(name: str) -> str:
    """A secret that stands for nothing else: ``canary/<name>+…``, with characters that encodings change."""
    return f"canary/{name}+8f2c41d0b79e"


def forms(secret: str) -> set[bytes]:
    """How the secret may be written. Raises ValueError for one so short that it would be found by chance."""
    raw = secret.encode()
    if len(raw) < _SHORTEST:
        raise ValueError(f"a secret of {len(raw)} bytes is no canary")
    written = {raw, raw[::-1], raw.hex().encode(), raw.hex().upper().encode()}
    written |= {quote(secret, safe="").encode(), json.dumps(secret)[1:-1].encode()}
    for before in range(3):
        # What stands before shifts the text; what its neighbours share of a character is left out.
        encoded = base64.b64encode(b"\0" * before + raw)
        inside = encoded[4 if before else 0 : -4]
        written |= {inside, inside.replace(b"+", b"-").replace(b"/", b"_")}
    return written


def found(secrets: Iterable[str], data: bytes) -> list[str]:
    """Which of the secrets stand in the data, in whatever form."""
    return sorted(secret for secret in secrets if any(form in data for form in forms(secret)))
