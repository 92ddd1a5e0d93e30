"""What a spool meets beside an outage: refusals, bounds, disks that fail, other processes; on both stores."""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from ingest_samples import raw
from intertie_chassis.errors import Internal, StartupError, Unavailable
from intertie_ingest.model import Accepted
from intertie_ingest.spool import Bounds
from intertie_ingest.spool_directory import SpoolDirectory
from intertie_ingest.spool_store import SpoolStore
from spool_rig import Start, ids, refuse_writing, stored, titles
from waiting import eventually

REFUSING_TRIGGERS = {
    "sqlite": "CREATE TRIGGER refuse BEFORE INSERT ON {prefix}inbound_deliveries WHEN NEW.source = '192.0.2.66' "
    "BEGIN SELECT RAISE(ABORT, 'refused'); END",
    "mysql": "CREATE TRIGGER refuse BEFORE INSERT ON {prefix}inbound_deliveries FOR EACH ROW "
    "IF NEW.source = '192.0.2.66' THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'refused'; END IF",
}
A, B = {"id": "1", "title": "A"}, {"id": "1", "title": "B"}


async def test_what_the_database_refuses_holds_nobody_up(ingest: Any, start_spooling: Start) -> None:
    """It stays in the spool, marked; the others arrive, and the next start says that it is there."""
    spooling = await start_spooling()
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


async def test_an_error_that_nobody_knows_gives_nothing_up(ingest: Any, start_spooling: Start) -> None:
    """It may be the database's own fault: what was answered waits until it is mended."""
    if ingest.database.dialect == "sqlite":
        pytest.skip("SQLite looks at what a trigger calls when it is made")
    spooling = await start_spooling()
    await spooling.leave()
    accepted = await spooling.accepted(*[raw({"id": number}) for number in range(4)])
    await ingest.sql(
        "CREATE TRIGGER odd BEFORE INSERT ON {prefix}inbound_deliveries FOR EACH ROW SET NEW.size = no_such_function()"
    )
    await spooling.come_back()
    async with spooling.in_background():
        with capture_logs() as logs:
            await eventually(lambda: any("does not take a delivery" in log["event"] for log in logs), timeout=30)
        assert await stored(ingest) == set()
        await ingest.sql("DROP TRIGGER odd")
        await eventually(lambda: not spooling.spool.is_spooling, timeout=30)
    assert await stored(ingest) == set(accepted)


async def test_a_row_that_cannot_be_read_holds_nobody_up(ingest: Any, start_spooling: Start) -> None:
    """It stays as it is."""
    spooling = await start_spooling()
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
async def test_a_full_spool_says_when_to_come_again(ingest: Any, start_spooling: Start, bounds: Bounds) -> None:
    """Health says so too; what was answered arrives, and then there is room again."""
    spooling = await start_spooling(bounds=bounds)
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


async def test_a_spool_whose_disk_fails_promises_nothing(ingest: Any, start_spooling: Start) -> None:
    """503 with a time to come back while neither can be written; it heals without a restart."""
    spooling = await start_spooling()
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
    start_spooling: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing was promised, so nothing must be waited for."""
    spooling = await start_spooling()
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


async def test_health_still_tells_of_tables_that_do_not_fit(start_spooling: Start) -> None:
    """A spool is no reason to hide that somebody must migrate."""
    spooling = await start_spooling()
    assert await spooling.spool.readiness(lambda: _said("migrate"), lambda: _said(False))() == "migrate"
    assert await spooling.spool.readiness(lambda: _said(None), lambda: _said(True))() is None


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
