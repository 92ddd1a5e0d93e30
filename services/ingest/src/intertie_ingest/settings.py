"""What ingest reads from its environment beside the shared settings."""

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from intertie_chassis.settings import Settings


class IngestSettings(Settings):
    """Ingest's settings."""

    ingest_max_body_bytes: int = Field(
        7 * 1024 * 1024,
        ge=1024,
        le=7 * 1024 * 1024,
        description="Largest body that ingest takes, in bytes; the gateway's limit is met first. More than 7 MiB would "
        "not fit the database's max_allowed_packet of 16 MiB.",
    )
    ingest_commit_groups: int = Field(
        8,
        ge=1,
        le=64,
        description="Groups of deliveries that ingest commits at the same time; each holds a connection.",
    )
    ingest_waiting_groups: int = Field(
        64, ge=1, description="Groups of deliveries that may wait for a commit; more are refused as OVERLOADED."
    )
    ingest_commit_seconds: float = Field(
        4.0,
        ge=0.5,
        le=60,
        description="How long the commit of a group of deliveries may take, in seconds; then its senders are answered "
        "503. A database that is away or hangs is found out sooner, and answered for at once.",
    )
    ingest_rejection_days: int = Field(30, ge=1, description="Days that the counts of refused deliveries are kept.")
    ingest_rejection_rows: int = Field(
        100,
        ge=1,
        le=10_000,
        description="Rows in a minute in which refused deliveries are counted with their source; what is refused "
        "beyond is counted without it.",
    )
    ingest_system_rate: float = Field(
        0.0,
        ge=0,
        description="Verified deliveries a second of each system that has no `rate_limit` of its own; more are "
        "answered 429. 0: no limit.",
    )
    ingest_system_burst: int = Field(
        0, ge=0, description="How many of them may come at once. 0: as many as in a second."
    )
    ingest_system_in_flight: int = Field(
        0,
        ge=0,
        description="Verified deliveries that wait for their commit at the same time, of each system that has no "
        "`max_in_flight` of its own; more are answered 429. 0: no limit.",
    )
    ingest_failures_per_minute: int = Field(
        0,
        ge=0,
        description="Deliveries of one address (IPv6: one /64) that may fail to be verified in a minute, over all "
        "systems; further ones are answered 429 unseen. 0: no limit; 60 is a good one.",
    )
    ingest_body_days: int = Field(
        30,
        ge=1,
        le=36_500,
        description="Days that the bodies of deliveries are kept. Those of pending records stay, and those of records "
        "that are set aside, for 30 days at the least.",
    )
    ingest_delivery_days: int = Field(
        400,
        ge=1,
        le=36_500,
        description="Days that deliveries are kept without their bodies: keys, digests and how their records ended. So "
        "long a repetition is known; not less than `INTERTIE_INGEST_BODY_DAYS`.",
    )

    ingest_snapshot_file: Path | None = Field(
        default=None,
        description="File in which ingest keeps its configuration, sealed, so that it accepts again when it is started "
        "while registry is away (`docs/restarts.md`). Unset: none, but that `intertie up` keeps "
        "`ingest-snapshot.sealed` in the data directory where the keys of credentials are there too.",
    )
    ingest_snapshot_key_file: Path | None = Field(
        default=None,
        description="File of the key that seals it, as `intertie secrets keygen` prints one. Unset: "
        "`keys/ingest-snapshot.key` in the data directory, made when it is first needed.",
    )
    ingest_snapshot_hours: float = Field(
        24.0,
        ge=0,
        le=8760,
        description="Hours since registry last confirmed it after which what was kept is not used any more. 0: nothing "
        "is kept, and what was kept is removed.",
    )
    spool_dir: Path | None = Field(
        None,
        description="Directory of a spool, on a disk of this machine: while the database is away, verified deliveries "
        "are kept in it, answered 202, and stored when the database is back. Each replica of ingest needs one of its "
        "own. Unset: they are answered 503.",
    )
    spool_max_bytes: int = Field(
        1024**3,
        ge=1024**2,
        description="Bytes of deliveries that the spool holds; with more, deliveries are answered 503.",
    )
    spool_max_deliveries: int = Field(1_000_000, ge=1, description="Deliveries that the spool holds, likewise.")

    @model_validator(mode="after")
    def _keys_outlive_bodies(self) -> Self:
        if self.ingest_body_days > self.ingest_delivery_days:
            raise ValueError(
                f"INTERTIE_INGEST_BODY_DAYS ({self.ingest_body_days}) must not exceed INTERTIE_INGEST_DELIVERY_DAYS "
                f"({self.ingest_delivery_days}): the body of a delivery cannot outlive it"
            )
        return self
