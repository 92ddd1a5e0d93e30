"""How much one address may ask of the gateway: requests a second, requests and connections at once.

The address is the client's behind trusted proxies; IPv6 counts by /64. All of it is counted by one process.
"""

import math
from collections import Counter
from functools import lru_cache
from ipaddress import ip_address, ip_network

from intertie_chassis.buckets import Buckets
from intertie_chassis.sources import source_of
from intertie_gateway.problems import RateLimited
from intertie_gateway.settings import GatewaySettings


class Requests:
    """The requests of each address. Costs a request a look into a dictionary and a few sums."""

    def __init__(self, rate: float, burst: int, at_once: int) -> None:
        """Args:
        rate: requests a second in the long run; 0: no limit.
        burst: requests that may come at once without waiting; 0: as many as in a second.
        at_once: requests that are answered at the same time; 0: no limit.
        """
        self._buckets = Buckets(rate, max(1, burst or math.ceil(rate))) if rate else None
        self._most = at_once
        self._running: Counter[str] = Counter()

    @classmethod
    def from_settings(cls, settings: GatewaySettings) -> "Requests | None":
        """The limits of one of the workers, its share of what is set; None when there are none."""
        workers = settings.gateway_workers
        if not settings.gateway_address_rate and not settings.gateway_address_in_flight:
            return None
        return cls(
            settings.gateway_address_rate / workers,
            math.ceil(settings.gateway_address_burst / workers),
            math.ceil(settings.gateway_address_in_flight / workers),
        )

    def enter(self, address: str, now: float) -> str:
        """Counts a request in and gives the source that `leave` counts it out of.

        Args:
            now: seconds of a clock that never goes back.

        Raises RateLimited that says when the next request may come; then nothing is counted.
        """
        source = source_of(address)
        if self._most and self._running[source] >= self._most:
            raise RateLimited("too many requests of this address are being answered; send fewer at once", 1)
        if self._buckets is not None:
            wait = self._buckets.take(source, now)
            if wait:
                raise RateLimited("more requests come from this address than it may send", wait)
        self._running[source] += 1
        return source

    def leave(self, source: str) -> None:
        """Counts a request out."""
        _count_out(self._running, source)


class Connections:
    """The open connections of each address. A trusted proxy's are not counted: they are everybody's."""

    def __init__(self, most: int, trusted: list[str]) -> None:
        """Args:
        most: connections of one address; 0: no limit.
        trusted: the proxies' addresses and networks, or `*` for all.
        """
        self._most = most
        self._trusts_all = "*" in trusted
        self._trusted = [ip_network(one, strict=False) for one in trusted if _is_network(one)]
        self._open: Counter[str] = Counter()
        self._is_proxy = lru_cache(maxsize=1024)(self._find_proxy)

    @classmethod
    def from_settings(cls, settings: GatewaySettings, trusted: list[str]) -> "Connections":
        """The limit of one of the workers, its share of what is set."""
        return cls(math.ceil(settings.gateway_address_connections / settings.gateway_workers), trusted)

    def enter(self, address: str) -> bool:
        """Counts a connection in; gives whether that is not too many."""
        if not self._most:
            return True
        source = source_of(address)
        self._open[source] += 1
        return self._open[source] <= self._most or self._is_proxy(address)

    def leave(self, address: str) -> None:
        """Counts a connection out."""
        if self._most:
            _count_out(self._open, source_of(address))

    def _find_proxy(self, address: str) -> bool:
        if self._trusts_all:
            return True
        try:
            parsed = ip_address(address.partition("%")[0])
        except ValueError:
            return False
        return any(parsed in network for network in self._trusted)


def _count_out(counts: Counter[str], source: str) -> None:
    counts[source] -= 1
    if not counts[source]:
        del counts[source]


def _is_network(text: str) -> bool:
    try:
        ip_network(text, strict=False)
    except ValueError:
        return False
    return True
