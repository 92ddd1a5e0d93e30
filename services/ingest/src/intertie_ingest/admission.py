"""On which terms a system's deliveries are taken: from which addresses, how often, how many at once.

Pure, compiled from the `config_json` of the connection that verifies the system's deliveries. What cannot be understood
is refused, and its system then lets nothing in.
"""

import math
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any

MOST_RATE = 1_000_000
MOST_SOURCES = 1000
OPTIONS = ("rate_limit", "max_in_flight", "allowed_sources")


class Unclear(Exception):
    """An option is not what it must be; the text names it."""


@dataclass(frozen=True, slots=True)
class Rate:
    """How many deliveries: `per_second` in the long run, `burst` at once."""

    per_second: float
    burst: float


class Sources:
    """Addresses that deliveries may come from."""

    def __init__(self, networks: list[IPv4Network | IPv6Network]) -> None:
        """The addresses of these networks."""
        self._ranges: dict[int, list[tuple[int, int]]] = {4: [], 6: []}
        for first, last, version in sorted(
            (int(network.network_address), int(network.broadcast_address), network.version) for network in networks
        ):
            ranges = self._ranges[version]
            if ranges and first <= ranges[-1][1]:
                # Networks lie apart or one within the other, so that the last range that begins before decides.
                ranges[-1] = (ranges[-1][0], max(last, ranges[-1][1]))
            else:
                ranges.append((first, last))

    def allow(self, peer: str) -> bool:
        """Whether the address is one of them; an unknown one is not. IPv4 may be written as IPv6 (`::ffff:…`)."""
        version, number = _parsed(peer)
        ranges = self._ranges.get(version, ())
        place = bisect_right(ranges, (number, 2**128)) - 1
        return place >= 0 and number <= ranges[place][1]


@lru_cache(maxsize=4096)
def _parsed(peer: str) -> tuple[int, int]:
    """The address's version and number; version 0 of what is none. Kept: few peers send most of what comes."""
    try:
        address = ip_address(peer.partition("%")[0])
    except ValueError:
        return 0, 0
    address = getattr(address, "ipv4_mapped", None) or address
    return address.version, int(address)


NOWHERE = Sources([])


@dataclass(frozen=True, slots=True)
class Terms:
    """The terms of one system; None: those of the settings."""

    rate: Rate | None = None
    max_in_flight: int | None = None
    #: None: from everywhere
    sources: Sources | None = None

    def allow(self, peer: str) -> bool:
        """Whether deliveries may come from this address."""
        return self.sources is None or self.sources.allow(peer)


def compile_terms(options: Mapping[str, Any]) -> Terms:
    """The terms that a `config_json` asks for; null is as good as left out. Raises Unclear."""
    rate, in_flight, sources = (options.get(name) for name in OPTIONS)
    return Terms(
        None if rate is None else _rate(rate),
        None if in_flight is None else _whole(in_flight, "max_in_flight"),
        None if sources is None else Sources(_networks(sources)),
    )


def _rate(value: object) -> Rate:
    if not isinstance(value, dict) or not {"per_second"} <= value.keys() <= {"per_second", "burst"}:
        raise Unclear('rate_limit must be an object such as {"per_second": 10, "burst": 20}')
    per_second, burst = value["per_second"], value.get("burst")
    if isinstance(per_second, bool) or not isinstance(per_second, int | float) or not 0 < per_second <= MOST_RATE:
        raise Unclear(f"rate_limit.per_second must be a number above 0, at most {MOST_RATE}")
    least = max(1, math.ceil(per_second))
    return Rate(float(per_second), float(least if burst is None else _whole(burst, "rate_limit.burst")))


def _whole(value: object, name: str) -> int:
    if type(value) is not int or not 1 <= value <= MOST_RATE:
        raise Unclear(f"{name} must be a whole number from 1 to {MOST_RATE}")
    return value


def _networks(value: object) -> list[IPv4Network | IPv6Network]:
    if not isinstance(value, list) or not 1 <= len(value) <= MOST_SOURCES:
        raise Unclear(f"allowed_sources must be a list of 1 to {MOST_SOURCES} addresses or networks")
    networks = []
    for item in value:
        try:
            networks.append(ip_network(item.strip() if isinstance(item, str) else ""))
        except ValueError:
            raise Unclear("allowed_sources must hold addresses or networks such as 140.82.112.0/20") from None
    return networks
