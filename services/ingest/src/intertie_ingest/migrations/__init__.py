"""The numbered scripts that make ingest's tables."""

from intertie_chassis.migrations import Migrations

#: an existing deployment holds the cache and nothing else of ingest's
MIGRATIONS = Migrations("ingest", "intertie_ingest.migrations", ("external_data_cache",))
