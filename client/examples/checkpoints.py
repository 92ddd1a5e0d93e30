"""Report how the exchange of a row with a system stands: what the module sent there, and what came back."""

from intertie_client import Client

with Client.from_env() as client:
    for system in client.list_systems():
        print(system.name, system.access)
    if not client.check_access("law_enforcement", "write"):
        raise SystemExit("this module may not write to law_enforcement")

    pushed = client.push(
        "law_enforcement", "incidents_to_events", {"id": "INC-2002", "title": "Street fair", "date": "2026-06-01"}
    )
    row = client.wait_until_synced(pushed).local_id or 0

    client.record_checkpoint("events", row, "law_enforcement", "sent", sent_data={"event": row, "title": "Street fair"})
    kept = client.record_checkpoint("events", row, "law_enforcement", "confirmed", received_data={"case": "A-17"})
    print(kept.status, kept.attempts, kept.sent_data, kept.received_data)
