"""Push a record and see it land; push many in few calls."""

from decimal import Decimal

from intertie_client import Client, InvalidArgument

with Client.from_env() as client:
    record = {
        "id": "INC-2001",
        "title": "Burst pipe",
        "location": "Elm St",
        "date": "2026-05-01",
        "cost": Decimal("12.10"),
    }
    pushed = client.push("law_enforcement", "incidents_to_events", record)
    print(f"{pushed.external_id} is stored as delivery {pushed.delivery_id}")

    landed = client.wait_until_synced(pushed)
    print(f"it is row {landed.local_id} of the target table")

    records = [{"id": f"INC-{number}", "title": "Patrol", "date": "2026-05-02"} for number in range(2100, 2150)]
    outcomes = client.push_many("law_enforcement", "incidents_to_events", [*records, {"id": "INC-2150", "date": 5j}])
    for place, outcome in enumerate(outcomes):
        if outcome.error is not None:
            print(f"record {place} is not stored: {outcome.error}")
    print(f"{sum(outcome.ok for outcome in outcomes)} records are stored")

    try:
        client.push("law_enforcement", "incidents_to_events", {"id": ["no", "id"], "title": "Drill"})
    except InvalidArgument as error:
        print(f"refused: {error.reason}, {[violation.description for violation in error.violations]}")
