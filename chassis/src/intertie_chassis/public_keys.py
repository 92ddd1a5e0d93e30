"""The public keys that tokens are verified with, as a JSON Web Key Set has them; `not_after` is our own member."""

import json
from dataclasses import dataclass
from typing import Any

from joserfc.jwk import OKPKey


@dataclass(frozen=True, slots=True)
class PublicKey:
    """One key."""

    key: OKPKey
    not_after: float
    """When its tokens are refused from on, in seconds since 1970; infinite when no end is set."""


def parse(data: bytes) -> dict[str, PublicKey]:
    """The keys of a set by their id; of other curves none.

    Raises ValueError, KeyError, TypeError, AttributeError or JoseError when it is no such set: an end that cannot be
    read must not pass for none.
    """
    return {entry["kid"]: _key(entry) for entry in json.loads(data)["keys"] if entry.get("crv") == "Ed25519"}


def _key(entry: dict[str, Any]) -> PublicKey:
    not_after = entry.get("not_after")
    if not_after is not None and type(not_after) not in (int, float):
        raise ValueError("not_after is not a number")
    return PublicKey(OKPKey.import_key(entry), float("inf") if not_after is None else not_after)
