"""The spool on both stores: what is accepted while the database is away arrives once, in order, whatever happens."""

import asyncio
import hashlib
import hmac
from collections import Counter
from typing import Any

import pytest
from structlog.testing import capture_logs

from ingest_samples import JSON, SECRET, desk, mapping, raw, system
from intertie.audit.v1 import audit_pb2
from intertie_chassis.errors import Unavailable
from intertie_ingest.audit_convert import entries_of_group
from intertie_ingest.errors import Clash, DeliveryKeyReused
from intertie_ingest.model import Accepted, RawDelivery
from spool_rig import Start, ids, refuse_writing, stored, titles
from waiting import eventually

A, B = {"id": "1", "title": "A"}, {"id": "1", "title": "B"}


async def test_what_comes_while_the_database_is_away_arrives(ingest: Any, start_spooling: Start) -> None:
    """Each is answered for itself, repetitions and conflicts too, and arrives as sent, under the id that was told."""
    spooling = await start_spooling()
    (before,) = await spooling.accepted(raw({"id": 0}))
    await spooling.leave()
    results = await spooling.accept(
        raw(A), raw(b"no json"), raw(B, key="k"), raw(A, key="k"), raw(B, key="k"), raw({"id": 2}), raw({"id": 2})
    )
    kinds = [type(result).__name__ for result in results]
    assert kinds == ["Accepted", "InvalidJson", "Accepted", "DeliveryKeyReused", "Accepted", "Accepted", "Accepted"]
    assert [one.is_duplicate for one in results if isinstance(one, Accepted)] == [False, False, True, False, True]
    assert (results[4].delivery_id, results[6].delivery_id) == (results[2].delivery_id, results[5].delivery_id)
    # In a group of its own, too, what waits is known.
    again = await spooling.accept(raw(B, key="k"), raw(A, key="k"), raw({"id": 2}), raw([{"id": 3}, {"id": 4}]))
    assert isinstance(again[1], DeliveryKeyReused)
    assert ids([again[0], again[2]]) == [results[2].delivery_id, results[5].delivery_id]
    assert (again[3].is_array, again[3].external_ids) == (True, ("3", "4"))
    assert await stored(ingest) == {before}

    await spooling.come_back()
    rung = spooling.wakeup.listen()
    await spooling.drain_all()
    assert rung.is_set()
    assert await stored(ingest) == {before, *ids([results[0], results[2], results[5], again[3]])}
    assert await titles(ingest) == [raw(one).body.decode() for one in ({"id": 0}, B, {"id": 2}, {"id": 3}, {"id": 4})]
    assert not await spooling.kept.batch()
    assert (spooling.spool.waiting, spooling.spool._size) == (0, 0)


async def test_what_waits_is_never_overtaken(ingest: Any, start_spooling: Start) -> None:
    """The database is back, and an older state still waits: a newer one goes behind it."""
    spooling = await start_spooling()
    await spooling.leave()
    await spooling.accepted(raw(A))
    await spooling.come_back()
    await spooling.accepted(raw(B))
    assert await stored(ingest) == set()
    await spooling.drain_all()
    assert await titles(ingest) == [raw(B).body.decode()]
    await spooling.accepted(raw(A))
    assert await titles(ingest) == [raw(A).body.decode()]
    assert not spooling.spool.is_spooling


async def test_the_drain_catches_up_with_senders_that_never_stop(ingest: Any, start_spooling: Start) -> None:
    """No state is lost or overtaken while spooling begins and ends under load, and in the end it has ended."""
    spooling = await start_spooling()
    last: dict[int, str] = {}
    is_over = asyncio.Event()
    direct: Counter[int] = Counter()

    async def send(record: int) -> None:
        number = 0
        while not is_over.is_set():
            number += 1
            title = f"state {number}"
            results = await spooling.accept(raw({"id": record, "title": title}))
            if isinstance(results[0], Accepted):
                last[record] = title
                direct[record] += not spooling.spool.is_spooling

    senders = [asyncio.create_task(send(record)) for record in range(6)]
    async with spooling.in_background():
        await eventually(lambda: len(last) == 6, timeout=30)
        await spooling.leave()
        await eventually(lambda: spooling.spool.waiting > 60, timeout=30)
        await spooling.come_back()
        await eventually(lambda: not spooling.spool.is_spooling, timeout=60)
        since = direct.copy()
        await eventually(lambda: all(direct[record] > since[record] for record in range(6)), timeout=30)
        is_over.set()
        await asyncio.gather(*senders)
        await eventually(lambda: not spooling.spool.is_spooling, timeout=60)
    assert await titles(ingest) == [raw({"id": record, "title": last[record]}).body.decode() for record in range(6)]


async def test_a_death_between_commit_and_removal_doubles_nothing(ingest: Any, start_spooling: Start) -> None:
    """Not even a repetition, of which the database has no row: as a new state it would overtake what came after it."""
    spooling = await start_spooling()
    await spooling.accepted(raw(A))
    await spooling.leave()
    for body in ({"id": 0}, A, B):
        await spooling.accepted(raw(body))
    await spooling.accepted(raw({"id": 2}, key="k"))
    await spooling.come_back()
    # The first one is alone with what its commit was called; the others are one batch.
    await spooling.drain.step()
    assert len(await spooling.kept.batch()) == 3
    await refuse_writing(spooling.kept._database)
    with pytest.raises(Unavailable):
        await spooling.drain.step()
    assert await ingest.count("inbound_deliveries") == 4
    await spooling.restart()
    assert spooling.spool.waiting == 3
    await spooling.drain_all()
    assert await ingest.count("inbound_deliveries") == 4
    assert await titles(ingest) == [raw(body).body.decode() for body in ({"id": 0}, B, {"id": 2})]


async def test_a_commit_whose_answer_was_lost_is_recognised(ingest: Any, start_spooling: Start) -> None:
    """It succeeded, and its group was kept all the same: nothing is stored again, and what it refused is not lost."""
    spooling = await start_spooling()
    await spooling.accepted(raw(A), raw({"id": 2, "n": 1}, key="k"))
    config = spooling.snapshot.configuration()
    group = [_taken(config, one) for one in (raw(A), raw(B), raw({"id": 2, "n": 2}, key="k"))]
    folded = await spooling.store.commit(group, entries_of_group)
    assert isinstance(folded.outcomes[2], DeliveryKeyReused)
    await spooling.spool.keep(group, "attempt")
    await spooling.drain_all()
    assert await titles(ingest) == [raw(B).body.decode(), raw({"id": 2, "n": 2}).body.decode()]
    assert await stored(ingest) >= {group[1].delivery_id, group[2].delivery_id}
    assert await ingest.count("inbound_deliveries") == 4


async def test_a_commit_that_succeeds_after_it_was_looked_for_is_looked_for_again(
    ingest: Any, start_spooling: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server may finish a transaction long after its answer was given up."""
    spooling = await start_spooling()
    group = [_taken(spooling.snapshot.configuration(), one) for one in (raw(A), raw(B))]
    await spooling.spool.keep(group, "attempt")
    look = spooling.store.stored

    async def look_too_early(delivery_ids: Any) -> set[str]:
        found = await look(delivery_ids)
        monkeypatch.undo()
        await spooling.store.commit(group, entries_of_group)
        return found

    monkeypatch.setattr(spooling.store, "stored", look_too_early)
    with pytest.raises(Clash):
        await spooling.drain.step()
    await spooling.drain_all()
    assert await stored(ingest) == {one.delivery_id for one in group}


async def test_a_key_that_was_used_before_with_other_bytes_loses_nothing(ingest: Any, start_spooling: Start) -> None:
    """The sender was answered and has forgotten it: it is stored without its key, and both logs say so."""
    spooling = await start_spooling()
    await spooling.accepted(raw({"id": 1}, key="k"))
    await spooling.leave()
    await spooling.accepted(raw({"id": 2}, key="k"), raw({"id": 3}, key="other"))
    results = ids(await spooling.accept(raw({"id": 2}, key="k")))
    await spooling.come_back()
    with capture_logs() as logs:
        await spooling.drain_all()
    assert await titles(ingest) == [raw({"id": number}).body.decode() for number in (1, 2, 3)]
    keys = await ingest.sql("SELECT delivery_key FROM {prefix}inbound_deliveries ORDER BY delivery_key")
    assert sorted(row[0] or "" for row in keys) == ["", "k", "other"]
    assert [log["delivery_id"] for log in logs if "it is stored without" in log["event"]] == results
    message = b"".join(row[0] for row in await ingest.sql("SELECT payload FROM {prefix}ingest_outbox"))
    entries = audit_pb2.AppendEntriesRequest.FromString(message).entries
    (told,) = [entry for entry in entries if entry.status == "error"]
    assert (told.delivery_id, b'"delivery_key":"k"' in told.request_payload) == (results[0], True)


async def test_a_repetition_of_what_the_database_has_is_dropped(ingest: Any, start_spooling: Start) -> None:
    """By its key or its content; of its own it is neither a delivery nor a state."""
    spooling = await start_spooling()
    await spooling.accepted(raw(A), raw({"id": 2}, key="k"))
    await spooling.leave()
    await spooling.accepted(raw(A), raw({"id": 2}, key="k"), raw({"id": 3}))
    await spooling.come_back()
    with capture_logs() as logs:
        await spooling.drain_all()
    assert await ingest.count("inbound_deliveries") == 3
    assert sum("is a repetition" in log["event"] for log in logs) == 2


async def test_what_a_stopped_process_kept_comes_first_at_the_next_start(ingest: Any, start_spooling: Start) -> None:
    """Also before the database is back; the order and the ids stay."""
    spooling = await start_spooling()
    await spooling.leave()
    accepted = await spooling.accepted(raw(A), raw(b'{"title": "no id"}'))
    await spooling.restart()
    accepted += await spooling.accepted(raw(B))
    async with spooling.in_background():
        await spooling.come_back()
        await eventually(lambda: not spooling.spool.is_spooling, timeout=30)
    assert await stored(ingest) == set(accepted)
    assert raw(B).body.decode() in await titles(ingest)


async def test_an_unrouted_delivery_that_comes_again_is_routed(ingest: Any, start_spooling: Start) -> None:
    """Under its key, while both wait: the first one gets the records of the second."""
    spooling = await start_spooling(system(name="law_enforcement"))
    await spooling.leave()
    (first,) = await spooling.accepted(raw(A, key="k"))
    spooling.say(system(mapping()))
    again = [await spooling.accept(raw(A, key="k")) for _ in range(2)]
    assert [ids(results) for results in again] == [[first], [first]]
    assert spooling.spool.waiting == 2
    await spooling.come_back()
    await spooling.drain_all()
    assert await stored(ingest) == {first}
    assert await titles(ingest) == [raw(A).body.decode()]


async def test_a_replay_is_known_whether_what_it_repeats_waits_or_not(ingest: Any, start_spooling: Start) -> None:
    """GitHub signs the body alone: the same under another id is the same, while it waits and afterwards."""
    spooling = await start_spooling(system(mapping(), webhook_auth="github", webhook_secret=SECRET))
    await spooling.leave()
    (first,) = await spooling.accepted(_github(A, "1"))
    assert await spooling.accepted(_github(B, "2"))
    (again,) = await spooling.accept(_github(A, "3"))
    assert (again.delivery_id, again.is_duplicate) == (first, True)
    await spooling.come_back()
    await spooling.drain_all()
    (later,) = await spooling.accept(_github(A, "4"))
    assert (later.delivery_id, later.is_duplicate) == (first, True)
    assert await titles(ingest) == [raw(B).body.decode()]


def _taken(config: Any, one: RawDelivery) -> Any:
    return desk(config).take(one)


def _github(body: object, key: str) -> RawDelivery:
    sent = raw(body)
    mac = hmac.new(SECRET.encode(), sent.body, hashlib.sha256).hexdigest()
    headers = {**JSON, "x-hub-signature-256": [b"sha256=" + mac.encode()], "x-github-delivery": [key.encode()]}
    return raw(body, headers=headers)
