"""Requests of audit: what is refused and where, what is clamped, and that an entry survives the way there and back."""

from datetime import datetime, timedelta

import pytest

from intertie.audit.v1 import audit_pb2
from intertie_audit import convert
from intertie_audit.errors import InvalidEntries
from intertie_audit.model import Entry, EntryFilter, SystemFilter
from intertie_chassis.errors import InvalidArgument
from intertie_chassis.ids import new_ulid


def entry(**fields: object) -> audit_pb2.Entry:
    """A valid entry, with these fields otherwise."""
    values: dict[str, object] = {"entry_id": new_ulid(), "query_type": "webhook", "status": "success", **fields}
    return audit_pb2.Entry(**values)  # type: ignore[arg-type]


def test_faults_name_index_and_field() -> None:
    """A batch with bad entries is refused whole, and each fault is told by where it is."""
    request = audit_pb2.AppendEntriesRequest(
        entries=[
            entry(),
            entry(request_payload=b"{not json", status="done"),
            entry(entry_id="x"),
            entry(query_type="Drop Table"),
            entry(created_at={"seconds": 0}),
            entry(created_at={"seconds": 4_000_000_000}),
        ]
    )
    with pytest.raises(InvalidEntries) as refused:
        convert.new_entries(request)
    assert [field for field, _ in refused.value.violations] == [
        "entries[1].status",
        "entries[1].request_payload",
        "entries[2].entry_id",
        "entries[3].query_type",
        "entries[4].created_at",
        "entries[5].created_at",
    ]


def test_an_entry_survives_there_and_back() -> None:
    """What is appended is what is shown, the time to the microsecond."""
    message = entry(
        system_id=7,
        system="law_enforcement",
        query_string="POST /webhook/law_enforcement",
        request_payload=b'{"size": 12}',
        response_payload=b'{"status": "received"}',
        response_status=202,
        execution_time_ms=3,
        error_message="none",
        module_name="events",
        actor="system:law_enforcement",
        created_at={"seconds": 1_700_000_000, "nanos": 123_456_000},
        delivery_id=new_ulid(),
        request_id="r-1",
    )
    (kept,) = convert.new_entries(audit_pb2.AppendEntriesRequest(entries=[message]))
    assert kept["created_at"] == datetime(2023, 11, 14, 22, 13, 20, 123456)
    assert convert.entry_message(Entry(id=0, **kept), {}) == message


def test_times_may_be_left_out() -> None:
    """An entry without a time happened now."""
    before = datetime.now()
    (kept,) = convert.new_entries(audit_pb2.AppendEntriesRequest(entries=[entry()]))
    assert kept["created_at"] - before < timedelta(days=1)


def test_limit_is_clamped() -> None:
    """0 is the default, more than the most is the most, negative is refused."""
    limits = [convert.list_limit(audit_pb2.ListEntriesRequest(limit=asked)) for asked in (0, 1, 1000, 5000)]
    assert limits == [50, 1, 1000, 1000]
    with pytest.raises(InvalidArgument, match="limit"):
        convert.list_limit(audit_pb2.ListEntriesRequest(limit=-1))
    with pytest.raises(InvalidArgument, match="offset"):
        convert.list_position(audit_pb2.ListEntriesRequest(offset=-1))


def test_a_page_token_belongs_to_its_filters() -> None:
    """The next page may have another limit and no offset, but not another filter."""
    request = audit_pb2.ListEntriesRequest(system="a", limit=2, offset=5)
    token = convert.list_response(request, [_plain(9), _plain(8)], True, {}).next_page_token
    assert convert.list_position(audit_pb2.ListEntriesRequest(system="a", limit=9, page_token=token)) == (0, 8)
    assert convert.list_position(request) == (5, None)
    with pytest.raises(InvalidArgument) as refused:
        convert.list_position(audit_pb2.ListEntriesRequest(system="b", page_token=token))
    assert refused.value.reason == "INVALID_PAGE_TOKEN"
    assert convert.list_response(request, [_plain(9)], False, {}).next_page_token == ""


def test_filters() -> None:
    """Empty fields choose nothing; a status that does not exist is refused; times are moved into the column's range."""
    assert convert.list_filter(audit_pb2.ListEntriesRequest(), None) == EntryFilter()
    system = SystemFilter("a", 1)
    chosen = convert.list_filter(
        audit_pb2.ListEntriesRequest(
            module="m", status="error", created_after={"seconds": -5}, created_before={"seconds": 1_700_000_000}
        ),
        system,
    )
    assert chosen == EntryFilter(
        system=system,
        module="m",
        status="error",
        created_after=datetime(1970, 1, 1, 0, 0, 1),
        created_before=datetime(2023, 11, 14, 22, 13, 20),
    )
    with pytest.raises(InvalidArgument, match="success, error or timeout"):
        convert.list_filter(audit_pb2.ListEntriesRequest(status="failed"), None)


def test_rows_without_a_name_get_the_one_that_is_known() -> None:
    """PHP's rows name their system by number only."""
    row = _plain(1, system_id=3)
    assert convert.are_unnamed([row])
    assert convert.entry_message(row, {3: "fire_rescue"}).system == "fire_rescue"
    assert convert.entry_message(row, {}).system == ""
    assert not convert.are_unnamed([_plain(1), _plain(2, system_id=3, system_name="x")])


def test_a_tail_response_stays_small() -> None:
    """Entries with large payloads travel in several responses, in order, none lost."""
    rows = [_plain(number, request_payload='"' + "x" * 1_500_000 + '"') for number in range(1, 6)]
    responses = list(convert.tail_responses(rows, {}))
    assert [[each.id for each in response.entries] for response in responses] == [[1, 2], [3, 4], [5]]


def test_a_payload_that_no_message_could_carry_is_shown_by_its_digest() -> None:
    """PHP's rows may hold anything; one must not make its whole page unreadable."""
    shown = convert.entry_message(_plain(1, response_payload='"' + "x" * 5_000_000 + '"'), {}).response_payload
    assert b'"omitted":true' in shown


def _plain(number: int, **fields: object) -> Entry:
    values: dict[str, object] = dict.fromkeys(Entry.__dataclass_fields__)
    values |= {"id": number, "query_type": "select", "status": "success", "created_at": datetime(2025, 1, 20), **fields}
    return Entry(**values)  # type: ignore[arg-type]
