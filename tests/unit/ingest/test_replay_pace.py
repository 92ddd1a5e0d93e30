"""How fast a replay goes, which range of times a choice has, and what the log says of one."""

from dataclasses import replace
from datetime import datetime, timedelta

import orjson
from hypothesis import given
from hypothesis import strategies as st

from intertie.audit.v1 import audit_pb2
from intertie_ingest.audit_convert import entries_of_replay
from intertie_ingest.pace import MOST_REPLAYED, Pace
from intertie_ingest.selection import RecordFilter, ranges

NOON = datetime(2026, 1, 1, 12)


def test_a_rate_says_when_each_becomes_available() -> None:
    """The first at once; without a rate all of them, in their order."""
    assert Pace(4.0).moments(NOON, 3) == [NOON + timedelta(milliseconds=250 * index) for index in range(3)]
    assert Pace().moments(NOON, 2) == [NOON, NOON + timedelta(microseconds=1)]
    assert Pace(4.0).moments(NOON, 0) == []


@given(st.floats(min_value=0, allow_nan=False, allow_infinity=False), st.integers(1, 10**9))
def test_no_rate_goes_beyond_a_day(rate: float, most: int) -> None:
    """Nor beyond what one transaction changes; one record is taken always, and the order is kept."""
    pace = Pace(rate, most)
    assert 1 <= pace.limit <= min(most, MOST_REPLAYED)
    moments = pace.moments(NOON, min(pace.limit, 50))
    assert moments == sorted(set(moments))
    assert pace.moments(NOON, 1) == [NOON]
    if pace.limit > 1:
        last = (pace.limit - 1) / rate if rate else 0
        assert last <= 86_400


def test_times_of_a_choice_are_whole_seconds() -> None:
    """Changes are known to the second: a moment within one lies behind what changed in it."""
    within = NOON.replace(microsecond=1)
    whole = RecordFilter(changed_after=within, changed_before=NOON).in_whole_seconds
    assert (whole.changed_after, whole.changed_before) == (NOON + timedelta(seconds=1), NOON)
    assert replace(RecordFilter(), changed_after=datetime.max).in_whole_seconds.changed_after == datetime.max.replace(
        microsecond=0
    )


@given(st.lists(st.integers(1, 10**6)))
def test_ranges_hold_each_number_once(ids: list[int]) -> None:
    """And nothing else."""
    found: list[int] = []
    for text in ranges(ids):
        first, _, last = text.partition("-")
        found += range(int(first), int(last or first) + 1)
    assert found == sorted(set(ids))


def test_the_log_has_every_record_of_a_replay_in_entries_of_bounded_size() -> None:
    """Numbers in a row are one range; what is scattered fills several entries, each with who and what."""
    request = audit_pb2.AppendEntriesRequest.FromString(
        entries_of_replay(range(5, 10_005), {"system": "a"}, "user:x", "r-1", 7)
    )
    (entry,) = request.entries
    assert orjson.loads(entry.response_payload) == {"replayed": 10_000, "ids": ["5-10004"]}
    assert (entry.actor, entry.request_id, entry.query_type) == ("user:x", "r-1", "replay")
    assert (entry.system, entry.system_id) == ("a", 7)
    scattered = range(2**60, 2**60 + 5000, 2)
    request = audit_pb2.AppendEntriesRequest.FromString(entries_of_replay(scattered, {"system": "a"}, "u", "r"))
    answers = [orjson.loads(entry.response_payload) for entry in request.entries]
    assert [(one["replayed"], one["part"], one["parts"]) for one in answers] == [(2500, part, 3) for part in (1, 2, 3)]
    assert [int(number) for one in answers for number in one["ids"]] == list(scattered)
    assert {entry.request_payload for entry in request.entries} == {b'{"system":"a"}'}
    assert max(len(entry.response_payload) for entry in request.entries) < 64 * 1024
    assert len({entry.entry_id for entry in request.entries}) == 3
