"""The group commit: whole or not at all, the same on both stores, under clashes and odd values."""

import asyncio
import hashlib
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import exc

from ingest_samples import INCIDENT, configuration, delivery, mapping, system
from intertie.audit.v1 import audit_pb2
from intertie_chassis import database_errors
from intertie_chassis.errors import Unavailable
from intertie_ingest.audit_convert import entries_of_group
from intertie_ingest.configuration import Configuration
from intertie_ingest.errors import Clash, DeliveryKeyReused, Refused
from intertie_ingest.folding import Fold
from intertie_ingest.model import Accepted, Ending, Route, Status
from intertie_ingest.state_store import refusal


def duplicates(folded: Fold) -> list[bool]:
    return [outcome.is_duplicate for outcome in folded.outcomes if isinstance(outcome, Accepted)]


async def test_a_group_writes_deliveries_states_and_one_message(ingest: Any) -> None:
    """Raw bytes, digests and the record's own bytes are kept; the message has an entry a delivery, duplicates too."""
    body = b'{"id": "1",  "n": 9007199254740993, "s": "\xc3\xa9\xf0\x9f\x9a\x92\\u0000"}'
    folded = await ingest.commit(body, {"id": "2"}, body)
    assert duplicates(folded) == [False, False, True]
    rows = await ingest.sql("SELECT external_id, data_json, sync_status, revision FROM {cache} ORDER BY external_id")
    assert [tuple(row) for row in rows] == [("1", body.decode(), "pending", 1), ("2", '{"id": "2"}', "pending", 1)]
    stored = await ingest.browse.delivery(folded.outcomes[0].delivery_id)
    assert (stored.body, stored.digest, stored.size) == (body, hashlib.sha256(body).digest(), len(body))
    ((payload,),) = await ingest.sql("SELECT payload FROM {prefix}ingest_outbox")
    entries = audit_pb2.AppendEntriesRequest.FromString(bytes(payload)).entries
    assert [entry.delivery_id for entry in entries] == [outcome.delivery_id for outcome in folded.outcomes]
    assert len({entry.entry_id for entry in entries}) == 3
    assert entries[0].query_string == "/webhook/law_enforcement"
    assert entries[0].response_status == 202
    assert body not in bytes(payload)


async def test_a_changed_record_is_updated_in_place_and_back(ingest: Any) -> None:
    """A, B, A, A: three states of one row; what was set on the row by mapper stays."""
    for state, expected in (("A", False), ("B", False), ("A", False), ("A", True)):
        folded = await ingest.commit({"id": 1, "state": state})
        assert duplicates(folded) == [expected]
        lease = await ingest.lease()
        if lease:
            assert await ingest.settle_all(lease, local_id=5, local_key='{"id": 5}') == []
    ((revision, status, local_id, local_key),) = await ingest.sql(
        "SELECT revision, sync_status, local_id, local_key FROM {cache}"
    )
    assert (revision, status, local_id, local_key) == (3, "synced", 5, '{"id": 5}')
    assert await ingest.count("inbound_deliveries") == 3
    assert await ingest.count("inbound_delivery_endings") == 2


async def test_a_new_state_takes_the_record_from_its_lease(ingest: Any) -> None:
    """It is available again at once, with its counts anew; the late settlement does not hold."""
    await ingest.commit({"id": 1, "state": "A"})
    lease = await ingest.lease()
    await ingest.commit({"id": 1, "state": "B"})
    assert await ingest.settle_all(lease) == [lease.records[0].id]
    again = await ingest.lease()
    assert (again.records[0].revision, again.records[0].attempts, again.records[0].data) == (
        2,
        1,
        b'{"id": 1, "state": "B"}',
    )
    first = await ingest.browse.delivery(lease.records[0].delivery_id)
    assert [(record.ending, record.superseded_by) for record in first.records] == [
        (Ending.SUPERSEDED, again.records[0].delivery_id)
    ]


async def test_delivery_keys_across_groups(ingest: Any) -> None:
    """The first answer again, or a refusal; a refusal writes nothing."""
    (first,) = (await ingest.commit(INCIDENT, key="k")).outcomes
    (again,) = (await ingest.commit(INCIDENT, key="k")).outcomes
    assert (again.is_duplicate, again.delivery_id, again.external_ids) == (True, first.delivery_id, ("12345",))
    (other,) = (await ingest.commit({"id": 9}, key="k")).outcomes
    assert isinstance(other, DeliveryKeyReused)
    assert await ingest.count("inbound_deliveries") == 1
    assert await ingest.count("external_data_cache") == 1


async def test_an_unrouted_delivery_is_routed_when_it_comes_again(make_ingest: Callable[[Configuration], Any]) -> None:
    """After a mapping was made for it."""
    before = await make_ingest(configuration(system()))
    (first,) = (await before.commit(INCIDENT, key="k")).outcomes
    assert first.state is Ending.UNROUTED
    assert (await before.browse.delivery(first.delivery_id)).state is Ending.UNROUTED
    after = await make_ingest(configuration())
    (again,) = (await after.commit(INCIDENT, key="k")).outcomes
    assert (again.is_duplicate, again.delivery_id) == (True, first.delivery_id)
    assert (await after.browse.delivery(first.delivery_id)).state is Ending.PENDING
    assert (await after.lease()).records[0].delivery_id == first.delivery_id


@pytest.mark.parametrize(
    "ids",
    [["a", "A"], ["é", "e"], ["x", "x "], ["ss", "ß"], ["🚒", "🚑"], ["1", "01"]],
    ids=["case", "accent", "space", "sharp", "emoji", "zero"],
)
async def test_external_ids_are_compared_byte_by_byte(ingest: Any, ids: list[str]) -> None:
    """No collation's idea of sameness merges two records."""
    await ingest.commit(*({"id": number} for number in ids))
    await ingest.commit(*({"id": number, "changed": True} for number in ids))
    rows = await ingest.sql("SELECT external_id, revision FROM {cache}")
    assert sorted(tuple(row) for row in rows) == sorted((number, 2) for number in ids)


async def test_delivery_keys_are_compared_byte_by_byte(ingest: Any) -> None:
    """As external ids are."""
    await ingest.commit({"id": 1}, key="Key")
    await ingest.commit({"id": 2}, key="key")
    assert await ingest.count("inbound_deliveries") == 2


async def test_only_realtime_records_are_released(make_ingest: Callable[[Configuration], Any]) -> None:
    """The others wait for their tick; what is set aside is not handed out."""
    mappings = [
        mapping(number, name, frequency=name) for number, name in enumerate(("realtime", "hourly", "manual"), 1)
    ]
    ingest = await make_ingest(configuration(system(*mappings, mapping(4, "bad", config=b"[]"))))
    folded = await ingest.commit(INCIDENT)
    assert folded.released
    lease = await ingest.lease()
    assert [record.mapping_id for record in lease.records] == [1]
    rows = await ingest.sql("SELECT mapping_id, sync_status, error_reason FROM {cache} ORDER BY mapping_id")
    assert [tuple(row) for row in rows] == [
        (1, "pending", None),
        (2, "pending", None),
        (3, "pending", None),
        (4, "error", "invalid_mapping"),
    ]


async def test_an_array_of_many_records_is_one_delivery(ingest: Any) -> None:
    """More than one statement's worth of keys, with a repetition in it."""
    elements = [{"id": number} for number in range(1201)] + [{"id": 7, "again": True}]
    (outcome,) = (await ingest.commit(elements)).outcomes
    assert (outcome.is_array, len(outcome.external_ids)) == (True, 1202)
    assert await ingest.count("external_data_cache") == 1201
    stored = await ingest.browse.delivery(outcome.delivery_id)
    assert len(stored.records) == 1202
    assert [record.ending for record in stored.records if record.reference.revision == 1].count(Ending.SUPERSEDED) == 1
    assert duplicates(await ingest.commit(elements[:10])) == [False]
    assert duplicates(await ingest.commit([{"id": 3}, {"id": 7, "again": True}])) == [False]
    assert duplicates(await ingest.commit([{"id": 3}, {"id": 7, "again": True}])) == [True]


async def test_a_group_that_is_written_unasked_may_hold_what_is_known(ingest: Any) -> None:
    """After groups that were all new: the same, a changed and a new record come to the same as when it is asked."""
    for number in range(3):
        assert duplicates(await ingest.commit({"id": number})) == [False]
    folded = await ingest.commit({"id": 0}, {"id": 1, "changed": True}, {"id": 3})
    assert duplicates(folded) == [True, False, False]
    # Now all are asked for, until enough have been new; then none is again.
    for number in range(4, 16):
        assert duplicates(await ingest.commit({"id": number}, {"id": number, "changed": True})) == [False, False]
    assert duplicates(await ingest.commit({"id": 15, "changed": True}, {"id": 16})) == [True, False]
    rows = await ingest.sql("SELECT external_id, revision FROM {cache} ORDER BY id")
    assert {row.external_id: row.revision for row in rows} == {
        **dict.fromkeys(map(str, range(17)), 1),
        **dict.fromkeys(map(str, [1, *range(4, 16)]), 2),
    }
    assert await ingest.count("inbound_deliveries") == 3 + 2 + 12 * 2 + 1
    assert await ingest.count("inbound_delivery_endings") == 1 + 12
    assert await ingest.count("ingest_outbox") == 3 + 1 + 12 + 1


async def are_stored(store: Any, group: list[Any]) -> bool:
    """What a writer asks who does not know whether its group is committed; until it is told."""
    while True:
        try:
            return bool(await store.stored([one.delivery_id for one in group]))
        except Unavailable:
            await asyncio.sleep(0.1)


async def test_writers_of_the_same_records_lose_nothing(
    make_ingest: Callable[[Configuration], Any], database_url: str
) -> None:
    """Two replicas, eight groups at once, each with the same new records: every state counts once."""
    replicas = [await make_ingest(configuration()) for _ in range(1 if "sqlite" in database_url else 2)]

    async def write(number: int) -> None:
        group = [delivery({"id": record, "writer": number}, replicas[0].config) for record in range(20)]
        store = replicas[number % len(replicas)].store
        while True:
            try:
                await store.commit(group, entries_of_group)
                return
            except Clash:
                continue
            except Unavailable:  # of a machine that stood still for seconds; it may be committed all the same
                if await are_stored(store, group):
                    return

    await asyncio.gather(*(write(number) for number in range(8)))
    rows = await replicas[0].sql("SELECT revision FROM {cache}")
    assert [row.revision for row in rows] == [8] * 20
    assert await replicas[0].count("inbound_deliveries") == 160
    assert await replicas[0].count("inbound_delivery_endings") == 140
    assert await replicas[0].count("ingest_outbox") == 8


async def test_two_senders_of_one_key_make_one_delivery(make_ingest: Callable[[Configuration], Any]) -> None:
    """However close together they are."""
    ingest = await make_ingest(configuration())

    async def write() -> Any:
        while True:
            try:
                return (await ingest.commit(INCIDENT, key="k")).outcomes[0]
            except Clash:
                continue

    outcomes = await asyncio.gather(*(write() for _ in range(8)))
    assert len({outcome.delivery_id for outcome in outcomes}) == 1
    assert sorted(outcome.is_duplicate for outcome in outcomes) == [False] + [True] * 7
    assert await ingest.count("inbound_deliveries") == 1


async def test_what_the_database_refuses_leaves_nothing(ingest: Any) -> None:
    """A value that no column takes: the whole group is rolled back."""
    group = [delivery({"id": 1}, ingest.config), delivery({"id": 2}, ingest.config)]
    broken = group[1].__class__(**{**_fields(group[1]), "content_type": None})
    with pytest.raises(Refused):
        await ingest.store.commit([group[0], broken], entries_of_group)
    for table in ("inbound_deliveries", "external_data_cache", "ingest_outbox"):
        assert await ingest.count(table) == 0


def _fields(value: Any) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__slots__}


async def test_a_big_body_is_written_whole(ingest: Any) -> None:
    """Near the largest that ingest takes, of bytes that must be escaped on the wire."""
    text = "'\\\\" * (2 * 1024 * 1024)
    taken = delivery({"id": 1}, ingest.config)
    body = b'{"id": 1, "t": "' + text.encode() + b'"}'
    big = taken.__class__(**{**_fields(taken), "body": body, "digest": hashlib.sha256(body).digest(), "records": ()})
    folded = await ingest.store.commit([big], entries_of_group)
    assert (await ingest.browse.delivery(folded.outcomes[0].delivery_id)).body == body


async def test_a_push_is_a_delivery_too(ingest: Any) -> None:
    """Under its own route."""
    push = {"system": "law_enforcement", "mapping": "incidents_to_events", "data": INCIDENT}
    (outcome,) = (await ingest.commit(push, route=Route.PUSH)).outcomes
    stored = await ingest.browse.delivery(outcome.delivery_id)
    assert (stored.route, stored.state) == (Route.PUSH, Ending.PENDING)
    assert (await ingest.browse.records(_any(), None, 10))[0].sync_status is Status.PENDING


def _any() -> Any:
    from intertie_ingest.browse_store import RecordFilter

    return RecordFilter()


@pytest.mark.parametrize(("number", "kind"), [(1406, "value"), (1153, "value"), (1105, "unknown"), (1026, "away")])
def test_only_a_known_fault_of_a_value_is_certain(number: int, kind: str) -> None:
    """What nobody knows may be the database's own fault: then nothing is given up for it."""
    error = exc.OperationalError("INSERT", {}, Exception(number, "text"))
    assert database_errors.is_away(error) == (kind == "away")
    if kind != "away":
        refused = refusal(error)
        assert isinstance(refused, Refused)
        assert refused.is_certain == (kind == "value")
