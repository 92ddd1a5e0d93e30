"""The log of refusals on both stores: exact counts, and a bound on rows and audit entries that no attacker moves."""

import asyncio
import random
from datetime import datetime, timedelta
from typing import Any

import pytest

from ingest_samples import raw
from intertie.audit.v1 import audit_pb2
from intertie_chassis.errors import InvalidArgument, ResourceExhausted, Unavailable
from intertie_chassis.outbox import Outbox
from intertie_ingest import rejection_store
from intertie_ingest.audit_convert import entries_of_rejections
from intertie_ingest.errors import DuplicateKey, SourceNotAllowed, WrongSecret
from intertie_ingest.rejections import Rejections
from intertie_ingest.shown_model import Rejection

#: for what stands in memory, whatever the store is
one_store = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

NOON = datetime(2026, 5, 4, 12, 0, 0)
MOST = 100


class Log:
    """Rejections with a clock of the test's own, and what audit was told."""

    def __init__(self, ingest: Any, most: int = MOST) -> None:
        self.ingest = ingest
        self.now = NOON
        self.told: list[Rejection] = []
        outbox = Outbox(ingest.database, ingest.tables.outbox)
        self.rejections = Rejections(
            ingest.rejections, outbox, self._entries, timedelta(days=1), most, lambda: self.now
        )

    def _entries(self, rejections: Any) -> bytes:
        self.told += rejections
        return entries_of_rejections(rejections)

    async def rows(self) -> list[Rejection]:
        """All rows."""
        found: list[Rejection] = await self.ingest.rejections.page("", "", None, 100_000)
        return found

    async def flush_after(self, seconds: float = 0) -> None:
        """Writes, so many seconds later."""
        self.now += timedelta(seconds=seconds)
        await self.rejections.flush()


def counted(rejections: list[Rejection]) -> int:
    """How many refusals these are."""
    return sum(one.count for one in rejections)


async def test_fifty_thousand_refusals_of_a_minute_are_bounded_rows_and_entries(ingest: Any) -> None:
    """From 20,000 addresses, at several systems, for several reasons, in many flushes: at most 100 rows with a source
    and 100 without, one more for each route and reason, and two entries for a row. Not one is lost from the counts."""
    log = Log(ingest)
    chance = random.Random(7)
    errors = [WrongSecret(), SourceNotAllowed(), InvalidArgument("no", reason="INVALID_JSON")]
    for number in range(50_000):
        address = number % 20_000
        peer = f"2001:db8:{address:x}::1" if address % 2 else f"10.1.{address >> 8}.{address & 255}"
        log.rejections.add(raw(b"x", peer=peer), chance.choice(["", "police", "fire"]), errors[number % 3])
        if number % 10_000 == 9_999:
            await log.flush_after(1)
    await log.flush_after(60)
    rows = await log.rows()
    assert counted(rows) == 50_000
    assert counted(log.told) == 50_000
    assert len(rows) <= 2 * MOST + len(errors)
    assert len([row for row in rows if row.source]) == MOST
    assert len(log.told) <= len(rows) + 3 * len(errors)
    assert {row.reason for row in rows} == {"UNAUTHENTICATED", "SOURCE_NOT_ALLOWED", "INVALID_JSON"}
    await log.flush_after(60)
    assert len(log.told) <= len(rows) + 3 * len(errors)
    assert log.rejections._counts == {}


@one_store
async def test_many_systems_are_bounded_too(ingest: Any) -> None:
    """Who knows the names of a thousand systems fills no more than who knows one."""
    log = Log(ingest, 10)
    for number in range(2000):
        log.rejections.add(raw(b"x", peer=f"10.0.{number % 200}.1"), f"system {number % 1000}", WrongSecret())
    await log.flush_after(60)
    rows = await log.rows()
    assert (len(rows), counted(rows), counted(log.told)) == (21, 2000, 2000)
    assert len([row for row in rows if not row.system and not row.source]) == 1


@one_store
async def test_each_minute_has_its_own_bound(ingest: Any) -> None:
    """A flood does not hide who comes a minute later."""
    log = Log(ingest, 2)
    for minute in range(3):
        for address in range(5):
            log.rejections.add(raw(b"x", peer=f"10.0.{minute}.{address}"), "", WrongSecret())
        await log.flush_after(60)
    rows = await log.rows()
    assert len([row for row in rows if row.source]) == 6
    assert (len(rows), counted(rows)) == (9, 15)


async def test_audit_hears_of_a_refusal_at_once_and_of_the_rest_at_the_minutes_end(ingest: Any) -> None:
    """One entry when it begins, none at each flush, one with how many more; the table is always up to date."""
    log = Log(ingest)
    for _ in range(20):
        for _ in range(5):
            log.rejections.add(raw(b"x", peer="192.0.2.1"), "police", WrongSecret())
        await log.flush_after(1)
        assert [one.count for one in log.told] == [5]
    assert counted(await log.rows()) == 100
    await log.flush_after(60)
    assert [one.count for one in log.told] == [5, 95]
    assert [(one.system, one.source, one.minute) for one in log.told] == [("police", "192.0.2.1", NOON)] * 2
    assert len(await log.rows()) == 1
    assert await ingest.count("ingest_outbox") == 2


@one_store
async def test_a_process_that_ends_tells_all(ingest: Any) -> None:
    """What it had still to say at the minute's end is said now."""
    log = Log(ingest)
    for _ in range(2):
        log.rejections.add(raw(b"x"), "", WrongSecret())
        await log.flush_after(1)
    assert counted(log.told) == 1
    await log.rejections.flush(is_last=True)
    assert counted(log.told) == 2


@one_store
async def test_nothing_is_lost_or_told_twice_while_the_store_is_away(
    ingest: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be written waits, with what comes meanwhile; memory stays bounded."""
    log = Log(ingest, 10)
    add = ingest.rejections.add

    async def away(*_arguments: Any) -> None:
        raise Unavailable

    monkeypatch.setattr(type(ingest.rejections), "add", away)
    for minute in range(3):
        for number in range(100):
            log.rejections.add(raw(b"x", peer=f"10.0.{minute}.{number}"), "", WrongSecret())
        await log.flush_after(60)
    assert len(log.rejections._counts) <= 3 * 21
    log.told.clear()
    monkeypatch.undo()
    assert ingest.rejections.add.__func__ is add.__func__
    log.rejections.add(raw(b"x", peer="192.0.2.1"), "", WrongSecret())
    await log.flush_after()
    assert (counted(await log.rows()), counted(log.told)) == (301, 301)
    await log.flush_after(60)
    assert (counted(await log.rows()), counted(log.told)) == (301, 301)


@one_store
async def test_what_comes_while_it_is_written_counts_next(ingest: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A refusal between the statement and its commit is neither lost nor written twice."""
    log = Log(ingest)
    add = type(ingest.rejections).add
    may_end = asyncio.Event()

    async def slowly(self: Any, rows: Any, message: Any) -> None:
        await may_end.wait()
        await add(self, rows, message)

    monkeypatch.setattr(type(ingest.rejections), "add", slowly)
    log.rejections.add(raw(b"x"), "", WrongSecret())
    flushing = asyncio.create_task(log.rejections.flush())
    await asyncio.sleep(0)
    log.rejections.add(raw(b"x"), "", WrongSecret())
    log.rejections.add(raw(b"x", peer="192.0.2.9"), "", WrongSecret())
    may_end.set()
    await flushing
    assert counted(await log.rows()) == 1
    await log.flush_after(60)
    assert (counted(await log.rows()), counted(log.told)) == (3, 3)


@one_store
async def test_only_codes_and_digests_are_kept(ingest: Any) -> None:
    """No header's value, and nothing of the body, in rows and entries."""
    log = Log(ingest)
    headers = {"x-webhook-secret": [b"canary-secret"], "content-type": [b"application/json"]}
    sent = raw(b'{"canary-key": 1, "canary-key": 2}', headers=headers, peer="2001:db8::7")
    twice = DuplicateKey("An object in the body has a key twice: 'canary-key'.")
    for error in (WrongSecret(), twice, SourceNotAllowed(), ResourceExhausted(reason="RATE_LIMITED")):
        log.rejections.add(sent, "police", error)
    await log.flush_after()
    rows = await log.rows()
    assert {row.reason for row in rows} == {"UNAUTHENTICATED", "DUPLICATE_KEY", "SOURCE_NOT_ALLOWED", "RATE_LIMITED"}
    assert {row.source for row in rows} == {"2001:db8::/64"}
    assert all(len(row.digest) == 32 for row in rows)
    assert "canary" not in repr(rows)
    entries = audit_pb2.AppendEntriesRequest.FromString(entries_of_rejections(log.told))
    assert len(entries.entries) == 4
    assert "canary" not in str(entries)


async def test_old_rows_go_however_many_there_are(ingest: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """An hour of an attack may bring more than one statement deletes."""
    monkeypatch.setattr(rejection_store, "_PRUNED_AT_ONCE", 3)
    log = Log(ingest)
    for number in range(10):
        log.rejections.add(raw(b"x", peer=f"10.0.0.{number}"), "", WrongSecret())
    await log.flush_after()
    assert len(await log.rows()) == 10
    await log.flush_after(23 * 3600)
    assert len(await log.rows()) == 10
    await log.flush_after(2 * 3600)
    assert await log.rows() == []
