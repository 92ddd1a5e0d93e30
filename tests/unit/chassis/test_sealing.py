"""Sealed texts: opened by their key and with what they belong to, and by nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intertie_chassis.sealing import SealingKey, SealingKeys, Unopened, is_sealed, key_id_of

ROW = b"connections|7|db_password|db.example"
KEYS = SealingKeys([SealingKey("new", b"n" * 32), SealingKey("old", b"o" * 32)])
OLD = SealingKeys([SealingKey("old", b"o" * 32)])


@given(st.text(), st.binary())
def test_what_was_sealed_is_opened(text: str, associated: bytes) -> None:
    """Any text, bound to anything, comes back to the letter, and does not stand in what was sealed."""
    sealed = KEYS.seal(text, associated)
    assert KEYS.open(sealed, associated) == text
    assert sealed.startswith("sealed:v1:new:")
    assert sealed.isascii()


@given(st.binary())
def test_bytes_are_sealed_as_texts_are(data: bytes) -> None:
    """They come back as they were; what is no text does not come back as one."""
    sealed = KEYS.seal_bytes(data, ROW)
    assert KEYS.open_bytes(sealed, ROW) == data
    with pytest.raises(Unopened, match="no text"):
        KEYS.open(KEYS.seal_bytes(data + b"\xff", ROW), ROW)


def test_no_two_seals_are_alike() -> None:
    """Nobody sees that two connections have the same password."""
    assert len({KEYS.seal("same", ROW) for _ in range(100)}) == 100


def test_every_changed_character_is_noticed() -> None:
    """Also one that only holds bits which say nothing, and one of the other alphabet."""
    for text in ("secret", "secrets", "a secret"):  # a remainder of 0, 1 and 2 bytes
        sealed = KEYS.seal(text, ROW)
        for at, character in enumerate(sealed):
            for other in ("A", "B", "-", "+", "=", " ", "\n", chr(ord(character) ^ 1)):
                if other != character:
                    with pytest.raises(Unopened):
                        KEYS.open(sealed[:at] + other + sealed[at + 1 :], ROW)


def test_every_cut_is_noticed() -> None:
    """Whatever is left of it, or was put behind it."""
    sealed = KEYS.seal("secret", ROW)
    for rest in [sealed[:end] for end in range(len(sealed))] + [
        sealed + "=",
        sealed + "A",
        sealed + "\n",
        " " + sealed,
    ]:
        with pytest.raises(Unopened):
            KEYS.open(rest, ROW)


def test_it_belongs_where_it_was_sealed() -> None:
    """Moved to another row it does not open, and the error shows nothing of it."""
    sealed = KEYS.seal("secret", ROW)
    with pytest.raises(Unopened, match="moved") as caught:
        KEYS.open(sealed, ROW + b"!")
    assert not caught.value.is_key_missing
    assert sealed not in str(caught.value)


def test_keys() -> None:
    """The first seals, all open; a key that is not there is named, another one of its id opens nothing."""
    sealed = OLD.seal("secret", ROW)
    assert KEYS.open(sealed, ROW) == "secret"
    assert key_id_of(sealed) == "old"
    with pytest.raises(Unopened, match="'new'") as caught:
        OLD.open(KEYS.seal("secret", ROW), ROW)
    assert (caught.value.key_id, caught.value.is_key_missing) == ("new", True)
    with pytest.raises(Unopened, match="altered"):
        SealingKeys([SealingKey("old", b"x" * 32)]).open(sealed, ROW)


@pytest.mark.parametrize(
    "text", ["sealed:v2:new:AAAA", "sealed:v1:", "sealed:v1:new", "sealed:v1:a b:AAAA", "sealed:v12:"]
)
def test_what_only_begins_like_one(text: str) -> None:
    """It passes for sealed, so that it is not taken for a clear value, and cannot be opened."""
    assert is_sealed(text)
    with pytest.raises(Unopened):
        KEYS.open(text, ROW)


@pytest.mark.parametrize("text", ["", "sealed", "sealed:", "Sealed:v1:", " sealed:v1:", "sealed:v:", "unsealed:v1:"])
def test_what_is_clear(text: str) -> None:
    """A text that begins otherwise is what it says."""
    assert not is_sealed(text)


def test_nothing_shows_a_key() -> None:
    """Neither repr nor proof; two keys of one id have different proofs."""
    key = SealingKey.new()
    shown = f"{key!r} {key} {SealingKeys([key])!r} {key.proof()}"
    assert key.secret.hex() not in shown
    assert key.line().partition(":")[2] not in shown
    assert repr(key.secret) not in shown
    assert key.proof() != SealingKey(key.id, b"x" * 32).proof()
