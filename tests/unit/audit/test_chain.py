"""The chain's own computations against values worked out by hand and by other code."""

import base64
import hashlib
import hmac
import json
from datetime import datetime

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from intertie_audit import chain
from intertie_audit.chain import Place
from intertie_audit.chain_keys import ChainKey, KnownKeys
from intertie_audit.verify import Walk

NOON = datetime(2025, 1, 20, 12, 0, 0, 123456)
TEXT = "2025-01-20 12:00:00.123456"
SECRET = bytes(range(32))


def key() -> ChainKey:
    """The key of the secret above."""
    encoded = base64.urlsafe_b64encode(SECRET).rstrip(b"=").decode()
    return ChainKey.of_jwk({"kty": "OKP", "crv": "Ed25519", "d": encoded})


def test_leaves_and_heads_are_kept_apart() -> None:
    """As RFC 6962 has it: 0x00 before a leaf, 0x01 before a head."""
    assert hashlib.sha256(b"intertie audit chain v1").digest() == chain.START
    assert chain.leaf(b"") == hashlib.sha256(b"\x00").digest()
    assert chain.leaf(b"").hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    head = chain.next_head(chain.START, chain.leaf(b"x"))
    assert head == hashlib.sha256(b"\x01" + chain.START + hashlib.sha256(b"\x00x").digest()).digest()
    assert chain.leaf(chain.START + chain.leaf(b"x")) != head


def test_the_mac_key_is_derived_as_rfc_5869_says() -> None:
    """Extract without salt, expand one block."""
    extracted = hmac.digest(bytes(32), SECRET, "sha256")
    assert key().mac_key == hmac.digest(extracted, b"intertie audit chain mac v1\x01", "sha256")
    assert chain.mac(key().mac_key, b"h" * 32) == hmac.new(key().mac_key, b"h" * 32, hashlib.sha256).digest()


def test_a_walk_computes_the_same_macs() -> None:
    """Of keys of any length; and a wrong one is told at its place."""
    for length in (1, 32, 64):
        secret = SECRET[:length].ljust(length, b"k")
        head, rows = chain.START, []
        for place in range(1, 4):
            canonical = chain.note(place, "remark", TEXT, "é")
            head = chain.next_head(head, chain.leaf(canonical))
            rows.append((place, canonical, head, chain.mac(secret, head), True))
        walk = Walk(Place(0, chain.START), [b"another", secret])
        assert walk.feed(rows) == []
        assert (walk.findings, walk.end) == ([], Place(3, head))
        strange = Walk(Place(0, chain.START), [b"another"])
        strange.feed(rows)
        assert [(one.kind, one.sequence, one.last_sequence) for one in strange.findings] == [("LINK_BROKEN", 1, 3)]


def test_an_entry_is_a_json_array() -> None:
    """Prefix, columns, digests, without white space."""
    row = chain.canonical_bytes([7, None, TEXT, "\x01\u00e9\\"])
    canonical = chain.entry(3, TEXT, row, chain.payload_digests("{}", None))
    digest = hashlib.sha256(b"{}").hexdigest()
    assert json.loads(canonical) == [3, "entry", TEXT, 7, None, TEXT, "\x01\u00e9\\", digest, None]
    assert b"\\u0001\xc3\xa9\\\\" in canonical
    assert b" " not in canonical.replace(TEXT.encode(), b"")


def test_a_block_names_its_rows() -> None:
    """Each with three digests; nothing else is taken for a block."""
    rows = [chain.block_row(number, b"[%d]" % number, chain.payload_digests(None, "x")) for number in (-5, 9)]
    canonical = chain.block(1, TEXT, rows)
    assert chain.block_rows(canonical) == rows
    assert chain.block_span(canonical[:200]) == (-5, 9)
    assert rows[0].digest == hashlib.sha256(b"[-5]").digest()
    for other in (b"", b"[]", b"{}", chain.note(1, "remark", TEXT, "x"), canonical[:-1]):
        with pytest.raises(ValueError, match=r"."):
            chain.block_rows(other)


def test_what_has_expired() -> None:
    """Written and read; other words say nothing."""
    said = chain.expiry(chain.note(5, "expired", TEXT, chain.expired_text(4, NOON)))
    assert said is not None
    assert (said.sequence, said.before) == (4, TEXT)
    assert chain.expiry(chain.note(5, "expired", TEXT, "payloads expired")) is None
    assert chain.expiry(b"\xff") is None


def test_a_checkpoint_is_signed_text() -> None:
    """Verified by other code with the published key; each byte of it counts."""
    text = chain.checkpoint_text("ab" * 16, 3, b"h" * 32, 0, NOON, key().key_id)
    lines = text.split("\n")
    assert lines[:3] == ["intertie audit checkpoint v1", f"chain {'ab' * 16}", "sequence 3"]
    assert lines[5:] == ["time 2025-01-20T12:00:00.123456Z", f"key {key().key_id}", ""]
    signature = key().sign(text)
    Ed25519PrivateKey.from_private_bytes(SECRET).public_key().verify(signature, text.encode())
    known = KnownKeys([key().public_jwk], [])
    assert known.verifies(key().key_id, text, signature)
    assert not known.verifies(key().key_id, text + " ", signature)
    assert not known.verifies("other", text, signature)
    checkpoint = chain.read_checkpoint(text, signature)
    assert (checkpoint.sequence, checkpoint.head, checkpoint.created_at) == (3, b"h" * 32, NOON)
    for other in ("", text[:-1], text + "\n", text.replace("sequence 3", "sequence 03"), " " + text):
        with pytest.raises(ValueError, match="not the text of a checkpoint"):
            chain.read_checkpoint(other, signature)
