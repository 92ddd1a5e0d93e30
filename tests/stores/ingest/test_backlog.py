"""What waits for mapper is counted by state, along the index of the claims."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event

from intertie_chassis import metrics
from intertie_chassis.clock import utc_now
from intertie_chassis.outbox import Outbox
from intertie_ingest import backlog_store
from intertie_ingest.backlog_store import BacklogStore
from intertie_ingest.lease_model import Outcome

ROWS = 100_000
FILL = {
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows}) "
    "INSERT INTO {cache} (system_id, mapping_id, external_id, data_json, sync_status, available_at) "
    "SELECT 1, 1, 'x' || i, '{{}}', CASE i % 10 WHEN 0 THEN 'pending' ELSE 'synced' END, '2020-01-01 00:00:00' FROM n",
    "mysql": "INSERT INTO {cache} (system_id, mapping_id, external_id, data_json, sync_status, available_at) "
    "SELECT 1, 1, CONCAT('x', seq), '{{}}', IF(seq % 10 = 0, 'pending', 'synced'), '2020-01-01 00:00:00' "
    "FROM seq_1_to_{rows}",
}


async def test_each_state_is_counted(ingest: Any) -> None:
    """A lease that has ended is ready again; what has no time waits for its mapping."""
    store = BacklogStore(ingest.database, ingest.tables)
    assert await store.read() == backlog_store.Backlog(
        {"ready": 0, "leased": 0, "waiting": 0, "held": 0, "set_aside": 0}, 0.0
    )
    await ingest.commit(*({"id": f"r{number}"} for number in range(9)))
    lease = await ingest.lease(3)
    await ingest.settle_all(lease, Outcome.SET_ASIDE, reason="x")
    await ingest.settle_all(await ingest.lease(2), Outcome.RETRY, retry_seconds=3600)
    await ingest.lease(1)
    await ingest.sql("UPDATE {cache} SET available_at = NULL WHERE external_id = 'r8'")
    found = await store.read()
    assert found.records == {"ready": 2, "leased": 1, "waiting": 2, "held": 1, "set_aside": 3}
    assert 0 <= found.oldest_seconds < 60
    await ingest.sql("UPDATE {cache} SET available_at = '2020-01-01 00:00:00' WHERE external_id = 'r7'")
    assert (await store.read()).oldest_seconds > 365 * 86_400
    await ingest.end_leases()
    assert (await store.read()).records["ready"] == 3


async def test_counting_ends_where_more_says_nothing(ingest: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backlog_store, "MOST_COUNTED", 4)
    await ingest.commit(*({"id": number} for number in range(9)))
    assert (await BacklogStore(ingest.database, ingest.tables).read()).records["ready"] == 4


async def test_no_look_reads_the_table(ingest: Any) -> None:
    """With a hundred thousand rows each statement goes along the index of the claims, or to the outbox's first row."""
    await ingest.sql(FILL[ingest.database.dialect].replace("{rows}", str(ROWS)))
    said: list[tuple[str, Any]] = []
    engine = ingest.database._reader.sync_engine
    event.listen(
        engine, "before_cursor_execute", lambda _c, _u, statement, values, *_: said.append((statement, values))
    )
    assert (await BacklogStore(ingest.database, ingest.tables).read()).records["ready"] == ROWS // 10
    await Outbox(ingest.database, ingest.tables.outbox).look("tested")
    on_mysql = ingest.database.dialect == "mysql"
    looks = [one for one in said if "FROM" in one[0]]
    assert len(looks) == 13
    for statement, values in looks:
        async with ingest.database.read() as connection:
            rows = (
                await connection.exec_driver_sql(f"EXPLAIN {'' if on_mysql else 'QUERY PLAN '}{statement}", values)
            ).all()
        about = [row for row in rows if "cache" in str(row)]
        if on_mysql:
            assert all(row.key == "ix_external_data_cache_claim" for row in about), (statement, rows)
        else:
            assert all("ix_external_data_cache_claim" in row.detail for row in about), (statement, rows)


async def test_the_outbox_tells_how_long_the_oldest_waits(ingest: Any) -> None:
    outbox = Outbox(ingest.database, ingest.tables.outbox)

    async def seen() -> tuple[float | None, float | None]:
        await outbox.look("tested")
        names = ("intertie_outbox_waiting_messages", "intertie_outbox_oldest_seconds")
        waiting, oldest = (metrics.REGISTRY.get_sample_value(name, {"owner": "tested"}) for name in names)
        return waiting, oldest

    assert await seen() == (0, 0)
    await outbox.post(b"a")
    await outbox.post(b"b")
    waiting, oldest = await seen()
    assert waiting == 2
    assert oldest is not None
    assert oldest < 60
    written = (utc_now() - timedelta(hours=1)).isoformat(" ")
    await ingest.sql(
        "UPDATE {prefix}ingest_outbox SET created_at = :written WHERE payload = :payload", written=written, payload=b"a"
    )
    _, oldest = await seen()
    assert oldest is not None
    assert 3500 < oldest < 3700
