"""Records land in the seed's table: inserted, updated, left, checkpointed, linked and audited, all or nothing."""

import json

import pytest

from intertie_mapper.checkpoints import Checkpoints, position
from intertie_mapper.model import Action, Outcome
from mapper_rig import record, rig

SEED = {"field_mappings": {"title": "event_title", "date": "date"}}
PAYLOAD = {"id": "12345", "title": "Traffic Accident", "location": "Main St", "date": "2025-01-20"}


async def test_seed_record_becomes_a_row_with_checkpoint_link_and_audit(database_url: str) -> None:
    """The seed's mapping and payload: one row, a confirmed checkpoint, a link, one audit entry."""
    async with rig(database_url) as mapper:
        mapper.map("events", SEED)
        (ending,) = await mapper.land(record("12345", PAYLOAD))
        assert (ending.outcome, ending.action, ending.local_id) == (Outcome.SYNCED, Action.INSERT, 1)
        assert json.loads(ending.key_json) == {"id": 1}

        (row,) = await mapper.rows("SELECT event_title, date, event_type, event_status FROM {p}events")
        assert (row["event_title"], str(row["date"])) == ("Traffic Accident", "2025-01-20")
        assert (row["event_type"], row["event_status"]) == ("seminar", "planned")

        (checkpoint,) = await mapper.rows("SELECT * FROM {p}event_integration_checkpoints")
        assert checkpoint["event_id"] == 1
        assert checkpoint["system_id"] == 3
        assert checkpoint["subsystem_type"] == "law_enforcement"
        assert checkpoint["integration_status"] == "confirmed"
        assert checkpoint["sync_attempts"] == 1
        assert json.loads(checkpoint["received_data"]) == PAYLOAD
        assert checkpoint["last_sync_at"] is not None

        (link,) = await mapper.rows("SELECT * FROM {p}external_record_links")
        assert (link["external_id"], link["target_key"], link["revision"]) == ("12345", '{"id":1}', 1)

        (entry,) = await mapper.audited()
        assert (entry.query_type, entry.query_string, entry.status) == ("mapping", "mapping_1", "success")
        assert json.loads(entry.response_payload)["target_key"] == {"id": 1}
        assert json.loads(entry.request_payload)["external_id"] == "12345"
        assert entry.delivery_id == "delivery-12345-1"


async def test_a_changed_record_updates_the_mapped_columns_only(database_url: str) -> None:
    """The module's own columns stay; a change back is a change; the same again is unchanged."""
    async with rig(database_url) as mapper:
        mapper.map("events", SEED)
        await mapper.land(record("1", PAYLOAD))
        await mapper.run("UPDATE {p}events SET venue = 'Hall', capacity = 70")
        (ending,) = await mapper.land(record("1", {**PAYLOAD, "title": "Flood"}, revision=2))
        assert ending.action is Action.UPDATE
        (ending,) = await mapper.land(record("1", PAYLOAD, revision=3))
        assert ending.action is Action.UPDATE
        (ending,) = await mapper.land(record("1", PAYLOAD, revision=4))
        assert ending.action is Action.UNCHANGED
        (row,) = await mapper.rows("SELECT event_title, venue, capacity FROM {p}events")
        assert row == {"event_title": "Traffic Accident", "venue": "Hall", "capacity": 70}
        (checkpoint,) = await mapper.rows("SELECT sync_attempts FROM {p}event_integration_checkpoints")
        assert checkpoint["sync_attempts"] == 4
        assert [json.loads(entry.response_payload)["action"] for entry in await mapper.audited()] == [
            "insert", "update", "update", "unchanged",
        ]  # fmt: skip


async def test_a_state_that_was_applied_before_is_not_applied_again(database_url: str) -> None:
    """After a crash between commit and settling the same state comes again: synced, with nothing written."""
    async with rig(database_url) as mapper:
        mapper.map("events", SEED)
        await mapper.land(record("1", PAYLOAD))
        await mapper.run("UPDATE {p}events SET event_title = 'edited by the module'")
        (ending,) = await mapper.land(record("1", PAYLOAD, attempts=2))
        assert (ending.outcome, ending.action, ending.local_id) == (Outcome.SYNCED, Action.APPLIED, 1)
        assert await mapper.rows("SELECT event_title FROM {p}events") == [{"event_title": "edited by the module"}]
        assert len(await mapper.audited()) == 1
        (checkpoint,) = await mapper.rows("SELECT sync_attempts FROM {p}event_integration_checkpoints")
        assert checkpoint["sync_attempts"] == 1


async def test_a_replay_after_the_mapping_changed_is_applied(database_url: str) -> None:
    """The same state under another configuration is not the same."""
    async with rig(database_url) as mapper:
        mapper.map("events", SEED)
        await mapper.land(record("1", PAYLOAD))
        mapper.map("events", {"field_mappings": {**SEED["field_mappings"], "location": "venue"}})
        (ending,) = await mapper.land(record("1", PAYLOAD))
        assert ending.action is Action.UPDATE
        assert await mapper.rows("SELECT venue FROM {p}events") == [{"venue": "Main St"}]


async def test_an_older_revision_or_version_is_superseded(database_url: str) -> None:
    """What comes late never replaces what is newer; a record that left the cache and came again starts over."""
    async with rig(database_url) as mapper:
        mapper.map("events", SEED)
        await mapper.land(record("1", {**PAYLOAD, "title": "new"}, revision=5))
        (late,) = await mapper.land(record("1", {**PAYLOAD, "title": "old"}, revision=4))
        assert (late.outcome, late.action) == (Outcome.SUPERSEDED, Action.SUPERSEDED)
        (again,) = await mapper.land(record("1", {**PAYLOAD, "title": "newest"}, id=999, revision=1))
        assert again.action is Action.UPDATE
        assert await mapper.rows("SELECT event_title FROM {p}events") == [{"event_title": "newest"}]

        await mapper.land(record("2", {**PAYLOAD, "title": "v3"}, version="n3"))
        (older,) = await mapper.land(record("2", {**PAYLOAD, "title": "v2"}, version="n2", revision=2))
        assert older.outcome is Outcome.SUPERSEDED
        titles = await mapper.rows("SELECT event_title FROM {p}events ORDER BY id")
        assert [row["event_title"] for row in titles] == ["newest", "v3"]


async def test_a_deleted_row_is_set_aside_or_made_again(database_url: str) -> None:
    """`on_deleted` says what becomes of a record whose row the module deleted."""
    async with rig(database_url) as mapper:
        mapper.map("events", SEED)
        await mapper.land(record("1", PAYLOAD))
        await mapper.run("DELETE FROM {p}events")
        (ending,) = await mapper.land(record("1", PAYLOAD, revision=2))
        assert (ending.outcome, ending.reason) == (Outcome.SET_ASIDE, "target_deleted")
        mapper.map("events", {**SEED, "on_deleted": "recreate"})
        (ending,) = await mapper.land(record("1", PAYLOAD, revision=2))
        assert ending.action is Action.INSERT
        (row,) = await mapper.rows("SELECT id FROM {p}events")
        (link,) = await mapper.rows("SELECT target_key, revision FROM {p}external_record_links")
        assert (json.loads(link["target_key"]), link["revision"]) == ({"id": row["id"]}, 2)


async def test_a_faulty_record_is_set_aside_and_its_neighbours_land(database_url: str) -> None:
    """The reason, the field, the value and the column are named; the row that is there gets a failed checkpoint."""
    async with rig(database_url) as mapper:
        mapper.map("events", SEED)
        await mapper.land(record("1", PAYLOAD))
        good, bad, known = await mapper.land(
            record("2", {**PAYLOAD, "id": "2"}),
            record("3", {**PAYLOAD, "date": "31/31/2026"}),
            record("1", {**PAYLOAD, "date": "2026-02-30"}, revision=2),
        )
        assert good.outcome is Outcome.SYNCED
        assert (bad.outcome, bad.reason, bad.field) == (Outcome.SET_ASIDE, "bad_datetime", "date")
        assert "31/31/2026" in bad.message
        assert "column date" in bad.message
        assert known.outcome is Outcome.SET_ASIDE
        failed = await mapper.rows(
            "SELECT event_id, error_message, sync_attempts FROM {p}event_integration_checkpoints "
            "WHERE integration_status = 'failed'"
        )
        assert [(row["event_id"], row["sync_attempts"]) for row in failed] == [(1, 2)]
        assert "2026-02-30" in failed[0]["error_message"]
        entries = [entry for entry in await mapper.audited() if entry.status == "error"]
        assert len(entries) == 2
        assert json.loads(entries[0].response_payload)["reason"] == "bad_datetime"


@pytest.mark.parametrize("size", [1, 200, 450])
async def test_a_large_batch_lands_with_each_record_in_its_own_row(database_url: str, size: int) -> None:
    """The key that a record's link names is the key of the row that has its values, on insert and on update."""
    async with rig(database_url) as mapper:
        mapper.map("events", SEED)
        for revision in (1, 2):
            endings = await mapper.land(
                *(record(str(n), {"title": f"{n}/{revision}", "date": None}, revision=revision) for n in range(size))
            )
            assert {ending.outcome for ending in endings} == {Outcome.SYNCED}
            rows = {row["id"]: row["event_title"] for row in await mapper.rows("SELECT id, event_title FROM {p}events")}
            assert {n: rows[ending.local_id] for n, ending in enumerate(endings)} == {
                n: f"{n}/{revision}" for n in range(size)
            }
        assert len(await mapper.rows("SELECT id FROM {p}event_integration_checkpoints")) == size


async def test_a_mapping_that_goes_to_another_table_makes_new_rows_there(database_url: str) -> None:
    """The link follows; the old table's row stays as it is."""
    async with rig(database_url) as mapper:
        mapper.map("events", SEED)
        await mapper.land(record("1", PAYLOAD))
        mapper.map("campaigns", {"field_mappings": {"title": "title"}})
        (ending,) = await mapper.land(record("1", PAYLOAD, revision=2))
        assert (ending.action, ending.target_table) == (Action.INSERT, "campaign_department_campaigns")
        (ending,) = await mapper.land(record("1", {**PAYLOAD, "title": "b"}, revision=3))
        assert ending.action is Action.UPDATE
        assert await mapper.rows("SELECT title FROM {p}campaigns") == [{"title": "b"}]
        assert await mapper.rows("SELECT event_title FROM {p}events") == [{"event_title": "Traffic Accident"}]


async def test_checkpoints_of_several_tables_are_paged_as_one_list(database_url: str) -> None:
    """Rows of the same second in two tables: every row once, whatever the size of the pages."""
    async with rig(database_url) as mapper:
        await mapper.run("INSERT INTO {p}campaigns (title) VALUES ('c')")
        mapper.map("events", SEED)
        mapper.map("surveys", {"field_mappings": {"title": "title"}, "constants": {"campaign_id": 1}}, 2)
        await mapper.land(
            *(record(str(n), PAYLOAD) for n in range(5)), *(record(str(n), PAYLOAD, mapping_id=2) for n in range(4))
        )
        pages = Checkpoints(
            mapper.database, mapper.targets, mapper.store, mapper.outbox, mapper.configuration, lambda: b""
        )
        for size in (1, 2, 4, 9):
            seen: list[tuple[str, int]] = []
            after = None
            while found := await pages.page(size, "", "", "", 0, after):
                seen += [(name, row.id) for name, row in found]
                after = position(found[-1])
            assert sorted(seen) == [("campaign_department_events", n) for n in range(1, 6)] + [
                ("campaign_department_surveys", n) for n in range(1, 5)
            ]
