"""What a spool comes out of: a full disk, rows that others hold, answers that were lost, clashes, a file that fails."""

import asyncio
import resource
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from ingest_samples import desk, raw
from intertie_chassis.errors import StoreBusy, Unavailable
from intertie_ingest import spool as spool_module
from intertie_ingest.spool import Bounds
from intertie_ingest.spool_directory import SpoolDirectory
from intertie_ingest.spool_store import SpoolStore
from spool_rig import Start, refuse_writing, stored, titles
from waiting import eventually

CLASHING_TRIGGERS = {
    "sqlite": "CREATE TRIGGER clash BEFORE INSERT ON {prefix}inbound_deliveries WHEN NEW.source = '192.0.2.66' "
    "BEGIN INSERT INTO taken VALUES (1); END",
    "mysql": "CREATE TRIGGER clash BEFORE INSERT ON {prefix}inbound_deliveries FOR EACH ROW "
    "IF NEW.source = '192.0.2.66' THEN INSERT INTO taken VALUES (1); END IF",
}
A, B = {"id": "1", "title": "A"}, {"id": "1", "title": "B"}
NO_DISK_HAS = 2**62


async def test_the_disk_keeps_room_for_the_drain(ingest: Any, start_spooling: Start) -> None:
    """What would need the last of it is refused; what waits arrives."""
    spooling = await start_spooling()
    await spooling.leave()
    accepted = await spooling.accepted(raw(A))
    spooling.bounds = Bounds(free=NO_DISK_HAS)
    await spooling.restart()
    with capture_logs() as logs:
        (result,) = await spooling.accept(raw(B))
    assert (result.reason, result.retry_after) == ("STORE_UNAVAILABLE", 5)
    (full,) = [log for log in logs if "the spool is full" in log["event"]]
    assert 0 < full["disk_bytes_free"] <= shutil.disk_usage(spooling.directory).total
    assert "full" in (await spooling.spool.readiness(_away, _at_head)() or "")
    await spooling.come_back()
    await spooling.drain_all()
    assert await stored(ingest) == set(accepted)
    await spooling.accepted(raw(B))


async def test_a_row_that_is_held_is_nobody_elses_concern(ingest: Any, start_spooling: Start) -> None:
    """Its senders are to come again; the database is there, and takes the others."""
    _needs_rows(ingest)
    spooling = await start_spooling()
    (before,) = await spooling.accepted(raw(A))
    async with _held(ingest):
        (result,) = await spooling.accept(raw(B))
        assert (type(result), result.retry_after) == (StoreBusy, 1)
        assert not spooling.spool.is_spooling
        (other,) = await spooling.accepted(raw({"id": 2}))
    assert await stored(ingest) == {before, other}
    await spooling.accepted(raw(B))


async def test_a_lock_on_everything_is_an_outage(ingest: Any, start_spooling: Start) -> None:
    """A backup's, say: no row is held, and nobody can be stored."""
    _needs_rows(ingest)
    spooling = await start_spooling()
    async with ingest.database._writer.connect() as connection:
        await connection.execute(text("FLUSH TABLES WITH READ LOCK"))
        accepted = await spooling.accepted(raw(A))
        await connection.execute(text("UNLOCK TABLES"))
    assert spooling.spool.is_spooling
    async with spooling.in_background():
        await eventually(lambda: not spooling.spool.is_spooling, timeout=30)
    assert await stored(ingest) == set(accepted)


async def test_a_row_that_is_held_halves_its_batch(ingest: Any, start_spooling: Start) -> None:
    """What is before it arrives. A batch of which an earlier try may be what holds the row stays whole."""
    _needs_rows(ingest)
    spooling = await start_spooling()
    await spooling.accepted(raw(A))
    await spooling.leave()
    for number in range(10, 13):
        await spooling.accepted(raw({"id": number}))
    await spooling.accepted(raw(B))
    await spooling.come_back()
    group = [desk(spooling.snapshot.configuration()).take(raw(one)) for one in (A, {"id": 20})]
    await spooling.spool.keep(group, "attempt")
    await spooling.drain.step()
    async with _held(ingest):
        with pytest.raises(StoreBusy):
            await spooling.drain_all()
        assert await ingest.count("inbound_deliveries") == 4
        assert len(await spooling.kept.batch()) == 1
    await spooling.drain.step()
    async with _held(ingest):
        with pytest.raises(StoreBusy):
            await spooling.drain.step()
        assert len(await spooling.kept.batch()) == 2
    await spooling.drain_all()
    assert await ingest.count("inbound_deliveries") == 7
    assert (await titles(ingest))[0] == raw(A).body.decode()


async def test_nobody_waits_long_for_a_drain_that_fails(start_spooling: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its turns may last until a commit that hangs has used up its time."""
    monkeypatch.setattr(spool_module, "_PATIENCE_SECONDS", 3600.0)
    spooling = await start_spooling()
    await spooling.leave()
    await spooling.accepted(raw(A))
    with pytest.raises(Unavailable):
        async with spooling.spool.draining():
            raise Unavailable
    async with spooling.spool.draining():
        await spooling.accepted(raw(B))
    # One that succeeds is waited for again: else it would not catch up.
    async with spooling.spool.draining():
        waiting = asyncio.create_task(spooling.accepted(raw(A)))
        done, _ = await asyncio.wait({waiting}, timeout=3 * spool_module._SHORT_PATIENCE_SECONDS)
        assert not done
    assert await waiting


@pytest.mark.parametrize("lost", ["keep", "remove"])
async def test_what_the_file_did_is_counted_though_its_answer_was_lost(
    ingest: Any, start_spooling: Start, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    """Spooling ends when the file is empty, neither before nor never."""
    spooling = await start_spooling()
    await spooling.leave()
    await spooling.accepted(raw(A))
    work = getattr(spooling.kept, lost)

    async def lose(*arguments: Any) -> None:
        monkeypatch.undo()
        await work(*arguments)
        raise Unavailable

    monkeypatch.setattr(spooling.kept, lost, lose)
    if lost == "keep":
        (result,) = await spooling.accept(raw({"id": 2}))
        assert isinstance(result, Unavailable)
    await spooling.come_back()
    if lost == "remove":
        with pytest.raises(Unavailable):
            await spooling.drain.step()
    await spooling.drain_all()
    assert (spooling.spool.waiting, spooling.spool._size, await spooling.kept.batch()) == (0, 0, [])
    assert await ingest.count("inbound_deliveries") == (2 if lost == "keep" else 1)


async def test_what_clashes_for_good_steps_aside(ingest: Any, start_spooling: Start) -> None:
    """The others arrive; once for each batch the log says why it is halved."""
    spooling = await start_spooling()
    await ingest.sql("CREATE TABLE taken (id INTEGER PRIMARY KEY)")
    await ingest.sql("INSERT INTO taken VALUES (1)")
    await ingest.sql(CLASHING_TRIGGERS[ingest.database.dialect])
    await spooling.leave()
    await spooling.accepted(
        *[raw({"id": number}, peer="192.0.2.66" if number == 2 else "192.0.2.1") for number in range(4)]
    )
    await spooling.come_back()
    with capture_logs() as logs:
        await spooling.drain_all()
    assert await ingest.count("inbound_deliveries") == 3
    assert [log["deliveries"] for log in logs if "halving" in log["event"]] == [4, 2]
    (told,) = [log for log in logs if "it stays there" in log["event"]]
    assert "others keep writing" in told["cause"]
    await spooling.restart()
    assert (spooling.kept.found.waiting, spooling.kept.found.refused) == (0, 1)


@pytest.mark.parametrize("fails", ["read", "write"])
async def test_a_file_that_keeps_failing_does_not_keep_others_from_the_database(
    ingest: Any, start_spooling: Start, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    """The log is loud; what waits is drained by the next start."""
    spooling = await start_spooling()
    await spooling.leave()
    accepted = await spooling.accepted(raw(A))
    await spooling.come_back()

    async def fail() -> Any:
        raise Unavailable

    if fails == "read":
        monkeypatch.setattr(spooling.kept, "batch", fail)
    else:
        await refuse_writing(spooling.kept._database)
    for _ in range(29):
        with pytest.raises(Unavailable):
            await spooling.drain.step()
        assert spooling.spool.is_spooling
    with capture_logs() as logs:
        await spooling.drain.step()
    assert [log["waiting"] for log in logs if "THE SPOOL FAILS" in log["event"]] == [1]
    accepted += await spooling.accepted(raw({"id": 2}))
    assert accepted[1] in await stored(ingest)
    monkeypatch.undo()
    await refuse_writing(spooling.kept._database, False)
    await spooling.restart()
    assert spooling.spool.waiting == 1
    await spooling.drain_all()
    assert await stored(ingest) == set(accepted)


async def test_a_spool_on_a_full_disk_does_not_keep_ingest_from_starting(ingest: Any, start_spooling: Start) -> None:
    """What waits in it is known, and nothing more is promised."""
    spooling = await start_spooling()
    await spooling.leave()
    await spooling.accepted(raw({"id": 1, "filler": "x" * 100_000}))
    directory = spooling.directory.parent / "full"
    directory.mkdir()
    for name in ("spool.db", "spool.db-wal"):
        shutil.copy(spooling.directory / name, directory / name)
    group = [desk(spooling.snapshot.configuration()).take(raw(B))]
    with _no_file_may_grow():
        kept = await SpoolStore.open(SpoolDirectory.take(directory))
        try:
            assert kept.found.waiting == 1
            with pytest.raises(Unavailable):
                await kept.keep(group, None)
            assert len(await kept.batch()) == 1
        finally:
            await kept.close()


async def test_a_new_file_that_cannot_be_written_keeps_nobody_up(tmp_path: Path) -> None:
    """It holds nothing, and is made when the disk takes it."""
    directory = SpoolDirectory.take(tmp_path)
    kept = await SpoolStore.open(directory)
    await kept._database.transaction(_emptied)
    assert (await kept.holdings()).waiting == 0
    await kept.try_writing()
    assert await kept.batch() == []
    await kept.close()


@contextmanager
def _no_file_may_grow() -> Iterator[None]:
    """Beyond what SQLite's shared memory needs: as on a full disk, but for the number of the error."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (32 * 1024, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@asynccontextmanager
async def _held(ingest: Any) -> AsyncIterator[None]:
    """Another session holds the row of record 1."""
    async with ingest.database._writer.connect() as connection:
        await connection.execute(text("SELECT id FROM t_external_data_cache WHERE external_id = '1' FOR UPDATE"))
        try:
            yield
        finally:
            await connection.rollback()


def _needs_rows(ingest: Any) -> None:
    if ingest.database.dialect == "sqlite":
        pytest.skip("SQLite locks no rows")


async def _away() -> str:
    return "away"


async def _at_head() -> bool:
    return True


async def _emptied(connection: Any) -> None:
    for table in ("spool_deliveries", "spool_states"):
        await connection.execute(text(f"DROP TABLE {table}"))
    await connection.exec_driver_sql("PRAGMA user_version = 0")
