"""The decisions of the benchmark's parts: which rate is tried next, and when a row was first seen."""

from parts.delay import Appearances
from parts.sustained import Search
from webhooks import DIGITS, MARK, Numbers, number_of, template


def tried(search: Search, limit: float) -> list[float]:
    """The rates that are tried when those up to the limit are kept."""
    rates = []
    while search.next is not None:
        rates.append(round(search.next))
        search.tried(is_kept=search.next <= limit)
    return rates


def test_a_rate_is_looked_for_upwards_until_one_is_missed() -> None:
    """The first guess is not the end."""
    assert tried(Search(1000), limit=1100) == [1000, 1080, 1166]


def test_a_rate_is_looked_for_downwards_until_one_is_kept() -> None:
    """A guess that was too high is lowered."""
    assert tried(Search(1000), limit=900) == [1000, 926, 857]


def test_rows_that_commit_out_of_order_are_seen() -> None:
    """The look stays in front of a gap, and each row keeps the moment when it was first seen."""
    seen = Appearances(10)
    seen.see([(11, f"{1:012}"), (13, f"{3:012}")], 1.0)
    assert seen.behind == 11
    seen.see([(12, f"{2:012}"), (13, f"{3:012}")], 2.0)
    assert seen.behind == 13
    assert seen.moments == {1: 1.0, 3: 1.0, 2: 2.0}


def test_a_gap_that_stays_is_left_behind() -> None:
    """A number that no row will have does not make each look longer than the one before."""
    seen = Appearances(0)
    seen.see([(key, f"{key:012}") for key in range(2, 500)], 1.0)
    assert seen.behind == 499


def test_requests_have_the_length_that_they_say() -> None:
    """With a number in it, the body is as long as its header says; the row's title has the number."""
    number = f"{7:0{DIGITS}}"
    head, _, body = template("/webhook/x", "secret").replace(MARK.encode(), number.encode()).partition(b"\r\n\r\n")
    assert f"Content-Length: {len(body)}".encode() in head
    assert number_of(f"Traffic accident {number}") == 7


def test_no_two_generators_share_a_number() -> None:
    """Each has a thousand million of its own."""
    numbers = Numbers()
    assert numbers.first() + 10**9 == numbers.first()
