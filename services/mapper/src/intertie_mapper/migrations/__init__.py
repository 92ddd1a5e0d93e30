"""The numbered scripts that make mapper's tables."""

from intertie_chassis.migrations import Migrations
from intertie_mapper.tables import EVENT_CHECKPOINTS, MODULE_TABLES, SURVEY_CHECKPOINTS

MIGRATIONS = Migrations(
    "mapper", "intertie_mapper.migrations", own_tables=(EVENT_CHECKPOINTS, SURVEY_CHECKPOINTS, *MODULE_TABLES)
)
"""Where modules' tables are there already they are adopted, never made or altered."""
