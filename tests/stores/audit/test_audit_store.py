"""The log on both databases: appends once and whole, lists by every filter, and only ever grows."""

import ast
import asyncio
import inspect
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncConnection

from intertie_audit import store as store_module
from intertie_audit.errors import EntryNotFound
from intertie_audit.migrations import MIGRATIONS
from intertie_audit.model import MOST_DEPTH, Entry, EntryFilter, SystemFilter
from intertie_audit.store import Store
from intertie_chassis.database import Database
from intertie_chassis.ids import new_ulid

PREFIX = "campaign_department_"
NOON = datetime(2025, 1, 20, 12, 0, 0, 123456)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A migrated database."""
    opened = await Database.open(database_url, table_prefix=PREFIX)
    await MIGRATIONS.upgrade(opened, PREFIX)
    yield opened
    await opened.close()


@pytest.fixture
def store(database: Database) -> Store:
    """The log in it."""
    return Store(database)


def entry(**fields: Any) -> Entry:
    """A new entry, with these fields otherwise."""
    values: dict[str, Any] = dict.fromkeys(Entry.__dataclass_fields__)
    values |= {"id": 0, "entry_id": new_ulid(), "query_type": "webhook", "status": "success", "created_at": NOON}
    return Entry(**{**values, **fields})


async def php_insert(database: Database, system_id: int = 7, query: str = "SELECT 1") -> None:
    """Insert as the PHP application does."""

    async def work(connection: AsyncConnection) -> None:
        await connection.execute(
            text(
                f"INSERT INTO {PREFIX}integration_query_logs "
                "(system_id, query_type, query_string, status, requested_by) "
                "VALUES (:system_id, 'select', :query, 'success', 1)"
            ),
            {"system_id": system_id, "query": query},
        )

    await database.transaction(work)


async def all_of(store: Store, **filters: Any) -> list[Entry]:
    return (await store.page(EntryFilter(**filters), limit=1000)).entries


async def test_an_entry_is_kept_as_it_was_sent(store: Store) -> None:
    """Every field comes back as it went in: times to the microsecond, payloads byte for byte on SQLite and MariaDB."""
    full = entry(
        system_id=4_000_000_000,
        system_name="Polizei – Ünit 1",
        query_string="POST /webhook 😀",
        request_payload='{"b": 1, "a":  [1.10, "\\u00e9"]}',
        response_payload="null",
        response_status=202,
        execution_time_ms=4_000_000_000,
        error_message="x" * 60_000,
        requested_by=3,
        module_name="events",
        actor="system:law_enforcement",
        delivery_id=new_ulid(),
        request_id="r-1",
    )
    bare = entry(created_at=datetime(2038, 1, 19, 3, 14, 6, 999999))
    assert await store.append([full, bare]) == 2
    kept_bare, kept_full = await all_of(store)
    assert (kept_full, kept_bare) == (replace(full, id=kept_full.id), replace(bare, id=kept_bare.id))
    assert await store.get(kept_full.id) == kept_full


async def test_the_deepest_payload_allowed_is_stored(store: Store) -> None:
    """What the model lets pass, the database takes."""
    assert await store.append([entry(request_payload="[" * MOST_DEPTH + "]" * MOST_DEPTH)]) == 1


async def test_a_batch_may_be_sent_again(store: Store) -> None:
    """Entries that are in the log are left as they are, new ones beside them are stored, and the order is kept."""
    batch = [entry(query_string=str(number)) for number in range(5)]
    assert await store.append(batch[:3]) == 3
    assert await store.append(batch) == 2
    assert await store.append(batch) == 0
    assert await store.append([replace(batch[0], query_string="other", status="error")]) == 0
    assert [each.query_string for each in await all_of(store)] == ["4", "3", "2", "1", "0"]


async def test_an_entry_twice_in_a_batch_is_stored_once(store: Store) -> None:
    """The first of them stands."""
    first = entry(query_string="first")
    assert await store.append([first, entry(), replace(first, query_string="second")]) == 2
    assert [each.query_string for each in await all_of(store)] == [None, "first"]


async def test_an_empty_batch_is_nothing(store: Store) -> None:
    """It is no fault either."""
    assert await store.append([]) == 0


async def test_a_batch_is_stored_whole_or_not_at_all(store: Store) -> None:
    """When the database refuses one row, none of the batch stands."""
    with pytest.raises(Exception, match=r"(?i)null"):
        await store.append([entry(), entry(query_type=None)])
    assert await all_of(store) == []


async def test_racing_batches_store_each_entry_once(store: Store) -> None:
    """Writers that send overlapping batches at once all succeed, and what they say was new adds up."""
    entries = [entry(query_string=str(number)) for number in range(60)]
    appended = await asyncio.gather(*(store.append(entries[start : start + 30]) for start in range(0, 31, 6)))
    assert sum(appended) == 60
    assert sorted(int(each.query_string or "") for each in await all_of(store)) == list(range(60))


async def test_a_batch_is_few_statements(store: Store, database: Database) -> None:
    """Two hundred entries cost four INSERTs at most: row by row they would cost ten times as much."""
    statements: list[str] = []
    engine = database._writer.sync_engine

    @event.listens_for(engine, "before_cursor_execute")
    def count(_c: Any, _cursor: Any, statement: str, _parameters: Any, _context: Any, _executemany: bool) -> None:
        if statement.startswith("INSERT"):
            statements.append(statement)

    assert await store.append([entry() for _ in range(200)]) == 200
    assert 1 <= len(statements) <= 4


async def test_numbers_have_no_holes(store: Store) -> None:
    """Whatever batches come: a number that is missing is awaited by who follows the log, and looks like a deletion."""
    for count in (1, 2, 15, 21, 79, 200):
        await store.append([entry(error_message=None if number % 2 else "x") for number in range(count)])
    assert [each.id for each in await all_of(store)] == list(range(318, 0, -1))


async def test_a_batch_larger_than_a_packet_is_stored(store: Store) -> None:
    """Forty megabytes of payload go in as several statements of one transaction."""
    payload = '"' + "x" * 250_000 + '"'
    assert await store.append([entry(request_payload=payload) for _ in range(80)]) == 80
    page = await store.page(EntryFilter(), limit=1000)
    assert page.has_more
    assert 1 <= len(page.entries) < 80
    seen = len(page.entries)
    while page.has_more:
        page = await store.page(EntryFilter(), limit=1000, before_id=page.entries[-1].id)
        seen += len(page.entries)
    assert seen == 80


async def test_filters_choose(store: Store) -> None:
    """Each filter chooses what it says, and together they narrow."""
    delivery = new_ulid()
    await store.append(
        [
            entry(query_string="0", system_name="a", system_id=1, module_name="events"),
            entry(query_string="1", system_name="b", system_id=2, status="error", delivery_id=delivery),
            entry(query_string="2", system_name="a", system_id=1, query_type="mapping", delivery_id=delivery),
            entry(query_string="3", status="timeout", created_at=NOON + timedelta(microseconds=1)),
        ]
    )

    async def found(**filters: Any) -> list[str | None]:
        return [each.query_string for each in await all_of(store, **filters)]

    assert await found() == ["3", "2", "1", "0"]
    assert await found(system=SystemFilter("a", 1)) == ["2", "0"]
    assert await found(system=SystemFilter("a", None)) == ["2", "0"]
    assert await found(system=SystemFilter("c", 9)) == []
    assert await found(module="events") == ["0"]
    assert await found(status="error") == ["1"]
    assert await found(query_type="mapping") == ["2"]
    assert await found(delivery_id=delivery) == ["2", "1"]
    assert await found(created_after=NOON + timedelta(microseconds=1)) == ["3"]
    assert await found(created_after=NOON) == ["3", "2", "1", "0"]
    assert await found(created_before=NOON + timedelta(microseconds=1)) == ["2", "1", "0"]
    assert await found(system=SystemFilter("a", 1), delivery_id=delivery, created_before=NOON + timedelta(1)) == ["2"]


@pytest.mark.parametrize("system", [None, SystemFilter("a", 1)])
async def test_pages_hold_each_entry_once(store: Store, system: SystemFilter | None) -> None:
    """Walking page by page, by number or by offset, gives every entry once and in order, across inner looks."""
    await store.append([entry(query_string=str(number), system_name="a", system_id=1) for number in range(450)])
    everything = [str(number) for number in reversed(range(450))]
    chosen = EntryFilter(system=system)
    for limit in (7, 150, 200, 450, 1000):
        walked: list[str | None] = []
        before_id, has_more = None, True
        while has_more:
            page = await store.page(chosen, limit=limit, before_id=before_id)
            walked += [each.query_string for each in page.entries]
            before_id, has_more = page.entries[-1].id, page.has_more
        assert walked == everything
    skipped = await store.page(chosen, limit=300, offset=100)
    assert [each.query_string for each in skipped.entries] == everything[100:400]
    assert (await store.page(chosen, limit=10, offset=450)).entries == []


async def test_rows_of_the_php_application_are_entries(store: Store, database: Database) -> None:
    """They are listed, found by the system's name through its number, and their time is now, in UTC."""
    before = datetime.utcnow() - timedelta(seconds=2)
    await php_insert(database)
    await php_insert(database, system_id=8)
    await store.append([entry(system_name="a", system_id=7)])
    rows = await all_of(store)
    assert [each.entry_id is None for each in rows] == [False, True, True]
    assert before < rows[-1].created_at < before + timedelta(seconds=60)
    assert len(await all_of(store, system=SystemFilter("a", 7))) == 2
    assert len(await all_of(store, system=SystemFilter("a", None))) == 1
    assert len(await all_of(store, created_after=before)) == 2


async def test_a_number_that_is_not_there(store: Store) -> None:
    """Said with its own reason."""
    with pytest.raises(EntryNotFound) as missing:
        await store.get(1)
    assert (missing.value.reason, missing.value.metadata) == ("ENTRY_NOT_FOUND", {"id": "1"})


async def test_numbers_for_the_tail(store: Store) -> None:
    """The looks of the tail: newest, after a position, which of some are there, and those of a system."""
    assert await store.newest_id() == 0
    await store.append([entry(system_name="ab"[number % 2]) for number in range(6)])
    ids = await store.ids_after(0, 100)
    assert len(ids) == 6
    assert await store.newest_id() == ids[-1]
    assert await store.ids_after(ids[1], 2) == ids[2:4]
    assert await store.present([10_000, ids[3], ids[0]]) == [ids[0], ids[3]]
    assert await store.present([]) == []
    assert [each.id for each in await store.among(ids, SystemFilter("b", None))] == [ids[1], ids[3], ids[5]]


async def test_migrating_again_changes_nothing(store: Store, database: Database) -> None:
    """A second run finds nothing to do and keeps what is there."""
    await store.append([entry()])
    assert await MIGRATIONS.upgrade(database, PREFIX) == ()
    assert len(await all_of(store)) == 1


def test_the_log_only_grows() -> None:
    """The store imports nothing that could change or remove an entry, and writes no SQL by hand."""
    tree = ast.parse(inspect.getsource(store_module))
    imported = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sqlalchemy")
        for alias in node.names
    }
    assert "insert" in imported
    assert imported.isdisjoint({"update", "delete", "text", "DDL", "TextClause"})
    called = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert called.isdisjoint({"exec_driver_sql", "delete", "on_conflict_do_update", "on_duplicate_key_update"})
