"""The tokens and keys of an installation as a person sees them: whose, from when to when, and whether they hold."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from intertie_chassis.identity_journal import History

TokenState = Literal["active", "expired", "revoked", "key withdrawn", "key ended"]
KeyState = Literal["signing", "next", "verifying", "ended", "withdrawn"]


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A token that the journal knows. Services' own, renewed each hour, are not among them."""

    id: str
    role: str
    subject: str
    issued_at: float
    """Seconds since 1970, as all times here."""
    expires_at: int
    key_id: str
    state: TokenState


@dataclass(frozen=True, slots=True)
class ListedKey:
    """A key that signs or has signed."""

    id: str
    state: KeyState
    signs_since: float
    """0: never did, or it is not known since when."""
    not_after: float
    """When what it signed is refused from on; 0: no end is set."""
    tokens: int
    """How many tokens that it signed are active."""


def listed_tokens(history: History, ends: Mapping[str, float]) -> list[IssuedToken]:
    """All tokens, the oldest first.

    Args:
        ends: when each published key ends, by its id; tokens of other keys are not believed.
    """
    now = time.time()

    def state(token_id: str, key_id: str, expires_at: int) -> TokenState:
        if token_id in history.revoked:
            return "revoked"
        if key_id in history.withdrawn:
            return "key withdrawn"
        if expires_at <= now:
            return "expired"
        return "active" if ends.get(key_id, 0) > now else "key ended"

    return [
        IssuedToken(
            token_id,
            event.role,
            event.subject,
            event.at,
            event.expires_at,
            event.key_id,
            state(token_id, event.key_id, event.expires_at),
        )
        for token_id, event in history.issued.items()
    ]


def listed_keys(history: History, ends: Mapping[str, float], *, signing: str, staged: str) -> list[ListedKey]:
    """All keys: those that are published, and those that the journal remembers.

    Args:
        ends: when each published key ends, by its id.
        signing: id of the key that signs.
        staged: id of the one that will sign next; empty: none.
    """
    now, tokens = time.time(), listed_tokens(history, ends)

    def state(key_id: str) -> KeyState:
        if key_id in history.withdrawn:
            return "withdrawn"
        if key_id == signing:
            return "signing"
        if key_id == staged:
            return "next"
        return "verifying" if ends.get(key_id, 0) > now else "ended"

    def listed(key_id: str) -> ListedKey:
        rotated, end = history.rotated.get(key_id), ends.get(key_id, 0)
        active = sum(token.key_id == key_id and token.state == "active" for token in tokens)
        since = rotated.at if rotated else 0
        return ListedKey(key_id, state(key_id), since, 0 if end == float("inf") else end, active)

    return [listed(key_id) for key_id in _once((*history.rotated, *history.withdrawn, *ends))]


def _once(texts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(texts))
