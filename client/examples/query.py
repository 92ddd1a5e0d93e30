"""Ask an external database and an external API, under the module's grant."""

from intertie_client import Client, ExternalNotFound, QueryNotPermitted

with Client.from_env() as client:
    result = client.query_database(
        "city_roads", "SELECT id, title, street FROM closures WHERE closed_on < :before", {"before": "2026-02-08"}
    )
    print(result.columns, "truncated" if result.truncated else "whole")
    for row in result:
        print(row["id"], row["title"])

    with client.stream_database("city_roads", "SELECT title FROM closures ORDER BY id") as rows:
        print(sum(1 for _ in rows), "closures, one by one")

    answer = client.query_api("city_roads", "/works/RW-203")
    print(answer.status, answer.data["title"])
    listed = client.query_api("city_roads", "/works", data={"page_size": 3})
    print([works["id"] for works in listed.data["works"]])

    try:
        client.query_database("city_roads", "SELECT name FROM permits")
    except QueryNotPermitted as error:
        print(f"not permitted: {error.message}")
    try:
        client.query_api("city_roads", "/works/RW-999")
    except ExternalNotFound as error:
        print(f"the API has no such thing: {error.upstream_status}")
