"""Ingest's tables as queries see them; what the databases hold is made by `migrations` and `adopt`."""

from dataclasses import dataclass
from typing import Self

from sqlalchemy import Boolean, Column, DateTime, Integer, LargeBinary, MetaData, String, Table

from intertie_chassis.outbox import outbox_table


@dataclass(frozen=True, slots=True)
class Tables:
    """The tables of one installation."""

    cache: Table
    deliveries: Table
    endings: Table
    replays: Table
    rejections: Table
    outbox: Table
    runs: Table
    failures: Table
    cursors: Table

    @classmethod
    def named(cls, prefix: str) -> Self:
        """The tables whose names begin with the prefix."""
        metadata = MetaData()
        return cls(
            _table(
                metadata,
                f"{prefix}external_data_cache",
                integers="id system_id mapping_id local_id revision attempts crashes lease_crc",
                texts="external_id data_json sync_status sync_error version_key delivery_id lease_token error_reason "
                "error_field local_key sync_run_id traceparent",
                times="last_synced_at expires_at created_at updated_at available_at",
                booleans="lease_solo",
                blobs="digest",
            ),
            _table(
                metadata,
                f"{prefix}inbound_deliveries",
                integers="system_id size",
                texts="delivery_id route delivery_key content_type source request_id external_ids records",
                times="received_at",
                booleans="is_array",
                blobs="digest body",
            ),
            _table(
                metadata,
                f"{prefix}inbound_delivery_endings",
                integers="id mapping_id revision",
                texts="delivery_id external_id ending superseded_by reason field message",
                times="ended_at",
            ),
            _table(
                metadata,
                f"{prefix}inbound_delivery_replays",
                integers="system_id",
                texts="delivery_id",
                times="",
                blobs="mark",
            ),
            _table(
                metadata,
                f"{prefix}rejected_deliveries",
                integers="id rejected",
                texts="system_name route reason source message",
                times="minute",
                blobs="digest",
            ),
            outbox_table(metadata, f"{prefix}ingest_outbox"),
            _table(
                metadata,
                f"{prefix}sync_runs",
                integers="system_id mapping_id active_mapping_id missed_ticks pages records_read new_records changed "
                "unchanged outdated skipped failed set_aside pending crashes",
                texts="run_id mode started_by requested_by state range_from range_to error_reason error_message "
                "cursor_kind cursor_value lease_token",
                times="tick_at met_tick_at created_at started_at finished_at available_at",
                booleans="is_cancel_requested",
                blobs="position",
            ),
            _table(
                metadata,
                f"{prefix}sync_run_failures",
                integers="id position",
                texts="run_id external_id reason field message",
                times="",
            ),
            _table(
                metadata,
                f"{prefix}sync_cursors",
                integers="mapping_id",
                texts="cursor_field kind value run_id",
                times="updated_at",
            ),
        )


def _table(
    metadata: MetaData, name: str, *, integers: str, texts: str, times: str, booleans: str = "", blobs: str = ""
) -> Table:
    # Names only: lengths, collations, keys and indexes matter where the tables are made.
    kinds = ((Integer, integers), (String, texts), (DateTime, times), (Boolean, booleans), (LargeBinary, blobs))
    return Table(name, metadata, *(Column(column, kind()) for kind, names in kinds for column in names.split()))
