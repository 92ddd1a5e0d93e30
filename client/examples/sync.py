"""Run syncs: waiting for the end, or watching."""

from intertie_client import Client

with Client.from_env() as client:
    done = client.run_sync("city_roads", "closures_to_events", timeout=60)
    print(f"{done.state}: {done.read} read, {done.new} new, {done.changed} changed, {done.failed} failed")

    run = client.start_sync("city_roads", "works_to_events", "full")
    print(run.run_id, run.latest.state)
    done = run.wait(timeout=60)
    print(done.state, done.read)

    print(client.get_run(run.run_id).finished_at)
