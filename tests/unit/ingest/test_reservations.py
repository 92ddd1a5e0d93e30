"""Which groups are leased as they are stored: only what a worker waits for, while nothing waits in the queue."""

import asyncio
from datetime import datetime, timedelta

import pytest

from intertie_ingest.reservations import Gathering, Reservations
from intertie_ingest.wakeup import Wakeup

NOW = datetime(2026, 1, 1)


class Bench:
    """Reservations under a clock of the test's, with nothing in the queue."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.wakeup = Wakeup()
        self.wakeup.took(self.wakeup.mark())
        self.stopping = asyncio.Event()
        self.reservations = Reservations(self.wakeup, self.stopping, lambda: self.now)

    def join(self, records: int = 1) -> str:
        """The token that a group gets; empty when it goes into the queue."""
        gathering = self.reservations.gathering(records, NOW)
        if gathering is None:
            return ""
        with gathering.joined(records):
            return gathering.token

    async def take(self) -> str:
        async with self.reservations.taking() as taken:
            return "" if taken is None else taken.token


async def test_groups_share_a_lease_until_it_is_taken() -> None:
    bench = Bench()
    with bench.reservations.taker(10, 60):
        first = bench.join(3)
        assert first
        assert bench.join(7) == first
        assert await bench.take() == first
        assert bench.join() not in ("", first)


def test_nothing_is_leased_that_nobody_waits_for() -> None:
    """Somebody who waited a moment ago is working on a batch, and will be back."""
    bench = Bench()
    assert not bench.join()
    with bench.reservations.taker(10, 60):
        assert bench.join()
    bench.now += 0.4
    assert bench.join()
    bench.now += 0.2
    assert not bench.join()


def test_nothing_is_leased_while_something_waits_in_the_queue() -> None:
    bench = Bench()
    with bench.reservations.taker(10, 60):
        bench.wakeup.ring(5, leased=5)
        assert bench.join()
        bench.wakeup.ring(5, leased=4)
        assert not bench.join()


def test_leases_are_no_larger_than_a_batch_and_no_more_than_three_gather() -> None:
    bench = Bench()
    with bench.reservations.taker(10, 60):
        assert not bench.join(11)
        assert not bench.join(0)
        tokens = [bench.join(6) for _ in range(4)]
        assert len(set(tokens[:3])) == 3
        assert tokens[3] == ""
        assert bench.join(4) == tokens[2]


def test_no_group_joins_a_lease_that_has_gathered_for_long() -> None:
    bench = Bench()
    with bench.reservations.taker(10, 60):
        first = bench.join()
        bench.now += 1.9
        assert bench.join() == first
        bench.now += 0.2
        assert bench.join() != first


@pytest.mark.parametrize(("asked", "given"), [(60, 10), (10, 10), (3, 3)])
async def test_such_a_lease_is_short_and_no_longer_than_was_asked_for(asked: int, given: int) -> None:
    bench = Bench()
    with bench.reservations.taker(10, asked):
        bench.join()
    async with bench.reservations.taking() as taken:
        assert taken is not None
        assert (taken.seconds, taken.expires_at) == (given, NOW + timedelta(seconds=given))


def test_nothing_is_leased_once_ingest_stops() -> None:
    bench = Bench()
    bench.stopping.set()
    with bench.reservations.taker(10, 60):
        assert not bench.join()


async def test_it_is_handed_over_when_the_groups_on_their_way_have_been_committed() -> None:
    bench = Bench()
    with bench.reservations.taker(10, 60):
        gathering = bench.reservations.gathering(1, NOW)
        assert gathering is not None
        with gathering.joined(1):
            taking = asyncio.create_task(bench.take())
            await asyncio.sleep(0)
            assert not taking.done()
            assert bench.join() != gathering.token
    assert await taking == gathering.token


async def test_a_lease_with_a_group_that_takes_long_is_for_another_look() -> None:
    bench = Bench()
    with bench.reservations.taker(10, 60):
        first = bench.reservations.gathering(6, NOW)
        assert first is not None
        with first.joined(6):
            assert await bench.take() == ""
            second = bench.join(6)
            assert await bench.take() == second
        assert await bench.take() == first.token


async def test_whether_all_groups_of_a_lease_came_through_is_known() -> None:
    """One that failed may be committed all the same, later."""
    bench = Bench()
    with bench.reservations.taker(10, 60):
        gathering = bench.reservations.gathering(1, NOW)
    assert gathering is not None
    with gathering.joined(1):
        pass
    assert not gathering.is_unsure
    with pytest.raises(asyncio.CancelledError), gathering.joined(1):
        raise asyncio.CancelledError
    assert (gathering.is_unsure, gathering.is_idle) == (True, True)
    with bench.reservations.taker(10, 60):
        assert bench.join() != gathering.token


async def test_what_nobody_comes_for_is_given_up() -> None:
    """After three seconds, or as soon as nobody is there any more."""
    bench = Bench()
    with bench.reservations.taker(10, 60):
        bench.join(6)
        bench.now += 2
        bench.join(6)
        bench.now += 1.1
        assert len(bench.reservations.unwanted()) == 1
        assert bench.reservations.is_gathering
    bench.now += 0.6
    assert len(bench.reservations.unwanted()) == 1
    assert not bench.reservations.is_gathering


async def test_a_lease_with_a_group_on_its_way_is_not_given_up_but_when_ingest_stops() -> None:
    bench = Bench()
    with bench.reservations.taker(10, 60):
        gathering = bench.reservations.gathering(1, NOW)
    assert gathering is not None
    bench.now += 1
    with gathering.joined(1):
        assert bench.reservations.unwanted() == []
        with bench.reservations.taker(10, 60):
            assert bench.join() != gathering.token
        assert gathering in await bench.reservations.all()


async def test_who_waited_in_vain_for_a_group_is_woken_when_it_has_come() -> None:
    """It may bring nothing that would ring."""
    bench = Bench()
    with bench.reservations.taker(10, 60):
        gathering = bench.reservations.gathering(1, NOW)
    assert gathering is not None
    with gathering.joined(1):
        assert await bench.take() == ""
        rung = bench.wakeup.listen()
    assert rung.is_set()


def test_a_group_that_may_take_longer_than_half_of_the_lease_is_not_leased() -> None:
    bench = Bench()
    with bench.reservations.taker(10, 60):
        assert bench.reservations.gathering(1, NOW, 5.1) is None
        assert bench.reservations.gathering(1, NOW, 5.0) is not None


async def test_a_lease_that_could_not_be_handed_over_is_the_next_ones() -> None:
    bench = Bench()
    with bench.reservations.taker(10, 60):
        tokens = [bench.join(6), bench.join(6)]
    with pytest.raises(RuntimeError):
        async with bench.reservations.taking():
            raise RuntimeError
    assert [await bench.take(), await bench.take(), await bench.take()] == [*tokens, ""]


def test_records_keep_their_order_in_microseconds_behind_the_end() -> None:
    gathering = Gathering(10, 10, 0.0, NOW)
    with gathering.joined(3) as first, gathering.joined(2) as second:
        assert first == gathering.expires_at
        assert second - first == timedelta(microseconds=3)
    assert gathering.places == timedelta(microseconds=5)
