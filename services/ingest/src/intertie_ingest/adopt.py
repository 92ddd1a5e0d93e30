"""Taking over the cache of an existing deployment: every row stays, PHP's inserts stay legal and are seen."""

from intertie_chassis.adoption import Plan
from intertie_ingest.migrations.first_tables import (
    CLAIM_INDEX,
    DELIVERY_INDEX,
    RECORD_KEY,
    exact_collation,
    first_tables,
)
from intertie_ingest.migrations.replay_tables import replay_tables
from intertie_ingest.migrations.retention_index import AGE_COLUMNS, AGE_INDEX, DELIVERIES
from intertie_ingest.migrations.sync_tables import RUN_COLUMN, sync_tables
from intertie_ingest.migrations.trace_column import TRACE_COLUMN

CACHE = "external_data_cache"
_EXTERNAL_SYSTEMS = ("external_systems", "external_data_mappings")

_NEW_COLUMNS = (
    ("revision", "INT UNSIGNED NOT NULL DEFAULT 1", "counts the states of a record"),
    ("digest", "BINARY(32) NULL", "tells whether a delivery brings something new"),
    ("attempts", "INT UNSIGNED NOT NULL DEFAULT 0", "counts how often the state was handed to mapper"),
    ("crashes", "SMALLINT NOT NULL DEFAULT 0", "counts how often it took mapper down"),
    ("lease_solo", "TINYINT(1) NOT NULL DEFAULT 0", "marks what must be mapped alone"),
    ("lease_crc", "INT UNSIGNED NULL", "tells whether the data was changed while it was mapped"),
    ("error_reason", "VARCHAR(64) NULL", "the stable code of why a record was set aside"),
    ("error_field", "VARCHAR(255) NULL", "the field at fault"),
    ("local_key", "TEXT NULL", "the key of the target row, of whatever type"),
)


_RELEASE_REASON = "what the PHP application makes pending again is handed out at once, too"


async def plan(plan: Plan) -> None:
    """Plans what the cache needs, and the tables that an existing deployment lacks."""
    collation = exact_collation(plan.is_mariadb)
    plan.make_transactional(CACHE)
    _drop_foreign_keys(plan)
    ascii_text = "CHARACTER SET ascii COLLATE ascii_bin NULL"
    exact_text = f"CHARACTER SET utf8mb4 COLLATE {collation} NULL"
    for name, definition, reason in _NEW_COLUMNS:
        plan.add_column(CACHE, name, definition, reason)
    plan.add_column(
        CACHE, "version_key", f"VARCHAR(255) {exact_text}", "keeps an older version from replacing a newer one"
    )
    plan.add_column(CACHE, "delivery_id", f"VARCHAR(26) {ascii_text}", "the delivery that brought the state")
    plan.add_column(CACHE, "lease_token", f"VARCHAR(26) {ascii_text}", "the lease under which mapper has the record")
    plan.add_column(CACHE, RUN_COLUMN, f"VARCHAR(26) {ascii_text}", "the last sync run that saw the record")
    plan.add_column(CACHE, TRACE_COLUMN, f"VARCHAR(55) {ascii_text}", "the trace in which the delivery came")
    # First without a value, so that what waits now is not handed out: operators release it, no sync does. Then the
    # default for new rows, so that what the PHP application inserts is seen at once.
    is_new = plan.add_column(CACHE, "available_at", "DATETIME(6) NULL", "when a record is handed to mapper")
    cache = plan.table(CACHE)
    now = cache.columns["available_at"].default if cache is not None else None
    if "utc_timestamp" not in (now or "").lower():
        # Of UTC: the sessions of the PHP application have a time zone of their own.
        default = f"ALTER TABLE {plan.name(CACHE)} ALTER COLUMN `available_at` SET DEFAULT (UTC_TIMESTAMP(6))"
        plan.run(default, "rows that the PHP application inserts are handed out at once")
    if is_new:
        plan.run(_release_of(plan), _RELEASE_REASON)
    else:
        probe = f"SELECT 1 FROM {plan.name(CACHE)} WHERE sync_status <> 'pending' AND available_at IS NULL LIMIT 1"
        await plan.run_when(probe, _release_of(plan), _RELEASE_REASON)
    _widen(plan, collation)
    _index(plan)
    metadata = first_tables(plan.prefix, "mysql", plan.is_mariadb)
    for table in metadata.sorted_tables:
        if table.name != plan.prefix + CACHE:
            plan.create_table(table, "deliveries, how they ended, refusals, and the outbox to audit")
    for table in sync_tables(plan.prefix, plan.is_mariadb).sorted_tables:
        plan.create_table(table, "sync runs, what failed in them, and how far each mapping has been synced")
    for table in replay_tables(plan.prefix).sorted_tables:
        plan.create_table(table, "what was signed without an id, so that a replay of it is known")
    plan.add_index(DELIVERIES, AGE_INDEX, AGE_COLUMNS, "finds what has been kept long enough")


def _release_of(plan: Plan) -> str:
    return (
        f"UPDATE {plan.name(CACHE)} SET available_at = CURRENT_TIMESTAMP(6), updated_at = updated_at "
        "WHERE sync_status <> 'pending' AND available_at IS NULL"
    )


def _drop_foreign_keys(plan: Plan) -> None:
    cache = plan.table(CACHE)
    for key in list(cache.foreign_keys.values()) if cache else ():
        if key.referred_table.removeprefix(plan.prefix) in _EXTERNAL_SYSTEMS:
            reason = "deleting a system or a mapping must not delete records: the tables have different owners"
            plan.drop_foreign_key(CACHE, key.name, reason)


def _widen(plan: Plan, collation: str) -> None:
    plan.modify_column(
        CACHE, "external_id", "ids that differ in case, accents or spaces are different records", collation=collation
    )
    cache = plan.table(CACHE)
    if cache is not None and cache.columns["data_json"].type.lower() == "json":
        plan.run(
            f"ALTER TABLE {plan.name(CACHE)} MODIFY COLUMN `data_json` LONGTEXT CHARACTER SET utf8mb4 "
            "COLLATE utf8mb4_bin NOT NULL CHECK (json_valid(`data_json`))",
            "keeps a record's bytes as they came; JSON of MySQL rewrites numbers",
        )


def _index(plan: Plan) -> None:
    cache = plan.table(CACHE)
    indexes = list(cache.indexes.values()) if cache else []
    claim = ("sync_status", "lease_solo", "available_at", "id")
    plan.add_index(
        CACHE, CLAIM_INDEX, claim, "the claim reads in the order of this index and locks no row beyond its own"
    )
    plan.add_index(CACHE, DELIVERY_INDEX, ["delivery_id"], "finds the records of a delivery")
    key = ("system_id", "external_id", "mapping_id")
    unique = [index for index in indexes if index.is_unique and index.columns == key and index.name != RECORD_KEY]
    if RECORD_KEY not in {index.name for index in indexes}:
        for index in unique[:1]:
            plan.run(
                f"ALTER TABLE {plan.name(CACHE)} RENAME INDEX `{index.name}` TO `{RECORD_KEY}`",
                "the accepting statement names this key",
            )
        if not unique:
            plan.add_unique(CACHE, RECORD_KEY, key, "one row for each record of a mapping")
    for index in indexes:
        if index.columns == ("sync_status",) and not index.is_unique:
            plan.drop_index(CACHE, index.name, "a claim by it would lock every pending row, and stop inserts")
