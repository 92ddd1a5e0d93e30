"""The bounds of an entry: what is refused, what is cut, what is replaced by its digest."""

import hashlib

import orjson
import pytest

from intertie_audit import model


@pytest.mark.parametrize(
    "raw", [b"{}", b"[]", b"null", b'"a"', b"1.5", b'{"a": {"b": [1, {"c": null}]}}', b"[" * 31 + b"]" * 31]
)
def test_a_document_is_taken(raw: bytes) -> None:
    """Any JSON document that every store takes is fine, 31 levels included."""
    assert model.payload_fault(raw) is None


@pytest.mark.parametrize("raw", [b"{", b"NaN", b"{'a': 1}", b"\xff", b'"\\ud800"', b"", b"[" * 2000])
def test_what_is_no_document_is_refused(raw: bytes) -> None:
    """Bytes that a JSON column would refuse are refused before."""
    assert model.payload_fault(raw) == "must be JSON"


def test_a_document_nested_too_deep_is_refused() -> None:
    """MariaDB's limit of 31 levels holds for arrays, objects and mixtures; many shallow brackets are no depth."""
    assert model.payload_fault(b"[" * 32 + b"]" * 32) == "must not be nested deeper than 31"
    assert model.payload_fault(b'{"a":' * 32 + b"1" + b"}" * 32) == "must not be nested deeper than 31"
    assert model.payload_fault(b"[" + b",".join([b"[]"] * 100) + b"]") is None
    assert model.payload_fault(orjson.dumps(["[" * 100])) is None


def test_a_large_payload_is_replaced_by_its_digest() -> None:
    """The log keeps size and SHA-256 of what is too large, so that it can still be proven what it was."""
    raw = orjson.dumps({"a": "x" * model.MOST_PAYLOAD_BYTES})
    assert orjson.loads(model.bounded_payload(raw) or "") == {
        "omitted": True,
        "size": len(raw),
        "sha256": hashlib.sha256(raw).hexdigest(),
    }
    assert model.bounded_payload(b'{"a": 1}') == '{"a": 1}'
    assert model.bounded_payload(b"") is None


def test_long_text_is_cut_and_says_so() -> None:
    """A text fits its column afterwards, in characters or in bytes, and ends with an ellipsis when it was cut."""
    assert model.clip("abc", 3) == "abc"
    assert model.clip("abcd", 3) == "ab…"
    assert model.clip("", 3) is None
    for letter in ("x", "é", "😀"):
        cut = model.clip_bytes(letter * 70_000)
        assert cut is not None
        assert cut.endswith(letter + "…")
        assert model.MOST_TEXT_BYTES - 8 < len(cut.encode()) <= model.MOST_TEXT_BYTES
    assert model.clip_bytes("é" * 20_000) == "é" * 20_000
    assert model.clip_bytes("") is None


@pytest.mark.parametrize(
    ("text", "is_id"),
    [
        ("01JD9W2Q6M8ZK4V0T3R5X7Y9AB", True),
        ("01jd9w2q6m8zk4v0t3r5x7y9ab", False),
        ("81JD9W2Q6M8ZK4V0T3R5X7Y9AB", False),
        ("01JD9W2Q6M8ZK4V0T3R5X7Y9A", False),
        ("01JD9W2Q6M8ZK4V0T3R5X7Y9AI", False),
        ("", False),
    ],
)
def test_entry_ids_are_ulids(text: str, is_id: bool) -> None:
    """Only the one way of writing a ULID is taken: two spellings would be two entries."""
    assert (model.ENTRY_ID.fullmatch(text) is not None) is is_id
