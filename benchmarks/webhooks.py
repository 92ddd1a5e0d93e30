"""The webhooks that all generators send: one text, in which each has a number of its own."""

import itertools
from dataclasses import dataclass, field

SYSTEM = "benchmark_sender"
MAPPING = "incidents_to_events"
CONFIG = {"field_mappings": {"title": "event_title", "date": "date", "location": "location"}}
"""The mapping of the demo: three columns of `events`, each record under the `id` that it brings."""
DIGITS = 12
MARK = "{number}"
"""Where a request has its number."""

_BODY = (
    f'{{"event_type": "incident_created", "id": "{MARK}", "title": "Traffic accident {MARK}", '
    '"location": "Main Street, corner of Station Road, northbound lane", "date": "2026-01-20", "severity": 3}'
)
_NUMBERS_A_RUN = 10**9


def template(path: str, secret: str) -> bytes:
    """One HTTP request to the path, with MARK where its number goes."""
    length = len(_BODY) + _BODY.count(MARK) * (DIGITS - len(MARK))
    return (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"X-Webhook-Secret: {secret}\r\nContent-Length: {length}\r\n\r\n{_BODY}"
    ).encode()


def number_of(title: str) -> int:
    """The number of the record from whose title a row has its own."""
    return int(title[-DIGITS:])


@dataclass
class Numbers:
    """Hands out the numbers of records: no two generators of one run of the benchmark send the same."""

    _runs: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    def first(self) -> int:
        """The number before the first of a generator; it may send a thousand million."""
        return next(self._runs) * _NUMBERS_A_RUN
