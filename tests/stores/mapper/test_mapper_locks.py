"""What is busy, broken or gone for a while holds up nothing but itself, and not for ever."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from intertie_mapper import landing
from intertie_mapper.model import Ending, LeasedRecord, Outcome
from intertie_mapper.target_health import TABLE_PAUSES, TRIAL_RECORDS
from mapper_rig import PREFIX, Rig, record, rig

PLACES = "CREATE TABLE {p}places (id INTEGER PRIMARY KEY, name VARCHAR(50))"
HALLS = "CREATE TABLE {p}halls (id INTEGER PRIMARY KEY, name VARCHAR(50))"
CONFIG = {"field_mappings": {"n": "id", "name": "name"}}


def records(count: int, revision: int = 1, *, mapping_id: int = 1, first: int = 1, **more: Any) -> list[LeasedRecord]:
    """Records 1 to `count`, whose names follow from the revision."""
    return [
        record(f"{n}", {"n": n, "name": f"{n} at {revision}"}, revision=revision, mapping_id=mapping_id, **more)
        for n in range(first, first + count)
    ]


def said(endings: list[Ending]) -> set[tuple[str, str, bool]]:
    """Outcomes, reasons, and whether it was no attempt."""
    return {(ending.outcome.value, ending.reason, ending.is_untried) for ending in endings}


SYNCED = {("synced", "", False)}
PAUSED = {("retry", "target_paused", True)}


@pytest.fixture
async def mapper(database_url: str) -> AsyncIterator[Rig]:
    """A mapper with two tables, and a mapping to each."""
    async with rig(database_url, PLACES, HALLS) as made:
        made.map("places", CONFIG)
        made.map("halls", CONFIG, 2)
        yield made


@pytest.fixture
async def on_mariadb(mariadb_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Rig]:
    """The same on MariaDB; no lock is waited for longer than a second."""
    monkeypatch.setattr(landing, "LOCK_WAIT_SECONDS", 1)
    async with rig(mariadb_url, PLACES, HALLS) as made:
        made.map("places", CONFIG)
        made.map("halls", CONFIG, 2)
        yield made


@pytest.fixture
def module(mariadb_server: Any, mariadb_url: str) -> Iterator[Any]:
    """A module's own connection."""
    connection = mariadb_server.connect(mariadb_url.rpartition("/")[2])
    with connection.cursor() as cursor:
        yield cursor
    connection.close()


def at(mapper: Rig, now: float) -> None:
    """Set the clock of the target's health."""
    mapper.processor.health._clock = lambda: now


async def test_a_locked_row_holds_up_its_own_record_alone(on_mariadb: Rig, module: Any) -> None:
    """Its neighbours land; it backs off, and lands when the module lets go."""
    assert said(await on_mariadb.land(*records(8))) == SYNCED
    module.execute("BEGIN")
    module.execute(f"SELECT * FROM {PREFIX}places WHERE id = 3 FOR UPDATE")
    endings = await on_mariadb.land(*records(8, 2))
    busy = endings.pop(2)
    assert said(endings) == SYNCED
    assert said([busy]) == {("retry", "target_busy", False)}
    assert 4 <= busy.retry_seconds <= 6
    assert not on_mariadb.processor.health.is_away
    assert on_mariadb.processor.health.is_well(f"{PREFIX}places")
    module.execute("ROLLBACK")
    assert said(await on_mariadb.land(*records(1, 2, first=3, attempts=2))) == SYNCED
    names = await on_mariadb.rows("SELECT name FROM {p}places ORDER BY id")
    assert [row["name"] for row in names] == [f"{n} at 2" for n in range(1, 9)]


async def test_the_search_for_locked_rows_ends(on_mariadb: Rig, module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """With many of them some are not found alone in time; these are tried later, and that counts."""
    monkeypatch.setattr(landing, "_TROUBLE_SECONDS", 0.5)
    await on_mariadb.land(*records(4))
    module.execute("BEGIN")
    module.execute(f"SELECT * FROM {PREFIX}places FOR UPDATE")
    assert said(await on_mariadb.land(*records(4, 2))) == {("retry", "target_busy", False)}
    assert on_mariadb.processor.health.is_well(f"{PREFIX}places"), "none of them was alone"


async def test_a_locked_table_is_given_a_rest_and_others_go_on(on_mariadb: Rig, module: Any) -> None:
    """Three records fail by themselves; then nothing touches it until its pause is over and a few have landed."""
    await on_mariadb.land(*records(1), *records(1, mapping_id=2))
    at(on_mariadb, 100)
    module.execute(f"LOCK TABLES {PREFIX}places WRITE")
    endings = await on_mariadb.land(*records(4, 2), *records(4, 2, mapping_id=2))
    assert said(endings[4:]) == SYNCED
    assert said(endings[:4]) == {("retry", "target_busy", False), *PAUSED}
    assert said(await on_mariadb.land(*records(4, 3), *records(4, 3, mapping_id=2))) == PAUSED | SYNCED
    module.execute("UNLOCK TABLES")
    assert said(await on_mariadb.land(*records(4, 3))) == PAUSED
    at(on_mariadb, 100 + TABLE_PAUSES[0])
    assert said(await on_mariadb.land(*records(30, 3))) == SYNCED
    assert on_mariadb.processor.health.is_well(f"{PREFIX}places")


async def test_a_record_that_costs_the_connection_stands_alone(on_mariadb: Rig, module: Any) -> None:
    """The database answers, so it is no outage, and its neighbours land."""
    module.execute(
        f"CREATE TRIGGER {PREFIX}killing BEFORE INSERT ON {PREFIX}places FOR EACH ROW "
        "BEGIN IF NEW.id = 3 THEN KILL CONNECTION CONNECTION_ID(); END IF; END"
    )
    endings = await on_mariadb.land(*records(8))
    lost = endings.pop(2)
    assert said(endings) == SYNCED
    assert said([lost]) == {("retry", "target_unavailable", False)}
    assert not on_mariadb.processor.health.is_away


async def test_a_table_without_rights_is_given_a_rest(on_mariadb: Rig, module: Any, mariadb_server: Any) -> None:
    """Once the right is granted its records land by themselves; the mapping's own delays count."""
    on_mariadb.map("places", {**CONFIG, "retry": {"delays_seconds": [50, 500]}})
    name = module.connection.db.decode()
    account = f"'{name}'@'127.0.0.1'"
    module.execute(f"CREATE USER {account} IDENTIFIED BY 'x'")
    try:
        module.execute(f"GRANT SELECT ON `{name}`.* TO {account}")
        for table in ("halls", "external_record_links", "mapper_outbox"):
            module.execute(f"GRANT INSERT, UPDATE, DELETE ON `{name}`.{PREFIX}{table} TO {account}")
        url = f"mysql://{name}:x@127.0.0.1:{mariadb_server.port}/{name}"
        limited = type(on_mariadb.database)(url, table_prefix=PREFIX)
        try:
            least = Rig(limited, returning=True)
            least.map("places", {**CONFIG, "retry": {"delays_seconds": [50, 500]}})
            least.map("halls", CONFIG, 2)
            at(least, 100)
            *denied, landed = await least.land(*records(4), *records(1, mapping_id=2))
            assert said([landed]) == SYNCED
            assert said(denied) == {("retry", "invalid_mapping", False)}
            assert all(40 <= ending.retry_seconds <= 60 for ending in denied)
            assert said(await least.land(*records(4))) == PAUSED
            module.execute(f"GRANT INSERT, UPDATE ON `{name}`.{PREFIX}places TO {account}")
            at(least, 100 + TABLE_PAUSES[0])
            assert said(await least.land(*records(TRIAL_RECORDS + 5))) == SYNCED
        finally:
            await limited.close()
    finally:
        module.execute(f"DROP USER {account}")


async def test_a_table_that_changes_under_many_records_is_given_a_rest(mapper: Rig) -> None:
    """Those of other tables land; after the rest the table is judged as it is then."""
    mapper.targets._keep = 3600
    await mapper.land(*records(1))
    at(mapper, 100)
    await mapper.run("ALTER TABLE {p}places RENAME COLUMN name TO title")
    endings = await mapper.land(*records(5, 2), *records(5, mapping_id=2))
    assert said(endings[:5]) == {("retry", "invalid_mapping", False)}
    assert said(endings[5:]) == SYNCED
    assert said(await mapper.land(*records(5, 2))) == PAUSED
    at(mapper, 100 + TABLE_PAUSES[0])
    endings = await mapper.land(*records(TRIAL_RECORDS + 5, 2))
    assert said(endings) == {("set_aside", "invalid_mapping", False)}
    assert {ending.field for ending in endings} == {"name"}


async def test_delays_that_are_used_up_set_the_record_aside(mapper: Rig) -> None:
    """By the mapping's own count; audited like any other that is set aside."""
    mapper.map("places", {**CONFIG, "retry": {"delays_seconds": [5, 30]}})
    mapper.targets._keep = 3600
    await mapper.land(*records(1))
    await mapper.run("ALTER TABLE {p}places RENAME COLUMN name TO title")
    first, last = await mapper.land(*records(1, 2, attempts=2), *records(1, 2, first=2, attempts=3))
    assert (first.outcome, first.reason) == (Outcome.RETRY, "invalid_mapping")
    assert (last.outcome, last.reason) == (Outcome.SET_ASIDE, "retries_exhausted")
    assert "3 times" in last.message
    assert [entry.status for entry in await mapper.audited()] == ["success", "error"]


async def test_a_foreign_lock_on_the_checkpoints_keeps_nothing_from_being_set_aside(
    on_mariadb: Rig, module: Any
) -> None:
    """The failure is in the log then, and only its checkpoint lacks it."""
    on_mariadb.map("events", {"field_mappings": {"title": "event_title", "date": "date"}}, 3)
    await on_mariadb.land(record("1", {"title": "x"}, mapping_id=3))
    module.execute("BEGIN")
    module.execute(f"SELECT * FROM {PREFIX}event_integration_checkpoints FOR UPDATE")
    (ending,) = await on_mariadb.land(record("1", {"title": "x", "date": "never"}, mapping_id=3, revision=2))
    assert (ending.outcome, ending.reason) == (Outcome.SET_ASIDE, "bad_datetime")
    assert [entry.status for entry in await on_mariadb.audited()] == ["success", "error"]
