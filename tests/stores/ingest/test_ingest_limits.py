"""Limits of systems and addresses where deliveries are accepted: each has its own result, nobody pays for another."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from ingest_samples import JSON, SECRET, mapping, nobody, raw, system
from intertie_chassis.outbox import Outbox
from intertie_ingest.accept import Acceptor, Limits
from intertie_ingest.audit_convert import entries_of_group, entries_of_rejections
from intertie_ingest.errors import RateLimited, WrongSecret
from intertie_ingest.model import Accepted, RawDelivery
from intertie_ingest.rejections import Rejections
from intertie_ingest.snapshot import Change, Snapshot
from intertie_ingest.turnstile import Allowances, Turnstile
from intertie_ingest.wakeup import Wakeup
from waiting import eventually

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)  # what counts here stands in memory

WRONG = {**JSON, "x-webhook-secret": [b"wrong"]}


class Clock:
    """Stands still until it is told."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def acceptor(ingest: Any, clock: Clock | None = None, limits: Limits | None = None, **allowances: Any) -> Acceptor:
    """An acceptor for two systems: `law_enforcement` with a rate of its own, `fire` with what the settings say."""
    outbox, snapshot = Outbox(ingest.database, ingest.tables.outbox), Snapshot()
    own = system(mapping(), webhook_secret=SECRET, rate_limit={"per_second": 1, "burst": 3}, max_in_flight=5)
    other = system(mapping(2), number=2, name="fire", webhook_secret=SECRET)
    snapshot.apply(Change((own, other), is_snapshot=True))
    rejections = Rejections(ingest.rejections, outbox, entries_of_rejections, timedelta(days=1))
    return Acceptor(
        ingest.store,
        snapshot,
        rejections,
        outbox,
        Wakeup(),
        nobody,
        entries_of_group,
        limits or Limits(),
        Turnstile(Allowances(**allowances), clock or Clock()),
    )


def of(name: str, number: int, **options: Any) -> RawDelivery:
    """A delivery of a record of a system."""
    return raw({"id": number}, name=name, **options)


async def test_a_rate_is_each_systems_own_within_one_group(ingest: Any) -> None:
    """The fourth is refused with a time; those of another system in the same group are all committed, and the refused
    one may come again then."""
    clock = Clock()
    accepting = acceptor(ingest, clock)
    group = [of(name, number) for number in range(6) for name in ("law_enforcement", "fire")]
    results = await accepting.accept(group)
    own, others = results[::2], results[1::2]
    assert [type(result) for result in own] == [Accepted] * 3 + [RateLimited] * 3
    assert [type(result) for result in others] == [Accepted] * 6
    assert isinstance(own[3], RateLimited)
    assert (own[3].reason, own[3].retry_after) == ("RATE_LIMITED", 1.0)
    assert await ingest.count("inbound_deliveries") == 9
    clock.now += 1
    results = await accepting.accept([of("law_enforcement", 3), of("law_enforcement", 4)])
    assert [type(result) for result in results] == [Accepted, RateLimited]


async def test_wrong_secrets_use_up_no_rate(ingest: Any) -> None:
    """A thousand of them, and the right one is still taken."""
    accepting = acceptor(ingest)
    await accepting.accept([of("law_enforcement", number, headers=WRONG) for number in range(1000)])
    results = await accepting.accept([of("law_enforcement", number) for number in range(3)])
    assert [type(result) for result in results] == [Accepted] * 3


async def test_who_fails_too_often_is_not_looked_at(ingest: Any) -> None:
    """At any system, with the right secret too; others are, and so is it again after its time. All of it is counted."""
    clock = Clock()
    accepting = acceptor(ingest, clock, failures_per_minute=3)
    attempts = [of(name, 1, headers=WRONG, peer="192.0.2.9") for name in ("law_enforcement", "nobody", "fire", "x")]
    results = await accepting.accept([*attempts, of("fire", 1, peer="192.0.2.9"), of("fire", 2, peer="192.0.2.8")])
    assert [type(result) for result in results] == [*[WrongSecret] * 3, RateLimited, RateLimited, Accepted]
    clock.now += 20
    results = await accepting.accept([of("fire", 3, peer="192.0.2.9"), of("fire", 4, peer="192.0.2.9", headers=WRONG)])
    assert [type(result) for result in results] == [Accepted, WrongSecret]
    (result,) = await accepting.accept([of("fire", 5, peer="192.0.2.9")])
    assert isinstance(result, RateLimited)
    await accepting._rejections.flush()
    rows = await ingest.rejections.page("", "", None, 50)
    assert sum(row.count for row in rows if row.reason == "UNAUTHENTICATED") == 4
    assert sum(row.count for row in rows if row.reason == "RATE_LIMITED") == 3


async def test_a_system_is_stored_so_often_at_once_and_then_again(ingest: Any) -> None:
    """What is beyond its number is refused for itself; when the group has ended there is room again, also after
    deliveries that could not be read."""
    accepting = acceptor(ingest, in_flight=2)
    for start in (0, 10, 20):
        group = [of("fire", start + number) for number in range(3)]
        results = await accepting.accept([*group, raw(b"no json", name="fire")])
        assert [isinstance(result, Accepted) for result in results] == [True, True, False, False]
        assert isinstance(results[2], RateLimited)
        assert results[2].retry_after == 1
    assert not accepting._turnstile._in_flight


async def test_a_system_that_floods_leaves_half_of_the_places_to_others(ingest: Any) -> None:
    """Its third waiting group is told to come back; another system's groups still wait and are committed."""
    accepting = acceptor(ingest, limits=Limits(groups=1, waiting=4))
    is_open, may_end = asyncio.Event(), asyncio.Event()
    commit = accepting._commits._store.commit

    async def held(*arguments: Any) -> Any:
        is_open.set()
        await may_end.wait()
        return await commit(*arguments)

    accepting._commits._store = type("Held", (), {"commit": staticmethod(held)})()
    going = [asyncio.create_task(accepting.accept([of("fire", 0)]))]
    await is_open.wait()
    going += [asyncio.create_task(accepting.accept([of("fire", number)])) for number in (1, 2)]
    await eventually(lambda: accepting._commits._waiting == 2)
    mixed = asyncio.create_task(accepting.accept([of("fire", 3), of("law_enforcement", 1), of("fire", 4)]))
    await eventually(lambda: accepting._commits._waiting == 3)
    (refused,) = await accepting.accept([of("fire", 5)])
    assert isinstance(refused, RateLimited)
    assert refused.retry_after == 1
    last = asyncio.create_task(accepting.accept([of("law_enforcement", 2)]))
    await eventually(lambda: accepting._commits._waiting == 4)
    may_end.set()
    assert [type(result) for group in await asyncio.gather(*going) for result in group] == [Accepted] * 3
    assert [type(result) for result in await mixed] == [RateLimited, Accepted, RateLimited]
    assert [type(result) for result in await last] == [Accepted]
    assert not accepting._commits._waiting_of
    assert await ingest.count("inbound_deliveries") == 5
