"""Token buckets: exact in number and in the time that they name, and bounded in memory."""

import pytest

from intertie_chassis.buckets import Bucket, Buckets
from intertie_chassis.sources import source_of


def test_a_burst_then_the_rate() -> None:
    """As many at once as the burst, then one whenever the rate has made one; what must wait takes nothing."""
    bucket = Bucket(5, 100.0)
    assert [bucket.take(2, 5, 100.0) for _ in range(5)] == [0.0] * 5
    assert bucket.take(2, 5, 100.0) == pytest.approx(0.5)
    assert bucket.take(2, 5, 100.25) == pytest.approx(0.25)
    assert bucket.take(2, 5, 100.5) == 0.0
    assert bucket.take(2, 5, 100.5) == pytest.approx(0.5)


def test_who_comes_back_when_told_is_let_in() -> None:
    """The wait that was named is long enough, whatever the rate and its rounding."""
    for rate in (0.1, 1 / 3, 0.7, 3.0, 7.3, 1000.0):
        bucket, now = Bucket(1, 0.0), 12_345.678
        for _ in range(50):
            while wait := bucket.take(rate, 1, now):
                now += wait
                assert bucket.wait(rate, 1, now) == 0.0
            assert bucket.take(rate, 1, now) > 0


def test_a_long_rest_saves_no_more_than_the_burst() -> None:
    """A bucket is full at its burst."""
    bucket = Bucket(3, 0.0)
    assert [bucket.take(1, 3, 1e6) == 0.0 for _ in range(5)] == [True, True, True, False, False]


def test_a_smaller_burst_counts_at_once() -> None:
    """A changed limit needs no new bucket, and gives nobody a new one."""
    bucket = Bucket(100, 0.0)
    assert [bucket.take(1, 2, 0.0) == 0.0 for _ in range(3)] == [True, True, False]


def test_keys_do_not_share_and_the_least_lately_used_is_forgotten() -> None:
    """A million addresses fill no memory; who comes again and again is not forgotten for them."""
    buckets = Buckets(0.001, 1, most=100)
    assert buckets.take("here", 0.0) == 0.0
    for number in range(10_000):
        assert buckets.take(f"there {number}", 0.0) == 0.0
        assert buckets.take("here", 0.0) > 0
    assert len(buckets) == 100
    assert buckets.take("there 9999", 0.0) > 0
    assert buckets.take("there 0", 0.0) == 0.0


def test_looking_takes_nothing() -> None:
    """Neither a token nor memory."""
    buckets = Buckets(1, 1)
    assert [buckets.wait("key", 0.0) for _ in range(3)] == [0.0] * 3
    assert len(buckets) == 0
    assert buckets.take("key", 0.0) == 0.0
    assert buckets.wait("key", 0.0) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("address", "source"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2::9", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::9", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        ("", ""),
        ("unknown", "unknown"),
        ("a:b", "a:b"),
        ("x" * 1000, "x" * 45),
        ("1:" + "é" * 100, "1:" + "é" * 43),
    ],
    ids=lambda text: str(text)[:20],
)
def test_addresses_of_one_customer_are_one_source(address: str, source: str) -> None:
    """An IPv4 address however it is written, and an IPv6 /64."""
    assert source_of(address) == source
