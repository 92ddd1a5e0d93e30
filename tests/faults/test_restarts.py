"""Processes that die under load: nothing acknowledged is lost, nothing is doubled, and all of it is audited once."""

import os
import signal
from collections import Counter

import pytest

import victims
from suite import Suite
from waiting import eventually

CONFIG = {"field_mappings": {"title": "event_title", "date": "date"}}


@pytest.mark.parametrize("victim", ["registry", "ingest", "mapper", "audit", "gateway"])
async def test_a_killed_process_loses_and_doubles_nothing(suite: Suite, victim: str) -> None:
    """kill -9 in the middle of 150 webhooks; a 202 means one row, one synced delivery and one log entry each.

    The log's chain has no break where audit died.
    """
    suite.add_system("sender")
    suite.add_mapping("sender", "events", CONFIG)
    acknowledged: dict[str, str] = {}

    def send(number: int) -> bool:
        record = {"id": str(number), "title": f"event {number}", "date": "2025-01-20"}
        try:
            answer = suite.webhook("sender", record, Idempotency_Key=f"key-{number}")
        except victims.CONNECTION_LOST:
            return False
        assert answer.status_code in (202, 401, 503, 504), answer.text
        if answer.status_code == 202:
            acknowledged[str(number)] = answer.json()["delivery_id"]
        return answer.status_code == 202

    await eventually(lambda: send(0))
    for number in range(1, 150):
        if number == 50:
            os.kill(victims.find_process(suite, victim), signal.SIGKILL)
        await eventually(lambda number=number: send(number), timeout=30)

    titles = await eventually(
        lambda: len(rows := suite.rows("events", "event_title LIKE 'event %%'")) >= 150 and rows, timeout=90
    )
    assert Counter(row["event_title"] for row in titles) == Counter(f"event {number}" for number in range(150))

    def settled() -> bool:
        return not suite.get("/records", system="sender", sync_status="pending")["records"]

    await eventually(settled, timeout=90)

    def audited() -> bool:
        found: Counter[str] = Counter()
        token = ""
        while True:
            page = suite.get(
                "/logs", system="sender", query_type="mapping", status="success", limit=1000, page_token=token
            )
            found.update(entry["delivery_id"] for entry in page["logs"])
            if not (token := page["next_page_token"]):
                break
        return found == Counter(acknowledged.values())

    await eventually(audited, timeout=30)
    if victim == "audit":
        # What was sealed before and after its death is one chain.
        assert "intact" in suite.cli("audit", "verify").stdout
