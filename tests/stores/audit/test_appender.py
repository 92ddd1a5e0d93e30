"""Appends of several callers: in few transactions, each answered as if it had come alone."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import event

from chain_rig import PREFIX, entry
from intertie_audit.appender import Appender
from intertie_audit.migrations import MIGRATIONS
from intertie_audit.model import NewEntry, new_entry
from intertie_audit.store import Store
from intertie_chassis.database import Database
from intertie_chassis.errors import Unavailable


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A migrated database."""
    opened = await Database.open(database_url, table_prefix=PREFIX)
    await MIGRATIONS.upgrade(opened, PREFIX)
    yield opened
    await opened.close()


def new(**fields: Any) -> NewEntry:
    """An entry to append."""
    return new_entry(entry(**fields))


async def test_what_comes_at_once_is_few_transactions(database: Database) -> None:
    """Forty callers, each told how many of its own were new, with those that two have sent counted once."""
    commits = 0

    def count(_connection: Any) -> None:
        nonlocal commits
        commits += 1

    event.listen(database._writer.sync_engine, "commit", count)
    told = 0

    def tell() -> None:
        nonlocal told
        told += 1

    appender = Appender(Store(database), tell)
    shared = new()
    answers = await asyncio.gather(*(appender.append([new(), shared, new()]) for _ in range(40)))
    assert sum(answers) == 81
    assert set(answers) == {2, 3}
    assert commits <= 3
    assert 1 <= told <= commits
    assert await appender.append([shared]) == 0
    assert await appender.append([]) == 0


async def test_what_is_refused_of_one_caller_concerns_no_other(database: Database) -> None:
    """The others' entries are stored, and none of its own."""
    store = Store(database)
    appender = Appender(store, lambda: None)
    bad = new(query_type=None)
    answers = await asyncio.gather(
        appender.append([new()]), appender.append([new(), bad]), appender.append([new()]), return_exceptions=True
    )
    assert [answers[0], answers[2]] == [1, 1]
    assert isinstance(answers[1], Exception)
    assert len(await store.ids_after(0, 10)) == 2


async def test_a_caller_who_leaves_takes_nothing_back(database: Database) -> None:
    """Its entries are stored, and the next caller is served."""
    store = Store(database)
    appender = Appender(store, lambda: None)
    leaving = asyncio.create_task(appender.append([new()]))
    await asyncio.sleep(0)
    leaving.cancel()
    assert await appender.append([new()]) == 1
    assert len(await store.ids_after(0, 10)) == 2


async def test_without_a_database_all_are_told(database: Database) -> None:
    """And may send their entries again."""

    class Away(Store):
        async def add(self, entries: Any) -> set[str | None]:
            raise Unavailable("away", retry_after=1)

    appender = Appender(Away(database), lambda: None)
    answers = await asyncio.gather(*(appender.append([new()]) for _ in range(3)), return_exceptions=True)
    assert all(isinstance(answer, Unavailable) for answer in answers)
