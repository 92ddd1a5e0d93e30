"""Tells when the pages of an API go round in a circle, remembering three marks however long the way is."""

import hashlib
from typing import Any

_MARK_CHARACTERS = 24


class GoesRound(ValueError):
    """A page has come before."""


def step(state: dict[str, Any], mark: str) -> dict[str, Any]:
    """The state behind a further mark; {} is the first state. Raises GoesRound.

    Brent's algorithm: each mark is compared with the last one, and with one that moves up at every power of two. So a
    circle is noticed after a few times its length at most; what comes twice until then changes nothing.
    """
    mark = hashlib.sha256(mark.encode(errors="surrogatepass")).hexdigest()[:_MARK_CHARACTERS]
    if mark in (state.get("last"), state.get("kept")):
        raise GoesRound
    power, steps = state.get("power", 1), state.get("steps", 0) + 1
    if steps < power:
        return {**state, "last": mark, "steps": steps}
    return {"last": mark, "kept": mark, "power": power * 2, "steps": 0}
