"""Pushes: one record a call, or many in few calls, each with an outcome of its own.

Every push has a key, so that a push which is tried again is a duplicate and not a second record.
"""

import hashlib
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from intertie_client import documents, operations, reading
from intertie_client.errors import IntertieError, InvalidArgument, TooLarge
from intertie_client.models import Pushed, PushOutcome
from intertie_client.plans import Plan, Terms, call

MOST_BATCH_RECORDS = 1000
MOST_BATCH_BYTES = 1024 * 1024
"""What is pushed at once at most: as large a body as the service takes of anybody by default."""

Record = Mapping[str, Any] | bytes
_OF_ALL = {"system", "mapping", "idempotency_key"}
"""Fields that are at fault for every record, so that it does not help to push fewer."""


@dataclass(frozen=True, slots=True)
class _Item:
    place: int
    raw: bytes


def push(
    terms: Terms, system: str, mapping: str, record: Record, idempotency_key: str | None, timeout: float | None
) -> Plan[Pushed]:
    """One record."""
    key = idempotency_key or uuid.uuid4().hex
    response = yield from call(terms, operations.push(system, mapping, documents.write_record(record), key), timeout)
    return reading.pushed(response)


def push_many(
    terms: Terms,
    system: str,
    mapping: str,
    records: Iterable[Record],
    idempotency_key: str | None,
    timeout: float | None,
) -> Plan[list[PushOutcome]]:
    """Many records in order, one outcome each. `timeout` is for each call.

    A batch that is refused for what it holds is halved until what is at fault stands alone. After any other failure
    nothing more is sent, and what was not stored has that failure: whoever tries again tries those.
    """
    outcomes: dict[int, PushOutcome] = {}
    stopped: IntertieError | None = None
    key = idempotency_key or uuid.uuid4().hex
    for batch in _batches(records, outcomes):
        if stopped is None:
            stopped = yield from _push_batch(terms, (system, mapping, key), batch, outcomes, timeout)
        outcomes.update({item.place: PushOutcome(error=stopped) for item in batch if item.place not in outcomes})
    return [outcomes[place] for place in range(len(outcomes))]


def _push_batch(
    terms: Terms,
    named: tuple[str, str, str],
    batch: list[_Item],
    outcomes: dict[int, PushOutcome],
    timeout: float | None,
) -> Plan[IntertieError | None]:
    """Pushes a batch, and fills in what became of it. Comes to the failure that stopped it, None: all are told of."""
    waiting = [batch]
    while waiting:
        part = waiting.pop()
        try:
            response = yield from call(terms, _operation(*named, part), timeout)
        except IntertieError as error:
            if not isinstance(error, InvalidArgument | TooLarge) or _OF_ALL & {one.field for one in error.violations}:
                return error
            if len(part) == 1:
                outcomes[part[0].place] = PushOutcome(error=error)
            else:
                middle = len(part) // 2
                waiting += [part[middle:], part[:middle]]
        else:
            outcomes.update(
                {item.place: PushOutcome(reading.pushed(response, number)) for number, item in enumerate(part)}
            )
    return None


def _operation(system: str, mapping: str, key: str, part: list[_Item]) -> operations.Operation[Any]:
    data = part[0].raw if len(part) == 1 else b"[" + b",".join(item.raw for item in part) + b"]"
    # The key is of what is pushed: whoever pushes it again, however it is divided then, never meets another's key.
    digest = hashlib.sha256(f"{system}\0{mapping}\0{part[0].place}\0".encode() + data).hexdigest()[:32]
    return operations.push(system, mapping, data, f"{key}:{digest}")


def _batches(records: Iterable[Record], outcomes: dict[int, PushOutcome]) -> Iterator[list[_Item]]:
    """What is pushed at once. Records that are no JSON have their outcome at once and are left out."""
    batch: list[_Item] = []
    size = 0
    for place, record in enumerate(records):
        try:
            raw = documents.write_record(record)
        except InvalidArgument as error:
            outcomes[place] = PushOutcome(error=error)
            continue
        if batch and (len(batch) >= MOST_BATCH_RECORDS or size + len(raw) >= MOST_BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(_Item(place, raw))
        size += len(raw) + 1
    if batch:
        yield batch
