"""Links, checkpoints and the outbox; and, on a new installation, the few tables of modules that the first example
needs.

The modules' tables are as the existing deployment has them, but for what would keep the documented mapping
(`title → event_title`, `date → date`) from inserting: event_name, starts_at and owner_id may be empty, and nothing
refers to users, which the suite does not have. On SQLite an ENUM is a VARCHAR with a CHECK.
"""

from datetime import datetime

import sqlalchemy as sa
from alembic import op
from sqlalchemy.schema import Constraint, SchemaItem

from intertie_chassis.migrations import prefix
from intertie_mapper import tables
from intertie_mapper.tables import MYSQL, OPTIONS, UNSIGNED

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    p = prefix()
    dialect = op.get_bind().dialect
    embedded = dialect.name not in MYSQL
    _modules(p, embedded)
    mine = [tables.checkpoints(p, singular, embedded=embedded) for singular in tables.CHECKPOINTS]
    mine += [tables.links(p, is_mariadb=bool(getattr(dialect, "is_mariadb", False))), tables.outbox(p)]
    for table in mine:
        table.create(op.get_bind(), checkfirst=True)


def _modules(p: str, embedded: bool) -> None:
    _table(
        p,
        "campaigns",
        embedded,
        sa.Column("title", sa.String(200), nullable=False),
        sa.Column("description", sa.Text),
        sa.Column("category", sa.String(100)),
        sa.Column("geographic_scope", sa.String(255)),
        sa.Column("location", sa.String(255)),
        _words(
            p,
            "campaigns",
            "status",
            "draft",
            "pending",
            "approved",
            "ongoing",
            "completed",
            "scheduled",
            "active",
            "archived",
        ),
        sa.Column("start_date", sa.Date),
        sa.Column("end_date", sa.Date),
        sa.Column("budget", sa.DECIMAL(12, 2)),
        sa.Column("staff_count", UNSIGNED),
        sa.Column("owner_id", UNSIGNED),
    )
    _table(
        p,
        "events",
        embedded,
        sa.Column("event_title", sa.String(200)),
        sa.Column("event_name", sa.String(200)),
        _words(p, "events", "event_type", "seminar", "drill", "workshop", "orientation"),
        sa.Column("event_description", sa.Text),
        sa.Column("description", sa.Text),
        sa.Column("hazard_focus", sa.String(255)),
        sa.Column("linked_campaign_id", UNSIGNED),
        sa.Column("date", sa.Date),
        sa.Column("event_date", sa.Date),
        sa.Column("start_time", sa.Time),
        sa.Column("event_time", sa.Time),
        sa.Column("end_time", sa.Time),
        sa.Column("location", sa.String(255)),
        sa.Column("venue", sa.String(255)),
        sa.Column("venue_map_coordinates", sa.String(255)),
        sa.Column("capacity", UNSIGNED),
        sa.Column("starts_at", sa.DateTime),
        sa.Column("ends_at", sa.DateTime),
        sa.Column("facilitators", sa.JSON),
        sa.Column("logistics_json", sa.JSON),
        sa.Column("materials_json", sa.JSON),
        sa.Column("attendance_count", UNSIGNED, nullable=False, server_default="0"),
        _words(p, "events", "event_status", "planned", "ongoing", "completed", "cancelled"),
        sa.Column("created_by", UNSIGNED),
        _refers(p, "events", "linked_campaign_id", "campaigns", "SET NULL"),
    )
    _table(
        p,
        "surveys",
        embedded,
        sa.Column("campaign_id", UNSIGNED, nullable=False),
        sa.Column("event_id", UNSIGNED),
        sa.Column("title", sa.String(200), nullable=False),
        sa.Column("description", sa.Text),
        _words(p, "surveys", "status", "draft", "published", "closed"),
        _refers(p, "surveys", "campaign_id", "campaigns", "CASCADE"),
        _refers(p, "surveys", "event_id", "events", "SET NULL"),
    )
    _table(
        p,
        "survey_responses",
        embedded,
        sa.Column("survey_id", UNSIGNED, nullable=False),
        sa.Column("respondent_identifier", sa.String(255)),
        sa.Column("responses_json", sa.JSON, nullable=False),
        sa.Column("submission_timestamp", sa.DateTime, nullable=False, server_default=sa.text("CURRENT_TIMESTAMP")),
        _refers(p, "survey_responses", "survey_id", "surveys", "CASCADE"),
    )


def _table(p: str, name: str, embedded: bool, *parts: SchemaItem) -> None:
    times: tuple[sa.Column[datetime], ...] = tables.times(embedded=embedded)
    columns = [part for part in parts if isinstance(part, sa.Column)]
    constraints = [part for part in parts if isinstance(part, Constraint)]
    op.create_table(
        p + name,
        sa.Column("id", UNSIGNED, primary_key=True, autoincrement=True),
        *columns,
        *times,
        *constraints,
        sqlite_autoincrement=True,
        if_not_exists=True,
        **OPTIONS,
    )


def _words(p: str, table: str, column: str, *words: str) -> sa.Column[str]:
    """An ENUM whose default is its first word."""
    kind = sa.Enum(*words, name=f"{p}{table}_{column}", create_constraint=True)
    return sa.Column(column, kind, nullable=False, server_default=words[0])


def _refers(p: str, table: str, column: str, to: str, on_delete: str) -> Constraint:
    return sa.ForeignKeyConstraint([column], [f"{p}{to}.id"], name=f"{p}{table}_{column}", ondelete=on_delete)
