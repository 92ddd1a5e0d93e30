"""Entries of the audit log a second that one core verifies, each against the chain, and the chain by its signatures.

The CPU of the database's server counts as well as that of the verifying process.
"""

import asyncio

import audit_verify
from figures import Figure, Outcome
from process_costs import Process
from stage import STORES, TITLES, Stage


def measure(stage: Stage) -> Outcome:
    """Runs the part: one chain on each store, verified once a round."""
    audit_verify.quiet()
    entries = stage.options.either(10_000, 100_000)
    figures = []
    for store in STORES:
        stage.say(f"{entries:,} entries on {TITLES[store]}")
        steps = [step for step in _steps(stage, store, entries) if step.what == "verify"]
        title = TITLES[store]
        cores = tuple(step.entries / step.cpu for step in steps)
        clock = tuple(step.entries / step.wall for step in steps)
        figures += [
            Figure(f"verify.{store}", f"audit verify, entries a core, {title}", "/s", cores),
            Figure(f"verify.clock.{store}", f"audit verify, entries by the clock, {title}", "/s", clock),
        ]
    return Outcome("verify", tuple(figures), notes=(f"A chain of {entries:,} entries as a delivery makes them.",))


def _steps(stage: Stage, store: str, entries: int) -> list[audit_verify.Step]:
    directory, times = stage.new_directory(f"verify-{store}"), stage.options.rounds
    if store == "sqlite":
        return asyncio.run(audit_verify.measure(entries, None, directory, times=times))
    server, database = Process("mariadbd", stage.server.pid), stage.server.create_database()
    try:
        url = stage.server.url(database)
        return asyncio.run(audit_verify.measure(entries, url, directory, times=times, others=server.seconds))
    finally:
        stage.server.drop_database(database)
