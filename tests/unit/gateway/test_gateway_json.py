"""JSON in requests and answers: what is cut out stays as it came, what is no JSON is never a fault of ours."""

import json

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from intertie.ingest.v1 import ingest_pb2
from intertie.registry.v1 import registry_pb2
from intertie_chassis.errors import InvalidArgument
from intertie_gateway.json_text import JsonText
from intertie_gateway.request_json import BodyReader
from intertie_gateway.response_json import document, write

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=15,
)


def _read(body: bytes) -> registry_pb2.Mapping:
    message = registry_pb2.Mapping()
    BodyReader(JsonText(body)).read_into(message)
    return message


@given(value=JSON, indent=st.sampled_from([None, 0, 1, 3]), ascii_only=st.booleans())
def test_a_document_is_cut_out_byte_for_byte(value: object, indent: int | None, ascii_only: bool) -> None:
    """However it is written; null is the field's absence."""
    raw = json.dumps(value, indent=indent, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    body = b'{ "mapping_config" :\n ' + raw + b'\t, "system":"a"}'
    try:
        read = _read(body)
    except InvalidArgument as error:
        assert "nested deeper" in error.message or "not JSON" in error.message  # lone surrogates  # noqa: PT017
        return
    assert read.mapping_config == (b"" if value is None else raw)
    assert read.system == "a"


@given(body=st.binary(max_size=60) | st.text('{}[]",:0123456789.eE+-\\ \n\tnultrfasx"', max_size=40).map(str.encode))
def test_no_bytes_are_a_fault_of_ours(body: bytes) -> None:
    """Whatever comes: a message, or InvalidArgument."""
    try:
        _read(body)
    except InvalidArgument:
        return
    assert isinstance(json.loads(body), dict)


@given(text=st.text(st.characters(codec="utf-8")), number=st.integers(0, 2**32 - 1), flag=st.booleans())
def test_what_is_written_is_read_again(text: str, number: int, flag: bool) -> None:
    """An answer can be sent back: what only the service sets is left out, the rest is as it was."""
    mapping = registry_pb2.Mapping(id=number, system=text, mapping_config=b'{"a": 1.10}', is_active=flag)
    mapping.created_at.CopyFrom(Timestamp(seconds=number))
    again = _read(write(mapping))
    mapping.ClearField("id")
    mapping.ClearField("created_at")
    assert again == mapping


@pytest.mark.parametrize("raw", [b'{"a": 1e400}', b"9" * 5000, b"[" * 2000 + b"]" * 2000, b"{", b"\xff", b"nul"])
def test_odd_stored_documents_never_break_an_answer(raw: bytes) -> None:
    """As they are, or as a string."""
    answer = write(ingest_pb2.Record(data_json=raw, external_id="x"))
    assert b'"external_id":"x"' in answer
    assert raw in answer or json.loads(answer)["data_json"] == raw.decode("utf-8", "replace")
    assert document(b"") is None


def test_times_out_of_range_are_null() -> None:
    """RFC 3339 cannot write them."""
    record = ingest_pb2.Record(created_at=Timestamp(seconds=2**60))
    assert json.loads(write(record))["created_at"] is None


def test_of_a_choice_only_what_is_set_is_printed() -> None:
    """A oneof says by which field is there which of them it is."""
    result = ingest_pb2.AcceptResult(acceptance=ingest_pb2.Acceptance(delivery_id="d"))
    assert list(json.loads(write(result))) == ["acceptance"]


def test_two_of_a_choice_are_refused() -> None:
    """One of them would silently win."""
    with pytest.raises(InvalidArgument, match="error cannot be given together with acceptance"):
        BodyReader(JsonText(b'{"acceptance": {}, "error": {}}')).read_into(ingest_pb2.AcceptResult())
