"""Ids that the gateway makes are ULIDs as any other part's."""

import time
from datetime import UTC, datetime

from ulid import ULID

from intertie_chassis.ids import is_request_id
from intertie_gateway.request_ids import RequestIds


def test_they_are_ulids_of_now() -> None:
    """The library reads them, and finds the time in them."""
    before = time.time()
    text = RequestIds().new()
    moment = ULID.from_str(text).datetime
    assert is_request_id(text)
    assert datetime.fromtimestamp(before - 0.001, UTC) <= moment <= datetime.now(UTC)


def test_they_are_unique_and_rise() -> None:
    """Within a process by counting, also from one millisecond to the next."""
    ids = RequestIds()
    made = [ids.new() for _ in range(20_000)]
    assert len(set(made)) == len(made)
    times = [text[:10] for text in made]
    assert times == sorted(times)


def test_two_processes_do_not_meet() -> None:
    """Each has random bits of its own, each millisecond anew."""
    first, second = RequestIds(), RequestIds()
    assert not {first.new() for _ in range(1000)} & {second.new() for _ in range(1000)}
