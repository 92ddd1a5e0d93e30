"""Limits of addresses: exact counts, the share of a worker, and proxies that stand for many."""

import pytest

from intertie_gateway.addresses import Connections, Requests
from intertie_gateway.problems import RateLimited
from intertie_gateway.settings import GatewaySettings


def refused(requests: Requests, address: str, now: float) -> float | None:
    """The wait that a request is told; None when it is let in."""
    try:
        requests.enter(address, now)
    except RateLimited as error:
        return error.retry_after
    return None


def test_each_address_has_its_rate() -> None:
    """A neighbour in the same IPv6 /64 is the same address, another IPv4 address is not."""
    requests = Requests(1, 2, 0)
    assert [refused(requests, "192.0.2.1", 10.0) for _ in range(3)] == [None, None, 1.0]
    assert refused(requests, "192.0.2.2", 10.0) is None
    assert [refused(requests, f"2001:db8::{n}", 10.0) for n in (1, 2, 3)] == [None, None, 1.0]
    assert refused(requests, "192.0.2.1", 11.0) is None


def test_what_is_refused_for_its_number_takes_nothing_from_the_rate() -> None:
    """At most so many at once; each that ends makes room for one."""
    requests = Requests(0.001, 3, 2)
    sources = [requests.enter("192.0.2.1", 0.0) for _ in range(2)]
    for _ in range(10):
        assert refused(requests, "192.0.2.1", 0.0) == 1
    requests.leave(sources[0])
    assert refused(requests, "192.0.2.1", 0.0) is None
    assert refused(requests, "192.0.2.1", 0.0) == 1


def test_without_settings_there_are_no_limits() -> None:
    """Off by default; then requests are not even counted."""
    assert Requests.from_settings(GatewaySettings.model_validate({})) is None


@pytest.mark.parametrize(("workers", "least"), [(1, 8), (2, 4), (3, 3)])
def test_a_worker_allows_its_share(workers: int, least: int) -> None:
    """Each of several processes counts by itself, so each allows a part."""
    limits = {"gateway_address_rate": 0.001, "gateway_address_burst": 8, "gateway_address_connections": 8}
    settings = GatewaySettings.model_validate({"gateway_workers": workers, **limits})
    requests = Requests.from_settings(settings)
    assert requests is not None
    assert [refused(requests, "192.0.2.1", 0.0) is None for _ in range(10)].count(True) == least
    connections = Connections.from_settings(settings, [])
    assert [connections.enter("192.0.2.1") for _ in range(10)].count(True) == least


def test_connections_are_counted_out_again() -> None:
    """Refused ones too: each that was opened ends."""
    connections = Connections(2, [])
    assert [connections.enter("192.0.2.1") for _ in range(4)] == [True, True, False, False]
    for _ in range(3):
        connections.leave("192.0.2.1")
    assert [connections.enter("192.0.2.1") for _ in range(2)] == [True, False]
    assert connections.enter("192.0.2.2")
    for _ in range(3):
        connections.leave("192.0.2.1")
    connections.leave("192.0.2.2")
    assert not connections._open


@pytest.mark.parametrize("trusted", [["192.0.2.0/24"], ["192.0.2.1"], ["*"], ["name", "192.0.2.1"]])
def test_a_trusted_proxy_may_open_as_many_as_it_likes(trusted: list[str]) -> None:
    """Its connections are everybody's."""
    connections = Connections(1, trusted)
    assert all(connections.enter("192.0.2.1") for _ in range(5))
    if trusted != ["*"]:
        assert [connections.enter("198.51.100.1") for _ in range(2)] == [True, False]
