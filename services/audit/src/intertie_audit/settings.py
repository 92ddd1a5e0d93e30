"""What audit reads from its environment beside what all processes read."""

from pydantic import Field

from intertie_chassis.settings import Settings


class AuditSettings(Settings):
    """The settings of audit."""

    audit_most_tails: int = Field(
        64, ge=1, description="Tails that one process keeps open at once; each looks at the database once a second."
    )
    audit_payload_days: int = Field(
        400,
        ge=0,
        le=36_500,
        description="Days that the payloads of entries are kept; their digests stay in the chain, and the entries "
        "themselves for ever. 0: payloads are kept for ever, too.",
    )
