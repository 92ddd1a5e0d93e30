"""Dates and times are the same moments however they are written."""

from __future__ import annotations

from datetime import date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intertie_mapping.moments import MomentError, read_moment, read_plain

SECONDS = st.datetimes().map(lambda when: when.replace(microsecond=0))


@given(st.dates())
def test_a_plain_date_is_the_same_with_slashes(day: date) -> None:
    """The interpreter reads the one and a pattern the other."""
    assert read_plain(day.isoformat()) == read_moment(day.isoformat().replace("-", "/"))


@given(SECONDS, st.sampled_from(["", "Z"]), st.sampled_from(["T", " "]))
def test_a_plain_time_is_the_same_with_more_space(when: datetime, zone: str, between: str) -> None:
    """Likewise, with a zone and without."""
    day, clock = when.isoformat(timespec="seconds").split("T")
    assert read_plain(day + between + clock + zone) == read_moment(f"{day}  {clock}{zone}")


@given(st.from_regex(r"\d{4}[-/0-9]\d{2}-[-W0-9]{2}([T ]\d{2}:?\d{2}:\d{2}[Z+0-9.]{0,3})?", fullmatch=True))
def test_nothing_else_is_plain(text: str) -> None:
    """What looks alike is read by the pattern or refused, as before."""
    plain = read_plain(text)
    try:
        # A second space is one to the pattern alone.
        other = read_moment(text[:10].replace("-", "/") + text[10:].replace("T", " ").replace(" ", "  "))
    except MomentError:
        assert plain is None
    else:
        assert plain in (None, other)


@pytest.mark.parametrize(
    "text", ["2026-02-30", "2026-11-30T24:00:00", "2026-11-30T12:00:60", "2026-W01-1", "0000-01-01"]
)
def test_what_does_not_exist_is_not_plain(text: str) -> None:
    """The pattern says what is wrong with it."""
    assert read_plain(text) is None
