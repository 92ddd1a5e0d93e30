"""Calls that audit itself refused, as entries of its own log: it sends them to nobody."""

from collections.abc import Awaitable, Callable, Sequence

import orjson

from intertie_audit.model import Entry
from intertie_chassis.denials import Denial


def keeper(
    append: Callable[[Sequence[Entry]], Awaitable[int]], wake: Callable[[], None]
) -> Callable[[Sequence[Denial]], Awaitable[None]]:
    """What takes denials and appends them; `wake` tells those who follow the log. It raises Unavailable."""

    async def keep(denials: Sequence[Denial]) -> None:
        await append([_entry(denial) for denial in denials])
        wake()

    return keep


def _entry(denial: Denial) -> Entry:
    place = denial.place
    return Entry(
        id=0,
        entry_id=denial.entry_id,
        system_id=None,
        system_name=None,
        query_type="access",
        query_string=place.method or None,
        request_payload=orjson.dumps(denial.payload).decode(),
        response_payload=None,
        response_status=place.status,
        execution_time_ms=None,
        status="error",
        error_message=denial.message,
        requested_by=None,
        module_name=place.module or None,
        actor=place.subject or None,
        created_at=denial.first_at.replace(tzinfo=None),
        delivery_id=None,
        request_id=denial.request_id,
    )
