"""What pull reads from its environment beside the shared settings."""

from pydantic import Field

from intertie_chassis.settings import Settings

_MEBIBYTE = 1024 * 1024


class PullSettings(Settings):
    """Pull's settings."""

    pull_query_rows: int = Field(
        10_000,
        ge=1,
        le=1_000_000,
        description="Rows of one answer of an external database; a grant may allow fewer. A statement that writes to "
        "more rows is refused.",
    )
    pull_query_bytes: int = Field(
        10 * _MEBIBYTE,
        ge=1024,
        le=24 * _MEBIBYTE,
        description="Size of one answer of an external database or API, in bytes.",
    )
    pull_stream_rows: int = Field(
        1_000_000, ge=1, description="Rows of one stream from an external database; a grant may allow fewer."
    )
    pull_stream_bytes: int = Field(
        1024 * _MEBIBYTE, ge=1024, description="Size of one stream from an external database, in bytes."
    )
    pull_statement_seconds: float = Field(
        5.0,
        gt=0,
        le=300,
        description="How long a statement may run in an external database whose connection has no `statement_seconds`.",
    )
    pull_longest_statement_seconds: float = Field(
        300.0, gt=0, le=3600, description="The most that `statement_seconds` of a connection may ask for."
    )
    pull_stream_seconds: float = Field(
        300.0,
        gt=0,
        le=3600,
        description="How long an external database may work on one stream; time that the reader takes does not count.",
    )
    pull_module_queries: int = Field(
        4, ge=1, description="Queries that one module may have running at once; more are refused as OVERLOADED."
    )
    pull_queries: int = Field(
        32,
        ge=1,
        description="Queries that all modules together may have running at once; more are refused as OVERLOADED.",
    )
    pull_pool_size: int = Field(4, ge=1, le=100, description="Connections to one external database at once.")
    pull_idle_seconds: float = Field(
        300.0, gt=0, description="After so long without use the connections to an external database are closed."
    )
    pull_runs: int = Field(4, ge=1, le=64, description="Syncs that one process reads at the same time.")
    pull_run_days: int = Field(90, ge=1, description="Days that runs of syncs and their failed records are kept.")
    pull_tick_seconds: float = Field(
        1.0, gt=0, le=60, description="How often registry is asked which syncs are due, in seconds."
    )
