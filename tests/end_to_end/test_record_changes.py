"""Records that come again, change, change back, overtake each other and do not fit."""

from typing import Any

from suite import Suite
from waiting import eventually

CONFIG = {"field_mappings": {"title": "event_title", "date": "date"}}


def _record(external_id: str, title: str, **more: Any) -> dict[str, Any]:
    return {"id": external_id, "title": title, "date": "2025-01-20", **more}


def _titles(suite: Suite, marker: str) -> list[str]:
    return [row["event_title"] for row in suite.rows("events", "event_title LIKE %s", [f"{marker}%"])]


async def test_the_same_webhook_again_is_a_duplicate_without_a_second_row(suite: Suite, system: str) -> None:
    """Same bytes, same answer, and one row."""
    suite.add_system(system)
    suite.add_mapping(system, "events", CONFIG)
    first = suite.webhook(system, _record("1", "same")).json()
    await eventually(lambda: _titles(suite, "same") == ["same"])
    second = suite.webhook(system, _record("1", "same"))
    assert second.status_code == 202
    assert second.json() == {**first, "duplicate": True}
    pushed = suite.webhook(system, _record("2", "same two"))
    assert pushed.json()["duplicate"] is False
    await eventually(lambda: _titles(suite, "same") == ["same", "same two"])


async def test_a_changed_record_updates_its_row_and_changing_back_is_not_lost(suite: Suite, system: str) -> None:
    """A, B, A is three states of one row."""
    suite.add_system(system)
    mapping = suite.add_mapping(system, "events", CONFIG)
    for title in ("back A", "back B", "back A"):
        answer = suite.webhook(system, _record("1", title)).json()
        assert answer["duplicate"] is False
        await eventually(lambda title=title: _titles(suite, "back") == [title])

    def record() -> tuple[Any, ...]:
        (found,) = suite.get("/records", system=system)["records"]
        return (found["revision"], found["sync_status"], found["mapping_id"])

    # The row is there a moment before the record is settled with ingest.
    await eventually(lambda: record() == (3, "synced", mapping["id"]))


async def test_a_record_that_changes_while_it_is_mapped_ends_with_its_newest_state(suite: Suite, system: str) -> None:
    """A hundred quick changes: one row, the last title, and each delivery ended in one way."""
    suite.add_system(system)
    suite.add_mapping(system, "events", CONFIG)
    sent = [suite.webhook(system, _record("1", f"quick {number}")).json()["delivery_id"] for number in range(100)]
    await eventually(lambda: _titles(suite, "quick") == ["quick 99"])

    def settled() -> dict[str, str]:
        deliveries = suite.get("/deliveries", system=system, page_size=200)["deliveries"]
        states = {delivery["delivery_id"]: delivery["state"] for delivery in deliveries}
        return states if "DELIVERY_STATE_PENDING" not in states.values() else {}

    states = await eventually(settled)
    assert states.keys() == set(sent)
    assert set(states.values()) <= {"DELIVERY_STATE_SYNCED", "DELIVERY_STATE_SUPERSEDED"}
    assert states[sent[-1]] == "DELIVERY_STATE_SYNCED"


async def test_an_older_version_never_replaces_a_newer_one(suite: Suite, system: str) -> None:
    """With version_field the order of versions counts, not that of arrival."""
    suite.add_system(system)
    suite.add_mapping(system, "events", {**CONFIG, "version_field": "updated_at"})
    newer = suite.webhook(system, _record("1", "versions new", updated_at="2025-02-01T12:00:00+02:00")).json()
    await eventually(lambda: _titles(suite, "versions") == ["versions new"])
    older = suite.webhook(system, _record("1", "versions old", updated_at="2025-02-01T09:59:59Z")).json()
    assert older["duplicate"] is False
    delivery = suite.get(f"/deliveries/{older['delivery_id']}")
    assert delivery["state"] == "DELIVERY_STATE_SUPERSEDED"
    assert delivery["records"][0]["superseded_by"] == newer["delivery_id"]
    assert _titles(suite, "versions") == ["versions new"]


async def test_a_mapping_fault_sets_the_record_aside_with_a_reason_that_names_the_field(
    suite: Suite, system: str
) -> None:
    """The neighbour lands; the bad one says why, and is mapped once the mapping is mended and it is replayed."""
    suite.add_system(system)
    mapping = suite.add_mapping(system, "events", CONFIG)
    assert suite.webhook(system, {"id": "bad", "title": "fault bad", "date": "not a date"}).status_code == 202
    assert suite.webhook(system, _record("good", "fault good")).status_code == 202
    await eventually(lambda: _titles(suite, "fault") == ["fault good"])

    def set_aside() -> Any:
        return suite.get("/records", system=system, sync_status="error")["records"]

    (record,) = await eventually(set_aside)
    assert record["external_id"] == "bad"
    assert record["error_reason"]
    assert "date" in record["error_field"]
    assert "date" in record["sync_error"]
    (delivery,) = suite.get("/deliveries", system=system, state="DELIVERY_STATE_SET_ASIDE")["deliveries"]
    assert delivery["delivery_id"] == record["delivery_id"]
    (failed,) = suite.get("/checkpoints", system=system, integration_status="failed")["checkpoints"]
    assert failed["external_id"] == "bad"

    config = {"field_mappings": {"title": "event_title"}}
    changed = suite.request("PATCH", f"/mappings/{mapping['id']}", json={"mapping_config": config})
    assert changed.status_code == 200, changed.text

    def mended() -> bool:
        choice = {"system": system, "changed_after": "2026-01-01T00:00:00Z", "records_per_second": 2.5}
        suite.request("POST", "/records:replay", json=choice).raise_for_status()
        return _titles(suite, "fault") == ["fault good", "fault bad"]

    await eventually(mended)

    def counted() -> bool:
        choice = {"ids": [record["id"]], "sync_status": "synced"}
        counts = suite.request("POST", "/records:count", json=choice).json()["counts"]
        return [(one["mapping"], one["count"]) for one in counts] == [("events", 1)]

    await eventually(counted)


async def test_a_delivery_key_is_unique_and_binds_its_bytes(suite: Suite, system: str) -> None:
    """The same key with other bytes is a conflict; with the same bytes it is the same delivery."""
    suite.add_system(system)
    suite.add_mapping(system, "events", CONFIG)
    first = suite.webhook(system, _record("1", "key"), Idempotency_Key="k-1")
    again = suite.webhook(system, _record("1", "key"), Idempotency_Key="k-1")
    other = suite.webhook(system, _record("1", "key other"), Idempotency_Key="k-1")
    assert [first.status_code, again.status_code, other.status_code] == [202, 202, 409]
    assert again.json() == {**first.json(), "duplicate": True}
    assert other.json()["details"][0]["reason"] == "DELIVERY_KEY_REUSED"


async def test_what_no_mapping_wants_is_accepted_and_routed_when_it_comes_again(suite: Suite, system: str) -> None:
    """Unrouted deliveries are kept; a repeat is routed anew once a mapping wants it."""
    suite.add_system(system)
    first = suite.webhook(system, _record("1", "unrouted"))
    assert (first.status_code, first.json()["external_id"]) == (202, "1")
    assert suite.get(f"/deliveries/{first.json()['delivery_id']}")["state"] == "DELIVERY_STATE_UNROUTED"
    suite.add_mapping(system, "events", {**CONFIG, "filter": "title = 'unrouted'"})

    def routed() -> bool:
        assert suite.webhook(system, _record("1", "unrouted")).status_code == 202
        return _titles(suite, "unrouted") == ["unrouted"]

    await eventually(routed)
    assert suite.webhook(system, _record("2", "other")).status_code == 202
    assert suite.get("/deliveries", system=system, state="DELIVERY_STATE_UNROUTED")["deliveries"]


async def test_an_array_holds_a_record_per_element(suite: Suite, system: str) -> None:
    """The answer counts them, and each has its row."""
    suite.add_system(system)
    suite.add_mapping(system, "events", CONFIG)
    answer = suite.webhook(system, [_record(str(number), f"array {number}") for number in range(5)]).json()
    assert (answer["records"], answer["duplicate"]) == (5, False)
    assert "external_id" not in answer
    await eventually(lambda: sorted(_titles(suite, "array")) == [f"array {number}" for number in range(5)])
