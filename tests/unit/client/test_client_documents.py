"""JSON of the client, exact in both directions; and answers of the contracts as its values."""

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from intertie.ingest.v1 import ingest_pb2, query_pb2
from intertie.registry.v1 import registry_pb2
from intertie_client import documents, reading
from intertie_client.errors import InvalidArgument

DECIMALS = st.decimals(allow_nan=False, allow_infinity=False)
LEAVES = st.none() | st.booleans() | st.integers() | DECIMALS | st.text()
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)


def same(one: Any, other: Any) -> bool:
    """Equal, and numbers of one type: 1 and 1.0 are not the same text."""
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    return bool(one == other) and (isinstance(one, bool) is isinstance(other, bool))


@given(VALUES)
def test_what_is_written_is_read_as_it_was(value: Any) -> None:
    """Integers of any size, decimals with all their digits, and any text."""
    assert same(documents.read(documents.write(value)), value)


def test_no_digit_of_a_number_changes() -> None:
    """Beyond what a double holds, on both sides of the point; as money needs it."""
    raw = b'{"big":9007199254740993,"money":12345678901234567.10,"small":1E-30,"whole":1}'
    value = documents.read(raw)
    assert value == {"big": 2**53 + 1, "money": Decimal("12345678901234567.10"), "small": Decimal("1E-30"), "whole": 1}
    assert type(value["whole"]) is int
    assert documents.write(value) == raw


def test_dates_are_texts_and_bytes_stay() -> None:
    """As the mapping reads dates; who has JSON already hands on its bytes."""
    written = documents.write({"on": date(2026, 5, 1), "at": datetime(2026, 5, 1, 8, tzinfo=UTC)})
    assert json.loads(written) == {"on": "2026-05-01", "at": "2026-05-01T08:00:00+00:00"}
    assert documents.write(b'{ "as": "it is"}') == b'{ "as": "it is"}'
    assert documents.write_optional(None) == b""
    assert documents.write(None) == b"null"


@pytest.mark.parametrize("value", [float("nan"), Decimal("Infinity"), {1, 2}, object(), {"a": 5j}])
def test_what_is_no_json_is_refused(value: Any) -> None:
    """By one of our errors, as the service would."""
    with pytest.raises(InvalidArgument) as error:
        documents.write(value)
    assert error.value.reason == "INVALID_JSON"


def test_what_has_no_end_is_refused() -> None:
    """A list that holds itself."""
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(InvalidArgument):
        documents.write(endless)


@pytest.mark.parametrize("record", [b"[1]", b"", b"5", ["a"], "text"])
def test_a_record_is_an_object(record: Any) -> None:
    """One of a list would become records of its own."""
    with pytest.raises(InvalidArgument, match="object"):
        documents.write_record(record)


def test_rows_have_names_and_keep_their_order() -> None:
    """Columns are those of the first row; without a row nobody knows them."""
    response = query_pb2.QueryDatabaseResponse(results=b'[{"b":1,"a":0.5},{"b":2,"a":null}]', count=2, truncated=True)
    result = reading.query_result(response)
    assert (result.columns, result.truncated, len(result)) == (("b", "a"), True, 2)
    assert [row["a"] for row in result] == [Decimal("0.5"), None]
    written = reading.query_result(query_pb2.QueryDatabaseResponse(count=3))
    assert (written.rows, written.columns, written.count) == ((), (), 3)


def test_a_cached_record_has_its_bytes_and_its_row() -> None:
    """Times are in UTC, to the microsecond; no row is None, never 0."""
    at = Timestamp(seconds=1_767_225_600, nanos=123_456_789)
    record = ingest_pb2.Record(external_id="1", data_json=b'{"a": 1.50}', local_key=b'{"id":7}', last_synced_at=at)
    found = reading.cached_record(record)
    assert (found.data, found.raw, found.local_id, found.local_key) == (
        {"a": Decimal("1.50")},
        b'{"a": 1.50}',
        None,
        {"id": 7},
    )
    assert found.last_synced_at == datetime(2026, 1, 1, 0, 0, 0, 123_456, tzinfo=UTC)
    assert found.expires_at is None


def test_access_is_true_where_the_module_may() -> None:
    """What narrows the grant comes along."""
    assert not reading.access(registry_pb2.CheckAccessResponse())
    grant = registry_pb2.Grant(access_type="read", query_permissions=b'{"tables":["cases"]}')
    found = reading.access(registry_pb2.CheckAccessResponse(allowed=True, grant=grant))
    assert found
    assert (found.access, found.expires_at, found.query_permissions) == ("read", None, {"tables": ["cases"]})
