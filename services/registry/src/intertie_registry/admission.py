"""What a config_json says about from where and how often a system's deliveries are taken, and whether it makes sense.

Ingest, which goes by it, reads it again as strictly: what it cannot understand there closes the system.
"""

from collections.abc import Iterator
from ipaddress import ip_network
from typing import Any

from intertie_registry.secrets import JsonObject

MOST_RATE = 1_000_000
MOST_SOURCES = 1000


def problems(config: JsonObject) -> Iterator[tuple[str, str]]:
    """Everything that is wrong with the members about it: pairs of a member and a text. Null is none."""
    rate, in_flight, sources = (config.get(key) for key in ("rate_limit", "max_in_flight", "allowed_sources"))
    if rate is not None:
        yield from _rate_problems(rate)
    if in_flight is not None and not _is_whole(in_flight):
        yield "max_in_flight", f"must be a whole number from 1 to {MOST_RATE}"
    if sources is not None:
        yield from _source_problems(sources)


def _rate_problems(rate: Any) -> Iterator[tuple[str, str]]:
    if not isinstance(rate, dict) or "per_second" not in rate:
        yield "rate_limit", 'must be an object such as {"per_second": 10, "burst": 20}'
        return
    for key in sorted(rate.keys() - {"per_second", "burst"}):
        yield f"rate_limit.{key[:100]}", "is no member of it"
    per_second, burst = rate["per_second"], rate.get("burst")
    if isinstance(per_second, bool) or not isinstance(per_second, int | float) or not 0 < per_second <= MOST_RATE:
        yield "rate_limit.per_second", f"must be a number above 0, at most {MOST_RATE}"
    if burst is not None and not _is_whole(burst):
        yield "rate_limit.burst", f"must be a whole number from 1 to {MOST_RATE}"


def _source_problems(sources: Any) -> Iterator[tuple[str, str]]:
    if not isinstance(sources, list) or not 1 <= len(sources) <= MOST_SOURCES:
        yield "allowed_sources", f"must be a list of 1 to {MOST_SOURCES} addresses or networks, or null to allow all"
        return
    for number, item in enumerate(sources):
        try:
            ip_network(item.strip() if isinstance(item, str) else "")
        except ValueError:
            text = "is no address or network such as 140.82.112.7 or 140.82.112.0/20, without bits behind its length"
            yield f"allowed_sources[{number}]", text


def _is_whole(value: Any) -> bool:
    return type(value) is int and 1 <= value <= MOST_RATE
