"""Bodies are taken when they are plain JSON, to the last digit, and refused with a reason when they are not."""

from __future__ import annotations

import hashlib
import json
import sys
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intertie_mapping.documents import MAX_DEPTH, parse, parse_record, parse_value, serialise
from intertie_mapping.errors import DocumentError, DocumentReason, MappingFault, Reason

TEXTS = st.text(st.characters(codec="utf-8"))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
OBJECTS = st.dictionaries(TEXTS, VALUES, max_size=5)
SPACES = st.text(" \t\r\n", max_size=3)


def reason_of(body: bytes) -> DocumentReason:
    with pytest.raises(DocumentError) as refused:
        parse(body)
    assert refused.value.message
    return refused.value.reason


@given(st.lists(st.tuples(OBJECTS, SPACES, SPACES), max_size=5), st.booleans())
def test_each_element_keeps_its_bytes(elements: list[tuple[dict[str, Any], str, str]], ascii_only: bool) -> None:
    """The raw slices of an array are the bytes as sent, and parse to the same values again."""
    raws = [json.dumps(value, ensure_ascii=ascii_only).encode() for value, _, _ in elements]
    body = (
        b"["
        + b",".join(
            before.encode() + raw + after.encode() for raw, (_, before, after) in zip(raws, elements, strict=True)
        )
        + b"]"
    )
    document = parse(body)
    assert document.is_array
    assert [record.raw for record in document.records] == raws
    assert [record.value for record in document.records] == [value for value, _, _ in elements]
    assert document.value == json.loads(body)


@given(OBJECTS, SPACES, SPACES)
def test_an_object_is_one_record_without_its_surroundings(value: dict[str, Any], before: str, after: str) -> None:
    raw = json.dumps(value).encode()
    (record,) = parse(before.encode() + raw + after.encode()).records
    assert record.raw == raw
    assert record.value == value
    assert record.digest() == hashlib.sha256(raw).digest()


@given(VALUES)
def test_serialised_values_parse_to_themselves(value: Any) -> None:
    assert parse_value(serialise(value)) == value


@given(st.binary(max_size=60))
def test_any_bytes_are_taken_or_refused_by_name(body: bytes) -> None:
    """Nothing but a DocumentError comes of hostile bytes, and what is taken is what json takes."""
    try:
        document = parse(body)
    except DocumentError:
        return
    assert json.loads(body) == document.value


@given(st.text('[]{}":,\\ab1 ', max_size=120))
def test_near_json_is_taken_or_refused_by_name(text: str) -> None:
    try:
        document = parse(text.encode())
    except DocumentError:
        return
    assert json.loads(text) == document.value


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", DocumentReason.EMPTY_BODY),
        (b" \r\n\t", DocumentReason.EMPTY_BODY),
        (b"{", DocumentReason.INVALID_JSON),
        (b'{"a":1', DocumentReason.INVALID_JSON),
        (b'{"a":}', DocumentReason.INVALID_JSON),
        (b'{"a":1,}', DocumentReason.INVALID_JSON),
        (b"{'a':1}", DocumentReason.INVALID_JSON),
        (b'{"a":01}', DocumentReason.INVALID_JSON),
        (b'{"a":"\n"}', DocumentReason.INVALID_JSON),
        (b'{"a":1} {"b":2}', DocumentReason.INVALID_JSON),
        (b'{"a":1}\x00', DocumentReason.INVALID_JSON),
        (b"[", DocumentReason.INVALID_JSON),
        (b'[{"a":1}', DocumentReason.INVALID_JSON),
        (b'[{"a":1},]', DocumentReason.INVALID_JSON),
        (b"[{} {}]", DocumentReason.INVALID_JSON),
        (b"[]]", DocumentReason.INVALID_JSON),
        (b"1", DocumentReason.NOT_AN_OBJECT),
        (b'"text"', DocumentReason.NOT_AN_OBJECT),
        (b"null", DocumentReason.NOT_AN_OBJECT),
        (b"[1]", DocumentReason.NOT_AN_OBJECT),
        (b"[{},[]]", DocumentReason.NOT_AN_OBJECT),
        (b'{"a":NaN}', DocumentReason.INVALID_NUMBER),
        (b'{"a":-Infinity}', DocumentReason.INVALID_NUMBER),
        (b'{"a":1e999}', DocumentReason.INVALID_NUMBER),
        (b'{"a":1e-999999999}', DocumentReason.INVALID_NUMBER),  # written out, it would fill the memory
        (b'{"a":1e-99999999999999999999}', DocumentReason.INVALID_NUMBER),
        (b'{"a":0e99999999999999999999}', DocumentReason.INVALID_NUMBER),
        (b'{"a":' + b"1" * 5000 + b"}", DocumentReason.INVALID_NUMBER),
        (b'{"a":0.' + b"1" * 5000 + b"}", DocumentReason.INVALID_NUMBER),
        (b'{"a":"\xff"}', DocumentReason.INVALID_ENCODING),
        (b'{"a":"\xed\xa0\x80"}', DocumentReason.INVALID_ENCODING),
        (b'\xef\xbb\xbf{"a":1}', DocumentReason.INVALID_ENCODING),
        ('{"a":1}'.encode("utf-16"), DocumentReason.INVALID_ENCODING),
        ('{"a":1}'.encode("utf-16-le"), DocumentReason.INVALID_ENCODING),
        ('{"a":1}'.encode("utf-16-be"), DocumentReason.INVALID_ENCODING),
        (rb'{"a":"\ud800"}', DocumentReason.INVALID_TEXT),
        (rb'{"\udc00":1}', DocumentReason.INVALID_TEXT),
    ],
)
def test_bad_bodies_are_refused(body: bytes, reason: DocumentReason) -> None:
    assert reason_of(body) == reason


def test_numbers_too_small_for_a_double_keep_their_digits() -> None:
    """As far as they can be written out."""
    assert parse(b'{"a":1e-4000}').value == {"a": Decimal("1e-4000")}
    assert parse(b'{"a":0e400}').value == {"a": 0.0}


def test_a_pair_of_surrogates_and_a_nul_are_text() -> None:
    assert parse(rb'{"a":"\ud83d\ude00\u0000"}').value == {"a": "😀\0"}


def test_nesting_is_taken_to_the_limit_and_no_further() -> None:
    """Brackets in texts do not count; the object itself does."""
    inside = MAX_DEPTH - 1
    assert parse(b'{"a":' + b"[" * inside + b"]" * inside + b"}").records
    assert parse(b'{"a":"' + b"[" * 100 + rb"\"{{{{" + b'"}').records
    assert parse(b'{"a":[' + b",".join([b"[[],{}]"] * 500) + b"]}").records
    assert reason_of(b'{"a":' + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b"}") == DocumentReason.NESTED_TOO_DEEPLY
    assert reason_of(b'{"a":' * 40 + b"1" + b"}" * 40) == DocumentReason.NESTED_TOO_DEEPLY
    assert reason_of(b"[" * 100_000) == DocumentReason.NESTED_TOO_DEEPLY


def test_unclosed_quotes_do_not_take_quadratic_time() -> None:
    """The pattern that takes texts out must not start anew at each escaped quote; else this test takes hours."""
    assert reason_of(b"{" * 20 + b'"' + rb"\"" * 500_000 + b"[" * 20) == DocumentReason.INVALID_JSON


@pytest.mark.parametrize("number", [2**53 + 1, 2**63, 2**64, 2**64 + 1, -(2**70), 10**4299])
def test_integers_are_exact(number: int) -> None:
    (record,) = parse(f'{{"n":{number}}}'.encode()).records
    assert record.value == {"n": number}
    assert serialise(record.value) == f'{{"n":{number}}}'


@given(st.from_regex(r"-?(0|[1-9][0-9]{0,25})\.[0-9]{1,25}([eE][+-]?[0-9]{1,2})?", fullmatch=True))
def test_decimals_keep_every_digit_that_was_written(text: str) -> None:
    """A number is a float only if the float's own text denotes the same number."""
    value: Any = parse_value(text)
    assert Decimal(repr(value) if isinstance(value, float) else value) == Decimal(text)
    assert Decimal(serialise([value])[1:-1]) == Decimal(text)


def test_numbers_that_floats_hold_are_floats() -> None:
    """So that expressions and serialisers meet a Decimal only when there is no other way."""
    (record,) = parse(b'{"a":0.1,"b":14.599512,"c":1e3,"d":19.99,"e":0.1000000000000000055511151231257827}').records
    assert {key: type(value) for key, value in record.value.items()} == {
        "a": float,
        "b": float,
        "c": float,
        "d": float,
        "e": Decimal,
    }


def test_keys_that_stand_twice_are_named_per_record() -> None:
    """The last value wins, as everywhere, but the record says so; its neighbours are clean."""
    document = parse(b'[{"a":1},{"b":1,"c":{"d":1,"d":2},"b":2},{"a":1,"x":{"a":2}}]')
    assert [record.duplicate_keys for record in document.records] == [(), ("b", "d"), ()]
    assert document.duplicate_keys == ("b", "d")
    assert document.records[1].value == {"b": 2, "c": {"d": 2}}
    document.records[0].require_unique_keys()
    with pytest.raises(MappingFault) as fault:
        document.records[1].require_unique_keys()
    assert (fault.value.reason, fault.value.field) == (Reason.DUPLICATE_KEY, "b")


def test_a_refused_body_leaves_no_trace_in_the_next() -> None:
    with pytest.raises(DocumentError):
        parse(b'{"a":1,"a":2')
    assert parse(b'{"a":1}').duplicate_keys == ()


@pytest.mark.parametrize("body", [b' {"a":1,"b":[2]} ', b'{"a":1,"a":2}', b'{"a":"\\ud83d\\ude00"}'])
def test_a_single_record_is_that_of_its_document(body: bytes) -> None:
    """Its bytes, its value and its repeated keys are the same."""
    assert (parse_record(body),) == parse(body).records


@pytest.mark.parametrize("body", [b"[{}]", b"5", b"", b"{", b'{"a":"\\ud800"}', b"{}{}"])
def test_what_is_no_single_record_is_refused(body: bytes) -> None:
    """An array is none, be it of one element."""
    with pytest.raises(DocumentError):
        parse_record(body)


def test_an_empty_array_holds_no_record() -> None:
    assert parse(b" [ ] ").records == ()


def test_the_place_of_a_mistake_is_named() -> None:
    with pytest.raises(DocumentError, match="line 2, column 6"):
        parse(b'{"a": 1,\n"b": }')


def test_a_deep_caller_is_answered_too() -> None:
    """Without stack left the answer is a refusal, never a crash."""

    def deep(left: int) -> Any:
        if left:
            return deep(left - 1)
        try:
            return parse(b'{"a":' + b"[" * 30 + b"]" * 30 + b"}")
        except (DocumentError, RecursionError) as error:
            return error

    assert deep(max(sys.getrecursionlimit() - 250, 1)) is not None


def test_texts_of_json_refuse_keys_twice() -> None:
    with pytest.raises(DocumentError, match="twice"):
        parse_value('{"a":1,"a":2}')


def test_an_array_is_given_up_at_its_limit() -> None:
    """Only where one is asked for, and not a record earlier."""
    assert len(parse(b"[{},{},{}]", most_records=3).records) == 3
    with pytest.raises(DocumentError) as caught:
        parse(b"[{},{},{},{}]", most_records=3)
    assert caught.value.reason is DocumentReason.TOO_MANY_RECORDS
