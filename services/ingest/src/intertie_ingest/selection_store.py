"""The SQL of a choice among cached records: conditions, and the index that finds them."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, String, Table, literal, literal_column

from intertie_ingest.migrations.first_tables import CLAIM_INDEX
from intertie_ingest.model import Status
from intertie_ingest.selection import RecordFilter


def narrowed(cache: Table, wanted: RecordFilter) -> Sequence[ColumnElement[bool]]:
    """What rows of the cache must fulfil."""
    column, times = cache.c, wanted.in_whole_seconds
    pairs: tuple[tuple[Any, Any], ...] = (
        (column.system_id, wanted.system_id),
        (column.external_id, wanted.external_id),
        (column.sync_status, None if wanted.status is None else wanted.status.value),
        (column.error_reason, wanted.error_reason),
        (column.delivery_id, wanted.delivery_id),
    )
    conditions: list[ColumnElement[bool]] = [each == value for each, value in pairs if value is not None]
    many: tuple[tuple[Any, Collection[int] | None], ...] = (
        (column.id, wanted.ids),
        (column.mapping_id, wanted.mapping_ids),
    )
    conditions += [each.in_(sorted(values)) for each, values in many if values is not None]
    if times.changed_after is not None:
        conditions.append(column.updated_at >= to_the_second(times.changed_after))
    if times.changed_before is not None:
        conditions.append(column.updated_at < to_the_second(times.changed_before))
    if wanted.is_waiting:
        # No lease is on them; said so that the claim's index has them in the order of their numbers.
        conditions += [column.lease_solo == literal_column("0"), column.available_at.is_(None)]
    return conditions


def to_the_second(moment: datetime) -> ColumnElement[str]:
    """A time to compare `updated_at` with: as text, as both databases write it, since SQLite compares the texts."""
    return literal(moment.isoformat(" ", "seconds"), String())


def hinted(query: Select[Any], cache: Table, wanted: RecordFilter) -> Select[Any]:
    """The query, told on MySQL to read the claim's index where nothing that is chosen by finds fewer rows."""
    names_few = (
        wanted.ids is not None
        or wanted.delivery_id is not None
        or (wanted.external_id is not None and wanted.system_id is not None)
    )
    is_rare = wanted.status is Status.ERROR or wanted.is_waiting
    if names_few or not is_rare:
        return query
    return query.with_hint(cache, f"FORCE INDEX ({CLAIM_INDEX})", "mysql")
