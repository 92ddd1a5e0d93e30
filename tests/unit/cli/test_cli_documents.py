"""Messages as JSON, and values as cells."""

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from intertie.ingest.v1 import ingest_pb2
from intertie.mapper.v1 import mapper_pb2
from intertie.registry.v1 import registry_pb2
from intertie_cli import cells
from intertie_cli.documents import body_of, json_of


def test_documents_stand_as_what_they_are() -> None:
    """JSON that travels as bytes is JSON again, inside repeated messages too; what is none stays text."""
    connection = registry_pb2.Connection(id=1, config_json=b'{"a": [1, {"b": null}]}')
    assert json_of(connection)["config_json"] == {"a": [1, {"b": None}]}
    assert json_of(registry_pb2.Connection(config_json=b"broken{"))["config_json"] == "broken{"
    assert json_of(registry_pb2.Connection())["config_json"] is None
    answer = mapper_pb2.PreviewMappingResponse(
        previews=[mapper_pb2.RecordPreview(columns=[mapper_pb2.ColumnChange(column="a", new_value=b'"x"')])]
    )
    (column,) = json_of(answer)["previews"][0]["columns"]
    assert column == {"column": "a", "old_value": None, "new_value": "x"}
    request = mapper_pb2.PreviewMappingRequest(records=[b"{}", b"[1]"])
    assert json_of(request)["records"] == [{}, [1]]


def test_names_and_zeros_are_kept() -> None:
    """Programs find every field under the contract's name; big integers lose no digit."""
    document = json_of(ingest_pb2.Record(id=2**60, data_json=b'{"n": 123456789012345678901234567890}'))
    assert (document["id"], document["sync_status"], document["attempts"]) == (str(2**60), "", 0)
    assert document["data_json"] == {"n": 123456789012345678901234567890}


@pytest.mark.parametrize(
    ("raw", "shown"), [(b'{"a": 1}', {"a": 1}), (b"a=1&b=2", "a=1&b=2"), (b"\xff\x00", {"base64": "/wA="})]
)
def test_a_body_is_shown_as_well_as_it_can_be(raw: bytes, shown: object) -> None:
    """JSON as JSON, text as text, the rest as base64."""
    assert body_of(raw) == shown


def test_cells() -> None:
    """Times to the second in UTC, the last words of an enum, one line of a long text."""
    assert cells.moment(Timestamp(seconds=1_737_331_200)) == "2025-01-20 00:00:00"
    assert cells.moment(Timestamp()) == ""
    assert cells.word(ingest_pb2.DeliveryState, ingest_pb2.DELIVERY_STATE_SET_ASIDE) == "set aside"
    assert cells.word(ingest_pb2.Route, ingest_pb2.ROUTE_WEBHOOK) == "webhook"
    assert cells.short("a\n  b" + "x" * 100, 10) == "a bxxxxxx…"
    assert cells.short(b'{"a":\n1}') == '{"a": 1}'
    assert (cells.number(0), cells.number(7)) == ("", "7")
