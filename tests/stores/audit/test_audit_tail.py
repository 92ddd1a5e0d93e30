"""Following the log: what is there, what comes, what commits late, and what it costs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pymysql
import pytest

from intertie_audit.errors import TooManyTails
from intertie_audit.migrations import MIGRATIONS
from intertie_audit.model import Entry, SystemFilter
from intertie_audit.store import Store
from intertie_audit.tail import Tail
from intertie_chassis.clock import utc_now
from intertie_chassis.database import Database
from intertie_chassis.ids import new_ulid
from suite import mysql
from waiting import eventually

PREFIX = "campaign_department_"


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    """An empty log."""
    database = await Database.open(database_url, table_prefix=PREFIX)
    await MIGRATIONS.upgrade(database, PREFIX)
    yield Store(database)
    await database.close()


def entries(*texts: str, system: str = "a") -> list[Entry]:
    """New entries with these texts."""
    values: dict[str, Any] = dict.fromkeys(Entry.__dataclass_fields__)
    values |= {"id": 0, "query_type": "webhook", "status": "success", "system_name": system}
    return [
        Entry(**{**values, "entry_id": new_ulid(), "created_at": utc_now(), "query_string": each}) for each in texts
    ]


async def read(followed: AsyncIterator[list[Entry]], count: int) -> list[str | None]:
    """The texts of the next so many entries."""
    texts: list[str | None] = []
    async with asyncio.timeout(10):
        while len(texts) < count:
            texts += [entry.query_string for entry in await anext(followed)]
    return texts


async def test_the_last_then_the_new(store: Store) -> None:
    """The newest few come first, the oldest of them first, then what is appended, each once."""
    tail = Tail(store)
    await store.append(entries("1", "2", "3"))
    async with aclosing(tail.follow(last=2)) as followed:
        assert await read(followed, 2) == ["2", "3"]
        await store.append(entries("4", "5"))
        tail.wake()
        assert await read(followed, 2) == ["4", "5"]


async def test_only_new_ones_unless_asked(store: Store) -> None:
    """Without `last` nothing old is shown, and what another process inserts is found without a wake-up."""
    await store.append(entries("old"))
    async with aclosing(Tail(store).follow()) as followed:
        first = asyncio.create_task(read(followed, 1))
        while not first.done():
            await store.append(entries("new"))
            await asyncio.wait([first], timeout=0.2)
        assert set(await first) == {"new"}


async def test_from_a_number_on(store: Store) -> None:
    """A follower that comes back goes on where it was, also over more entries than one look takes."""
    await store.append(entries(*map(str, range(500))))
    ids = await store.ids_after(0, 500)
    async with aclosing(Tail(store).follow(after_id=ids[99])) as followed:
        assert await read(followed, 400) == [str(number) for number in range(100, 500)]


async def test_of_one_system(store: Store) -> None:
    """Entries of other systems are passed over, and do not hold up."""
    tail = Tail(store)
    await store.append([*entries("1"), *entries("2", system="b")])
    async with aclosing(tail.follow(SystemFilter("b", None), last=5)) as followed:
        assert await read(followed, 1) == ["2"]
        await store.append([*entries("3"), *entries("4", system="b")])
        tail.wake()
        assert await read(followed, 1) == ["4"]


async def test_leaving_frees_the_place(store: Store) -> None:
    """As many follow as allowed; one that leaves, or is cancelled while waiting, makes room."""
    tail = Tail(store, most_followers=1)
    followed = tail.follow()
    waiting = asyncio.create_task(read(followed, 1))
    await eventually(lambda: tail.followers == 1)
    with pytest.raises(TooManyTails):
        await anext(tail.follow())
    waiting.cancel()
    await asyncio.wait([waiting])
    await followed.aclose()
    assert tail.followers == 0
    await store.append(entries("1"))
    async with aclosing(tail.follow(last=1)) as again:
        assert await read(again, 1) == ["1"]


async def test_an_entry_that_commits_late_is_not_passed_over(mariadb_url: str) -> None:
    """A transaction that took its number first and commits last is seen when it commits, below what was seen before;
    also when it was open already as the follower came."""
    database = await Database.open(mariadb_url, table_prefix=PREFIX)
    await MIGRATIONS.upgrade(database, PREFIX)
    store = Store(database)
    tail = Tail(store)
    with mysql(mariadb_url) as slow, mysql(mariadb_url) as slower:
        for connection, word in ((slow, "slow"), (slower, "slower")):
            connection.begin()
            _insert(connection, word)
            await store.append(entries(f"after {word}"))
            if word == "slow":
                followed = tail.follow(last=5)
                assert await read(followed, 1) == ["after slow"]
        assert await read(followed, 1) == ["after slower"]
        slow.commit()
        assert await read(followed, 1) == ["slow"]
        slower.commit()
        assert await read(followed, 1) == ["slower"]
        await store.append(entries("last"))
        assert await read(followed, 1) == ["last"]
        await followed.aclose()
    await database.close()


def _insert(connection: "pymysql.Connection[Any]", word: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {PREFIX}integration_query_logs (system_id, query_type, query_string, status) "
            "VALUES (1, 'select', %s, 'success')",
            (word,),
        )
