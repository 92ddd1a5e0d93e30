"""A page folded onto what the cache holds: what to write, what only to tag as seen, what failed.

Pure. The store reads the page's records, folds, and writes the result in the same transaction.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from intertie_ingest.folding import NewState, is_same, overtaken
from intertie_ingest.model import CachedState, Fault, Key, RecordEnding, RoutedRecord, Status
from intertie_ingest.syncs.model import PageFailure, PageRecord


@dataclass(slots=True)
class PageFold:
    """What a page comes to."""

    #: rows of the cache to write
    states: dict[Key, NewState] = field(default_factory=dict)
    endings: list[RecordEnding] = field(default_factory=list)
    #: numbers of rows that stay as they are; of those in `waiting` it is not settled what becomes of them
    seen: list[int] = field(default_factory=list)
    waiting: list[int] = field(default_factory=list)
    #: numbers of rows that were set aside, and that this page finds at fault again
    still_set_aside: list[int] = field(default_factory=list)
    failures: list[PageFailure] = field(default_factory=list)
    new: int = 0
    changed: int = 0
    unchanged: int = 0


def fold_page(
    run_id: str, system_id: int, records: Sequence[PageRecord], cached: Mapping[Key, CachedState]
) -> PageFold:
    """Folds a page's records, in their order; `cached` are the states of them all.

    Each counts once: as new, changed or unchanged, or with its fault as a failure. Of several with one id the last one
    counts as what it is, unless it is an older version; the others as unchanged.
    """
    folded = PageFold()
    for one in _last_ones(system_id, records, folded):
        record = one.record
        key = (system_id, record.mapping_id, record.external_id)
        if record.fault is not None:
            folded.failures.append(PageFailure(one.position, record.fault, record.external_id))
        _put(run_id, key, record, cached.get(key), folded)
    folded.failures.sort(key=lambda failure: failure.position)
    return folded


def _last_ones(system_id: int, records: Sequence[PageRecord], folded: PageFold) -> Sequence[PageRecord]:
    """Of each record the occurrence that stands, in the order of the page."""
    standing: dict[Key, PageRecord] = {}
    for one in records:
        key = (system_id, one.record.mapping_id, one.record.external_id)
        other = standing.pop(key, None)
        if other is not None and _is_older(one.record.version_key, other.record.version_key):
            one, other = other, one
        standing[key] = one
        if other is None:
            continue
        if other.record.fault is None:
            folded.unchanged += 1
        else:
            folded.failures.append(PageFailure(other.position, other.record.fault, other.record.external_id))
    return sorted(standing.values(), key=lambda one: one.position)


def _put(run_id: str, key: Key, record: RoutedRecord, current: CachedState | None, folded: PageFold) -> None:
    if current is None:
        folded.states[key] = NewState(key[0], record, None, 0, 1, record.version_key)
        folded.new += record.fault is None
        return
    if _is_older(record.version_key, current.version_key) or (is_same(record, current) and _stays(record, current)):
        _see(current, record.fault, folded)
        return
    ending = overtaken(key, current, run_id)
    if ending is not None:
        folded.endings.append(ending)
    # A record whose version cannot be told is set aside; what comes after is still held against the last one known.
    version = record.version_key if record.fault is None else record.version_key or current.version_key
    folded.states[key] = NewState(key[0], record, None, current.id, current.revision + 1, version)
    folded.changed += record.fault is None


def _see(current: CachedState, fault: Fault | None, folded: PageFold) -> None:
    folded.unchanged += fault is None
    if fault is not None and current.status is Status.ERROR:
        folded.still_set_aside.append(current.id)
    elif current.status in (Status.PENDING, Status.ERROR):
        folded.waiting.append(current.id)
    else:
        folded.seen.append(current.id)


def _is_older(version: str | None, known: str | None) -> bool:
    return version is not None and known is not None and version < known


def _stays(record: RoutedRecord, current: CachedState) -> bool:
    """Whether a row with the same bytes stays as it is."""
    match current.status:
        case Status.OUTDATED:
            return False  # it has come back
        case Status.PENDING:
            return record.fault is None  # mapper could do nothing with what is at fault
        case Status.ERROR:
            # Set aside by what brought it and never seen by mapper: mended since, it is handed out.
            return record.fault is not None or current.attempts > 0
    return True
