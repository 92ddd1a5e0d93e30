"""A cached record knows the sampled trace of the delivery that brought it, and no other."""

from dataclasses import replace
from typing import Any

from ingest_samples import configuration, delivery
from intertie.audit.v1 import audit_pb2
from intertie_ingest.audit_convert import entries_of_group
from intertie_ingest.lease_model import Outcome
from intertie_ingest.spool_convert import content_of

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
OTHER = "00-1af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def commit(ingest: Any, *traced: tuple[object, str]) -> None:
    group = [replace(delivery(body, configuration()), traceparent=trace) for body, trace in traced]
    await ingest.store.commit(group, entries_of_group)


async def stored(ingest: Any) -> dict[str, str | None]:
    return {row[0]: row[1] for row in await ingest.sql("SELECT external_id, traceparent FROM {cache}")}


async def test_a_lease_hands_the_trace_on(ingest: Any) -> None:
    """In a group some records have one; each try of a record has the same."""
    await commit(ingest, ({"id": "a"}, TRACE), ({"id": "b"}, ""), ({"id": "c"}, OTHER))
    assert await stored(ingest) == {"a": TRACE, "b": None, "c": OTHER}
    lease = await ingest.lease()
    assert {record.external_id: record.traceparent for record in lease.records} == {"a": TRACE, "b": "", "c": OTHER}
    await ingest.settle_all(lease, Outcome.RETRY)
    await ingest.sql("UPDATE {cache} SET available_at = '2020-01-01 00:00:00'")
    again = await ingest.lease()
    assert {record.external_id: record.traceparent for record in again.records} == {"a": TRACE, "b": "", "c": OTHER}


async def test_a_state_has_its_own_deliverys_trace(ingest: Any) -> None:
    """A new state of a record drops the trace of the one before, whether it is traced or not."""
    await commit(ingest, ({"id": "a", "n": 1}, TRACE), ({"id": "b", "n": 1}, TRACE), ({"id": "c", "n": 1}, ""))
    await commit(ingest, ({"id": "a", "n": 2}, ""), ({"id": "b", "n": 2}, ""))
    assert await stored(ingest) == {"a": None, "b": None, "c": None}
    await commit(ingest, ({"id": "a", "n": 3}, OTHER), ({"id": "b", "n": 3}, ""), ({"id": "c", "n": 3}, TRACE))
    assert await stored(ingest) == {"a": OTHER, "b": None, "c": TRACE}


async def test_what_another_application_writes_is_no_part_of_it(ingest: Any) -> None:
    await commit(ingest, ({"id": "a"}, TRACE))
    await ingest.settle_all(await ingest.lease())
    await ingest.sql("UPDATE {cache} SET data_json = '{{\"php\": 1}}', sync_status = 'pending'")
    (record,) = (await ingest.lease()).records
    assert record.traceparent == ""
    assert await stored(ingest) == {"a": None}


async def test_the_entry_names_the_trace_apart_from_what_is_kept(ingest: Any) -> None:
    """The log's rows, and so its chain, are the same with and without it."""
    await commit(ingest, ({"id": "a"}, TRACE), ({"id": "b"}, ""))
    (row,) = await ingest.sql("SELECT payload FROM {prefix}ingest_outbox")
    request = audit_pb2.AppendEntriesRequest.FromString(bytes(row.payload))
    assert [(one.entry_id, one.traceparent) for one in request.traced] == [(request.entries[0].entry_id, TRACE)]


async def test_the_spool_keeps_the_trace() -> None:
    """And says nothing where there is none: such rows are as they were."""
    one = delivery({"id": "a"}, configuration())
    assert b"traceparent" not in content_of(one)
    assert TRACE.encode() in content_of(replace(one, traceparent=TRACE))
