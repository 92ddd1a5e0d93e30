"""What ingest reads from its environment beside the shared settings."""

from pydantic import Field

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
    ingest_rejection_days: int = Field(30, ge=1, description="Days that the counts of refused deliveries are kept.")
