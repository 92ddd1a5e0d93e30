"""What mapper reads from its environment, beside what every process reads."""

from pydantic import Field

from intertie_chassis.settings import Settings


class MapperSettings(Settings):
    """The settings of mapper."""

    target_tables: str = Field(
        "",
        description="Tables that mappings may write to: full names or patterns (`*`, `?`) with commas "
        "between. Empty: all tables with the prefix, without the suite's own and those of users and roles.",
    )
    mapper_batch_size: int = Field(200, ge=1, le=1000, description="Records that mapper leases and applies at once.")
    mapper_batches: int = Field(3, ge=1, le=32, description="Batches that one mapper has in flight.")
    mapper_lease_seconds: int = Field(
        60,
        ge=10,
        le=600,
        description="Seconds until the records of a mapper that died go to another one; those that ingest stored while "
        "it waited may do so after ten.",
    )

    @property
    def allowed_tables(self) -> tuple[str, ...]:
        """The patterns of `target_tables`."""
        return tuple(pattern for part in self.target_tables.split(",") if (pattern := part.strip()))
