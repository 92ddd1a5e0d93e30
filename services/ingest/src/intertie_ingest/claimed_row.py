"""A row of the cache that is leased: what its columns tell of it, and what mapper is handed.

Another application may have written over a row; then what it holds is a state of its own, known by its digest alone.
"""

from hashlib import sha256
from typing import Any

from intertie_ingest.lease_model import Leased

LEASED_COLUMNS = (
    "id",
    "system_id",
    "mapping_id",
    "external_id",
    "revision",
    "data_json",
    "version_key",
    "delivery_id",
    "digest",
    "attempts",
    "traceparent",
)
"""Those that mapper is handed, in the order of `Leased`."""

CLAIMED_COLUMNS = (*LEASED_COLUMNS, "crashes", "lease_token", "lease_solo", "error_reason", "last_synced_at")
"""With those by which it is seen what became of the lease before."""


def is_foreign(row: Any) -> bool:
    """Whether the row's data is not what its state was accepted with: another application wrote it since.

    A row that never had a digest is another's from the start; once it has been synced, what makes it pending is new.
    """
    if row.digest is None:
        return row.last_synced_at is not None
    return sha256(row.data_json.encode()).digest() != bytes(row.digest)


def was_synced(row: Any) -> bool:
    """Whether a state was synced that another application has overwritten and made pending; an earlier one may have
    been. A state that waits for its first lease has no attempts, one that is retried a reason, and one whose lease died
    its token or a place in the lane of its own.
    """
    is_settled = row.attempts > 0 and row.error_reason is None and row.lease_token is None and not row.lease_solo
    return is_settled and row.last_synced_at is not None


def leased(row: Any, *, by_another: bool) -> Leased:
    """The record of a row that is being claimed; `by_another`: with what another application has just written."""
    data = row.data_json.encode()
    digest = sha256(data).digest() if by_another or row.digest is None else bytes(row.digest)
    revision, version_key, delivery_id, attempts = (
        row.revision,
        row.version_key or "",
        row.delivery_id or "",
        row.attempts,
    )
    if by_another:
        revision, version_key, delivery_id, attempts = revision + 1, "", "", 0
    return Leased(
        row.id,
        row.system_id,
        row.mapping_id,
        row.external_id,
        revision,
        data,
        version_key,
        delivery_id,
        digest,
        attempts + 1,
        "" if by_another else row.traceparent or "",
    )
