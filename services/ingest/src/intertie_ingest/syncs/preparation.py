"""From a page's bytes to records with a place in the cache: parsed, filtered and identified as a webhook's are."""

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from itertools import repeat

from intertie_ingest.configuration import CompiledMapping
from intertie_ingest.model import Fault, RecordReason
from intertie_ingest.routing import Patience, place
from intertie_ingest.syncs.cursors import CursorValue, largest
from intertie_ingest.syncs.model import PageFailure, PageRecord
from intertie_ingest.syncs.source import Page
from intertie_mapping.documents import Record, parse
from intertie_mapping.errors import DocumentError, DocumentReason
from intertie_mapping.paths import compile_path
from intertie_mapping.plan import Plan
from intertie_mapping.values import JsonObject, JsonValue, Missing

MOST_RECORD_BYTES = 7 * 1024 * 1024
"""What a record may have: more would not fit the database's max_allowed_packet of 16 MiB beside its place."""

RECORDS_A_PATIENCE = 50
"""For so many records a filter has what the filters of a system have for a group of deliveries. A page may be a
thousand times as long as a delivery, and nobody waits for its end: the loop turns between two records."""

_TURN_SECONDS = 0.001
_MISSING_ID = Fault(RecordReason.MISSING_EXTERNAL_ID, "external_id_field", RecordReason.MISSING_EXTERNAL_ID.sentence)


@dataclass(slots=True)
class Prepared:
    """What a page comes to."""

    #: one may carry the fault for which it is set aside
    records: list[PageRecord] = field(default_factory=list)
    #: those that cannot be taken
    failures: list[PageFailure] = field(default_factory=list)
    #: those that the mapping's filter does not want
    skipped: int = 0
    #: the largest cursor value in the records, also in those that the filter does not want
    cursor: CursorValue | None = None


async def prepare(page: Page, route: CompiledMapping, system_id: int, cursor_field: str | None = None) -> Prepared:
    """Prepares a page's records; other work of the process goes on between two of them.

    Each is routed as a delivery's record is, so that the same bytes get the same id, version and digest by either door.
    It is read for that only where the page does not tell all that the mapping looks at. Raises CursorMismatch when the
    values of `cursor_field` have no order between them.
    """
    prepared, cursor_of = Prepared(), _cursor_reader(cursor_field)
    wants, turned = partial(Patience().wants, system_id), time.monotonic()
    glances = _glances(page, route) if cursor_field is None else repeat(None)
    for position, (raw, glance) in enumerate(zip(page.records, glances, strict=False), 1):
        if position % RECORDS_A_PATIENCE == 0:
            wants = partial(Patience().wants, system_id)
        if glance is None or not _one_at_a_glance(position, raw, glance, route, wants, prepared):
            _one(position, raw, route, wants, cursor_of, prepared)
        if time.monotonic() - turned > _TURN_SECONDS:
            await asyncio.sleep(0)
            turned = time.monotonic()
    return prepared


def looked_at(plan: Plan) -> frozenset[str] | None:
    """The members of a record on which its place depends; None: on whatever the mapping's filter looks at."""
    configuration = plan.configuration
    if configuration.filter is not None:
        return None
    names = {configuration.external_id_field, configuration.version_field}
    return frozenset(name for name in names if name is not None)


def _glances(page: Page, route: CompiledMapping) -> Iterable[JsonObject | None]:
    """Of each record those members on which its place depends, where the page tells them; None: it has to be read."""
    names = None if route.plan is None else looked_at(route.plan)
    if not names or not names <= page.known.keys():
        return repeat(None)
    columns = [page.known[name] for name in names]
    return (dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True))


def _one_at_a_glance(
    position: int,
    raw: bytes,
    glance: JsonObject,
    route: CompiledMapping,
    wants: Callable[[Plan, Record], bool],
    prepared: Prepared,
) -> bool:
    """Whether the record has its place by what was looked at; one with a fault or too large has to be read."""
    record = Record(raw, glance)
    found = place(route, record, _own_id(route, record), is_push=False, wants=wants)
    if found is None or found[0] is None or found[1].fault is not None or len(raw) > MOST_RECORD_BYTES:
        return False
    prepared.records.append(PageRecord(position, found[1]))
    return True


def _own_id(route: CompiledMapping, record: Record) -> str:
    """Where each state has a row of its own, the state is known by its bytes: read again it makes no second row."""
    return record.digest().hex() if route.plan is not None and route.plan.every else ""


def _one(
    position: int,
    raw: bytes,
    route: CompiledMapping,
    wants: Callable[[Plan, Record], bool],
    cursor_of: Callable[[JsonObject], CursorValue | None],
    prepared: Prepared,
) -> None:
    record = _record(raw)
    if isinstance(record, Fault):
        prepared.failures.append(PageFailure(position, record))
        return
    prepared.cursor = largest(prepared.cursor, cursor_of(record.value))
    found = place(route, record, _own_id(route, record), is_push=False, wants=wants)
    if found is None:
        prepared.skipped += 1
        return
    shown, placed = found
    if shown is None:
        prepared.failures.append(PageFailure(position, placed.fault or _MISSING_ID))
        return
    prepared.records.append(PageRecord(position, placed))


def _record(raw: bytes) -> Record | Fault:
    if len(raw) > MOST_RECORD_BYTES:
        return Fault(RecordReason.RECORD_TOO_LARGE, "", RecordReason.RECORD_TOO_LARGE.sentence)
    try:
        document = parse(raw, 1)
    except DocumentError as error:
        return Fault(error.reason, "", error.message.replace("The body", "The record"))
    if document.is_array:
        return Fault(DocumentReason.NOT_AN_OBJECT, "", "The record is an array; it must be a JSON object.")
    return document.records[0]


def _cursor_reader(path: str | None) -> Callable[[JsonObject], CursorValue | None]:
    if path is None:
        return lambda record: None
    read = compile_path(path)

    def cursor_of(record: JsonObject) -> CursorValue | None:
        value: JsonValue | Missing = read(record)
        # An empty text is how some say "never".
        return None if isinstance(value, Missing) or value == "" else CursorValue.of(value)

    return cursor_of
