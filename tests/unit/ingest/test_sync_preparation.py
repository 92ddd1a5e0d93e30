"""Preparing a page: as a delivery's records are, so that a webhook and a sync of the same bytes agree."""

import asyncio
import json
from typing import Any

import pytest

from ingest_samples import configuration, delivery, mapping, system
from intertie_ingest.configuration import CompiledMapping
from intertie_ingest.syncs import preparation
from intertie_ingest.syncs.cursors import CursorMismatch, CursorValue
from intertie_ingest.syncs.preparation import Prepared, prepare
from intertie_ingest.syncs.source import Page


def route(**options: Any) -> CompiledMapping:
    """A compiled mapping."""
    return configuration(system(mapping(**options))).mappings[1]


def prepared(*records: bytes, cursor_field: str | None = None, **options: Any) -> Prepared:
    """What a page of these records comes to."""
    return asyncio.run(prepare(Page(records, b"0"), route(**options), 1, cursor_field))


@pytest.mark.parametrize(
    "raw",
    [
        b' {"id": 7, "v": 1.50, "big": 12345678901234567890123} \n',
        b'{"id": 7, "v": "2025-01-01T00:00:00+01:00", "a": 1.0000000000000000000000001}',
        '{"id": "größe", "v": 1}'.encode(),
        b'{"id": 5.0, "v": 2, "v": 3}',
        b'{"id": {}, "v": 2}',
        b'{"id": 8}',
    ],
)
def test_the_same_bytes_get_the_same_place_by_either_door(raw: bytes) -> None:
    """Id, version, digest, text and fault."""
    config = configuration(system(mapping(version_field="v")))
    page = asyncio.run(prepare(Page([raw], b"0"), config.mappings[1], 1))
    (pushed,) = delivery(raw, config).records
    if pushed.fault is not None and pushed.fault.reason == "invalid_external_id":
        (failure,) = page.failures  # a delivery has an id of its own to give, a sync has none
        assert failure.fault == pushed.fault
        return
    (synced,) = page.records
    assert synced.record == pushed


def test_what_is_no_record_is_a_failure_with_its_place() -> None:
    """Each says why; the others are taken."""
    deep = b'{"id": 1, "x": ' + b"[" * 31 + b"]" * 31 + b"}"
    large = b'{"id": 1, "x": "' + b"x" * preparation.MOST_RECORD_BYTES + b'"}'
    page = prepared(b'{"id": 1}', b"", b"[{}]", b"7", b"\xff", deep, large, b'{"id": null}', b'{"id": 2}')
    assert [one.record.external_id for one in page.records] == ["1", "2"]
    assert [(one.position, one.fault.reason) for one in page.failures] == [
        (2, "empty_body"),
        (3, "not_an_object"),
        (4, "not_an_object"),
        (5, "invalid_encoding"),
        (6, "nested_too_deeply"),
        (7, "record_too_large"),
        (8, "missing_external_id"),
    ]


@pytest.mark.parametrize("options", [{}, {"apply": "every"}, {"external_id": "content"}, {"filter": "id > 1"}])
def test_what_a_page_tells_of_its_records_is_as_good_as_reading_them(options: dict[str, Any]) -> None:
    """Ids, versions and faults are the same; what is at fault is read for it."""
    ids: list[Any] = [1, "größe", "", None, True, 2.5, "x" * 256, 7, 8, 9]
    versions: list[Any] = [3, "2025-01-01T00:00:00+01:00", 1, 1, 1, 1, 1, None, [1], 1.5]
    records = [json.dumps({"id": one, "v": version}).encode() for one, version in zip(ids, versions, strict=True)]
    records.append(b'{"id": 10, "v": 1, "x": "' + b"x" * preparation.MOST_RECORD_BYTES + b'"}')
    compiled = route(version_field="v", **options)
    read = asyncio.run(prepare(Page(records, b"0"), compiled, 1))
    known = {"id": [*ids, 10], "v": [*versions, 1]}
    for some in (known, {"id": known["id"]}, {**known, "other": ids}):
        assert asyncio.run(prepare(Page(records, b"0", known=some), compiled, 1)) == read


def test_records_of_which_all_is_known_are_not_read() -> None:
    """These bytes are no JSON; that nobody finds out."""
    (one,) = asyncio.run(prepare(Page([b"?"], b"0", known={"id": [7]}), route(), 1)).records
    assert (one.record.external_id, one.record.data, one.record.fault) == ("7", "?", None)


def test_a_record_without_an_id_is_one_by_its_content_where_the_mapping_says_so() -> None:
    """The same bytes are the same record, in this run and the next."""
    first, second = prepared(b'{"a": 1}', b'{"a": 1}', external_id="content").records
    assert first.record.external_id == second.record.external_id
    assert first.record.external_id.startswith("sha256:")


def test_where_each_state_is_a_row_what_is_read_again_makes_no_second_one() -> None:
    """The id holds the digest of the state: another state is another row."""
    (first,), (again,), (other,) = (
        prepared(raw, apply="every").records for raw in (b'{"id": 1}', b' {"id": 1}', b'{"id":1}')
    )
    assert first.record.external_id == again.record.external_id != other.record.external_id
    assert first.record.external_id.startswith("1@")


def test_what_a_filter_cannot_judge_is_set_aside_under_its_own_id() -> None:
    """Not under what stands in `id`: replayed it must be the record that it is."""
    (one,) = prepared(b'{"id": 3, "code": "c-3", "n": "x"}', filter="n + 1 > 0", external_id_field="code").records
    assert one.record.fault is not None
    assert (one.record.external_id, one.record.fault.reason) == ("c-3", "filter_failed")


def test_a_long_page_has_the_filters_time_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A filter that is slow, but not for 50 records, sets nothing aside, however long the page."""
    spent = 0.0

    class Slow(preparation.Patience):
        def __init__(self) -> None:
            super().__init__(2.0, self.clock)

        def clock(self) -> float:
            nonlocal spent
            spent += 0.01
            return spent

    monkeypatch.setattr(preparation, "Patience", Slow)
    records = [json.dumps({"id": number}).encode() for number in range(1000)]
    page = prepared(*records, filter="id >= 500")
    assert (page.skipped, len(page.records)) == (500, 500)
    assert {one.record.fault for one in page.records} == {None}


async def test_other_work_goes_on_between_two_records() -> None:
    """A slow filter keeps the loop for one record at most."""
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(turn())
    slow = "$count([1..3000][$ > 0]) > 0"
    records = [json.dumps({"id": number}).encode() for number in range(8)]
    await prepare(Page(records, b"0"), route(filter=slow), 1)
    other.cancel()
    assert turns >= 4


def test_the_largest_cursor_value_is_of_all_records() -> None:
    """Also of those that the filter does not want; an empty text is no value."""
    records = [b'{"id": 1, "at": "2025-01-02"}', b'{"id": 2, "at": ""}', b'{"id": 3, "at": "2025-01-02T00:00:01Z"}']
    page = prepared(*records, b'{"id": 4}', cursor_field="at", filter="id < 3")
    assert page.cursor == CursorValue.parse("datetime", "2025-01-02T00:00:01Z")
    with pytest.raises(CursorMismatch):
        prepared(b'{"id": 1, "at": "2025-01-02"}', b'{"id": 2, "at": 7}', cursor_field="at")
