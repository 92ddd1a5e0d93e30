"""Which credentials of a proposed connection differ from those that are set, and how often anybody may be wrong."""

import json
from typing import Any

import pytest

from intertie_registry.comparison import A_SECOND, AT_ONCE, Guesses, differing
from intertie_registry.errors import TooManyGuesses
from intertie_registry.model import Connection

CONFIG = {"webhook_secret": "s", "token": 5, "headers": {"X-Key": "k", "Accept": "a"}, "accounts": [{"password": "p"}]}
STORED = Connection(1, 1, "api", db_password="d", config_json=json.dumps(CONFIG))


@pytest.mark.parametrize(
    ("changes", "places"),
    [
        ({"db_password": "d", "config_json": CONFIG}, ()),
        ({"db_password": "", "api_auth_token": "new", "config_json": {"password": "new"}}, ()),
        ({"db_password": "other"}, ("db_password",)),
        ({"config_json": {"webhook_secret": "S", "token": "5"}}, ("config_json.webhook_secret", "config_json.token")),
        ({"config_json": {"webhook_secret": None}}, ()),
        ({"config_json": {"headers": {"X-Key": "", "Accept": "b"}}}, ("config_json.headers.X-Key",)),
        ({"config_json": {"accounts": [{"password": "q"}, {"password": "r"}]}}, ("config_json.accounts[0].password",)),
        ({"config_json": {"headers": "k", "accounts": {"password": "p"}}}, ()),
    ],
)
def test_only_what_is_given_and_set_is_compared(changes: dict[str, Any], places: tuple[str, ...]) -> None:
    """What is new, taken away, or no credential is none of its business; types count."""
    assert differing(STORED, changes) == places


def test_whoever_is_wrong_too_often_must_wait() -> None:
    """Thirty times at once, then once a minute; of one connection, whoever asks."""
    now = [0.0]
    guesses = Guesses(lambda: now[0])
    for _ in range(AT_ONCE):
        guesses.require_room(1)
        guesses.count(1)
    with pytest.raises(TooManyGuesses) as refused:
        guesses.require_room(1)
    assert refused.value.retry_after == pytest.approx(60)
    guesses.require_room(2)
    now[0] += 1 / A_SECOND
    guesses.require_room(1)
