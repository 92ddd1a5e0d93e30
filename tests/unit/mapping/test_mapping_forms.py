"""Form bodies are documents: JSON in disguise, a sole payload, or an object of texts."""

from __future__ import annotations

import pytest

from intertie_mapping.errors import DocumentError, DocumentReason
from intertie_mapping.forms import parse_form


def test_fields_become_texts_and_repeated_ones_lists() -> None:
    (record,) = parse_form(b"title=Flood+drill&n=5&tag=a&tag=b&tag=%C3%A9&empty=").records
    assert record.value == {"title": "Flood drill", "n": "5", "tag": ["a", "b", "é"], "empty": ""}
    assert record.raw == '{"title":"Flood drill","n":"5","tag":["a","b","é"],"empty":""}'.encode()


def test_json_sent_as_a_form_is_json() -> None:
    """curl -d says form unless told otherwise."""
    (record,) = parse_form(b' {"id": 18446744073709551617}').records
    assert record.value == {"id": 2**64 + 1}
    assert record.raw == b'{"id": 18446744073709551617}'


def test_a_sole_payload_is_the_document() -> None:
    (record,) = parse_form(b"payload=%7B%22id%22%3A%201.50%7D").records
    assert record.raw == b'{"id": 1.50}'


def test_a_payload_among_other_fields_is_a_field() -> None:
    (record,) = parse_form(b"payload=%7B%7D&x=1").records
    assert record.value == {"payload": "{}", "x": "1"}


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", DocumentReason.EMPTY_BODY),
        (b"  ", DocumentReason.EMPTY_BODY),
        (b"a=%ff", DocumentReason.INVALID_FORM),
        (b"a=\xc3\xa9", DocumentReason.INVALID_FORM),
        (b"no-equals-sign", None),
        (b"&".join(b"a=1" for _ in range(10_001)), DocumentReason.INVALID_FORM),
        (b'{"a":', DocumentReason.INVALID_JSON),
        (b"payload=%7B", DocumentReason.INVALID_JSON),
    ],
)
def test_bad_forms_are_refused(body: bytes, reason: DocumentReason | None) -> None:
    if reason is None:
        assert parse_form(body).records[0].value == {"no-equals-sign": ""}
        return
    with pytest.raises(DocumentError) as refused:
        parse_form(body)
    assert refused.value.reason == reason
