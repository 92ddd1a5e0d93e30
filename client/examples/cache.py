"""Read everything that the cache of a system holds, page by page, and go on where another reader stopped."""

from itertools import islice

from intertie_client import Client

with Client.from_env() as client:
    client.run_sync("city_roads", "closures_to_events")

    with client.read_cache("city_roads", "closures_to_events", page_size=5) as records:
        for record in islice(records, 7):
            print(record.external_id, record.data["title"], "→ row", record.local_id)
        token = records.resume_token or ""

    rest = client.read_cache("city_roads", "closures_to_events", page_size=5, resume_token=token)
    print("from the page where that stopped:", [record.external_id for record in rest])
    print("all are read:", rest.resume_token is None)
