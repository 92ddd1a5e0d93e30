"""The spool on both stores: what is accepted while the database is away arrives once, in order, whatever happens."""

import asyncio
import hashlib
import hmac
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from ingest_samples import JSON, SECRET, desk, mapping, raw, system
from intertie.audit.v1 import audit_pb2
from intertie_chassis.database import Database
from intertie_chassis.errors import Internal, StartupError, Unavailable
from intertie_ingest.audit_convert import entries_of_group
from intertie_ingest.configuration import StoredSystem
from intertie_ingest.errors import Clash, DeliveryKeyReused
from intertie_ingest.model import Accepted, RawDelivery
from intertie_ingest.spool import Bounds
from intertie_ingest.spool_directory import SpoolDirectory
from intertie_ingest.spool_store import SpoolStore
from passage import Passage
from spool_rig import Spooling, Start, ids, refuse_writing
from waiting import eventually

REFUSING_TRIGGERS = {
    "sqlite": "CREATE TRIGGER refuse BEFORE INSERT ON {prefix}inbound_deliveries WHEN NEW.source = '192.0.2.66' "
    "BEGIN SELECT RAISE(ABORT, 'refused'); END",
    "mysql": "CREATE TRIGGER refuse BEFORE INSERT ON {prefix}inbound_deliveries FOR EACH ROW "
    "IF NEW.source = '192.0.2.66' THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'refused'; END IF",
}
A, B = {"id": "1", "title": "A"}, {"id": "1", "title": "B"}


@pytest.fixture
async def start(ingest: Any, request: pytest.FixtureRequest, database_url: str, tmp_path: Path) -> AsyncIterator[Start]:
    """Starts accepting with a spool on the test's database, which `ingest` always reaches."""
    async with AsyncExitStack() as stack:

        async def begin(*systems: StoredSystem, bounds: Bounds | None = None) -> Spooling:
            url, passage = database_url, None
            if ingest.database.dialect == "mysql":
                port = request.getfixturevalue("mariadb_server").port
                passage = stack.enter_context(Passage(port))
                url = url.replace(f":{port}/", f":{passage.port}/")
            database = await Database.open(url, table_prefix="t_")
            stack.push_async_callback(database.close)
            directory = tmp_path / "spool"
            made = Spooling(
                database, passage, directory, bounds or Bounds(), ingest.tables, systems or (system(mapping()),)
            )
            await made.start()
            stack.push_async_callback(lambda: made.kept.close())
            return made

        yield begin


async def titles(ingest: Any) -> list[str]:
    rows = await ingest.sql("SELECT data_json FROM {cache} ORDER BY external_id")
    return [row[0] for row in rows]


async def stored(ingest: Any) -> set[str]:
    return {row[0] for row in await ingest.sql("SELECT delivery_id FROM {prefix}inbound_deliveries")}


async def test_what_comes_while_the_database_is_away_arrives(ingest: Any, start: Start) -> None:
    """Each is answered for itself, repetitions and conflicts too, and arrives as sent, under the id that was told."""
    spooling = await start()
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


async def test_what_waits_is_never_overtaken(ingest: Any, start: Start) -> None:
    """The database is back, and an older state still waits: a newer one goes behind it."""
    spooling = await start()
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


async def test_the_drain_catches_up_with_senders_that_never_stop(ingest: Any, start: Start) -> None:
    """No state is lost or overtaken while spooling begins and ends under load, and in the end it has ended."""
    spooling = await start()
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


async def test_a_process_that_dies_before_it_removed_what_it_stored_doubles_nothing(ingest: Any, start: Start) -> None:
    """Not even a repetition, of which the database has no row: as a new state it would overtake what came after it."""
    spooling = await start()
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


async def test_a_commit_whose_answer_was_lost_is_recognised(ingest: Any, start: Start) -> None:
    """It succeeded, and its group was kept all the same: nothing is stored again, and what it refused is not lost."""
    spooling = await start()
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
    ingest: Any, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server may finish a transaction long after its answer was given up."""
    spooling = await start()
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


async def test_a_key_that_was_used_before_with_other_bytes_loses_nothing(ingest: Any, start: Start) -> None:
    """The sender was answered and has forgotten it: it is stored without its key, and both logs say so."""
    spooling = await start()
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


async def test_a_repetition_of_what_the_database_has_is_dropped(ingest: Any, start: Start) -> None:
    """By its key or its content; of its own it is neither a delivery nor a state."""
    spooling = await start()
    await spooling.accepted(raw(A), raw({"id": 2}, key="k"))
    await spooling.leave()
    await spooling.accepted(raw(A), raw({"id": 2}, key="k"), raw({"id": 3}))
    await spooling.come_back()
    with capture_logs() as logs:
        await spooling.drain_all()
    assert await ingest.count("inbound_deliveries") == 3
    assert sum("is a repetition" in log["event"] for log in logs) == 2


async def test_what_the_database_refuses_holds_nobody_up(ingest: Any, start: Start) -> None:
    """It stays in the spool, marked; the others arrive, and the next start says that it is there."""
    spooling = await start()
    await ingest.sql(REFUSING_TRIGGERS[ingest.database.dialect])
    await spooling.leave()
    await spooling.accepted(
        *[raw({"id": number}, peer="192.0.2.66" if number in (3, 8) else "192.0.2.1") for number in range(12)]
    )
    await spooling.come_back()
    await spooling.drain_all()
    assert await ingest.count("inbound_deliveries") == 10
    assert await ingest.count("external_data_cache") == 10
    with capture_logs() as logs:
        await spooling.restart()
    assert [log["refused"] for log in logs if "refuses" in log["event"]] == [2]
    assert not spooling.spool.is_spooling
    # Sent again it is no repetition: the database decides, as of any other.
    (result,) = await spooling.accept(raw({"id": 3}, peer="192.0.2.66"))
    assert isinstance(result, Internal)


async def test_a_row_that_cannot_be_read_holds_nobody_up(ingest: Any, start: Start) -> None:
    """It stays as it is."""
    spooling = await start()
    await spooling.leave()
    await spooling.accepted(raw({"id": 1}), raw({"id": 2}))

    async def damage(connection: Any) -> None:
        await connection.execute(text("UPDATE spool_deliveries SET content = 'no json' WHERE id = 1"))

    await spooling.kept._database.transaction(damage)
    await spooling.come_back()
    await spooling.drain_all()
    assert await titles(ingest) == [raw({"id": 2}).body.decode()]
    await spooling.restart()
    assert spooling.kept.found.refused == 1


@pytest.mark.parametrize("bounds", [Bounds(size=1500), Bounds(deliveries=2)], ids=["bytes", "deliveries"])
async def test_a_full_spool_refuses_with_a_time_to_come_back(ingest: Any, start: Start, bounds: Bounds) -> None:
    """Health says so too; what was answered arrives, and then there is room again."""
    spooling = await start(bounds=bounds)
    await spooling.leave()
    ready = spooling.spool.readiness(lambda: _said("away"), lambda: _said(True))
    assert await ready() is None
    results = [(await spooling.accept(raw({"id": number, "filler": "x" * 400})))[0] for number in range(4)]
    kinds = [type(result) for result in results]
    assert kinds[:2] == [Accepted, Accepted]
    assert kinds[-1] is Unavailable
    assert (results[-1].reason, results[-1].retry_after) == ("STORE_UNAVAILABLE", 5)
    assert "full" in (await ready() or "")
    await spooling.come_back()
    await spooling.drain_all()
    assert await stored(ingest) == set(ids([result for result in results if isinstance(result, Accepted)]))
    await spooling.leave()
    await spooling.accepted(raw({"id": 9}))


async def test_a_spool_whose_disk_fails_promises_nothing(ingest: Any, start: Start) -> None:
    """503 with a time to come back while neither can be written; it heals without a restart."""
    spooling = await start()
    await spooling.leave()
    await refuse_writing(spooling.kept._database)
    (result,) = await spooling.accept(raw(A))
    assert isinstance(result, Unavailable)
    assert result.retry_after
    ready = spooling.spool.readiness(lambda: _said("away"), lambda: _said(True))
    assert "cannot be written" in (await ready() or "")
    await refuse_writing(spooling.kept._database, False)
    await spooling.spool.look()
    assert await ready() is None
    accepted = await spooling.accepted(raw(B))
    await spooling.come_back()
    await spooling.drain_all()
    assert await stored(ingest) == set(accepted)


async def test_a_spool_that_lies_empty_on_a_dead_disk_keeps_nobody_from_the_database(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing was promised, so nothing must be waited for."""
    spooling = await start()
    await spooling.leave()
    await refuse_writing(spooling.kept._database)
    await spooling.accept(raw(A))

    async def fail() -> Any:
        raise Unavailable

    monkeypatch.setattr(spooling.kept, "batch", fail)
    await spooling.come_back()
    await spooling.drain_all()
    await spooling.accepted(raw(A))
    assert not spooling.spool.is_spooling


async def test_health_still_tells_of_tables_that_do_not_fit(start: Start) -> None:
    """A spool is no reason to hide that somebody must migrate."""
    spooling = await start()
    assert await spooling.spool.readiness(lambda: _said("migrate"), lambda: _said(False))() == "migrate"
    assert await spooling.spool.readiness(lambda: _said(None), lambda: _said(True))() is None


async def test_what_a_stopped_process_kept_comes_first_at_the_next_start(ingest: Any, start: Start) -> None:
    """Also before the database is back; the order and the ids stay."""
    spooling = await start()
    await spooling.leave()
    accepted = await spooling.accepted(raw(A), raw(b'{"title": "no id"}'))
    await spooling.restart()
    accepted += await spooling.accepted(raw(B))
    async with spooling.in_background():
        await spooling.come_back()
        await eventually(lambda: not spooling.spool.is_spooling, timeout=30)
    assert await stored(ingest) == set(accepted)
    assert raw(B).body.decode() in await titles(ingest)


async def test_an_unrouted_delivery_that_comes_again_is_routed(ingest: Any, start: Start) -> None:
    """Under its key, while both wait: the first one gets the records of the second."""
    spooling = await start(system(name="law_enforcement"))
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


async def test_a_replay_is_known_whether_what_it_repeats_waits_or_not(ingest: Any, start: Start) -> None:
    """GitHub signs the body alone: the same under another id is the same, while it waits and afterwards."""
    spooling = await start(system(mapping(), webhook_auth="github", webhook_secret=SECRET))
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


class TestDirectory:
    """Where a spool lies."""

    async def test_it_is_its_owners_alone_and_one_process_has_it(self, tmp_path: Path) -> None:
        directory = tmp_path / "deep" / "spool"
        first = await SpoolStore.open(SpoolDirectory.take(directory))
        assert directory.stat().st_mode & 0o777 == 0o700
        modes = {path.name: path.stat().st_mode & 0o777 for path in directory.iterdir()}
        assert "spool.db" in modes
        assert set(modes.values()) == {0o600}
        with pytest.raises(StartupError, match="another process has the spool"):
            SpoolDirectory.take(directory)
        await first.close()
        await (await SpoolStore.open(SpoolDirectory.take(directory))).close()

    async def test_what_cannot_be_a_spool_is_said_at_once(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(StartupError, match="cannot be used"):
            SpoolDirectory.take(tmp_path / "file" / "spool")
        directory = SpoolDirectory.take(tmp_path / "spool")
        (tmp_path / "spool" / "spool.db").write_text("this is no database, and long enough to be seen as none" * 20)
        with pytest.raises(StartupError):
            await SpoolStore.open(directory)
        directory.release()

    async def test_a_file_of_a_newer_version_is_left_alone(self, tmp_path: Path) -> None:
        spool = await SpoolStore.open(SpoolDirectory.take(tmp_path))

        async def age(connection: Any) -> None:
            await connection.exec_driver_sql("PRAGMA user_version = 1000")

        await spool._database.transaction(age)
        await spool.close()
        with pytest.raises(StartupError, match="newer version"):
            await SpoolStore.open(SpoolDirectory.take(tmp_path))


async def _said(what: Any) -> Any:
    return what


def _taken(config: Any, one: RawDelivery) -> Any:
    return desk(config).take(one)


def _github(body: object, key: str) -> RawDelivery:
    sent = raw(body)
    mac = hmac.new(SECRET.encode(), sent.body, hashlib.sha256).hexdigest()
    headers = {**JSON, "x-hub-signature-256": [b"sha256=" + mac.encode()], "x-github-delivery": [key.encode()]}
    return raw(body, headers=headers)
