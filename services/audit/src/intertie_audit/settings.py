"""What audit reads from its environment beside what all processes read."""

from pathlib import Path

from pydantic import Field

from intertie_chassis.settings import Settings


class AuditSettings(Settings):
    """The settings of audit."""

    audit_most_tails: int = Field(
        default=64,
        ge=1,
        description="Tails that one process keeps open at once; each looks at the database once a second.",
    )
    audit_payload_days: int = Field(
        400,
        ge=0,
        le=36_500,
        description="Days that the payloads of entries are kept; their digests stay in the chain, and the entries "
        "themselves for ever. 0: payloads are kept for ever, too.",
    )
    audit_signing_key: Path | None = Field(
        default=None,
        description="File of the Ed25519 key, a private JSON Web Key, that signs the audit chain's checkpoints. Unset: "
        "`keys/audit.jwk` of the data directory, made at the first start. Several audit processes need the same one.",
    )
    audit_anchor: Path | None = Field(
        default=None,
        description="File to which the audit chain's checkpoints are appended, outside of the database: put it where "
        "whoever can change the database cannot. Unset: `anchor/audit.jsonl` of the data directory.",
    )
